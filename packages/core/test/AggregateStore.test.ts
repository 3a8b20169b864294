import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventDecodeFailed, EventEncodeFailed, UnknownEventType } from "@composable-ts/core/EventError"
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import { CommandIdConflict, EventStoreError, VersionConflict } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import { ReducerDefect } from "@composable-ts/core/StoreError"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Result, Schedule, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Account, account, AccountOf2019, AccountOf2021, type AccountState } from "./Account.ts"

const streamOf = (id: string) => Result.getOrThrow(StreamId.make("account", id))
const owned = (cents: number): AccountState => ({ _tag: "Open", owner: "Ada", cents })
const open = Account.Open({ owner: "Ada" })
const deposit = (cents: number) => Account.Deposit({ cents })
const deposited = (cents: number) => Account.Deposited({ cents, currency: "EUR" })
const encode = (event: Parameters<typeof Account.encode>[0]) => Result.getOrThrow(Account.encode(event))
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

/** A store over an event store that may be a wrapped one. */
const over = (events: Service, options?: Store.AggregateStoreOptions) =>
  Effect.provideService(Store.aggregate(account, options), EventStore, events)

/** The event store, and how often it was asked. */
const counting = (events: Service) => {
  const calls = { append: 0, load: 0 }
  const counted: Service = {
    ...events,
    append: (...append) => Effect.suspend(() => (calls.append++, events.append(...append))),
    load: (...load) => Stream.suspend(() => (calls.load++, events.load(...load)))
  }
  return { calls, events: counted }
}

/** Before its first append reaches the log, or after, something else happens. */
const interposing = (
  events: Service,
  step: (append: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>
): Service => {
  let interposed = false
  return {
    ...events,
    append: (...append) =>
      Effect.suspend(() => {
        if (interposed) return events.append(...append)
        interposed = true
        return step(events.append(...append)) as ReturnType<Service["append"]>
      })
  }
}

const lost = new EventStoreError({ operation: "append", retryable: true, cause: new Error("connection lost") })

describe("dispatch", () => {
  it.effect("stores what is decided, in one append, and answers with where the instance stands", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const accounts = yield* over(events)
      assert.deepStrictEqual(yield* accounts.dispatch("1", open), {
        state: owned(0),
        version: 0,
        globalPosition: 1n,
        events: [Account.Opened({ owner: "Ada", at: 0 })],
        duplicate: false
      })
      yield* accounts.dispatch("1", deposit(5))
      const closed = yield* accounts.dispatch("1", Account.Close())
      assert.deepStrictEqual(closed, {
        state: { _tag: "Closed" },
        version: 3,
        globalPosition: 4n,
        events: [Account.Withdrawn({ cents: 5 }), Account.Closed()],
        duplicate: false
      })
      assert.strictEqual(calls.append, 3)
      const types = (yield* events.read(streamOf("1"))).map(({ type }) => type)
      assert.deepStrictEqual(types, ["Opened.v1", "Deposited.v3", "Withdrawn.v1", "Closed.v1"])
    }))

  it.effect("reads an instance once, and then no more", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      yield* (yield* over(events)).dispatch("1", open)
      calls.load = 0
      const accounts = yield* over(events)
      for (const cents of upTo(10)) yield* accounts.dispatch("1", deposit(cents))
      assert.strictEqual(calls.load, 1)
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(55))
    }))

  it.effect("keeps instances apart", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      for (const id of ["1", "2"]) yield* accounts.dispatch(id, open)
      yield* accounts.dispatch("1", deposit(5))
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(5))
      assert.deepStrictEqual((yield* accounts.state("2")).state, owned(0))
    }))

  it.effect("fails with the aggregate's reason, and stores nothing", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const accounts = yield* over(events)
      yield* accounts.dispatch("1", open)
      const missing = yield* accounts.dispatch("1", Account.Withdraw({ cents: 3 })).pipe(
        Effect.as(0),
        Effect.catchTag("Overdrawn", ({ missing }) => Effect.succeed(missing))
      )
      assert.strictEqual(missing, 3)
      assert.deepStrictEqual<unknown>(yield* Effect.flip(accounts.dispatch("1", open)), { _tag: "AlreadyOpened" })
      assert.strictEqual(calls.append, 1)
      assert.strictEqual((yield* accounts.dispatch("1", deposit(1))).version, 1)
    }))

  it.effect("appends nothing when there is nothing to record", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const accounts = yield* over(events)
      const opened = yield* accounts.dispatch("1", open)
      assert.deepStrictEqual(yield* accounts.dispatch("1", deposit(0)), { ...opened, events: [] })
      assert.strictEqual(calls.append, 1)
    }))

  it.effect("gives the decision its time and ids, and the log the ids and metadata", () =>
    Effect.gen(function*() {
      const metas: Array<Action.Meta> = []
      const events = yield* MemoryEventStore.make
      const accounts = yield* Effect.provideService(
        Store.aggregate({
          ...account,
          decide: (state, command, meta) => {
            metas.push(meta)
            return account.decide(state, command, meta)
          }
        }),
        EventStore,
        events
      )
      yield* TestClock.setTime(5_000)
      const given = { commandId: "c-1", correlationId: "talk", causationId: "cause", metadata: { user: "Ada" } }
      yield* accounts.dispatch("1", open, given)
      yield* accounts.dispatch("1", deposit(1))
      const [first, second] = metas
      assert.deepStrictEqual(first, { id: "c-1", time: 5_000, correlationId: "talk", causationId: "cause" })
      assert.match(second!.id, /^00000000-1388-7/)
      assert.deepStrictEqual([second!.correlationId, second!.causationId], [second!.id, second!.id])
      const stored = (yield* events.read(streamOf("1"))).map((event) => ({
        commandId: event.commandId,
        correlationId: event.correlationId,
        causationId: event.causationId,
        metadata: event.metadata
      }))
      assert.deepStrictEqual(stored, [
        given,
        { commandId: second!.id, correlationId: second!.id, causationId: second!.id, metadata: {} }
      ])
    }))

  it.effect("refuses an id that makes no stream", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      for (
        const failed of [
          accounts.dispatch("", open),
          accounts.state(""),
          accounts.stateAt("", { version: 0 }),
          Stream.runCollect(accounts.history(""))
        ]
      ) {
        assert.strictEqual(
          (yield* Effect.flip<unknown, { readonly _tag: string }, never>(failed))._tag,
          "InvalidStreamId"
        )
      }
    }))
})

describe("concurrency", () => {
  it.live("200 commands at once on one instance: none is lost, each is one append", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const accounts = yield* over(events)
      yield* accounts.dispatch("1", open)
      const outcomes = yield* Effect.forEach(upTo(200), (cents) => accounts.dispatch("1", deposit(cents)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(outcomes.map(({ version }) => version).toSorted((a, b) => a - b), upTo(200))
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(20_100))
      assert.strictEqual(calls.append, 201)
      for (const { events: [event], state, version } of outcomes) {
        const then = yield* accounts.stateAt("1", { version })
        assert.deepStrictEqual(then.state, state)
        assert.isTrue(event?._tag === "Deposited")
      }
    }))

  it.effect("commands of one instance are decided in order of arrival", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      yield* accounts.dispatch("1", open)
      yield* Effect.forEach(upTo(50), (cents) => accounts.dispatch("1", deposit(cents)), { concurrency: "unbounded" })
      const cents = (yield* Stream.runCollect(accounts.history("1"))).flatMap(({ event }) =>
        event._tag === "Deposited" ? [event.cents] : []
      )
      assert.deepStrictEqual(cents, upTo(50))
    }))

  it.live("two stores on one log: 50 commands each, none is lost", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const yielding: Service = {
        ...events,
        append: (...append) => Effect.andThen(Effect.yieldNow, events.append(...append))
      }
      const [one, other] = yield* Effect.all([over(yielding), over(yielding)])
      yield* one.dispatch("1", open)
      yield* Effect.forEach(
        upTo(100),
        (i) => (i % 2 === 0 ? one : other).dispatch("1", deposit(1)),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(yield* one.state("1"), yield* other.state("1"))
      assert.deepStrictEqual(yield* one.state("1"), { state: owned(100), version: 100, globalPosition: 101n })
    }))

  it.live("another writer's append is seen, and the command decided again on it", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const [one, other] = yield* Effect.all([over(events), over(events)])
      yield* one.dispatch("1", open)
      yield* one.dispatch("1", deposit(100))
      yield* other.dispatch("1", Account.Withdraw({ cents: 80 }))
      // The first store still knows 100, which would cover this.
      assert.deepStrictEqual<unknown>(
        yield* Effect.flip(one.dispatch("1", Account.Withdraw({ cents: 50 }))),
        { _tag: "Overdrawn", missing: 30 }
      )
      const outcome = yield* one.dispatch("1", Account.Withdraw({ cents: 15 }))
      assert.deepStrictEqual([outcome.state, outcome.version], [owned(5), 3])
    }).pipe(Effect.timeout("5 seconds")))

  it.live("a command is refused, or found done, on the state of the log, not on an older one", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const [one, other] = yield* Effect.all([over(events), over(events)])
      yield* one.dispatch("1", open)
      yield* other.dispatch("1", deposit(100))
      // The first store still knows 0, which would not cover this.
      assert.deepStrictEqual((yield* one.dispatch("1", Account.Withdraw({ cents: 60 }))).state, owned(40))
      yield* other.dispatch("1", deposit(2))
      assert.deepStrictEqual((yield* one.dispatch("1", deposit(0))).state, owned(42))
      yield* other.dispatch("1", deposit(8))
      calls.load = 0
      assert.deepStrictEqual<unknown>(
        yield* Effect.flip(one.dispatch("1", Account.Withdraw({ cents: 60 }))),
        { _tag: "Overdrawn", missing: 10 }
      )
      assert.strictEqual(calls.load, 1)
      calls.load = 0
      yield* Effect.flip((yield* over(events)).dispatch("1", open))
      assert.strictEqual(calls.load, 1, "what was just read is read again")
    }))

  it.effect("after a conflict only the tail is read", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const from: Array<number | undefined> = []
      const watched: Service = {
        ...events,
        load: (streamId, options) => {
          from.push(options?.from)
          return events.load(streamId, options)
        }
      }
      const one = yield* over(watched, { conflictSchedule: Schedule.recurs(1) })
      const other = yield* over(events)
      for (const command of [open, deposit(1), deposit(1)]) yield* one.dispatch("1", command)
      yield* other.dispatch("1", deposit(10))
      assert.deepStrictEqual((yield* one.dispatch("1", deposit(1))).state, owned(13))
      assert.deepStrictEqual(from, [0, 3])
    }))

  it.effect("a command that keeps losing fails with the conflict, when the schedule is at its end", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const rival: Service = {
        ...events,
        append: (streamId, ...append) =>
          Effect.andThen(
            events.append(streamId, ExpectedVersion.any, [encode(deposited(1))]),
            events.append(streamId, ...append)
          )
      }
      yield* (yield* over(events)).dispatch("1", open)
      calls.append = 0
      const accounts = yield* over(rival, { conflictSchedule: Schedule.recurs(3) })
      const error = yield* Effect.flip(accounts.dispatch("1", deposit(100)))
      assert.instanceOf(error, VersionConflict)
      assert.deepStrictEqual([error.streamId, error.actual], ["account-1", 4])
      assert.deepStrictEqual(error.expected, ExpectedVersion.exact(3))
      assert.strictEqual(calls.append, 8, "four attempts, each with a rival before it")
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(4))
    }))

  it.effect("a reason that only looks like a conflict is not tried again", () =>
    Effect.gen(function*() {
      let decided = 0
      const Fake = Action.define("Fake", { commands: { Try: {} }, events: { Tried: Event.v1({}) } })
      const fake = Aggregate.define(Fake, {
        initial: 0,
        decide: () => {
          decided++
          return Fx.reject({ _tag: "VersionConflict" })
        },
        evolve: (n) => n + 1
      })
      const fakes = yield* Effect.provideService(Store.aggregate(fake), EventStore, yield* MemoryEventStore.make)
      assert.deepStrictEqual<unknown>(yield* Effect.flip(fakes.dispatch("1", Fake.Try())), { _tag: "VersionConflict" })
      assert.strictEqual(decided, 1)
    }))

  it.effect("the cache lets go of the instance that was used longest ago", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const accounts = yield* over(events, { cacheCapacity: 2 })
      const reads = (id: string) =>
        Effect.gen(function*() {
          const before = calls.load
          yield* accounts.dispatch(id, deposit(1))
          return calls.load - before
        })
      for (const id of ["1", "2", "3"]) yield* accounts.dispatch(id, open)
      // Kept are 2 and 3, then each time the one just used and the one before it.
      assert.deepStrictEqual(yield* Effect.forEach(["2", "3", "2", "1", "2", "3", "1"], reads), [0, 0, 0, 1, 0, 1, 1])
    }))

  it.live("a cache too small for its instances costs reads, not correctness", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const yielding: Service = {
        ...events,
        append: (...append) => Effect.andThen(Effect.yieldNow, events.append(...append))
      }
      const accounts = yield* over(yielding, { cacheCapacity: 1 })
      for (const id of ["1", "2"]) yield* accounts.dispatch(id, open)
      for (const cents of upTo(10)) {
        for (const id of ["1", "2"]) yield* accounts.dispatch(id, deposit(cents))
      }
      yield* Effect.forEach(upTo(12), (i) => accounts.dispatch(i % 2 === 0 ? "1" : "2", deposit(100)), {
        concurrency: "unbounded"
      })
      for (const id of ["1", "2"]) {
        assert.deepStrictEqual(yield* Effect.map(accounts.state(id), ({ state, version }) => [state, version]), [
          owned(655),
          16
        ])
      }
    }))
})

describe("command ids", () => {
  it.effect("the same command again gets the first outcome, and changes nothing", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      yield* accounts.dispatch("1", open)
      const first = yield* accounts.dispatch("1", deposit(5), { commandId: "c" })
      const again = accounts.dispatch("1", deposit(5), { commandId: "c" })
      assert.deepStrictEqual(yield* again, { ...first, duplicate: true })
      yield* accounts.dispatch("1", deposit(10))
      assert.deepStrictEqual(yield* again, { ...first, duplicate: true })
      assert.deepStrictEqual(yield* accounts.dispatch("1", deposit(1)), {
        state: owned(16),
        version: 3,
        globalPosition: 4n,
        events: [deposited(1)],
        duplicate: false
      })
    }))

  it.effect("also when the state now refuses it", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const accounts = yield* over(events)
      yield* accounts.dispatch("1", open)
      yield* accounts.dispatch("1", deposit(5))
      const first = yield* accounts.dispatch("1", Account.Close(), { commandId: "c" })
      assert.deepStrictEqual(yield* accounts.dispatch("1", Account.Close(), { commandId: "c" }), {
        ...first,
        duplicate: true
      })
      const elsewhere = yield* over(events)
      assert.deepStrictEqual(yield* elsewhere.dispatch("1", Account.Close(), { commandId: "c" }), {
        ...first,
        duplicate: true
      })
      assert.deepStrictEqual<unknown>(
        yield* Effect.flip(accounts.dispatch("1", Account.Close(), { commandId: "another" })),
        { _tag: "NotOpen" }
      )
    }))

  it.effect("also when the state now has nothing to record for it", () =>
    Effect.gen(function*() {
      const Lamp = Action.define("Lamp", { commands: { Light: {} }, events: { Lit: Event.v1({}) } })
      const lamp = Aggregate.define(Lamp, {
        initial: false as boolean,
        decide: (lit) => lit ? Fx.none : Fx.append(Lamp.Lit()),
        evolve: () => true
      })
      const lamps = yield* Effect.provideService(Store.aggregate(lamp), EventStore, yield* MemoryEventStore.make)
      const first = yield* lamps.dispatch("1", Lamp.Light(), { commandId: "c" })
      assert.deepStrictEqual(first.events, [Lamp.Lit()])
      const again = yield* lamps.dispatch("1", Lamp.Light(), { commandId: "c" })
      assert.deepStrictEqual(again, { ...first, duplicate: true })
      const another = yield* lamps.dispatch("1", Lamp.Light(), { commandId: "another" })
      assert.deepStrictEqual(another, { ...first, events: [] })
    }))

  const Tally = Action.define("Tally", {
    commands: { Count: { of: Schema.String, at: Schema.Date } },
    events: { Counted: Event.v1({ total: Schema.Int }) }
  })
  const tally = Aggregate.define(Tally, {
    initial: 0,
    decide: (total, command) =>
      command.of === "" ? Fx.reject({ _tag: "Empty" }) : Fx.append(Tally.Counted({ total: total + 1 })),
    evolve: (_, { total }) => total
  })
  const count = (of: string, time = 0) => Tally.Count({ of, at: new Date(time) })

  it.effect("T08: also when it would now be decided otherwise", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const tallies = yield* Effect.provideService(Store.aggregate(tally), EventStore, events)
      const first = yield* tallies.dispatch("1", count("sheep"), { commandId: "c" })
      yield* tallies.dispatch("1", count("goats"))
      const restarted = yield* Effect.provideService(Store.aggregate(tally), EventStore, events)
      for (const { dispatch } of [tallies, restarted]) {
        const again = yield* dispatch("1", count("sheep"), { commandId: "c" })
        assert.deepStrictEqual(again, { ...first, duplicate: true })
      }
      assert.strictEqual((yield* restarted.state("1")).version, 1)
    }))

  it.effect("T09: another command under the same id is refused, whether the state accepts it or not", () =>
    Effect.gen(function*() {
      const tallies = yield* Effect.provideService(Store.aggregate(tally), EventStore, yield* MemoryEventStore.make)
      yield* tallies.dispatch("1", count("sheep"), { commandId: "c" })
      for (const other of [count("goats"), count("sheep", 1), count("")]) {
        const error = yield* Effect.flip(tallies.dispatch("1", other, { commandId: "c" }))
        assert.instanceOf(error, CommandIdConflict)
        assert.include(error.message, "something else")
      }
      assert.strictEqual((yield* tallies.state("1")).version, 0)
      const given = { commandId: "d", fingerprint: "as the caller sees it" }
      yield* tallies.dispatch("1", count("sheep"), given)
      assert.isTrue((yield* tallies.dispatch("1", count("goats"), given)).duplicate)
    }))

  it.effect("a command that JSON cannot write is told from another by what it stores", () =>
    Effect.gen(function*() {
      const Bag = Action.define("Bag", {
        commands: { Put: { thing: Schema.Any, count: Schema.Int } },
        events: { Filled: Event.v1({ count: Schema.Int }) }
      })
      const bag = Aggregate.define(Bag, {
        initial: 0,
        decide: (_, { count }) => Fx.append(Bag.Filled({ count })),
        evolve: (_, { count }) => count
      })
      const bags = yield* Effect.provideService(Store.aggregate(bag), EventStore, yield* MemoryEventStore.make)
      const itself: Record<string, unknown> = {}
      itself["itself"] = itself
      for (const [id, thing] of [["circle", itself], ["function", () => 1], ["big", 5n]] as const) {
        const put = (count: number) => bags.dispatch("1", Bag.Put({ thing, count }), { commandId: id })
        yield* put(1)
        assert.isTrue((yield* put(1)).duplicate)
        assert.instanceOf(yield* Effect.flip(put(2)), CommandIdConflict)
      }
    }))

  it.live("50 times at once, and it is stored once", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      yield* accounts.dispatch("1", open)
      const outcomes = yield* Effect.forEach(
        upTo(50),
        () => accounts.dispatch("1", deposit(5), { commandId: "c" }),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(outcomes.filter(({ duplicate }) => !duplicate).length, 1)
      for (const { state, version } of outcomes) assert.deepStrictEqual([state, version], [owned(5), 1])
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(5))
    }))

  it.effect("one id for commands of two instances is refused, whether the state accepts the second or not", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      yield* accounts.dispatch("1", open, { commandId: "c" })
      for (const command of [open, Account.Close()]) {
        const error = yield* Effect.flip(accounts.dispatch("2", command, { commandId: "c" }))
        assert.instanceOf(error, CommandIdConflict)
        assert.deepStrictEqual([error.streamIds, error.storedStreamIds], [["account-2"], ["account-1"]])
      }
      assert.strictEqual((yield* accounts.state("2")).version, -1)
    }))

  it.effect("after an answer was lost, asking again tells the outcome", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* (yield* over(events)).dispatch("1", open)
      const accounts = yield* over(interposing(events, (append) => Effect.andThen(append, Effect.fail(lost))))
      const pay = accounts.dispatch("1", deposit(5), { commandId: "c" })
      assert.strictEqual(yield* Effect.flip(pay), lost)
      assert.deepStrictEqual(yield* pay, {
        state: owned(5),
        version: 1,
        globalPosition: 2n,
        events: [deposited(5)],
        duplicate: true
      })
      assert.deepStrictEqual((yield* accounts.dispatch("1", deposit(1))).state, owned(6))
    }))
})

describe("what is visible", () => {
  it.effect("is only what is stored: a reader waits for the append under way", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* (yield* over(events)).dispatch("1", open)
      const arrived = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const accounts = yield* over(interposing(events, (append) =>
        Deferred.succeed(arrived, undefined).pipe(Effect.andThen(Deferred.await(gate)), Effect.andThen(append))))
      const writer = yield* Effect.forkChild(accounts.dispatch("1", deposit(5)))
      yield* Deferred.await(arrived)
      const reader = yield* Effect.forkChild(accounts.state("1"))
      yield* Effect.yieldNow
      assert.isUndefined(reader.pollUnsafe())
      assert.deepStrictEqual((yield* accounts.stateAt("1", { version: 99 })).state, owned(0))
      yield* Deferred.succeed(gate, undefined)
      assert.deepStrictEqual((yield* Fiber.join(reader)).state, owned(5))
      assert.deepStrictEqual((yield* Fiber.join(writer)).state, owned(5))
    }))

  it.effect("a failed append leaves nothing behind", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* (yield* over(events)).dispatch("1", open)
      const accounts = yield* over(interposing(events, () => Effect.fail(lost)))
      assert.strictEqual(yield* Effect.flip(accounts.dispatch("1", deposit(5))), lost)
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(0))
      assert.deepStrictEqual((yield* accounts.dispatch("1", deposit(1))).state, owned(1))
    }))

  it.effect("an event that does not encode leaves nothing behind", () =>
    Effect.gen(function*() {
      const { calls, events } = counting(yield* MemoryEventStore.make)
      const accounts = yield* over(events)
      const before = yield* accounts.dispatch("1", open)
      const error = yield* Effect.flip(accounts.dispatch("1", deposit(0.5)))
      assert.instanceOf(error, EventEncodeFailed)
      assert.strictEqual(error.type, "Deposited.v3")
      const { globalPosition, state, version } = before
      assert.deepStrictEqual(yield* accounts.state("1"), { globalPosition, state, version })
      assert.strictEqual(calls.append, 1)
      assert.deepStrictEqual((yield* accounts.dispatch("1", deposit(1))).state, owned(1))
    }))

  it.effect("a reducer that throws is a defect, and the next command has its turn", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const bug = new TypeError("a bug in decide")
      const accounts = yield* Effect.provideService(
        Store.aggregate({
          ...account,
          decide: (state, command, meta) => {
            if (command._tag === "Close") throw bug
            return account.decide(state, command, meta)
          }
        }),
        EventStore,
        events
      )
      yield* accounts.dispatch("1", open)
      const failed = yield* Effect.flip(accounts.dispatch("1", Account.Close()))
      assert.isTrue(failed instanceof ReducerDefect && failed.cause === bug)
      assert.deepStrictEqual((yield* accounts.dispatch("1", deposit(1))).state, owned(1))
    }))

  it.effect("follows the log: events of another writer are in the state", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const [one, other] = yield* Effect.all([over(events), over(events)])
      assert.deepStrictEqual(yield* other.state("1"), { state: account.initial, version: -1, globalPosition: 0n })
      yield* one.dispatch("1", open)
      assert.deepStrictEqual(yield* other.state("1"), { state: owned(0), version: 0, globalPosition: 1n })
    }))
})

describe("interruption", () => {
  const interrupted = (
    step: (append: Effect.Effect<unknown, unknown>, reached: Effect.Effect<unknown>) => Effect.Effect<unknown, unknown>
  ) =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* (yield* over(events)).dispatch("1", open)
      const reached = yield* Deferred.make<void>()
      const accounts = yield* over(interposing(events, (append) => step(append, Deferred.succeed(reached, undefined))))
      const fiber = yield* Effect.forkChild(accounts.dispatch("1", deposit(5)))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      return accounts
    })

  it.effect("before the append: the next command decides on what was", () =>
    Effect.gen(function*() {
      const accounts = yield* interrupted((append, reached) =>
        reached.pipe(Effect.andThen(Effect.never), Effect.andThen(append))
      )
      const { state, version } = yield* accounts.dispatch("1", deposit(1))
      assert.deepStrictEqual([state, version], [owned(1), 1])
    }))

  it.effect("after the append, before its answer: the next command decides on what is", () =>
    Effect.gen(function*() {
      const accounts = yield* interrupted((append, reached) =>
        append.pipe(Effect.andThen(reached), Effect.andThen(Effect.never))
      )
      const { state, version } = yield* accounts.dispatch("1", deposit(1))
      assert.deepStrictEqual([state, version], [owned(6), 2])
    }))

  it.effect("while waiting for its turn: it is never decided", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* (yield* over(events)).dispatch("1", open)
      const reached = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      const accounts = yield* over(interposing(events, (append) =>
        Deferred.succeed(reached, undefined).pipe(Effect.andThen(Deferred.await(gate)), Effect.andThen(append))))
      const first = yield* Effect.forkChild(accounts.dispatch("1", deposit(1)))
      yield* Deferred.await(reached)
      const second = yield* Effect.forkChild(accounts.dispatch("1", deposit(10)))
      const third = yield* Effect.forkChild(accounts.dispatch("1", deposit(100)))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(second)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(first)
      assert.deepStrictEqual((yield* Fiber.join(third)).state, owned(101))
    }))
})

describe("the past", () => {
  it.effect("is the state after a version, or at a time", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      for (const [second, command] of [open, deposit(5), deposit(10)].entries()) {
        yield* TestClock.setTime(second * 1_000)
        yield* accounts.dispatch("1", command)
      }
      const state = (moment: { readonly version: number } | { readonly time: number }) =>
        Effect.map(accounts.stateAt("1", moment), ({ state, version }) => [state, version])
      assert.deepStrictEqual(yield* state({ version: -1 }), [account.initial, -1])
      assert.deepStrictEqual(yield* state({ version: 1 }), [owned(5), 1])
      assert.deepStrictEqual(yield* state({ time: 1_999 }), [owned(5), 1])
      assert.deepStrictEqual(yield* state({ time: 2_000 }), [owned(15), 2])
      assert.deepStrictEqual((yield* accounts.state("1")).state, owned(15), "looking back changed the present")
    }))

  it.effect("is told event by event", () =>
    Effect.gen(function*() {
      const accounts = yield* over(yield* MemoryEventStore.make)
      for (const command of [open, deposit(5), Account.Close()]) yield* accounts.dispatch("1", command)
      const history = yield* Stream.runCollect(accounts.history("1"))
      assert.deepStrictEqual(
        history.map(({ event, recorded }) => [recorded.version, event]),
        [
          [0, Account.Opened({ owner: "Ada", at: 0 })],
          [1, deposited(5)],
          [2, Account.Withdrawn({ cents: 5 })],
          [3, Account.Closed()]
        ]
      )
    }))

  it.effect("carries old versions through to the newest", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      yield* events.append(streamOf("1"), ExpectedVersion.noStream, [
        encode(Account.Opened({ owner: "Ada", at: 0 })),
        Result.getOrThrow(AccountOf2019.encode(AccountOf2019.Deposited({ euros: 1.5 }))),
        Result.getOrThrow(AccountOf2021.encode(AccountOf2021.Deposited({ cents: 30 }))),
        encode(deposited(7))
      ])
      const accounts = yield* over(events)
      assert.deepStrictEqual((yield* accounts.dispatch("1", deposit(1000))).state, owned(1187))
      const history = yield* Stream.runCollect(accounts.history("1"))
      assert.deepStrictEqual(history.map(({ event }) => event).slice(1), [150, 30, 7, 1000].map(deposited))
    }))

  it.effect("that cannot be read stops the instance, and says where", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const Newer = Action.define("Account", {
        commands: {},
        events: { Frozen: Event.v1({}), Withdrawn: Event.v1({ euros: Schema.String }) }
      })
      const accounts = yield* over(events)
      for (const id of ["1", "2"]) yield* accounts.dispatch(id, open)
      yield* events.append(streamOf("1"), ExpectedVersion.any, [Result.getOrThrow(Newer.encode(Newer.Frozen()))])
      yield* events.append(streamOf("2"), ExpectedVersion.any, [
        Result.getOrThrow(Newer.encode(Newer.Withdrawn({ euros: "1" })))
      ])
      for (
        const failed of [
          accounts.state("1"),
          accounts.stateAt("1", { version: 1 }),
          Stream.runDrain(accounts.history("1")),
          Effect.flatMap(over(events), (fresh) => fresh.dispatch("1", deposit(1)))
        ]
      ) {
        const error = yield* Effect.flip<unknown, unknown, never>(failed)
        assert.instanceOf(error, UnknownEventType)
        assert.deepStrictEqual(
          [error.type, error.streamId, error.version, error.globalPosition, error.reader],
          ["Frozen.v1", "account-1", 1, 3n, "Account"]
        )
      }
      const error = yield* Effect.flip(accounts.state("2"))
      assert.instanceOf(error, EventDecodeFailed)
      assert.deepStrictEqual(
        [error.type, error.streamId, error.version, error.globalPosition],
        ["Withdrawn.v1", "account-2", 1, 4n]
      )
      assert.deepStrictEqual((yield* accounts.stateAt("1", { version: 0 })).state, owned(0))
    }))
})
