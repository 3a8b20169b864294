import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import { freshStream } from "../eventStoreContract/fixture.ts"
import { difficultJson } from "../json.ts"
import { holdsForAll } from "../property.ts"
import { type Case, snapshotAt } from "./fixture.ts"

/** Tries to change what cannot be changed: it may be refused, but it must not succeed in changing the store. */
const tamper = (change: () => void): void => {
  try {
    change()
  } catch (error) {
    assert.ok(error instanceof TypeError, String(error))
  }
}

export const stateCases: ReadonlyArray<Case> = [
  ...Object.entries(difficultJson).map(([name, state]): Case => ({
    name: `state: ${name} comes back exactly`,
    check: (store) =>
      Effect.gen(function*() {
        for (const wrapped of [state, [state], { state }]) {
          const snapshot = snapshotAt(freshStream(), 1, 1, wrapped)
          yield* store.save(snapshot)
          assert.deepEqual(yield* store.load(snapshot.streamId, { stateVersion: 1 }), Option.some(snapshot))
        }
        assert.equal(Object.hasOwn(Object.prototype, "polluted"), false)
      })
  })),
  {
    name: "state: whatever JSON holds comes back as JSON holds it",
    check: (store) =>
      holdsForAll(Arbitrary.schema(Schema.Json), (state) =>
        Effect.gen(function*() {
          const streamId = freshStream()
          yield* store.save(snapshotAt(streamId, 1, 1, state))
          const stored = Option.getOrThrow(yield* store.load(streamId, { stateVersion: 1 }))
          assert.equal(JSON.stringify(stored.state), JSON.stringify(state))
        }), 100)
  },
  {
    name: "state: changing it after the save changes nothing stored",
    check: (store) =>
      Effect.gen(function*() {
        const state: { inner: Array<number>; [key: string]: Array<number> } = { inner: [1, 2] }
        const snapshot = { ...snapshotAt(freshStream(), 1, 1, state) }
        yield* store.save(snapshot)
        state.inner.push(3)
        state["other"] = []
        Object.assign(snapshot, { version: 9, globalPosition: 99n })
        const stored = Option.getOrThrow(yield* store.load(snapshot.streamId, { stateVersion: 1 }))
        assert.deepEqual(stored, snapshotAt(snapshot.streamId, 1, 1, { inner: [1, 2] }))
      })
  },
  {
    name: "state: changing what was loaded changes nothing stored",
    check: (store) =>
      Effect.gen(function*() {
        const snapshot = snapshotAt(freshStream(), 1, 1, { inner: [1, 2] })
        yield* store.save(snapshot)
        const load = Effect.map(store.load(snapshot.streamId, { stateVersion: 1 }), Option.getOrThrow)
        const loaded = yield* load
        tamper(() => (loaded.state as unknown as { inner: Array<number> }).inner.push(3))
        tamper(() => Object.assign(loaded.state as object, { inner: [] }))
        tamper(() => Object.assign(loaded, { version: 9, state: null }))
        assert.deepEqual(yield* load, snapshot)
      })
  }
]
