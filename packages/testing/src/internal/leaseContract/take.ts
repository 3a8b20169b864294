import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import { type Case, declared, freshId, freshSubscriber, owners, partsOf, seen } from "./fixture.ts"

export const takeCases: ReadonlyArray<Case> = [
  {
    name: "declare: makes free leases, and leaves those that are there as they are",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 3)
        assert.deepEqual(
          (yield* seen(leases, subscriber)).map(({ epoch, owner, partition }) => ({ partition, epoch, owner })),
          [0, 1, 2].map((partition) => ({ partition, epoch: 0n, owner: undefined }))
        )
        const member = freshId()
        yield* leases.take(member, parts.slice(0, 1))
        yield* leases.declare(subscriber, 3)
        assert.deepEqual(yield* owners(leases, subscriber), [member, undefined, undefined])
      })
  },
  {
    name: "declare: names and versions are different subscribers, to the letter",
    check: (leases) =>
      Effect.gen(function*() {
        const subscriber = freshSubscriber()
        const others = [{ ...subscriber, version: 2 }, { ...subscriber, name: subscriber.name.toUpperCase() }]
        for (const each of [subscriber, ...others]) yield* leases.declare(each, 1)
        yield* leases.take(freshId(), partsOf(subscriber, 1))
        for (const other of others) assert.deepEqual(yield* owners(leases, other), [undefined])
      })
  },
  {
    name: "take: gives what is free, in a new epoch, and nothing that is not",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 3)
        const [first, second] = [freshId(), freshId()]
        const taken = yield* leases.take(first, parts.slice(0, 2))
        assert.deepEqual(taken.toSorted((a, b) => a.partition - b.partition), [
          { ...parts[0], epoch: 1n },
          { ...parts[1], epoch: 1n }
        ])
        assert.deepEqual(yield* leases.take(second, parts), [{ ...parts[2], epoch: 1n }])
        assert.deepEqual(yield* leases.take(first, parts), [])
        assert.deepEqual(yield* owners(leases, subscriber), [first, first, second])
        assert.deepEqual(yield* leases.take(second, []), [])
        assert.deepEqual(yield* leases.take(second, partsOf(freshSubscriber(), 1)), [])
      })
  },
  {
    name: "take: of sixteen at once, exactly one gets each part",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 6)
        const members = Array.from({ length: 16 }, freshId)
        const taken = yield* Effect.forEach(
          members,
          (member) => Effect.map(leases.take(member, parts), (held) => held.map((lease) => ({ member, ...lease }))),
          { concurrency: "unbounded" }
        )
        const all = taken.flat().toSorted((a, b) => a.partition - b.partition)
        assert.deepEqual(all.map(({ partition }) => partition), [0, 1, 2, 3, 4, 5])
        assert.deepEqual(yield* owners(leases, subscriber), all.map(({ member }) => member))
      })
  },
  {
    name: "release: makes a lease free at once, and the next epoch is a new one",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 2)
        const [first, second] = [freshId(), freshId()]
        const [held] = yield* leases.take(first, parts.slice(0, 1))
        assert.ok(held !== undefined)
        yield* leases.release(first, held)
        assert.deepEqual(yield* owners(leases, subscriber), [undefined, undefined])
        assert.deepEqual(yield* leases.take(second, parts.slice(0, 1)), [{ ...parts[0], epoch: 2n }])
      })
  },
  {
    name: "release: of a lease that is another's, or was taken anew, does nothing",
    check: (leases) =>
      Effect.gen(function*() {
        const { parts, subscriber } = yield* declared(leases, 1)
        const [first, second] = [freshId(), freshId()]
        const [before] = yield* leases.take(first, parts)
        assert.ok(before !== undefined)
        yield* leases.release(second, before)
        assert.deepEqual(yield* owners(leases, subscriber), [first])
        yield* leases.release(first, before)
        yield* leases.take(first, parts)
        yield* leases.release(first, before)
        assert.deepEqual(yield* owners(leases, subscriber), [first])
      })
  }
]
