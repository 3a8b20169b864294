import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import assert from "node:assert/strict"
import { freshStream } from "../eventStoreContract/fixture.ts"
import { type Case, snapshotAt } from "./fixture.ts"

export const loadCases: ReadonlyArray<Case> = [
  {
    name: "load: a stream without a snapshot has none",
    check: (store) =>
      Effect.gen(function*() {
        assert.deepEqual(yield* store.load(freshStream(), { stateVersion: 1 }), Option.none())
      })
  },
  {
    name: "load: another stream's snapshot is not seen",
    check: (store) =>
      Effect.gen(function*() {
        yield* store.save(snapshotAt(freshStream(), 5))
        assert.deepEqual(yield* store.load(freshStream(), { stateVersion: 1 }), Option.none())
      })
  },
  {
    name: "load: a snapshot of another state version, older or newer, is not seen",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.save(snapshotAt(streamId, 5, 2))
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.none())
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 3 }), Option.none())
      })
  },
  {
    name: "load: state versions live side by side, the newer one at an older version too",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const [old, current] = [snapshotAt(streamId, 9, 1), snapshotAt(streamId, 4, 2)]
        assert.deepEqual([yield* store.save(old), yield* store.save(current)], [{ saved: true }, { saved: true }])
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.some(old))
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 2 }), Option.some(current))
      })
  },
  {
    name: "load: at most a version, that one included",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const snapshot = snapshotAt(streamId, 5)
        yield* store.save(snapshot)
        const at = (atMost: number | undefined) => store.load(streamId, { stateVersion: 1, atMost })
        for (const atMost of [-1, 0, 4]) assert.deepEqual(yield* at(atMost), Option.none(), `at most ${atMost}`)
        for (const atMost of [5, 6, Number.MAX_SAFE_INTEGER, undefined]) {
          assert.deepEqual(yield* at(atMost), Option.some(snapshot), `at most ${atMost}`)
        }
      })
  }
]
