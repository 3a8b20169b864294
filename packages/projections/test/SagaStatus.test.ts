import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as StreamId from "@composable-ts/core/StreamId"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as Saga from "../src/Saga.ts"
import * as SagaStatus from "../src/SagaStatus.ts"
import { decide, evolve, Gate, gate, gates, happens, inputs, log, Street, street } from "./Gates.ts"

const database = TestDatabase.layerMigrated("log", Layer.merge(PostgresEventStore.layer(), PostgresOutbox.layer()))

/** Hands over what there is, and reads what that led to. */
const upToDate = (saga: Saga.Runnable<EventStore>) => Effect.andThen(Saga.catchUp(saga), Saga.catchUp(saga))

const since = (id: string, hours: number) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`UPDATE composable.saga_instances SET moved_at = moved_at - ${`${hours} hours`}::interval WHERE instance = ${id}`
  )

describe("the status of a saga", () => {
  it.live("counts the open, the overdue, the ended and the refused, and lists them", () =>
    Effect.gen(function*() {
      for (const id of ["a", "b", "c"]) yield* happens("1", Street.Rang({ gate: id }))
      yield* happens(
        "1",
        Street.Came({ gate: "b", who: 1 }),
        Street.Left({ gate: "c" }),
        Street.Came({ gate: "a", who: -1 })
      )
      yield* Saga.catchUp(gates)
      yield* upToDate(gates)
      yield* since("a", 3)
      const status = yield* SagaStatus.of(gates, "2 hours")
      assert.deepInclude(status, { open: 2, overdue: 1, ended: 1, refused: 1, dead: 0 })
      assert.deepInclude(status.parts[0], { name: "saga gate", behind: 0n, error: undefined })

      const open = yield* SagaStatus.open(gates, { limit: 10 })
      assert.deepStrictEqual(open.map(({ events, instance, lastEvent }) => [instance, lastEvent, events]), [
        ["a", "Opened", 1n],
        ["b", "Passed", 2n]
      ])
      const names = (instances: ReadonlyArray<SagaStatus.Instance>) => instances.map(({ instance }) => instance)
      assert.deepStrictEqual(names(yield* SagaStatus.open(gates, { limit: 1 })), ["a"])
      assert.deepStrictEqual(names(yield* SagaStatus.open(gates, { limit: 10, after: open[0] })), ["b"])
      assert.deepStrictEqual(names(yield* SagaStatus.open(gates, { limit: 10, unmovedFor: "2 hours" })), ["a"])

      const standing = (id: string) => Effect.map(SagaStatus.inspect(gates, id), (one) => one?.standing)
      assert.deepStrictEqual(yield* Effect.forEach(["a", "b", "c", "d"], standing), [
        "stuck",
        "waiting",
        "ended",
        undefined
      ])

      const limits = { maxLag: "1 minute", overdue: "2 hours" } as const
      const { complaints, healthy } = yield* SagaStatus.health([gates], limits)
      assert.isFalse(healthy)
      assert.match(complaints.join("\n"), /Saga gate, partition 0, is at position .* and no process works on it/)
      assert.match(
        complaints.join("\n"),
        /Saga gate: 1 inputs were refused[^]*Saga gate: 1 instances have not moved for 2h/
      )

      const refused = yield* SagaStatus.refused(gates, { limit: 10 })
      assert.deepStrictEqual(refused.map(({ command, instance, position }) => [instance, command, position]), [[
        "a",
        "Pass",
        6n
      ]])
      assert.deepStrictEqual(yield* SagaStatus.refused(gates, { limit: 10, after: refused[0] }), [])
      assert.strictEqual(yield* SagaStatus.discard(gates, refused), 1)
      assert.strictEqual(yield* SagaStatus.discard(gates, refused), 0)
      assert.strictEqual(yield* standing("a"), "waiting")
    }).pipe(Effect.provide(database)))

  it.live("forgets an instance that was erased", () =>
    Effect.gen(function*() {
      yield* happens("1", Street.Rang({ gate: "a" }))
      yield* upToDate(gates)
      const own = yield* AggregateStore.make(gate)
      yield* own.tombstone("a", { reason: "test" })
      yield* upToDate(gates)
      assert.isUndefined(yield* SagaStatus.inspect(gates, "a"))
    }).pipe(Effect.provide(database)))

  it.live("tells of effects that wait, and of those that were given up", () =>
    Effect.gen(function*() {
      const Call = Action.define("Call", {
        commands: { Dial: { gate: Schema.String, soon: Schema.Boolean } },
        events: { Dialled: Event.v1({ gate: Schema.String, soon: Schema.Boolean }) }
      })
      const call = Aggregate.define(Call, {
        initial: 0,
        decide: (_state, command) => Fx.append(Call.Dialled(command)),
        evolve: (state) => state + 1,
        // Nobody said what it means to be refused.
        react: (_state, { gate: id, soon }) =>
          soon
            ? Fx.dispatch(gate, id, { _tag: "Pass", who: -1 })
            : Fx.delay("again", 3_600_000, Call.Dial({ gate: id, soon: true }))
      })
      const durable = DurableAggregate.make(call, { targets: [DurableAggregate.target(gate)] })
      const calls = Saga.define(durable, {
        inputs: [Saga.on(street, "Came", {
          correlate: ({ who }) => `${who}`,
          toCommand: ({ gate, who }) => Call.Dial({ gate, soon: who === 1 })
        })]
      })
      yield* happens("1", Street.Came({ gate: "a", who: 1 }), Street.Came({ gate: "a", who: 2 }))
      yield* upToDate(calls)
      const standing = (id: string) => Effect.map(SagaStatus.inspect(calls, id), (one) => one?.standing)
      assert.deepStrictEqual([yield* standing("1"), yield* standing("2")], ["running", "waiting"])
      const stores = Layer.merge(
        AggregateStore.layerDurable(durable),
        AggregateStore.layerDurable(DurableAggregate.make(gate))
      )
      yield* Effect.raceFirst(
        Effect.provide(EffectWorker.run([durable]), stores),
        Effect.repeat(standing("1"), { until: (now) => now === "stuck" })
      )
      assert.deepInclude(yield* SagaStatus.of(calls, "1 hour"), { open: 2, dead: 1 })
      const [dead] = yield* SagaStatus.dead(calls, { limit: 10 })
      assert.match(dead?.error ?? "", /gate a refused: .*NobodyIsNegative/)
      const { complaints } = yield* SagaStatus.health([calls], { maxLag: "1 hour", overdue: "1 hour" })
      assert.include(complaints.join("\n"), "Saga call: 1 effects were given up")
    }).pipe(Effect.provide(database)))
})

describe("an input that was refused", () => {
  /** The saga as it is when somebody has seen to it: it lets anybody through, some also a closed gate. */
  const mendedGate = Aggregate.define(Gate, {
    initial: gate.initial,
    decide: (state, command) =>
      command._tag === "Pass" && (state.open || command.who < -9)
        ? Fx.append(Gate.Passed({ who: command.who }))
        : command._tag === "Pass"
        ? Fx.none
        : decide(state, command),
    evolve
  })
  const mended = Saga.define(DurableAggregate.make(mendedGate), { inputs, ends: ["Closed"] })

  const passed = (id: string) =>
    Effect.map(
      Effect.flatMap(AggregateStore.make(gate), (store) => store.state(id)),
      ({ state }) => state.passed
    )
  const listed = Effect.map(
    SagaStatus.refused(gates, { limit: 10 }),
    (refused) => refused.map(({ instance, position }) => `${position} ${instance}`)
  )
  const outcomes = (retried: ReadonlyArray<SagaStatus.Retried>) =>
    retried.map(({ instance, outcome, position }) => `${position} ${instance}: ${outcome}`)

  /** Two inputs that are refused, of which one has a later one behind it that is not; and the gate of a third is closed. */
  const refused = Effect.gen(function*() {
    yield* happens("1", Street.Rang({ gate: "a" }), Street.Rang({ gate: "b" }))
    yield* happens(
      "1",
      Street.Came({ gate: "a", who: -3 }),
      Street.Came({ gate: "a", who: 4 }),
      Street.Came({ gate: "b", who: -5 }),
      Street.Came({ gate: "c", who: -6 })
    )
    yield* Saga.catchUp(gates)
    return yield* SagaStatus.refused(gates, { limit: 10 })
  })

  it.live("is taken once when the saga was mended, behind what came since, however often it is tried", () =>
    Effect.gen(function*() {
      const all = yield* refused
      assert.deepStrictEqual(yield* listed, ["3 a", "5 b", "6 c"])
      const tried = yield* SagaStatus.retry(gates, all)
      assert.deepStrictEqual(outcomes(tried), ["3 a: refused", "5 b: refused", "6 c: refused"])
      assert.deepStrictEqual(yield* listed, ["3 a", "5 b", "6 c"])

      const several = yield* Effect.all(Array.from({ length: 4 }, () => SagaStatus.retry(mended, all)), {
        concurrency: "unbounded"
      })
      for (const one of several.flatMap(outcomes)) {
        assert.include(["3 a: taken", "5 b: taken", "6 c: taken"], one)
      }
      assert.deepStrictEqual(yield* listed, [])
      assert.deepStrictEqual(yield* SagaStatus.retry(mended, all), [])

      // The log delivers it again, to a process that has the old code still, and to one that has the new.
      const whole = yield* log
      for (const saga of [gates, mended]) {
        const { receive } = yield* Saga.make(saga, ({ instance }) => Effect.die(`${instance} has refused it again`))
        yield* receive(whole.filter(({ globalPosition }) => globalPosition <= 5n))
      }
      yield* happens("1", Street.Came({ gate: "a", who: 7 }), Street.Came({ gate: "b", who: 8 }))
      yield* upToDate(mended)
      assert.deepStrictEqual([yield* passed("a"), yield* passed("b"), yield* passed("c")], [[4, -3, 7], [-5, 8], []])
      const late = (yield* log).find(({ data }) => JSON.stringify(data) === JSON.stringify({ who: -3 }))
      assert.strictEqual(late?.causationId, whole[2]?.eventId)
    }).pipe(Effect.provide(database)))

  it.live("is taken once also when whoever tried it died before it was struck off the list", () =>
    Effect.gen(function*() {
      const all = yield* refused
      const { again } = yield* Saga.make(mended, () => Effect.void)
      assert.deepStrictEqual(yield* again((yield* log)[2]!, "a"), { outcome: "taken" })
      assert.deepStrictEqual(yield* listed, ["3 a", "5 b", "6 c"])
      // The old code would refuse it, but it has been taken.
      assert.deepStrictEqual(outcomes(yield* SagaStatus.retry(gates, all.slice(0, 1))), ["3 a: taken"])
      assert.deepStrictEqual(yield* passed("a"), [4, -3])
    }).pipe(Effect.provide(database)))

  it.live("is struck off when its event was erased, and refused once more when its instance was", () =>
    Effect.gen(function*() {
      const all = yield* refused
      const own = yield* AggregateStore.make(gate)
      yield* own.tombstone("a", { reason: "test" })
      assert.deepStrictEqual(outcomes(yield* SagaStatus.retry(mended, all.slice(0, 1))), ["3 a: refused"])
      const [again] = yield* SagaStatus.refused(gates, { limit: 1 })
      assert.match(again?.reason ?? "", /erased|tombstone/i)
      const store = yield* EventStore
      yield* store.tombstone(Result.getOrThrow(StreamId.make("street", "1")), ExpectedVersion.any, { reason: "test" })
      assert.deepStrictEqual(outcomes(yield* SagaStatus.retry(mended, all)), [
        "3 a: nothing",
        "5 b: nothing",
        "6 c: nothing"
      ])
      assert.deepStrictEqual(yield* listed, [])
    }).pipe(Effect.provide(database)))

  it.live("does not open the way for what came behind it, when that is delivered again", () =>
    Effect.gen(function*() {
      yield* happens(
        "1",
        Street.Rang({ gate: "a" }),
        Street.Came({ gate: "a", who: -10 }),
        // It has no effect and leaves no trace: the gate is open.
        Street.Rang({ gate: "a" }),
        Street.Left({ gate: "a" })
      )
      yield* Saga.catchUp(gates)
      yield* SagaStatus.retry(mended, yield* SagaStatus.refused(gates, { limit: 10 }))
      const { receive } = yield* Saga.make(mended, () => Effect.void)
      yield* receive((yield* log).slice(1, 3))
      const { state } = yield* (yield* AggregateStore.make(gate)).state("a")
      assert.deepStrictEqual(state, { open: false, passed: [-10] })
    }).pipe(Effect.provide(database)))

  it.live("of another log is not taken", () =>
    Effect.gen(function*() {
      const all = yield* refused
      const sql = yield* SqlClient.SqlClient
      yield* sql`UPDATE composable.saga_refusals SET event_id = gen_random_uuid()`
      assert.strictEqual((yield* Effect.flip(SagaStatus.retry(mended, all)))._tag, "LogMismatch")
      assert.deepStrictEqual(yield* passed("a"), [4])
    }).pipe(Effect.provide(database)))
})
