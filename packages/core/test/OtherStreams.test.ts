/**
 * Effects that reach beyond the feature: other streams, the event bus, other aggregates, effects written on the spot.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventBus } from "@composable-ts/core/EventBus"
import { EventStore } from "@composable-ts/core/EventStore"
import { VersionConflict } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import type * as History from "@composable-ts/core/History"
import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import { EffectFailed, SequenceStopped } from "@composable-ts/core/StoreError"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Result, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Account, account, type AccountState } from "./Account.ts"

const streamOf = (category: string, id: string) => Result.getOrThrow(StreamId.make(category, id))
const encode = (event: Parameters<typeof Account.encode>[0]) => Result.getOrThrow(Account.encode(event))
const opened = encode(Account.Opened({ owner: "Ada", at: 0 }))
const deposited = encode(Account.Deposited({ cents: 5, currency: "EUR" }))
const withdrawn = encode(Account.Withdrawn({ cents: 5 }))
const [one, two] = [streamOf("account", "1"), streamOf("account", "2")]
const { exact, noStream } = ExpectedVersion

/** What a feature that is told what to do can reach. */
type Reach =
  | Fx.None
  | Fx.Transact
  | Fx.Publish
  | Fx.Send<Do>
  | Fx.Dispatch<Action.CommandOf<typeof Account>>
  | ReturnType<typeof loadAccount>
interface Do {
  readonly _tag: "Do"
  readonly fx: Fx.Nested<Reach>
}
type Seen = {
  readonly _tag: "Seen"
  readonly id: string
  readonly current: History.Current<AccountState>
}
const loadAccount = (id: string) => Fx.load(account, id, "Seen")
const act = (fx: Fx.Nested<Reach>): Do => ({ _tag: "Do", fx })
const done: Do = act(Fx.none)

type Log = ReadonlyArray<Do | Seen>
const feature = (state: Log, action: Do | Seen): readonly [Log, Fx.Nested<Reach>] => [
  [...state, action],
  action._tag === "Do" ? action.fx : Fx.none
]

const world = Layer.merge(
  Store.layer(account).pipe(Layer.provideMerge(MemoryEventStore.layer)),
  MemoryEventBus.layer
)
const opening = Store.make(feature, { initial: [] })

/** Does something, and tells what came of it. */
const doing = (fx: Fx.Nested<Reach>) =>
  Effect.gen(function*() {
    const store = yield* opening
    const problems: Array<unknown> = []
    const following = yield* Effect.forkChild(
      Stream.runForEach(store.problems(), (problem) => Effect.sync(() => void problems.push(problem)))
    )
    yield* Effect.yieldNow
    yield* store.dispatch(act(fx))
    yield* store.idle
    yield* Effect.yieldNow
    yield* Effect.yieldNow
    yield* Fiber.interrupt(following)
    return { problems, log: (yield* store.state).slice(1) }
  })
const typesIn = (streamId: StreamId.StreamId) =>
  Effect.flatMap(EventStore, (events) => Effect.map(events.read(streamId), (read) => read.map(({ type }) => type)))
const failure = (problem: unknown) => {
  assert.instanceOf(problem, EffectFailed)
  return problem as EffectFailed
}

describe("transact and appendTo", () => {
  it.effect("append to other streams in one commit, as something that the action caused", () =>
    Effect.gen(function*() {
      const metas: Array<Action.Meta> = []
      const watched = (state: Log, action: Do | Seen, meta: Action.Meta) => {
        metas.push({ time: meta.time, id: meta.id, correlationId: meta.correlationId, causationId: meta.causationId })
        return feature(state, action)
      }
      const store = yield* Store.make(watched, { initial: [] })
      yield* store.dispatch(act(Fx.transact(
        { streamId: one, expected: noStream, events: [opened, deposited] },
        { streamId: two, expected: noStream, events: [opened] }
      )))
      yield* store.idle
      yield* store.dispatch(act(Fx.appendTo(two, exact(0), deposited)))
      yield* store.idle
      assert.deepStrictEqual(yield* typesIn(one), ["Opened.v1", "Deposited.v3"])
      assert.deepStrictEqual(yield* typesIn(two), ["Opened.v1", "Deposited.v3"])
      const events = yield* EventStore
      const { events: stored } = yield* events.readAll({ after: 0n, limit: 9 })
      assert.strictEqual(new Set(stored.slice(0, 3).map(({ commandId }) => commandId)).size, 1)
      assert.deepStrictEqual(
        stored.map(({ causationId, correlationId }) => [correlationId, causationId]),
        [0, 0, 0, 1].map((i) => [metas[i]!.correlationId, metas[i]!.id])
      )
    }).pipe(Effect.provide(world)))

  it.effect("a conflict in one of the streams appends to none, is reported, and ends a sequence", () =>
    Effect.gen(function*() {
      const events = yield* EventStore
      yield* events.append(two, noStream, [opened])
      const both = Fx.transact(
        { streamId: one, expected: noStream, events: [opened] },
        { streamId: two, expected: noStream, events: [opened] }
      )
      const { log, problems } = yield* doing(Fx.sequential(both, Fx.send(done)))
      assert.deepStrictEqual(log, [])
      assert.deepStrictEqual(yield* typesIn(one), [])
      assert.strictEqual(problems.length, 2)
      const { cause, effect } = failure(problems[0])
      assert.instanceOf(cause, VersionConflict)
      assert.strictEqual(effect, Fx.render(both))
      const stopped = problems[1] as SequenceStopped
      assert.instanceOf(stopped, SequenceStopped)
      assert.deepStrictEqual([stopped.index, stopped.left], [0, [Fx.render(Fx.send(done))]])
    }).pipe(Effect.provide(world)))

  it.effect("a sequence goes on behind what was appended", () =>
    Effect.gen(function*() {
      const { log, problems } = yield* doing(Fx.sequential(Fx.appendTo(one, noStream, opened), Fx.send(done)))
      assert.deepStrictEqual([log, problems], [[done], []])
    }).pipe(Effect.provide(world)))

  it.live("an aggregate whose stream it is decides on what was appended", () =>
    Effect.gen(function*() {
      const accounts = yield* Store.service(account)
      yield* accounts.dispatch("1", Account.Open({ owner: "Ada" }))
      yield* accounts.dispatch("1", Account.Deposit({ cents: 5 }))
      yield* doing(Fx.appendTo(one, exact(1), withdrawn))
      const reason = yield* Effect.flip(accounts.dispatch("1", Account.Withdraw({ cents: 1 })))
      assert.deepStrictEqual<unknown>(reason, { _tag: "Overdrawn", missing: 1 })
    }).pipe(Effect.provide(world)))
})

describe("publish", () => {
  it.effect("reaches whoever listens to the topic, with the ids of what caused it", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(7_000)
      const bus = yield* EventBus
      const heard = yield* bus.listen(["accounts"], { strategy: "suspend" })
      const others = yield* Effect.forkChild(Stream.runHead(bus.subscribe(["other"], { strategy: "suspend" })))
      let meta: Action.Meta | undefined
      const store = yield* Store.make((state: Log, action: Do | Seen, given: Action.Meta) => {
        meta = { time: given.time, id: given.id, correlationId: given.correlationId, causationId: given.causationId }
        return feature(state, action)
      }, { initial: [] })
      yield* store.dispatch(act(Fx.publish("accounts", deposited)))
      yield* store.idle
      const [delivery] = yield* Stream.runCollect(Stream.take(heard, 1))
      assert.strictEqual(delivery!.topic, "accounts")
      const { causationId, correlationId, data, id, origin, time, type } = delivery!.message
      assert.deepStrictEqual([type, data, time, origin], ["Deposited.v3", deposited.data, 7_000, null])
      assert.deepStrictEqual([correlationId, causationId], [meta!.correlationId, meta!.id])
      assert.notStrictEqual(id, meta!.id)
      assert.isUndefined(others.pollUnsafe())
      yield* Fiber.interrupt(others)
    }).pipe(Effect.provide(world)))

  it.effect("on what is no topic is reported, and ends a sequence", () =>
    Effect.gen(function*() {
      const { log, problems } = yield* doing(Fx.sequential(Fx.publish("no topic", opened), Fx.send(done)))
      assert.deepStrictEqual(log, [])
      assert.match(failure(problems[0]).message, /publish Opened.v1 on no topic.*InvalidTopic/)
    }).pipe(Effect.provide(world)))
})

describe("dispatch and load", () => {
  it.effect("another aggregate of the same context gets the command, and its events the ids of what caused them", () =>
    Effect.gen(function*() {
      let meta: Action.Meta | undefined
      const store = yield* Store.make((state: Log, action: Do | Seen, given: Action.Meta) => {
        meta ??= { time: given.time, id: given.id, correlationId: given.correlationId, causationId: given.causationId }
        return feature(state, action)
      }, { initial: [] })
      yield* store.dispatch(act(Fx.sequential(
        Fx.dispatch(account, "1", Account.Open({ owner: "Ada" })),
        Fx.dispatch(account, "1", Account.Deposit({ cents: 12 })),
        loadAccount("1")
      )))
      yield* store.idle
      const state = { _tag: "Open", owner: "Ada", cents: 12 } as const
      assert.deepStrictEqual((yield* store.state).slice(1), [
        { _tag: "Seen", id: "1", current: { state, version: 1, globalPosition: 2n } }
      ])
      const accounts = yield* Store.service(account)
      assert.deepStrictEqual((yield* accounts.state("1")).state, state)
      const stored = yield* Effect.flatMap(EventStore, (events) => events.read(one))
      for (const { causationId, commandId, correlationId } of stored) {
        assert.deepStrictEqual([correlationId, causationId], [meta!.correlationId, meta!.id])
        assert.notStrictEqual(commandId, meta!.id)
      }
    }).pipe(Effect.provide(world)))

  it.effect("shares the instances in memory with whoever asks for the service", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      let loads = 0
      const counted = { ...events, load: (...load: Parameters<typeof events.load>) => (loads++, events.load(...load)) }
      const shared = Layer.merge(
        Store.layer(account).pipe(Layer.provideMerge(Layer.succeed(EventStore, counted))),
        MemoryEventBus.layer
      )
      yield* Effect.gen(function*() {
        const accounts = yield* Store.service(account)
        yield* accounts.dispatch("1", Account.Open({ owner: "Ada" }))
        yield* doing(Fx.dispatch(account, "1", Account.Deposit({ cents: 5 })))
        yield* accounts.dispatch("1", Account.Deposit({ cents: 5 }))
      }).pipe(Effect.provide(shared))
      assert.strictEqual(loads, 1)
    }))

  it.effect("a refusal is reported with its reason, and ends a sequence", () =>
    Effect.gen(function*() {
      const withdraw = Fx.dispatch(account, "1", Account.Withdraw({ cents: 1 }))
      const { log, problems } = yield* doing(Fx.sequential(withdraw, Fx.send(done)))
      assert.deepStrictEqual(log, [])
      const { cause, effect, message } = failure(problems[0])
      assert.deepStrictEqual([cause, effect], [{ _tag: "NotOpen" }, Fx.render(withdraw)])
      assert.include(message, `{"_tag":"NotOpen"}`)
      assert.instanceOf(problems[1], SequenceStopped)
    }).pipe(Effect.provide(world)))

  it.effect("an instance without events is loaded as it is at first; one that has no name is reported", () =>
    Effect.gen(function*() {
      const { log, problems } = yield* doing(Fx.all(loadAccount("none"), loadAccount("")))
      assert.deepStrictEqual(log, [
        { _tag: "Seen", id: "none", current: { state: { _tag: "None" }, version: -1, globalPosition: 0n } }
      ])
      assert.strictEqual(problems.length, 1)
      assert.match(failure(problems[0]).message, /load account .*InvalidStreamId/)
    }).pipe(Effect.provide(world)))

  const Transfer = Action.define("Transfer", {
    commands: {
      Begin: { from: Schema.String, cents: Schema.Int },
      Balance: { id: Schema.String, current: Schema.Struct({ state: Schema.Json, version: Schema.Int }) }
    },
    events: { Begun: Event.v1({ from: Schema.String, cents: Schema.Int }), Checked: Event.v1({ version: Schema.Int }) }
  })

  it.effect("an aggregate's reaction reaches another one, and what it loads is a command of its own", () =>
    Effect.gen(function*() {
      const transfer = Aggregate.define(Transfer, {
        initial: [] as ReadonlyArray<number>,
        decide: (_state, command) =>
          command._tag === "Begin"
            ? Fx.append(Transfer.Begun({ from: command.from, cents: command.cents }))
            : Fx.append(Transfer.Checked({ version: command.current.version })),
        evolve: (state, event) => event._tag === "Begun" ? state : [...state, event.version],
        react: (_state, event) =>
          event._tag === "Begun"
            ? Fx.sequential(
              Fx.dispatch(account, event.from, Account.Withdraw({ cents: event.cents })),
              Fx.load({ ...account, initial: null as Schema.Json }, event.from, "Balance")
            )
            : Fx.none
      })
      const accounts = yield* Store.service(account)
      yield* accounts.dispatch("1", Account.Open({ owner: "Ada" }))
      yield* accounts.dispatch("1", Account.Deposit({ cents: 10 }))
      const transfers = yield* Store.aggregate(transfer)
      yield* transfers.dispatch("t", Transfer.Begin({ from: "1", cents: 4 }), { commandId: "c", correlationId: "talk" })
      yield* transfers.idle
      assert.deepStrictEqual((yield* transfers.state("t")).state, [2])
      const events = yield* EventStore
      const last = (yield* events.read(one)).at(-1)!
      assert.deepStrictEqual([last.type, last.correlationId, last.causationId], ["Withdrawn.v1", "talk", "c"])
      const checked = (yield* events.read(streamOf("transfer", "t"))).at(-1)!
      assert.deepStrictEqual([checked.correlationId, checked.causationId], ["talk", "c"])
    }).pipe(Effect.provide(world)))
})

describe("run", () => {
  class Dice extends Context.Service<Dice, { readonly roll: Effect.Effect<number> }>()("test/Dice") {}
  type Roll = { readonly _tag: "Roll"; readonly dies: boolean } | { readonly _tag: "Rolled"; readonly eyes: number }
  const bug = new TypeError("no dice")
  const dice = (eyes: number, action: Roll) =>
    action._tag === "Rolled"
      ? [action.eyes, Fx.none] as const
      : [
        eyes,
        Fx.run(
          action.dies
            ? Effect.die(bug)
            : Effect.map(Effect.flatMap(Dice, ({ roll }) => roll), (eyes) => ({ _tag: "Rolled", eyes }) as const)
        )
      ] as const

  it.effect("sends the action that the effect yields, with services of the store's context", () =>
    Effect.gen(function*() {
      const store = yield* Effect.provideService(Store.make(dice, { initial: 0 }), Dice, {
        roll: Effect.delay(Effect.succeed(6), "1 second")
      })
      yield* store.dispatch({ _tag: "Roll", dies: false })
      assert.deepStrictEqual([yield* store.state, (yield* store.health).inFlight], [0, 1])
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* store.state, 6)
    }))

  it.effect("contains and reports an effect that dies", () =>
    Effect.gen(function*() {
      const store = yield* Effect.provideService(Store.make(dice, { initial: 1 }), Dice, { roll: Effect.succeed(6) })
      const problem = yield* Effect.forkChild(Stream.runCollect(Stream.take(store.problems(), 1)))
      yield* Effect.yieldNow
      yield* store.dispatch({ _tag: "Roll", dies: true })
      assert.strictEqual(failure((yield* Fiber.join(problem))[0]).cause, bug)
      yield* store.dispatch({ _tag: "Roll", dies: false })
      assert.strictEqual(yield* store.state, 6)
    }))
})
