import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import { type Case, counts, first, freshName, numbered, numbers, publishAll, roomy, tight } from "./fixture.ts"

export const subscribeCases: ReadonlyArray<Case> = [
  {
    name: "subscribe: without a group every subscriber gets every message",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const all = yield* Effect.forEach(numbers(5), () => bus.listen([topic], roomy))
        const readers = yield* Effect.forEach(all, (deliveries) => Effect.forkScoped(first(deliveries, 100)))
        yield* publishAll(bus, topic, numbers(100))
        for (const reader of readers) assert.deepEqual(counts(yield* Fiber.join(reader)), numbers(100))
      })
  },
  {
    name: "subscribe: of several topics, each message once, with the topic it came by",
    check: (bus) =>
      Effect.gen(function*() {
        const [a, b] = [freshName(), freshName()]
        const deliveries = yield* bus.listen([b, a, b, a], roomy)
        yield* bus.publish(a, numbered(1))
        yield* bus.publish(b, numbered(2))
        yield* bus.publish(a, numbered(3))
        const seen = yield* first(deliveries, 3)
        const byTopic = (topic: string) => counts(seen.filter((delivery) => delivery.topic === topic))
        assert.deepEqual([byTopic(a), byTopic(b)], [[1, 3], [2]])
      })
  },
  {
    name: "subscribe: a topic's name is the whole of it, letter by letter",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = `${freshName()}.a`
        const others = [`${topic}.b`, topic.slice(0, -1), topic.slice(0, -2), topic.toUpperCase(), `x${topic}`]
        const deliveries = yield* bus.listen([topic], roomy)
        for (const other of others) yield* bus.publish(other, numbered(1))
        yield* bus.publish(topic, numbered(2))
        assert.deepEqual(counts(yield* first(deliveries, 1)), [2])
      })
  },
  {
    name: "subscribe: the stream listens from when it runs until it ends, and can be run again",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const stream = bus.subscribe([topic], roomy)
        yield* bus.publish(topic, numbered(0))
        for (const round of [1, 2]) {
          const reader = yield* Effect.forkScoped(first(stream, 1))
          let sent = 0
          // It tells nobody when it begins to listen, so it is told until it has heard.
          while (reader.pollUnsafe() === undefined) {
            yield* bus.publish(topic, numbered(round * 1_000_000 + sent++))
            yield* Effect.yieldNow
          }
          const [count] = counts(yield* Fiber.join(reader))
          assert.ok(count !== undefined && count >= round * 1_000_000, `heard ${count} in round ${round}`)
        }
      })
  },
  {
    name: "listen: what was published before is not delivered, and what is published after is",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        yield* publishAll(bus, topic, [1, 2, 3])
        const deliveries = yield* bus.listen([topic], roomy)
        yield* publishAll(bus, topic, [4, 5])
        assert.deepEqual(counts(yield* first(deliveries, 2)), [4, 5])
      })
  },
  {
    name: "listen: its stream ends with its scope, also while it waits",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        for (const messages of [0, 3]) {
          const scope = yield* Scope.make()
          const deliveries = yield* Scope.provide(bus.listen([topic], roomy), scope)
          const seen: Array<number> = []
          const reader = yield* Effect.forkScoped(
            Stream.runForEach(deliveries, (delivery) => Effect.sync(() => void seen.push(...counts([delivery]))))
          )
          yield* publishAll(bus, topic, numbers(messages))
          while (seen.length < messages) yield* Effect.yieldNow
          yield* Scope.close(scope, Exit.void)
          yield* Fiber.join(reader)
          assert.deepEqual(seen, numbers(messages))
        }
      })
  },
  {
    name: "listen: whoever left holds up no publisher",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const scope = yield* Scope.make()
        yield* Scope.provide(bus.listen([topic], tight), scope)
        const deliveries = yield* bus.listen([topic], roomy)
        const publisher = yield* Effect.forkScoped(publishAll(bus, topic, numbers(50)))
        assert.deepEqual(counts(yield* first(deliveries, 1)), [0])
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(publisher)
      })
  },
  {
    name: "listen: subscribers that come and go disturb nobody",
    check: (bus) =>
      Effect.gen(function*() {
        const topic = freshName()
        const steady = yield* Effect.forkScoped(first(yield* bus.listen([topic], tight), 300))
        const passing = yield* Effect.forkScoped(Effect.forEach(
          numbers(60),
          (i) => Effect.scoped(Effect.flatMap(bus.listen([topic], tight), (deliveries) => first(deliveries, i % 3))),
          { concurrency: 6, discard: true }
        ))
        yield* publishAll(bus, topic, numbers(300))
        assert.deepEqual(counts(yield* Fiber.join(steady)), numbers(300))
        yield* Fiber.interrupt(passing)
      })
  },
  {
    name: "publish: with nobody listening it does nothing",
    check: (bus) => publishAll(bus, freshName(), numbers(10))
  }
]
