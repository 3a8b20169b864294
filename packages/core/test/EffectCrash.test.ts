/**
 * T44: a process that dies at any of the points where it waits for somebody else, before or after that has done its work;
 * and T67: one that is interrupted there. Whoever comes after finishes what was begun, and nothing happens twice.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import { EventStore, type Service as Events } from "@composable-ts/core/EventStore"
import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { Outbox, type Service as OutboxService } from "@composable-ts/core/Outbox"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, type Duration, Effect, Fiber, Layer, References, Result, Schedule } from "effect"
import { Charge, durableOrder, Order, Stock, stock } from "./Shop.ts"

/** A process, all of whose calls go through here, and none comes back once it is dead. */
const makeProcess = (diesAt: number, when: "before" | "after") =>
  Effect.gen(function*() {
    const died = yield* Deferred.make<void>()
    let calls = 0
    let dead = false
    const through = <A, E, R>(call: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        if (dead) return Effect.never
        if (calls++ !== diesAt) return Effect.flatMap(call, (result) => dead ? Effect.never : Effect.succeed(result))
        const dies = Effect.andThen(
          Effect.sync(() => {
            dead = true
          }),
          Effect.andThen(Deferred.succeed(died, undefined), Effect.never)
        )
        return when === "before" ? dies : Effect.andThen(Effect.exit(call), dies)
      })
    return { through, died: Deferred.await(died), calls: () => calls }
  })

interface World {
  readonly events: Events
  readonly outbox: OutboxService
  /** How often the bank was asked to charge, by idempotency key. */
  readonly charges: Map<string, number>
}

interface Sabotage {
  /** Changes what every process does to the log. */
  readonly events?: (events: Events) => Events
  /** Makes the bank forget its keys. */
  readonly forgetful?: boolean
}

const makeWorld = Effect.map(
  MemoryEventStore.makeWithOutbox,
  (stores): World => ({ ...stores, charges: new Map() })
)

/** What the processes run: stores, a worker, a bank that knows keys. */
const program = (
  { charges, events, outbox }: World,
  through: <A, E, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>,
  { events: sabotaged = (same) => same, forgetful = false }: Sabotage
) => {
  const own = sabotaged(events)
  const wrapped: Events = {
    ...own,
    append: (streamId, expected, some, options) => through(own.append(streamId, expected, some, options)),
    transact: (appends, options) => through(own.transact(appends, options)),
    read: (streamId, options) => through(own.read(streamId, options)),
    readCommand: (id) => through(own.readCommand(id))
  }
  const box: OutboxService = {
    ...outbox,
    claim: (options) => through(outbox.claim(options)),
    extend: (claims, lease) => through(outbox.extend(claims, lease)),
    complete: (claims) => through(outbox.complete(claims)),
    retry: (claim, options) => through(outbox.retry(claim, options)),
    park: (claim, error) => through(outbox.park(claim, error)),
    release: (claims) => through(outbox.release(claims)),
    agenda: (kinds) => through(outbox.agenda(kinds))
  }
  const bank = Task.layer(Charge, ({ cents }) =>
    Effect.gen(function*() {
      const { idempotencyKey, number } = yield* Task.Attempt
      const key = forgetful ? `${idempotencyKey} ${number}` : idempotencyKey
      return yield* through(Effect.sync(() => {
        charges.set(key, (charges.get(key) ?? 0) + 1)
        return `r-${cents}`
      }))
    }))
  const Stores = Layer.mergeAll(AggregateStore.layerDurable(durableOrder), AggregateStore.layer(stock)).pipe(
    Layer.provideMerge(Layer.mergeAll(Layer.succeed(EventStore, wrapped), Layer.succeed(Outbox, box)))
  )
  return Layer.mergeAll(bank, MemoryEventBus.layer).pipe(Layer.provideMerge(Stores))
}

const options: EffectWorker.Options = { lease: "30 millis", poll: "10 millis", deadline: 0 }

/** What a client wants, who asks again under the same ids until there is an answer. */
const wishes = Effect.gen(function*() {
  const orders = yield* AggregateStore.service(durableOrder.aggregate)
  const stocks = yield* AggregateStore.service(stock)
  yield* stocks.dispatch("sku", Stock.Fill({ count: 3 }), { commandId: "fill" })
  yield* orders.dispatch("1", Order.Place({ cents: 5 }), { commandId: "place" })
  yield* orders.dispatch("2", Order.Reserve({ sku: "sku", count: 2 }), { commandId: "reserve" })
  yield* orders.dispatch("3", Order.Reserve({ sku: "sku", count: 2 }), { commandId: "reserve too" })
  yield* orders.dispatch("4", Order.Look({ sku: "sku" }), { commandId: "look" })
  yield* orders.dispatch("5", Order.Patience({ millis: 5 }), { commandId: "patience" })
})

const done = (outbox: OutboxService) =>
  Effect.repeat(outbox.list({ limit: 100 }), {
    until: (entries) => entries.every(({ status }) => status === "dead"),
    schedule: Schedule.spaced("5 millis")
  })

/** How many events of each type each stream has. */
const story = ({ events }: World) =>
  Effect.map(
    events.readAll({ after: 0n, limit: 1_000 }),
    (page) => page.events.map(({ streamId, type }) => `${streamId} ${type.split(".")[0]}`).toSorted()
  )

const whole = [
  "order-1 Paid",
  "order-1 Placed",
  "order-2 Wanted",
  "order-3 OutOfStock",
  "order-3 Wanted",
  "order-4 Looked",
  "order-4 Seen",
  "order-5 Awaited",
  "order-5 Expired",
  "stock-sku Filled",
  "stock-sku Reserved"
]

/** A process works until it dies at its so many-th call, or is done; then another one does the rest. */
const crash = (at: number, when: "before" | "after", sabotage: Sabotage = {}) =>
  Effect.gen(function*() {
    const world = yield* makeWorld
    const first = yield* makeProcess(at, when)
    // Nothing that it would do at its end is done: it is left where it is.
    const fiber = yield* Effect.forkDetach(
      Effect.provide(
        Effect.andThen(wishes, EffectWorker.run([durableOrder], options)),
        program(world, first.through, sabotage)
      )
    )
    const filled = Effect.repeat(story(world), {
      until: (events) => events.join() === whole.join(),
      schedule: Schedule.spaced("5 millis")
    })
    const survived = yield* Effect.race(
      Effect.as(first.died, false),
      Effect.as(Effect.andThen(filled, done(world.outbox)), true)
    )
    const second = yield* makeProcess(-1, "before")
    const finish = Effect.provide(
      Effect.andThen(
        wishes,
        Effect.race(EffectWorker.run([durableOrder], options), done(world.outbox))
      ),
      program(world, second.through, sabotage)
    )
    yield* finish
    // It may die while it ends, so nobody waits for it.
    yield* Effect.forkDetach(Fiber.interrupt(fiber))
    return { survived, story: yield* story(world), charges: [...world.charges], dead: yield* done(world.outbox) }
  }).pipe(Effect.provideService(References.MinimumLogLevel, "Error"))

/** Every point at which one can die: as many as there are calls until all is done, and some more. */
const everywhere = (sabotage: Sabotage = {}, patience: Duration.Input = "1 second") =>
  Effect.forEach(
    Array.from({ length: 100 }, (_, i) => i),
    (i) => Effect.result(Effect.timeout(crash(i >> 1, i % 2 === 0 ? "before" : "after", sabotage), patience)),
    { concurrency: 50 }
  )

const isRight = (result: Effect.Success<ReturnType<typeof everywhere>>[number]): boolean =>
  Result.isSuccess(result) && result.success.dead.length === 0 && result.success.story.join() === whole.join() &&
  result.success.charges.length === 1

describe("T44: a crash at each await point", () => {
  it.live("each effect is carried out, and each outcome is recorded once", () =>
    Effect.gen(function*() {
      const results = yield* everywhere({}, "20 seconds")
      for (const [i, result] of results.entries()) {
        assert.isTrue(Result.isSuccess(result), `died at ${i / 2}: ${Result.isFailure(result) ? result.failure : ""}`)
        if (Result.isFailure(result)) continue
        assert.deepStrictEqual(result.success.story, whole, `died at ${i / 2}`)
        assert.deepStrictEqual(result.success.dead, [])
        assert.deepStrictEqual(result.success.charges.length, 1, "all attempts had one key")
      }
      const died = results.filter((result) => Result.isSuccess(result) && !result.success.survived)
      assert.isAbove(died.length, 20)
      const again = results.filter((result) => Result.isSuccess(result) && result.success.charges[0]![1] > 1)
      assert.isAbove(again.length, 0, "a handler that had succeeded runs again where that was not recorded")
    }), 60_000)

  it.live("control: effects that are stored in another commit get lost", () =>
    Effect.gen(function*() {
      const results = yield* everywhere({
        events: (events) => ({
          ...events,
          append: (streamId, expected, some, { outbox, ...options } = {}) =>
            Effect.tap(events.append(streamId, expected, some, options), ({ duplicate }) =>
              Effect.andThen(
                Effect.sleep("1 millis"),
                duplicate || outbox === undefined || outbox.length === 0
                  ? Effect.void
                  : events.append(streamId, { _tag: "Any" }, [{ type: "Extra.v1", data: {} } as never], { outbox })
              ))
        })
      })
      assert.isFalse(results.every(isRight))
    }), 120_000)

  it.live(
    "control: without the ids of commands and claims that end in their commit, outcomes are recorded twice",
    () =>
      Effect.gen(function*() {
        const results = yield* everywhere({
          events: (events) => ({
            ...events,
            append: (streamId, expected, some, { commandId, settles: _settles, ...options } = {}) =>
              events.append(streamId, expected, some, {
                ...options,
                commandId: commandId?.startsWith("effect:") === true ? undefined : commandId
              })
          })
        })
        assert.isFalse(results.every(isRight))
      }),
    120_000
  )

  it.live("control: a bank that does not heed keys charges twice", () =>
    Effect.gen(function*() {
      const results = yield* everywhere({ forgetful: true })
      assert.isTrue(results.some((result) => Result.isSuccess(result) && result.success.charges.length > 1))
    }), 60_000)
})
