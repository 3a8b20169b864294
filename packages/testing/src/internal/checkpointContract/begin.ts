import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { freshSubscriber } from "../leaseContract/fixture.ts"
import { allAt, begun, type Case, markAt, start } from "./fixture.ts"

export const beginCases: ReadonlyArray<Case> = [
  {
    name: "begin: there is nothing before it, and a checkpoint for each partition behind it",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const subscriber = freshSubscriber()
        assert.deepEqual(yield* checkpoints.read(subscriber), [])
        assert.equal(yield* checkpoints.begin(subscriber, 3, start), true)
        assert.deepEqual(yield* checkpoints.read(subscriber), allAt(start, 3))
      })
  },
  {
    name: "begin: a second time does nothing and says so",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const from = markAt(7n)
        const { subscriber } = yield* begun(checkpoints, 2, from)
        assert.equal(yield* checkpoints.begin(subscriber, 2, markAt(1n)), false)
        assert.deepEqual(yield* checkpoints.read(subscriber), allAt(from, 2))
      })
  },
  {
    name: "begin: of sixteen at once exactly one begins",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const subscriber = freshSubscriber()
        const made = yield* Effect.forEach(
          Array.from({ length: 16 }),
          () => checkpoints.begin(subscriber, 2, start),
          { concurrency: "unbounded" }
        )
        assert.equal(made.filter(Boolean).length, 1)
      })
  },
  {
    name: "begin: names and versions are different subscribers, to the letter",
    check: (checkpoints) =>
      Effect.gen(function*() {
        const { held, subscriber } = yield* begun(checkpoints)
        const others = [{ ...subscriber, version: 2 }, { ...subscriber, name: subscriber.name.toUpperCase() }]
        for (const other of others) assert.equal(yield* checkpoints.begin(other, 1, start), true)
        yield* checkpoints.claim(held(1n))
        assert.equal(yield* checkpoints.advance(held(1n), start, markAt(5n)), true)
        for (const other of others) {
          assert.deepEqual(yield* checkpoints.read(other), allAt(start, 1))
        }
      })
  }
]
