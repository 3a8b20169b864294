import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { Delivery, Service, Strategy } from "@composable-ts/core/EventBus"
import { EventBusError } from "@composable-ts/core/EventBusError"
import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import * as Message from "@composable-ts/core/Message"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as EventBusContract from "@composable-ts/testing/EventBusContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result, Scheduler, Schema, Stream } from "effect"

EventBusContract.suite("MemoryEventBus", MemoryEventBus.layer)

const Clock = Action.define("Clock", { commands: {}, events: { Ticked: Event.v1({ tick: Schema.Int }) } })
const ticked = (tick: number) =>
  Message.make(Result.getOrThrow(Clock.encode(Clock.Ticked({ tick }))), { id: `tick-${tick}`, time: tick })

const publish = (bus: Service, ticks: ReadonlyArray<number>) =>
  Effect.forEach(ticks, (tick) => bus.publish("ticks", ticked(tick)), { discard: true })
const ticksOf = (deliveries: ReadonlyArray<Delivery>) => deliveries.map(({ message }) => message.time)
const first = (deliveries: Stream.Stream<Delivery, EventBusError>, count: number) =>
  Effect.map(Stream.runCollect(Stream.take(deliveries, count)), ticksOf)
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

/** Lets every other fiber go on until none can. */
const settle = Effect.forEach(upTo(100), () => Effect.yieldNow, { discard: true })

describe("a bus whose fibers give way after every few steps", () => {
  for (const steps of [3, 4, 5, 7]) {
    it.live(`keeps the contract, when it is ${steps}`, () =>
      Effect.gen(function*() {
        const bus = yield* MemoryEventBus.make
        for (const { check } of EventBusContract.cases) yield* Effect.scoped(check(bus))
      }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, steps)))
  }
})

describe("suspend", () => {
  it.effect("a publisher is never further ahead than the capacity", () =>
    Effect.gen(function*() {
      for (const capacity of [1, 2, 7]) {
        const bus = yield* MemoryEventBus.make
        const deliveries = yield* bus.listen(["ticks"], { strategy: "suspend", capacity })
        let published = 0
        let taken = 0
        let furthest = 0
        const publisher = yield* Effect.forkScoped(Effect.forEach(upTo(100), (tick) =>
          Effect.map(bus.publish("ticks", ticked(tick)), () => {
            published++
            furthest = Math.max(furthest, published - taken)
          })))
        yield* Stream.runForEach(Stream.take(deliveries, 100), () =>
          Effect.gen(function*() {
            yield* settle
            taken++
          }))
        yield* Fiber.join(publisher)
        // One more than waits: the one that the subscriber is at work on.
        assert.strictEqual(furthest, capacity + 1)
      }
    }))

  it.effect("a publisher that gives up takes its message back, and those behind move up", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const full = yield* bus.listen(["ticks"], { strategy: "suspend", capacity: 1 })
      const roomy = yield* bus.listen(["ticks"], { strategy: "suspend", capacity: 10 })
      const [a, b, c] = yield* Effect.forEach([0, 1, 2], (tick) => Effect.forkScoped(publish(bus, [tick])))
      yield* settle
      assert.deepStrictEqual([a, b, c].map((fiber) => fiber?.pollUnsafe() === undefined), [false, true, true])
      yield* Fiber.interrupt(b!)
      assert.deepStrictEqual(yield* first(full, 2), [0, 2])
      yield* Fiber.join(c!)
      // It had reached the other subscriber: an interrupted publish may reach some.
      assert.deepStrictEqual(yield* first(roomy, 3), [0, 1, 2])
    }))

  it.effect("publishers who give up again and again leave nothing behind", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const deliveries = yield* bus.listen(["ticks"], { strategy: "suspend", capacity: 1 })
      yield* publish(bus, [0])
      for (let tick = 1; tick <= 500; tick++) {
        const publisher = yield* Effect.forkScoped(publish(bus, [tick]))
        // Interrupted before it begins, at any step of its way, or while it waits.
        for (let steps = 0; steps < tick % 8; steps++) yield* Effect.yieldNow
        yield* Fiber.interrupt(publisher)
      }
      const last = yield* Effect.forkScoped(publish(bus, [501]))
      assert.deepStrictEqual(yield* first(deliveries, 2), [0, 501])
      yield* Fiber.join(last)
    }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, 3)))

  it.effect("publishers who wait go on when the subscriber leaves", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const publishers = yield* Effect.scoped(Effect.gen(function*() {
        yield* bus.listen(["ticks"], { strategy: "suspend", capacity: 1 })
        const waiting = yield* Effect.forEach(upTo(20), (tick) => Effect.forkDetach(publish(bus, [tick])))
        yield* settle
        assert.strictEqual(waiting.filter((fiber) => fiber.pollUnsafe() === undefined).length, 19)
        return waiting
      }))
      yield* Effect.forEach(publishers, (publisher) => Fiber.join(publisher))
    }))
})

describe("a subscriber that is full", () => {
  const kept = (strategy: Strategy, capacity: number) =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const deliveries = yield* bus.listen(["ticks"], { strategy, capacity })
      yield* publish(bus, upTo(100))
      return yield* first(deliveries, capacity)
    })

  it.effect("keeps the latest when it slides", () =>
    Effect.map(kept("sliding", 3), (ticks) => assert.deepStrictEqual(ticks, [97, 98, 99])))

  it.effect("keeps the first when it drops", () =>
    Effect.map(kept("dropping", 3), (ticks) => assert.deepStrictEqual(ticks, [0, 1, 2])))

  it.effect("keeps 64 unless told otherwise", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const deliveries = yield* bus.listen(["ticks"], { strategy: "sliding" })
      yield* publish(bus, upTo(100))
      assert.deepStrictEqual(yield* first(deliveries, 64), upTo(100).slice(36))
    }))
})

describe("a bus of one's own", () => {
  it.effect("shares nothing with another", () =>
    Effect.gen(function*() {
      const [one, other] = yield* Effect.all([MemoryEventBus.make, MemoryEventBus.make])
      const deliveries = yield* one.listen(["ticks"], { strategy: "suspend" })
      yield* publish(other, [1])
      yield* publish(one, [2])
      assert.deepStrictEqual(yield* first(deliveries, 1), [2])
    }))

  it.effect("lets a subscriber publish what another topic is to hear", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const ticks = yield* bus.listen(["ticks"], { strategy: "suspend", capacity: 1 })
      const echoes = yield* bus.listen(["echoes"], { strategy: "suspend", capacity: 1 })
      yield* Effect.forkScoped(Stream.runForEach(ticks, ({ message }) => bus.publish("echoes", message)))
      const reader = yield* Effect.forkScoped(first(echoes, 200))
      yield* publish(bus, upTo(200))
      assert.deepStrictEqual(yield* Fiber.join(reader), upTo(200))
    }))

  it.effect("interrupted takers of a group lose no message for the others", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const options = { strategy: "suspend", capacity: 1, group: "workers" } as const
      const seen: Array<number> = []
      const steady = yield* bus.listen(["ticks"], options)
      yield* Effect.forkScoped(Stream.runForEach(steady, ({ message }) => Effect.sync(() => seen.push(message.time))))
      for (const tick of upTo(300)) {
        // The message comes while the other waits, and before that one has run.
        const passing = yield* Effect.forkScoped(Stream.runForEach(
          yield* bus.listen(["ticks"], options),
          ({ message }) => Effect.sync(() => seen.push(message.time))
        ))
        if (tick % 3 > 0) yield* Effect.yieldNow
        yield* publish(bus, [tick])
        if (tick % 2 > 0) yield* Effect.yieldNow
        yield* Fiber.interrupt(passing)
      }
      yield* settle
      assert.deepStrictEqual(seen, upTo(300))
    }))

  it.effect("says so when a message is no JSON, whether or not anyone listens, and delivers none of it", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      const cyclic: Record<string, unknown> = {}
      cyclic["itself"] = cyclic
      // Nothing typed leads here: only a program that casts its way past `encode`.
      const bad = Message.make({ type: "Ticked.v1", data: cyclic } as unknown as EncodedEvent, { id: "bad", time: 0 })
      const unheard = yield* Effect.flip(bus.publish("ticks", bad))
      assert.instanceOf(unheard, EventBusError)
      assert.match(unheard.message, /^The event bus failed to publish: .*circular/)
      assert.isFalse(unheard.retryable)
      const deliveries = yield* bus.listen(["ticks"], { strategy: "suspend" })
      assert.instanceOf(yield* Effect.flip(bus.publish("ticks", bad)), EventBusError)
      yield* publish(bus, [1])
      assert.deepStrictEqual(yield* first(deliveries, 1), [1])
    }))

  it.effect("names what a newcomer to a group asks for that the group does not do, and the way out", () =>
    Effect.gen(function*() {
      const bus = yield* MemoryEventBus.make
      yield* bus.listen(["ticks"], { strategy: "suspend", capacity: 8, group: "workers" })
      const error = yield* Effect.flip(bus.listen(["ticks"], { strategy: "suspend", capacity: 9, group: "workers" }))
      assert.strictEqual(
        error.message,
        "Not a subscription to ticks: group workers has capacity 8, not 9: " +
          "ask for the same as its other members, or join a group of another name"
      )
    }))
})
