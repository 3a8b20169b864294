import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import { type Case, counts, first, freshName, numbers, publishAll, tight } from "./fixture.ts"

export const backPressureCases: ReadonlyArray<Case> = [
  {
    name: "suspend: a subscriber slower than its publishers misses nothing, and others beside it neither",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const slow: Array<number> = []
        const slowReader = Stream.runForEach(
          Stream.take(yield* bus.listen([topic], tight), 400),
          (delivery) =>
            Effect.gen(function*() {
              for (let i = 0; i < 20; i++) yield* Effect.yieldNow
              slow.push(...counts([delivery]))
            })
        )
        const fast = first(yield* bus.listen([topic], tight), 400)
        const readers = yield* Effect.forEach([slowReader, fast], (reader) => Effect.forkScoped(reader))
        const publisher = (p: number) => publishAll(bus, topic, numbers(100).map((i) => p * 100 + i))
        yield* Effect.forEach(numbers(4), publisher, { concurrency: "unbounded", discard: true })
        yield* Effect.forEach(readers, (reader) => Fiber.join(reader))
        for (const p of numbers(4)) {
          const ofPublisher = slow.filter((count) => Math.floor(count / 100) === p)
          assert.deepEqual(ofPublisher, numbers(100).map((i) => p * 100 + i))
        }
      })
  },
  {
    name: "sliding: nobody waits, the latest message is kept, and what is left is in order",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const deliveries = yield* bus.listen([topic], { strategy: "sliding", capacity: 5 })
        yield* publishAll(bus, topic, numbers(100))
        const seen = counts(
          yield* Stream.runCollect(Stream.takeUntil(deliveries, (delivery) => counts([delivery])[0] === 99))
        )
        assert.equal(seen.at(-1), 99)
        assert.deepEqual(seen, [...new Set(seen)].toSorted((a, b) => a - b))
      })
  },
  {
    name: "dropping: nobody waits, and the first messages are kept",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const deliveries = yield* bus.listen([topic], { strategy: "dropping", capacity: 5 })
        yield* publishAll(bus, topic, numbers(100))
        assert.deepEqual(counts(yield* first(deliveries, 5)), numbers(5))
      })
  },
  {
    name: "sliding, dropping: a subscriber that loses messages costs one that suspends none",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        yield* bus.listen([topic], { strategy: "sliding", capacity: 1 })
        yield* bus.listen([topic], { strategy: "dropping", capacity: 1 })
        const reader = yield* Effect.forkScoped(first(yield* bus.listen([topic], tight), 100))
        yield* publishAll(bus, topic, numbers(100))
        assert.deepEqual(counts(yield* Fiber.join(reader)), numbers(100))
      })
  }
]
