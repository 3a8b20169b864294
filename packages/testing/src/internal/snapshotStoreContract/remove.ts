import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import assert from "node:assert/strict"
import { freshStream } from "../eventStoreContract/fixture.ts"
import { type Case, snapshotAt } from "./fixture.ts"

export const removeCases: ReadonlyArray<Case> = [
  {
    name: "remove: forgets every state version of the stream, and no other stream's",
    check: (store) =>
      Effect.gen(function*() {
        const [removed, other] = [freshStream(), freshStream()]
        for (const streamId of [removed, other]) {
          for (const stateVersion of [1, 2]) yield* store.save(snapshotAt(streamId, 5, stateVersion))
        }
        yield* store.remove(removed)
        for (const stateVersion of [1, 2]) {
          assert.deepEqual(yield* store.load(removed, { stateVersion }), Option.none())
          const kept = snapshotAt(other, 5, stateVersion)
          assert.deepEqual(yield* store.load(other, { stateVersion }), Option.some(kept))
        }
      })
  },
  {
    name: "remove: of one state version leaves the others",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        for (const stateVersion of [1, 2]) yield* store.save(snapshotAt(streamId, 5, stateVersion))
        yield* store.remove(streamId, { stateVersion: 3 })
        yield* store.remove(streamId, { stateVersion: 1 })
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.none())
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 2 }), Option.some(snapshotAt(streamId, 5, 2)))
        assert.deepEqual(yield* store.save(snapshotAt(streamId, 3, 1)), { saved: true })
      })
  },
  {
    name: "remove: of a stream without snapshots, or a second time, does nothing",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.remove(streamId)
        yield* store.save(snapshotAt(streamId, 1))
        yield* store.remove(streamId)
        yield* store.remove(streamId)
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.none())
      })
  },
  {
    name: "remove: an earlier version than the removed one can be saved again",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const earlier = snapshotAt(streamId, 2)
        yield* store.save(snapshotAt(streamId, 8))
        yield* store.remove(streamId)
        assert.deepEqual(yield* store.save(earlier), { saved: true })
        assert.deepEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.some(earlier))
      })
  }
]
