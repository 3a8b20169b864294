/**
 * Durable effects, from the step that stores them to their recorded outcome, on the stores in memory.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventBus } from "@composable-ts/core/EventBus"
import { EventStore } from "@composable-ts/core/EventStore"
import { EventStoreError, Overloaded } from "@composable-ts/core/EventStoreError"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schedule, Schema, Stream } from "effect"
import { Charge, durableOrder, Order, order, Stock, stock } from "./Shop.ts"

const Stores = Layer.mergeAll(AggregateStore.layerDurable(durableOrder), AggregateStore.layer(stock)).pipe(
  Layer.provideMerge(MemoryEventStore.layerWithOutbox)
)

type Handle = Parameters<typeof Task.layer<typeof Charge, never>>[1]

const pays: Handle = ({ cents }) => Effect.succeed(`r-${cents}`)

const worker = (handle: Handle, options?: EffectWorker.Options) =>
  EffectWorker.layer([durableOrder], { poll: "20 millis", ...options }).pipe(
    Layer.provide([Task.layer(Charge, handle), MemoryEventBus.layer])
  )

const orders = AggregateStore.service(order)
const stocks = AggregateStore.service(stock)

const stateOf = (id: string) => Effect.flatMap(orders, (store) => Effect.map(store.state(id), ({ state }) => state))

/** Waits until the order's events are these. */
const becomes = (id: string, ...expected: ReadonlyArray<string>) =>
  Effect.repeat(stateOf(id), {
    until: (state) => state.join() === expected.join(),
    schedule: Schedule.spaced("5 millis")
  })

/** Waits until the outbox has no entries that are not dead. */
const drained = Effect.repeat(Effect.flatMap(Outbox, (outbox) => outbox.list({ limit: 100 })), {
  until: (entries) => entries.every(({ status }) => status === "dead"),
  schedule: Schedule.spaced("5 millis")
})

/** Waits until the outbox has an entry that is dead. */
const isDead = Effect.repeat(Effect.flatMap(Outbox, (outbox) => outbox.list({ limit: 100 })), {
  until: (entries) => entries.some(({ status }) => status === "dead"),
  schedule: Schedule.spaced("5 millis")
})

describe("durable effects", () => {
  it.live("a task is stored with its events, carried out by a worker, and its outcome comes back", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const outbox = yield* Outbox
      yield* store.dispatch("1", Order.Place({ cents: 500 }))
      const stored = yield* outbox.list({ limit: 10 })
      assert.deepStrictEqual(stored.map(({ key, kind, status }) => [kind, key, status]), [
        ["order/perform/Charge.v1", "#charge", "due"],
        ["order/send.v1", "#patience", "waiting"]
      ])
      yield* Effect.gen(function*() {
        yield* becomes("1", "Placed", "Paid")
        // What was paid for in time does not expire: the timer went with the commit of the payment.
        assert.deepStrictEqual(yield* outbox.list({ limit: 10 }), [])
      }).pipe(Effect.provide(worker(pays)))
    }).pipe(Effect.provide(Stores)))

  it.live("a timer fires when it is due, another under its id takes its place, and cancel ends it", () =>
    Effect.gen(function*() {
      const store = yield* orders
      yield* store.dispatch("1", Order.Patience({ millis: 3_600_000 }))
      yield* store.dispatch("1", Order.Patience({ millis: 40 }))
      yield* store.dispatch("2", Order.Patience({ millis: 60_000 }))
      yield* store.dispatch("2", Order.GiveUp())
      yield* Effect.provide(becomes("1", "Awaited", "Awaited", "Expired"), worker(pays))
      yield* drained
      assert.deepStrictEqual(yield* stateOf("2"), ["Awaited", "GivenUp"])
    }).pipe(Effect.provide(Stores)))

  it.live("a command to another aggregate is dispatched once, and its refusal comes back", () =>
    Effect.gen(function*() {
      const store = yield* orders
      yield* (yield* stocks).dispatch("sku", Stock.Fill({ count: 3 }))
      yield* store.dispatch("1", Order.Reserve({ sku: "sku", count: 2 }))
      yield* Effect.gen(function*() {
        yield* drained
        yield* store.dispatch("2", Order.Reserve({ sku: "sku", count: 2 }))
        yield* becomes("2", "Wanted", "OutOfStock")
      }).pipe(Effect.provide(worker(pays)))
      assert.deepStrictEqual((yield* (yield* stocks).state("sku")).state, { left: 1, reserved: ["some"] })
      const [refused] = (yield* (yield* EventStore).readAll({ after: 0n, limit: 100 })).events.slice(-1)
      assert.match(refused!.commandId, /^effect:\d+-0:rejected$/)
    }).pipe(Effect.provide(Stores)))

  it.live("a refusal comes back also when it is decided after a conflict", () =>
    Effect.gen(function*() {
      yield* (yield* stocks).dispatch("sku", Stock.Fill({ count: 3 }))
      // Another process takes what the worker's store believes to be there.
      const elsewhere = yield* AggregateStore.make(stock)
      yield* elsewhere.dispatch("sku", Stock.Reserve({ order: "other", count: 2 }))
      yield* (yield* orders).dispatch("1", Order.Reserve({ sku: "sku", count: 2 }))
      yield* Effect.provide(Effect.raceFirst(becomes("1", "Wanted", "OutOfStock"), isDead), worker(pays))
      assert.deepStrictEqual(yield* stateOf("1"), ["Wanted", "OutOfStock"])
    }).pipe(Effect.provide(Stores)))

  const Gate = Action.define("Gate", { commands: { Enter: {} }, events: { Entered: Event.v1({}) } })
  const Guest = Action.define("Guest", {
    commands: { Come: {}, TurnedAway: { why: Schema.String } },
    events: { Came: Event.v1({}), Left: Event.v1({ why: Schema.String }) }
  })

  /** A gate that refuses with a reason, and a guest who comes to it; `Gates` is where the gate's commands go. */
  const comesTo = <R extends { readonly _tag: string }>(
    reason: R | undefined,
    changed: (events: EventStore["Service"]) => EventStore["Service"]
  ) =>
    Effect.gen(function*() {
      const gate = Aggregate.define(Gate, {
        initial: null,
        decide: () => reason === undefined ? Fx.append(Gate.Entered()) : Fx.reject(reason),
        evolve: () => null
      })
      const guest = Aggregate.define(Guest, {
        initial: [] as ReadonlyArray<string>,
        decide: (_state, command) => Fx.append(command._tag === "Come" ? Guest.Came() : Guest.Left(command)),
        evolve: (state, event) => [...state, event._tag === "Came" ? "came" : event.why],
        react: (_state, event) => event._tag === "Came" ? Fx.dispatch(gate, "1", Gate.Enter()) : Fx.none
      })
      const durable = DurableAggregate.make(guest, {
        targets: [DurableAggregate.target(gate, (refusal) => Guest.TurnedAway({ why: String(refusal.reason) }))]
      })
      const Gates = Layer.effect(
        AggregateStore.service(gate),
        Effect.updateService(AggregateStore.make(gate), EventStore, changed)
      )
      return yield* Effect.gen(function*() {
        const guests = yield* AggregateStore.service(guest)
        const outbox = yield* Outbox
        yield* guests.dispatch("1", Guest.Come())
        yield* Effect.raceFirst(
          EffectWorker.run([durable], { poll: "10 millis", retry: Schedule.recurs(0) }),
          drained
        )
        const [dead] = yield* outbox.list({ limit: 1 })
        return { state: (yield* guests.state("1")).state, dead: dead?.error }
      }).pipe(Effect.provide(Layer.mergeAll(AggregateStore.layerDurable(durable), Gates)))
    }).pipe(Effect.provide(MemoryEventStore.layerWithOutbox))

  it.live("what an aggregate refuses with is a refusal, also if it is an error of ours", () =>
    Effect.gen(function*() {
      const errors = [
        new EventStoreError({ operation: "append", retryable: true, cause: "" }),
        new Overloaded({ capacity: 1 })
      ]
      for (const reason of errors) {
        const { dead, state } = yield* comesTo(reason, (events) => events)
        assert.deepStrictEqual([dead, state], [undefined, ["came", String(reason)]])
      }
    }))

  it.live("what else a dispatch fails with is none, whatever it is: nobody is told that the target refused", () =>
    Effect.gen(function*() {
      class Unheard extends Schema.TaggedError<Unheard>()("Unheard", {}) {}
      const { dead, state } = yield* comesTo(
        undefined,
        (events) => ({ ...events, append: () => Effect.fail(new Unheard()) as never })
      )
      assert.deepStrictEqual([dead, state], [String(new Unheard()), ["came"]])
    }))

  it.live("send, load and publish", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const bus = yield* EventBus
      const heard = yield* Effect.forkChild(
        Stream.runCollect(Stream.take(bus.subscribe(["orders"], { strategy: "suspend" }), 1)),
        { startImmediately: true }
      )
      yield* Effect.gen(function*() {
        yield* (yield* stocks).dispatch("sku", Stock.Fill({ count: 3 }))
        yield* store.dispatch("1", Order.Look({ sku: "sku" }))
        yield* becomes("1", "Looked", "Seen")
        yield* store.dispatch("2", Order.Announce({ text: "hello" }))
        const [{ message } = assert.fail()] = yield* Fiber.join(heard)
        assert.deepStrictEqual([message.type, message.data], ["Announced.v1", { text: "hello" }])
        assert.match(message.id, /^effect:\d+-0$/)
        yield* store.dispatch("3", Order.Tell({ text: "on" }))
        yield* store.dispatch("3", Order.Tell({ text: "off" }))
        const left = yield* drained
        assert.deepStrictEqual(left.map(({ error, status }) => [status, error]), [
          ["dead", "Note was refused: {\"_tag\":\"NotHeard\"}"]
        ])
      }).pipe(
        Effect.provide(
          EffectWorker.layer([durableOrder], { poll: "20 millis" }).pipe(Layer.provide(Task.layer(Charge, pays)))
        )
      )
    }).pipe(Effect.provide(Layer.provideMerge(Stores, MemoryEventBus.layer))))

  it.live("a failure worth it is tried again with the same key, then is the outcome, and the effect is dead", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const attempts: Array<Task.CurrentAttempt> = []
      const fails: Handle = ({ cents }) =>
        Effect.gen(function*() {
          attempts.push(yield* Task.Attempt)
          return yield* cents === 1 ? Effect.fail("declined" as const) : Effect.fail("unavailable" as const)
        })
      yield* Effect.gen(function*() {
        yield* store.dispatch("1", Order.Place({ cents: 1 }))
        yield* becomes("1", "Placed", "Failed")
        assert.deepStrictEqual(attempts.map(({ number }) => number), [1])
        attempts.length = 0
        yield* store.dispatch("2", Order.Place({ cents: 2 }))
        yield* becomes("2", "Placed", "Failed")
      }).pipe(Effect.provide(worker(fails)))
      assert.deepStrictEqual(attempts.map(({ number }) => number), [1, 2, 3])
      assert.strictEqual(new Set(attempts.map(({ idempotencyKey }) => idempotencyKey)).size, 1)
      const outbox = yield* Outbox
      const [dead, ...others] = yield* outbox.dead({ limit: 10 })
      assert.deepStrictEqual([dead?.error, dead?.attempt, others.length], ["\"unavailable\"", 3, 0])
      // Somebody has seen to it: the effect begins anew, and its outcome is another one.
      yield* outbox.revive([dead!])
      yield* Effect.provide(becomes("2", "Placed", "Failed", "Paid"), worker(pays))
    }).pipe(Effect.provide(Stores)))

  it.live("a handler that dies is tried again, and is dead behind the last retry; nobody is told an outcome", () =>
    Effect.gen(function*() {
      const store = yield* orders
      yield* store.dispatch("1", Order.Place({ cents: 1 }))
      const retry = Schedule.spaced("5 millis").pipe(Schedule.upTo({ times: 2 }))
      yield* Effect.gen(function*() {
        const outbox = yield* Outbox
        const [dead] = yield* Effect.repeat(outbox.dead({ limit: 10 }), {
          until: (dead) => dead.length > 0,
          schedule: Schedule.spaced("5 millis")
        })
        assert.deepStrictEqual([dead?.attempt, dead?.error], [3, "Error: broken"])
        const health = yield* EffectWorker.health([durableOrder])
        assert.isFalse(health.isWell)
      }).pipe(Effect.provide(worker(() => Effect.die(new Error("broken")), { retry })))
      assert.deepStrictEqual(yield* stateOf("1"), ["Placed"])
    }).pipe(Effect.provide(Stores)))

  it.live("what is cancelled while it is under way is interrupted, and reports nothing", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const begun = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const lasts: Handle = () =>
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
        )
      yield* Effect.gen(function*() {
        yield* store.dispatch("1", Order.Place({ cents: 1 }))
        yield* Deferred.await(begun)
        yield* store.dispatch("1", Order.GiveUp())
        yield* Deferred.await(ended)
        assert.deepStrictEqual(yield* drained, [])
      }).pipe(Effect.provide(worker(lasts, { lease: "60 millis" })))
      assert.deepStrictEqual(yield* stateOf("1"), ["Placed", "GivenUp"])
    }).pipe(Effect.provide(Stores)))

  it.live("a worker that stops gives back what is under way, undone and uncounted", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const begun = yield* Deferred.make<void>()
      yield* store.dispatch("1", Order.Place({ cents: 7 }))
      yield* Effect.provide(
        Deferred.await(begun),
        worker(() => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never), { deadline: 0 })
      )
      const seen: Array<number> = []
      const counts: Handle = (input) =>
        Effect.gen(function*() {
          seen.push((yield* Task.Attempt).number)
          return yield* pays(input)
        })
      yield* Effect.provide(becomes("1", "Placed", "Paid"), worker(counts))
      assert.deepStrictEqual(seen, [1])
    }).pipe(Effect.provide(Stores)))

  it.live("effects of a step without events are refused, and so is what no entry can be", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const error = yield* Effect.flip(store.dispatch("1", Order.Idle()))
      assert.strictEqual(error._tag, "EffectNotDurable")
      assert.deepStrictEqual(yield* (yield* Outbox).list({ limit: 1 }), [])
      assert.deepStrictEqual((yield* (yield* EventStore).readAll({ after: 0n, limit: 1 })).head, 0n)
    }).pipe(Effect.provide(Stores)))

  it.live("an input of an older version is upcast; one of a newer version is left to others, and seen", () =>
    Effect.gen(function*() {
      const Work = Task.define("Work", { input: Schema.Int, success: Schema.Void, failure: Schema.Never })
      const Newer = Work.next(Schema.Struct({ nr: Schema.Int }), (nr) => ({ nr }))
      const Job = Action.define("Job", {
        commands: { Ask: { nr: Schema.Int }, Done: {} },
        events: { Asked: Event.v1({ nr: Schema.Int }), Finished: Event.v1({}) }
      })
      const rules = {
        initial: null,
        decide: (_state: null, command: Action.CommandOf<typeof Job>) =>
          Fx.append(command._tag === "Ask" ? Job.Asked(command) : Job.Finished()),
        evolve: () => null
      }
      const outcomes = { Work: { success: () => Job.Done(), failure: (never: never) => never } }
      const olderJob = Aggregate.define(Job, {
        ...rules,
        react: (_state, event) => event._tag === "Asked" ? Fx.perform(Work, event.nr) : Fx.none,
        outcomes
      })
      const newerJob = Aggregate.define(Job, {
        ...rules,
        react: (_state, event) => event._tag === "Asked" ? Fx.perform(Newer, { nr: event.nr }) : Fx.none,
        outcomes
      })
      const older = DurableAggregate.make(olderJob, { tasks: [Work] })
      const newer = DurableAggregate.make(newerJob, { tasks: [Newer] })
      const outbox = yield* Outbox
      const before = yield* AggregateStore.makeDurable(older)
      yield* before.dispatch("1", Job.Ask({ nr: 7 }))
      const after = yield* AggregateStore.makeDurable(newer)
      yield* after.dispatch("2", Job.Ask({ nr: 8 }))

      const seen: Array<unknown> = []
      const handlers = Layer.mergeAll(
        Task.layer(Newer, (input) => Effect.sync(() => void seen.push(input))),
        Layer.succeed(AggregateStore.service(newer.aggregate), after)
      )
      const settled = (count: number) =>
        Effect.repeat(outbox.list({ limit: 10 }), {
          until: (entries) => entries.length === count,
          schedule: Schedule.spaced("5 millis")
        })
      yield* Effect.raceFirst(
        EffectWorker.run([older], { poll: "10 millis" }).pipe(
          Effect.provide([
            Task.layer(Work, (nr) => Effect.sync(() => void seen.push(nr))),
            Layer.succeed(AggregateStore.service(older.aggregate), before)
          ])
        ),
        settled(1)
      )
      assert.deepStrictEqual(seen, [7])
      const [left] = yield* outbox.list({ limit: 10 })
      assert.deepStrictEqual([left?.kind, left?.status, left?.attempt], ["job/perform/Work.v2", "due", 0])
      yield* before.dispatch("3", Job.Ask({ nr: 9 }))
      yield* Effect.raceFirst(
        EffectWorker.run([newer], { poll: "10 millis" }).pipe(Effect.provide(handlers)),
        settled(0)
      )
      assert.deepStrictEqual(seen, [7, { nr: 8 }, { nr: 9 }])
    }).pipe(Effect.provide(MemoryEventStore.layerWithOutbox)))

  it.live("a repeated command stores its effects once, and one with its id and another content none", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const outbox = yield* Outbox
      for (let i = 0; i < 5; i++) yield* store.dispatch("1", Order.Place({ cents: 5 }), { commandId: "c" })
      const conflict = yield* Effect.flip(store.dispatch("1", Order.Place({ cents: 6 }), { commandId: "c" }))
      assert.strictEqual(conflict._tag, "CommandIdConflict")
      assert.strictEqual((yield* outbox.list({ limit: 10 })).length, 2)
    }).pipe(Effect.provide(Stores)))

  it.live("replays run and store none", () =>
    Effect.gen(function*() {
      const store = yield* orders
      const outbox = yield* Outbox
      yield* store.dispatch("1", Order.Place({ cents: 5 }))
      const before = yield* outbox.list({ limit: 10 })
      const again = yield* AggregateStore.makeDurable(durableOrder)
      yield* again.state("1")
      yield* again.stateAt("1", { version: 0 })
      yield* Stream.runCollect(again.history("1"))
      assert.deepStrictEqual(yield* outbox.list({ limit: 10 }), before)
    }).pipe(Effect.provide(Stores)))
})
