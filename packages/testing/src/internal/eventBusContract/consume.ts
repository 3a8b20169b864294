import type { ConsumeOptions, Delivery, Handler, Service } from "@composable-ts/core/EventBus"
import { DeliveryFailed, InvalidSubscription, InvalidTopic } from "@composable-ts/core/EventBusError"
import * as Message from "@composable-ts/core/Message"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import assert from "node:assert/strict"
import { counted, freshId } from "../eventStoreContract/fixture.ts"
import { type Case, counts, freshName, numbered, numbers, publishAll } from "./fixture.ts"

/** A pause between two looks, in which a bus gets on that is not only in this process. */
const moment = Effect.sleep(1)

/** What a group has handled: each number as often as a handler succeeded with it. */
class Handled {
  readonly #seen: Array<number> = []
  /** Numbers below 0 only tell that the group is there. */
  get numbers(): ReadonlyArray<number> {
    return this.#seen.filter((count) => count >= 0)
  }
  readonly add = (delivery: Delivery) => Effect.sync(() => void this.#seen.push(...counts([delivery])))
  /** Waits until a number was handled. */
  readonly until = (count: number) =>
    Effect.gen({ self: this }, function*() {
      while (!this.#seen.includes(count)) yield* moment
    })
}

const keyed = (key: string, count: number) => Message.make(counted(count), { id: freshId(), time: Date.now(), key })

const publishKeyed = (bus: Service, topic: string, key: string, numbers: ReadonlyArray<number>) =>
  Effect.forEach(numbers, (count) => bus.publish(topic, keyed(key, count)), { discard: true })

const sorted = (all: ReadonlyArray<number>): ReadonlyArray<number> => all.toSorted((a, b) => a - b)
const twice: Schedule.Schedule<unknown, unknown> = Schedule.recurs(1)

/** Nobody is told when a group begins, so it is told until it has heard. */
const untilHeard = (bus: Service, topic: string, handled: Handled) =>
  Effect.gen(function*() {
    const tell = Effect.andThen(Effect.suspend(() => bus.publish(topic, numbered(-1))), Effect.sleep(20))
    const telling = yield* Effect.forkScoped(Effect.forever(tell))
    yield* handled.until(-1)
    yield* Fiber.interrupt(telling)
  })

/** A group that exists, of a topic of its own, and what it has handled; each call of `member` adds one. */
const found = (bus: Service, options: Partial<ConsumeOptions> = {}) =>
  Effect.gen(function*() {
    const topic = freshName()
    const group = freshName()
    const handled = new Handled()
    const member = (handle: Handler<never> = handled.add) =>
      Effect.forkScoped(bus.consume([topic], { group, retry: twice, ...options }, handle))
    const first = yield* member()
    yield* untilHeard(bus, topic, handled)
    return { topic, group, handled, member, first }
  })

const refusal = (bus: Service, topics: ReadonlyArray<string>, options: ConsumeOptions) =>
  Effect.flip(bus.consume(topics, options, () => Effect.void))

export const consumeCases: ReadonlyArray<Case> = [
  {
    name: "consume: the members of a group share its messages, and each key's are handled in order",
    check: (bus) =>
      Effect.gen(function*() {
        const { handled, member, topic } = yield* found(bus)
        yield* member()
        yield* member()
        const keys = numbers(6)
        yield* Effect.forEach(
          keys,
          (key) => publishKeyed(bus, topic, `k${key}`, numbers(20).map((i) => key * 20 + i)),
          {
            concurrency: "unbounded",
            discard: true
          }
        )
        for (const key of keys) yield* handled.until(key * 20 + 19)
        assert.deepEqual(sorted(handled.numbers), numbers(120))
        for (const key of keys) {
          const ofKey = handled.numbers.filter((count) => Math.floor(count / 20) === key)
          assert.deepEqual(ofKey, sorted(ofKey))
        }
      })
  },
  {
    name: "consume: no two messages of a key are in hand at a time",
    check: (bus) =>
      Effect.gen(function*() {
        const { first, handled, member, topic } = yield* found(bus, { concurrency: 4 })
        yield* Fiber.interrupt(first)
        const inHand = new Set<string>()
        const careful = (delivery: Delivery) =>
          Effect.gen(function*() {
            const number = counts([delivery])[0]!
            // What was published to find the group has no number, and each a key of its own.
            const key = number < 0 ? delivery.message.id : `k${number % 3}`
            assert.ok(!inHand.has(key), `two messages of ${key} at a time`)
            inHand.add(key)
            for (let i = 0; i < 5; i++) yield* Effect.yieldNow
            inHand.delete(key)
            yield* handled.add(delivery)
          })
        const members = [yield* member(careful), yield* member(careful)]
        for (const i of numbers(60)) yield* bus.publish(topic, keyed(`k${i % 3}`, i))
        yield* Effect.raceFirst(
          Effect.forEach([57, 58, 59], handled.until, { discard: true }),
          Effect.raceAllFirst(members.map((member) => Fiber.join(member)))
        )
        assert.deepEqual(sorted(handled.numbers), numbers(60))
      })
  },
  {
    name: "consume: every group handles every message, beside whoever listens",
    check: (bus) =>
      Effect.gen(function*() {
        const one = yield* found(bus)
        const handled = new Handled()
        const group = freshName()
        yield* Effect.forkScoped(bus.consume([one.topic], { group }, handled.add))
        yield* untilHeard(bus, one.topic, handled)
        yield* publishKeyed(bus, one.topic, "k", numbers(30))
        for (const group of [one.handled, handled]) {
          yield* group.until(29)
          assert.deepEqual(group.numbers, numbers(30))
        }
      })
  },
  {
    name: "consume: a group without members keeps its place, and who joins then misses nothing",
    check: (bus) =>
      Effect.gen(function*() {
        const { first, handled, member, topic } = yield* found(bus)
        yield* Fiber.interrupt(first)
        yield* publishKeyed(bus, topic, "k", numbers(20))
        yield* member()
        yield* handled.until(19)
        assert.deepEqual(handled.numbers, numbers(20))
      })
  },
  {
    name: "consume: what was published before a group began does not concern it",
    check: (bus) =>
      Effect.gen(function*() {
        const { handled, topic } = yield* found(bus)
        yield* publishKeyed(bus, topic, "k", [1, 2, 3])
        yield* handled.until(3)
        const later = new Handled()
        yield* Effect.forkScoped(bus.consume([topic], { group: freshName() }, later.add))
        yield* untilHeard(bus, topic, later)
        yield* publishKeyed(bus, topic, "k", [4])
        yield* later.until(4)
        assert.deepEqual(later.numbers, [4])
      })
  },
  {
    name: "consume: a message whose handler fails or dies is handled again",
    check: (bus) =>
      Effect.gen(function*() {
        const { first, handled, member, topic } = yield* found(bus)
        yield* Fiber.interrupt(first)
        const tried = new Set<string>()
        yield* member((delivery) => {
          const { id } = delivery.message
          if (tried.has(id)) return handled.add(delivery)
          tried.add(id)
          return counts([delivery])[0]! % 2 === 0 ? Effect.fail("no") : Effect.die("dead")
        })
        yield* publishKeyed(bus, topic, "k", numbers(6))
        yield* handled.until(5)
        assert.deepEqual(handled.numbers, numbers(6))
      })
  },
  {
    name: "consume: a member that cannot handle a message stops and says so; the message waits for the next member",
    check: (bus) =>
      Effect.gen(function*() {
        const { first, group, handled, member, topic } = yield* found(bus)
        yield* Fiber.interrupt(first)
        const failing = yield* member((delivery) =>
          counts([delivery])[0] === 2 ? Effect.fail(new Error("out of paper")) : handled.add(delivery)
        )
        yield* publishKeyed(bus, topic, "k", numbers(5))
        const error = yield* Effect.flip(Fiber.join(failing))
        assert.ok(error instanceof DeliveryFailed, String(error))
        assert.equal(error.group, group)
        assert.match(error.message, /out of paper/)
        yield* member()
        yield* handled.until(4)
        assert.deepEqual([...new Set(handled.numbers)], numbers(5))
      })
  },
  {
    name: "consume: what a member had in hand when it was interrupted is handled by another",
    check: (bus) =>
      Effect.gen(function*() {
        const { first, handled, member, topic } = yield* found(bus)
        yield* Fiber.interrupt(first)
        const taken = yield* Deferred.make<void>()
        const stuck = yield* member(() => Effect.andThen(Deferred.succeed(taken, undefined), Effect.never))
        yield* publishKeyed(bus, topic, "k", numbers(3))
        yield* Deferred.await(taken)
        yield* Fiber.interrupt(stuck)
        yield* member()
        yield* handled.until(2)
        assert.deepEqual(handled.numbers, numbers(3))
      })
  },
  {
    name: "consume: a member that asks for other topics is refused, and the group goes on",
    check: (bus) =>
      Effect.gen(function*() {
        const { group, handled, topic } = yield* found(bus)
        const error = yield* Effect.flip(bus.consume([topic, freshName()], { group }, handled.add))
        assert.ok(error instanceof InvalidSubscription, String(error))
        assert.match(error.issue, new RegExp(group))
        yield* publishAll(bus, topic, [1])
        yield* handled.until(1)
      })
  },
  {
    name: "consume: refuses names that are none, no topics, and a concurrency that handles nothing",
    check: (bus) =>
      Effect.gen(function*() {
        assert.ok((yield* refusal(bus, ["two words"], { group: "g" })) instanceof InvalidTopic)
        for (
          const error of [
            yield* refusal(bus, [], { group: "g" }),
            yield* refusal(bus, ["t"], { group: "two words" }),
            yield* refusal(bus, ["t"], { group: "g", concurrency: 0 }),
            yield* refusal(bus, ["t"], { group: "g", concurrency: 1.5 })
          ]
        ) assert.ok(error instanceof InvalidSubscription, String(error))
      })
  }
]
