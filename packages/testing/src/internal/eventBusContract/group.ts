import type { Delivery, Service, SubscribeOptions } from "@composable-ts/core/EventBus"
import { InvalidSubscription } from "@composable-ts/core/EventBusError"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import { type Case, counts, first, freshName, numbers, publishAll, roomy, tight } from "./fixture.ts"

/** Members that work until stopped; `seen` holds the numbers that each has heard so far. */
const members = (bus: Service, topic: string, options: SubscribeOptions, count: number) =>
  Effect.gen(function*() {
    const seen: ReadonlyArray<Array<number>> = numbers(count).map(() => [])
    for (const mine of seen) {
      const deliveries = yield* bus.listen([topic], options)
      const work = (delivery: Delivery) =>
        Effect.andThen(Effect.sync(() => void mine.push(...counts([delivery]))), Effect.yieldNow)
      yield* Effect.forkScoped(Stream.runForEach(deliveries, work))
    }
    return seen
  })

const sorted = (all: ReadonlyArray<number>): ReadonlyArray<number> => all.toSorted((a, b) => a - b)

/** Waits until the members have heard the number, which is the last one published. */
const heard = (seen: ReadonlyArray<ReadonlyArray<number>>, last: number) =>
  Effect.gen(function*() {
    while (!seen.flat().includes(last)) yield* Effect.yieldNow
  })

const disagreeing = (
  what: string,
  join: (bus: Service, topics: readonly [string, string], group: string) => ReturnType<Service["listen"]>
): Case => ({
  name: `group: a member that asks for other ${what} is refused, and the group goes on`,
  check: (bus) =>
    Effect.gen(function*() {
      const topics = [freshName(), freshName()] as const
      const group = freshName()
      const member = yield* bus.listen(topics, { ...roomy, group })
      const error = yield* Effect.flip(join(bus, topics, group))
      assert.ok(error instanceof InvalidSubscription, String(error))
      assert.match(error.issue, new RegExp(group))
      yield* publishAll(bus, topics[0], [1])
      assert.deepEqual(counts(yield* first(member, 1)), [1])
    })
})

export const groupCases: ReadonlyArray<Case> = [
  {
    name: "group: each message goes to exactly one member, whoever publishes, in the order of each publisher",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const seen = yield* members(bus, topic, { ...tight, group: freshName() }, 5)
        const publisher = (p: number) => publishAll(bus, topic, numbers(100).map((i) => p * 100 + i))
        yield* Effect.forEach(numbers(6), publisher, { concurrency: "unbounded", discard: true })
        yield* publishAll(bus, topic, [600])
        yield* heard(seen, 600)
        assert.deepEqual(sorted(seen.flat()), numbers(601))
        for (const mine of seen) {
          for (const p of numbers(6)) {
            const ofPublisher = mine.filter((count) => Math.floor(count / 100) === p)
            assert.deepEqual(ofPublisher, sorted(ofPublisher))
          }
        }
      })
  },
  {
    name: "group: every group and everyone without a group gets every message",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const audiences = yield* Effect.forEach(
          [{ ...roomy, group: freshName() }, { ...roomy, group: freshName() }],
          (options) => members(bus, topic, options, 3)
        )
        const alone = yield* members(bus, topic, roomy, 1)
        yield* publishAll(bus, topic, numbers(101))
        for (const seen of [...audiences, alone]) {
          yield* heard(seen, 100)
          assert.deepEqual(sorted(seen.flat()), numbers(101))
        }
      })
  },
  {
    name: "group: a member that takes nothing holds up nobody",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const options: SubscribeOptions = { ...tight, group: freshName() }
        yield* bus.listen([topic], options)
        const [seen] = yield* members(bus, topic, options, 1)
        yield* bus.listen([topic], options)
        yield* publishAll(bus, topic, numbers(100))
        yield* heard([seen!], 99)
        assert.deepEqual(seen, numbers(100))
      })
  },
  {
    name: "group: while one member is busy with a message, the others get those behind it",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const options: SubscribeOptions = { ...tight, group: freshName() }
        const taken: Array<number> = []
        const allTaken = yield* Deferred.make<void>()
        const work = (delivery: Delivery) =>
          Effect.gen(function*() {
            taken.push(...counts([delivery]))
            if (taken.length === 4) yield* Deferred.succeed(allTaken, undefined)
            yield* Deferred.await(allTaken)
          })
        for (let i = 0; i < 4; i++) {
          yield* Effect.forkScoped(Stream.runForEach(yield* bus.listen([topic], options), work))
        }
        yield* publishAll(bus, topic, numbers(4))
        yield* Deferred.await(allTaken)
        assert.deepEqual(sorted(taken), numbers(4))
      })
  },
  {
    name: "group: a member that leaves takes along nothing but what it was given",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const options: SubscribeOptions = { ...roomy, group: freshName() }
        const steady = yield* bus.listen([topic], options)
        yield* publishAll(bus, topic, numbers(200))
        const taken: Array<number> = []
        for (const count of [1, 2, 3, 5, 8, 13]) {
          const passing = Effect.flatMap(bus.listen([topic], options), (deliveries) => first(deliveries, count))
          taken.push(...counts(yield* Effect.scoped(passing)))
        }
        assert.deepEqual(taken, numbers(32))
        assert.deepEqual(counts(yield* first(steady, 168)), numbers(200).slice(32))
      })
  },
  {
    name: "group: its name is free again once all have left, and remembers nothing of before",
    check: (bus) =>
      Effect.gen(function*() {
        const [a, b, group] = [freshName(), freshName(), freshName()]
        yield* Effect.scoped(Effect.gen(function*() {
          yield* bus.listen([a], { ...roomy, group })
          yield* publishAll(bus, a, [1])
        }))
        const deliveries = yield* bus.listen([b], { strategy: "sliding", capacity: 5, group })
        yield* publishAll(bus, a, [2])
        yield* publishAll(bus, b, [3])
        assert.deepEqual(counts(yield* first(deliveries, 1)), [3])
      })
  },
  disagreeing("topics", (bus, [topic], group) => bus.listen([topic], { ...roomy, group })),
  disagreeing("capacity", (bus, topics, group) => bus.listen(topics, { strategy: "suspend", capacity: 7, group })),
  disagreeing("strategy", (bus, topics, group) => bus.listen(topics, { ...roomy, strategy: "sliding", group })),
  {
    name: "group: the same topics in another order, or named twice, are the same",
    check: (bus) =>
      Effect.gen(function*() {
        const [a, b, group] = [freshName(), freshName(), freshName()]
        yield* bus.listen([a, b], { ...roomy, group })
        yield* Effect.forkScoped(Stream.runDrain(yield* bus.listen([b, a, b], { ...roomy, group })))
      })
  }
]
