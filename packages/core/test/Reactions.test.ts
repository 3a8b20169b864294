import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import { CommandFailed, TaskDefect } from "@composable-ts/core/StoreError"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Result, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"

/** An order that is paid for: placing it charges a card, and it lapses when nobody pays in time. */
const Order = Action.define("Order", {
  commands: {
    Place: { cents: Schema.Int },
    Confirm: { receipt: Schema.String },
    Decline: { why: Schema.String },
    Lapse: {},
    Check: {},
    Cancel: {},
    /** Does what the test says. */
    Mix: { order: Schema.String }
  },
  events: {
    Placed: Event.v1({ cents: Schema.Int }),
    Paid: Event.v1({ receipt: Schema.String }),
    Declined: Event.v1({ why: Schema.String }),
    Lapsed: Event.v1({}),
    Cancelled: Event.v1({}),
    Noted: Event.v1({ note: Schema.String })
  }
})
const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.String,
  failure: Schema.TaggedStruct("Refused", { why: Schema.String })
})
const noted = (note: string) => Order.Noted({ note })

type State = "none" | "placed" | "paid" | "declined" | "lapsed" | "cancelled"
const order = Aggregate.define(Order, {
  initial: "none" as State,
  decide: (state, command) => {
    switch (command._tag) {
      case "Place":
        return state === "none"
          ? Fx.append(Order.Placed({ cents: command.cents }))
          : Fx.reject({ _tag: "AlreadyPlaced" })
      case "Confirm":
        return state === "placed"
          ? Fx.append(Order.Paid({ receipt: command.receipt }))
          : Fx.reject({ _tag: "NotPlaced", state })
      case "Decline":
        return Fx.append(Order.Declined({ why: command.why }))
      case "Lapse":
        return state === "placed" ? Fx.append(Order.Lapsed()) : Fx.none
      case "Check":
        return Fx.delay("lapse", 1, Order.Lapse())
      case "Cancel":
        return Fx.all(Fx.append(Order.Cancelled()), Fx.cancelAll)
      case "Mix":
        switch (command.order) {
          case "refused last":
            return Fx.all(
              Fx.append(noted("1")),
              Fx.perform(Charge, { cents: 1 }),
              Fx.sequential(Fx.delay("d", 1, Order.Lapse()), Fx.reject({ _tag: "Mixed" }))
            )
          case "refused first":
            return Fx.parallel(2, Fx.reject({ _tag: "Mixed" }), Fx.append(noted("1")), Fx.send(Order.Lapse()))
          case "charge":
            return Fx.all(Fx.append(noted("1")), Fx.perform(Charge, { cents: 1 }))
          default:
            return Fx.sequential(
              Fx.append(noted("1"), noted("2")),
              Fx.perform(Charge, { cents: 7 }),
              Fx.all(Fx.append(noted("3")), Fx.send(Order.Check()), Fx.append(noted("4")))
            )
        }
    }
  },
  evolve: (state, event) => {
    switch (event._tag) {
      case "Placed":
        return "placed"
      case "Paid":
        return "paid"
      case "Declined":
        return "declined"
      case "Lapsed":
        return "lapsed"
      case "Cancelled":
        return "cancelled"
      case "Noted":
        return state
    }
  },
  react: (state, event) => {
    switch (event._tag) {
      case "Placed":
        return Fx.all(
          Fx.perform(Charge, { cents: event.cents }, { id: "charge" }),
          Fx.delay("lapse", 1000, Order.Lapse())
        )
      case "Paid":
        // The state is the one behind the event.
        return state === "paid" ? Fx.cancel("lapse") : Fx.none
      default:
        return Fx.none
    }
  },
  outcomes: {
    Charge: {
      success: (receipt: string, { cents }: { readonly cents: number }) =>
        Order.Confirm({ receipt: `${receipt} for ${cents}` }),
      failure: ({ why }: { readonly why: string }) => Order.Decline({ why })
    }
  }
})

const place = (cents = 5) => Order.Place({ cents })
const streamOf = (id: string) => Result.getOrThrow(StreamId.make("order", id))
const lost = new EventStoreError({ operation: "append", retryable: true, cause: new Error("connection lost") })
const settle = Effect.gen(function*() {
  for (let i = 0; i < 50; i++) yield* Effect.yieldNow
})

type Charging = (cents: number) => Effect.Effect<string, { readonly _tag: "Refused"; readonly why: string }>
const paying: Charging = () => Effect.succeed("paid")
const never: Charging = () => Effect.never

/** A store over an event store, and the charges that it made. */
const over = (
  events: Service,
  charging: Charging = paying,
  options: Store.AggregateStoreOptions = { deadline: 0 }
) =>
  Effect.gen(function*() {
    const charges: Array<number> = []
    const layer = Task.layer(Charge, ({ cents }) =>
      Effect.suspend(() => {
        charges.push(cents)
        return charging(cents)
      }))
    const orders = yield* Store.aggregate(order, options).pipe(
      Effect.provide(layer),
      Effect.provideService(EventStore, events)
    )
    return { charges, orders }
  })

/** Each append does what the test says; it gets the append, and how many there were before. */
const appending = (
  events: Service,
  step: (append: ReturnType<Service["append"]>, before: number) => ReturnType<Service["append"]>
): Service => {
  let count = 0
  return { ...events, append: (...append) => Effect.suspend(() => step(events.append(...append), count++)) }
}

const stored = (events: Service, id: string) =>
  Effect.map(events.read(streamOf(id)), (all) => all.map(({ type }) => type.replace(".v1", "")))

describe("reactions", () => {
  it.effect("start once the events are stored, and what comes of them are commands of the same instance", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const { charges, orders } = yield* over(events)
      const placed = yield* orders.dispatch("1", place())
      assert.strictEqual(placed.state, "placed", "the outcome is the command's own")
      yield* orders.idle
      yield* settle
      assert.deepStrictEqual(charges, [5])
      assert.deepStrictEqual(yield* stored(events, "1"), ["Placed", "Paid"])
      assert.strictEqual((yield* orders.state("1")).state, "paid")
      const [, paid] = yield* events.read(streamOf("1"))
      assert.deepStrictEqual(paid!.data, { receipt: "paid for 5" })
    }))

  it.effect("a failure comes back as the command that the outcomes say", () =>
    Effect.gen(function*() {
      const { orders } = yield* over(
        yield* MemoryEventStore.make,
        () => Effect.fail({ _tag: "Refused", why: "no funds" })
      )
      yield* orders.dispatch("1", place())
      yield* settle
      const history = yield* Stream.runCollect(orders.history("1"))
      assert.deepStrictEqual(history.at(-1)!.event, Order.Declined({ why: "no funds" }))
    }))

  it.effect("nothing starts before the append is done", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { charges, orders } = yield* over(
        appending(yield* MemoryEventStore.make, (append) => Effect.andThen(Deferred.await(gate), append)),
        never
      )
      const dispatching = yield* Effect.forkChild(orders.dispatch("1", place()))
      yield* settle
      assert.deepStrictEqual(charges, [])
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(dispatching)
      assert.deepStrictEqual(charges, [5])
    }))

  it.effect("an append that fails starts nothing", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const { charges, orders } = yield* over(appending(events, () => Effect.fail(lost)))
      assert.strictEqual(yield* Effect.flip(orders.dispatch("1", place())), lost)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(charges, [])
      assert.deepStrictEqual(yield* stored(events, "1"), [])
    }))

  it.live("an append that meets a conflict and is tried again starts once", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const rival = yield* over(events, never)
      // Before the first append of this store, another one appends to the same instance.
      const { charges, orders } = yield* over(
        appending(events, (append, before) =>
          before === 0
            ? Effect.andThen(Effect.orDie(rival.orders.dispatch("1", Order.Mix({ order: "plain" }))), append)
            : append),
        never
      )
      assert.strictEqual((yield* orders.dispatch("1", place())).version, 4)
      assert.deepStrictEqual(charges, [5])
      assert.deepStrictEqual(rival.charges, [7])
    }))

  it.effect("a duplicate starts nothing again", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const one = yield* over(events, never)
      const other = yield* over(events, never)
      yield* one.orders.dispatch("1", place(), { commandId: "c" })
      for (const { orders } of [one, one, other]) {
        assert.isTrue((yield* orders.dispatch("1", place(), { commandId: "c" })).duplicate)
      }
      yield* settle
      assert.deepStrictEqual([one.charges, other.charges], [[5], []])
    }))

  it.effect("a refused command starts nothing", () =>
    Effect.gen(function*() {
      const { charges, orders } = yield* over(yield* MemoryEventStore.make, never)
      yield* orders.dispatch("1", place())
      assert.deepStrictEqual<unknown>(yield* Effect.flip(orders.dispatch("1", place(9))), { _tag: "AlreadyPlaced" })
      assert.deepStrictEqual(charges, [5])
    }))

  it.effect("loading, replaying and looking back react to nothing", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* (yield* over(events, never)).orders.dispatch("1", place())
      const { charges, orders } = yield* over(events, never)
      assert.strictEqual((yield* orders.state("1")).state, "placed")
      assert.strictEqual((yield* orders.stateAt("1", { version: 0 })).state, "placed")
      assert.isTrue(yield* orders.exists("1"))
      assert.strictEqual((yield* Stream.runCollect(orders.history("1"))).length, 1)
      assert.strictEqual((yield* orders.dispatch("1", Order.Mix({ order: "plain" }))).version, 4)
      yield* settle
      assert.deepStrictEqual(charges, [7], "only what was decided now")
    }))

  it.effect("a command that stores nothing may have effects, too", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const { orders } = yield* over(events, never)
      yield* orders.dispatch("1", place())
      assert.deepStrictEqual((yield* orders.dispatch("1", Order.Check())).events, [])
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.deepStrictEqual(yield* stored(events, "1"), ["Placed", "Lapsed"])
    }))
})

describe("timers and tasks", () => {
  it.effect("are each instance's own", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const { orders } = yield* over(events, never)
      for (const id of ["1", "2", "1-2"]) yield* orders.dispatch(id, place())
      yield* orders.dispatch("1", Order.Confirm({ receipt: "r" }))
      yield* TestClock.adjust("999 millis")
      yield* settle
      assert.strictEqual((yield* orders.state("2")).state, "placed")
      yield* TestClock.adjust("1 millis")
      yield* settle
      const states = yield* Effect.forEach(
        ["1", "2", "1-2"],
        (id) => Effect.map(orders.state(id), ({ state }) => state)
      )
      assert.deepStrictEqual(states, ["paid", "lapsed", "lapsed"])
    }))

  it.effect("of a decision can end those of the instance, all of them", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const interrupted: Array<number> = []
      const { orders } = yield* over(events, (cents) =>
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted.push(cents))))
      yield* orders.dispatch("1", place(1))
      yield* orders.dispatch("2", place(2))
      yield* orders.dispatch("1", Order.Cancel())
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.deepStrictEqual(interrupted, [1])
      assert.deepStrictEqual(yield* stored(events, "1"), ["Placed", "Cancelled"])
      assert.deepStrictEqual(yield* stored(events, "2"), ["Placed", "Lapsed"])
    }))

  it.effect("what comes of them says what caused it", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const { orders } = yield* over(events)
      yield* orders.dispatch("1", place(), { commandId: "c-1", correlationId: "talk", causationId: "before" })
      yield* orders.idle
      yield* settle
      const [placed, paid] = yield* events.read(streamOf("1"))
      assert.deepStrictEqual(
        [placed!.commandId, placed!.correlationId, placed!.causationId],
        ["c-1", "talk", "before"]
      )
      assert.deepStrictEqual([paid!.correlationId, paid!.causationId], ["talk", "c-1"])
      assert.notStrictEqual(paid!.commandId, "c-1")
    }))
})

describe("groups in a decision", () => {
  it.effect("a refusal anywhere refuses all: nothing is stored, nothing starts", () =>
    Effect.gen(function*() {
      for (const how of ["refused last", "refused first"]) {
        const events = yield* MemoryEventStore.make
        const { charges, orders } = yield* over(events)
        const reason = yield* Effect.flip(orders.dispatch("1", Order.Mix({ order: how })))
        assert.deepStrictEqual<unknown>(reason, { _tag: "Mixed" })
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(charges, [])
        assert.deepStrictEqual(yield* stored(events, "1"), [])
      }
    }))

  it.effect("events anywhere are stored together, in their order, in one append, before anything else is done", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const sizes: Array<number> = []
      const { charges, orders } = yield* over({
        ...events,
        append: (streamId, expected, appended, options) => {
          sizes.push(appended.length)
          return events.append(streamId, expected, appended, options)
        }
      }, never)
      const outcome = yield* orders.dispatch("1", Order.Mix({ order: "plain" }))
      assert.deepStrictEqual(outcome.events, ["1", "2", "3", "4"].map(noted))
      assert.deepStrictEqual(sizes, [4])
      assert.deepStrictEqual(charges, [7])
    }))
})

describe("what goes wrong behind a command", () => {
  it.effect("a command that an effect sent and that fails is a problem", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      // The second append is that of the outcome.
      const { orders } = yield* over(appending(events, (append, before) => before === 1 ? Effect.fail(lost) : append))
      const problems = yield* Effect.forkChild(Stream.runHead(orders.problems))
      yield* settle
      yield* orders.dispatch("1", place())
      const problem = (yield* Fiber.join(problems)).pipe(Result.fromOption(() => "none"), Result.getOrThrow)
      assert.instanceOf(problem, CommandFailed)
      assert.deepStrictEqual([problem.command, problem.category, problem.id], ["Confirm", "order", "1"])
      assert.strictEqual(problem.cause, lost)
    }))

  it.effect("so is one that is refused", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { orders } = yield* over(
        yield* MemoryEventStore.make,
        () => Effect.as(Deferred.await(gate), "late")
      )
      const problems = yield* Effect.forkChild(Stream.runHead(orders.problems))
      yield* settle
      yield* orders.dispatch("1", place())
      yield* orders.dispatch("1", Order.Lapse())
      yield* Deferred.succeed(gate, undefined)
      const problem = (yield* Fiber.join(problems)).pipe(Result.fromOption(() => "none"), Result.getOrThrow)
      assert.instanceOf(problem, CommandFailed)
      assert.deepStrictEqual(problem.cause, { _tag: "NotPlaced", state: "lapsed" })
    }))

  it.effect("a handler that dies is one, and the instance goes on", () =>
    Effect.gen(function*() {
      const { orders } = yield* over(yield* MemoryEventStore.make, () => Effect.die("dead"))
      const problems = yield* Effect.forkChild(Stream.runHead(orders.problems))
      yield* settle
      yield* orders.dispatch("1", place())
      const problem = (yield* Fiber.join(problems)).pipe(Result.fromOption(() => "none"), Result.getOrThrow)
      assert.instanceOf(problem, TaskDefect)
      assert.strictEqual((yield* orders.dispatch("1", Order.Confirm({ receipt: "r" }))).state, "paid")
    }))
})

describe("idle and close", () => {
  /** Appends that take a moment of real scheduling, as those of a server do. */
  const slowly = (events: Service) => appending(events, (append) => Effect.andThen(Effect.sleep("10 millis"), append))

  it.effect("idle waits for the commands that come of effects, too", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const refusing: Charging = () => Effect.fail({ _tag: "Refused", why: "no funds" })
      const { orders } = yield* over(slowly(events), refusing)
      const dispatching = yield* Effect.forkChild(orders.dispatch("1", Order.Mix({ order: "charge" })))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(dispatching)
      const idle = yield* Effect.forkChild(orders.idle)
      yield* settle
      assert.isUndefined(idle.pollUnsafe())
      yield* TestClock.adjust("10 millis")
      yield* settle
      assert.isDefined(idle.pollUnsafe())
      assert.deepStrictEqual(yield* stored(events, "1"), ["Noted", "Declined"])
    }))

  it.effect("the end of the scope waits for them as well, and ends timers", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const scope = yield* Scope.make()
      const charging: Charging = () => Effect.as(Effect.sleep("5 millis"), "paid")
      const { orders } = yield* Scope.provide(over(slowly(events), charging, { deadline: "1 minute" }), scope)
      const dispatching = yield* Effect.forkChild(orders.dispatch("1", place()))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(dispatching)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("5 millis")
      assert.isUndefined(closing.pollUnsafe())
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* stored(events, "1"), ["Placed", "Paid"])
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* stored(events, "1"), ["Placed", "Paid"])
    }))
})
