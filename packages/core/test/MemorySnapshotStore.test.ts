import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
import type { Snapshot } from "@composable-ts/core/Snapshot"
import { SnapshotStoreError } from "@composable-ts/core/SnapshotStore"
import * as StreamId from "@composable-ts/core/StreamId"
import * as SnapshotStoreContract from "@composable-ts/testing/SnapshotStoreContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Result } from "effect"

SnapshotStoreContract.suite("MemorySnapshotStore", MemorySnapshotStore.layer)

const streamId = Result.getOrThrow(StreamId.make("counter", "1"))
const snapshot: Snapshot = { streamId, version: 4, globalPosition: 9n, stateVersion: 1, state: { count: 5 } }

describe("a store of one's own", () => {
  it.effect("shares nothing with another", () =>
    Effect.gen(function*() {
      const [one, other] = yield* Effect.all([MemorySnapshotStore.make, MemorySnapshotStore.make])
      yield* one.save(snapshot)
      assert.deepStrictEqual(yield* other.load(streamId, { stateVersion: 1 }), Option.none())
    }))

  it.effect("keeps nothing but a snapshot's own fields", () =>
    Effect.gen(function*() {
      const store = yield* MemorySnapshotStore.make
      const more = { ...snapshot, secret: "kept elsewhere" }
      yield* store.save(more)
      assert.deepStrictEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.some(snapshot))
    }))

  it.effect("says so when a state is no JSON, and keeps what it had", () =>
    Effect.gen(function*() {
      const store = yield* MemorySnapshotStore.make
      yield* store.save(snapshot)
      const cyclic: Record<string, unknown> = {}
      cyclic["itself"] = cyclic
      // Nothing typed leads here: only a program that casts its way past the codec.
      const bad = { ...snapshot, version: 5, state: cyclic } as unknown as Snapshot
      const error = yield* Effect.flip(store.save(bad))
      assert.instanceOf(error, SnapshotStoreError)
      assert.match(error.message, /^The snapshot store failed to save: .*circular/)
      assert.isFalse(error.retryable)
      assert.deepStrictEqual(yield* store.load(streamId, { stateVersion: 1 }), Option.some(snapshot))
    }))
})

describe("SnapshotStoreError", () => {
  it("says what failed, why, and whether to try again", () => {
    const error = new SnapshotStoreError({ operation: "load", retryable: true, cause: new Error("no connection") })
    assert.strictEqual(error.message, "The snapshot store failed to load (worth another try): no connection")
  })
})
