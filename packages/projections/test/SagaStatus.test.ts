import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { SqlClient } from "effect/sql"
import * as Saga from "../src/Saga.ts"
import * as SagaStatus from "../src/SagaStatus.ts"
import { gate, gates, happens, Street, street } from "./Gates.ts"

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
