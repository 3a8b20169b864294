import { CheckpointMissing, LeaseLost } from "@composable-ts/projections/ProjectionError"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { freshSubscriber } from "../leaseContract/fixture.ts"
import { allAt, begun, type Case, markAt, start } from "./fixture.ts"

export const fenceCases: ReadonlyArray<Case> = [
  {
    name: "claim: tells where the checkpoint is, however often, and moves nothing",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const from = markAt(41n)
        const { held, subscriber } = yield* begun(checkpoints, 2, from)
        for (const epoch of [3n, 3n, 8n]) assert.deepEqual(yield* checkpoints.claim(held(epoch, 1)), from)
        assert.deepEqual(yield* checkpoints.read(subscriber), allAt(from, 2))
      })
  },
  {
    name: "claim: fails when a later owner has claimed, and says which epoch is over",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held } = yield* begun(checkpoints, 2)
        yield* checkpoints.claim(held(5n, 1))
        const error = yield* Effect.flip(checkpoints.claim(held(4n, 1)))
        assert.ok(error instanceof LeaseLost, String(error))
        assert.deepEqual([error.partition, error.epoch], [1, 4n])
        assert.deepEqual(yield* checkpoints.claim(held(4n, 0)), start)
      })
  },
  {
    name: "claim: fails when there is no such checkpoint",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(checkpoints.claim({ ...freshSubscriber(), partition: 0, epoch: 1n }))
        assert.ok(error instanceof CheckpointMissing, String(error))
        const { held } = yield* begun(checkpoints, 1)
        const beyond = yield* Effect.flip(checkpoints.claim(held(1n, 1)))
        assert.ok(beyond instanceof CheckpointMissing, String(beyond))
      })
  },
  {
    name: "advance: moves the checkpoint of one partition, with the event there, to positions of any size",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held, subscriber } = yield* begun(checkpoints, 2)
        const owner = held(1n, 1)
        yield* checkpoints.claim(owner)
        let mark = start
        for (const position of [1n, 500n, 2n ** 53n + 1n, 2n ** 63n - 1n]) {
          const next = markAt(position)
          assert.equal(yield* checkpoints.advance(owner, mark, next), true)
          assert.deepEqual(yield* checkpoints.read(subscriber), [{ partition: 0, ...start }, {
            partition: 1,
            ...next
          }])
          mark = next
        }
        assert.deepEqual(yield* checkpoints.claim(owner), mark)
      })
  },
  {
    name: "advance: does nothing from anywhere but where the checkpoint is",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held, subscriber } = yield* begun(checkpoints)
        const [at, next] = [markAt(10n), markAt(20n)]
        yield* checkpoints.claim(held(1n))
        yield* checkpoints.advance(held(1n), start, at)
        for (const from of [start, markAt(9n), markAt(11n), next]) {
          assert.equal(yield* checkpoints.advance(held(1n), from, next), false)
        }
        assert.deepEqual(yield* checkpoints.read(subscriber), allAt(at, 1))
      })
  },
  {
    name: "advance: does nothing for an owner that a later one has replaced, though the checkpoint has not moved",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held, subscriber } = yield* begun(checkpoints)
        yield* checkpoints.claim(held(1n))
        yield* checkpoints.claim(held(2n))
        assert.equal(yield* checkpoints.advance(held(1n), start, markAt(5n)), false)
        assert.deepEqual(yield* checkpoints.read(subscriber), allAt(start, 1))
        assert.equal(yield* checkpoints.advance(held(2n), start, markAt(5n)), true)
      })
  },
  {
    name: "advance: does nothing for an owner that has not claimed yet",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held } = yield* begun(checkpoints)
        yield* checkpoints.claim(held(1n))
        assert.equal(yield* checkpoints.advance(held(2n), start, markAt(5n)), false)
        assert.equal(yield* checkpoints.advance(held(1n), start, markAt(5n)), true)
      })
  },
  {
    name: "advance: does nothing without a checkpoint",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const subscriber = freshSubscriber()
        assert.equal(yield* checkpoints.advance({ ...subscriber, partition: 0, epoch: 1n }, start, markAt(5n)), false)
        assert.deepEqual(yield* checkpoints.read(subscriber), [])
      })
  },
  {
    name: "advance: of sixteen at once from one place exactly one moves it",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held, subscriber } = yield* begun(checkpoints)
        yield* checkpoints.claim(held(1n))
        const marks = Array.from({ length: 16 }, (_, i) => markAt(BigInt(i + 1)))
        const moved = yield* Effect.forEach(marks, (mark) => checkpoints.advance(held(1n), start, mark), {
          concurrency: "unbounded"
        })
        assert.equal(moved.filter(Boolean).length, 1)
        assert.deepEqual(yield* checkpoints.read(subscriber), [{ partition: 0, ...marks[moved.indexOf(true)]! }])
      })
  }
]
