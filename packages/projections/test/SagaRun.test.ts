import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import { EventStore } from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as Consistency from "../src/Consistency.ts"
import { PartitionsChanged, ProjectionFailed } from "../src/ProjectionError.ts"
import * as Saga from "../src/Saga.ts"
import * as Start from "../src/Start.ts"
import * as Status from "../src/Status.ts"
import { actual, durableGate, expected, gate, gates, happens, inputs, log, Street } from "./Gates.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

/** An effect with clients of its own, as another process would have them. */
const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>, maxConnections = 5) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    const clients = PgClient.layer({ ...config, maxConnections })
    return yield* Effect.provide(effect, Layer.provideMerge(PostgresEventStore.layer(), clients))
  })

/** Something happens before every gate, told by three streets in turn, so many times. */
const busy = (gates: number, rounds: number, from = 0) =>
  Effect.forEach(
    Array.from({ length: rounds * gates }, (_, i) => i),
    (i) => {
      const gate = `${i % gates}`
      const round = from + Math.floor(i / gates)
      const street = `${(i + round) % 3}`
      return happens(
        street,
        round % 5 === 1
          ? Street.Rang({ gate })
          : round % 5 === 4
          ? Street.Left({ gate })
          : Street.Came({ gate, who: round })
      )
    },
    { discard: true }
  )

const isExact = Effect.map(log, (events) => assert.deepStrictEqual(sorted(actual(events)), sorted(expected(events))))
const sorted = (gates: ReadonlyMap<string, ReadonlyArray<string>>) => [...gates].toSorted(([a], [b]) => a < b ? -1 : 1)

/** Waits until a saga has handled all that the log holds now. */
const upToNow = (saga: Saga.Runnable<unknown>) =>
  Effect.gen(function*() {
    const { head } = yield* (yield* EventStore).readAll({ after: 0n, limit: 0 })
    const { waitFor } = yield* Consistency.Consistency
    yield* waitFor(Saga.subscriber(saga), { position: head, timeout: "20 seconds" })
  })

describe("a saga that is run", () => {
  for (const partitions of [1, 3]) {
    it.live(`in ${partitions} parts by processes that come and go handles each input once, each gate's in order`, () =>
      Effect.gen(function*() {
        const saga = Saga.define(durableGate, { inputs, partitions, ends: ["Closed"] })
        const run = Effect.forkChild(elsewhere(Saga.run(saga)))
        const first = yield* run
        yield* busy(7, 6)
        const second = yield* run
        yield* busy(7, 6, 6)
        yield* Fiber.interrupt(first)
        yield* busy(7, 6, 12)
        yield* upToNow(saga)
        yield* isExact
        yield* Fiber.interrupt(second)
      }).pipe(Effect.provide(Layer.provideMerge(Consistency.layer, database))))
  }

  it.live("begins again with what it had handled when its checkpoint is gone, and nothing takes effect twice", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* busy(5, 10)
      yield* Saga.catchUp(gates)
      const { length } = yield* log
      yield* sql`DELETE FROM composable.checkpoints`
      yield* Saga.catchUp(gates)
      assert.lengthOf(yield* log, length)
      yield* isExact
    }).pipe(Effect.provide(database)))

  it.live("needs no more connections than one at a time", () =>
    Effect.gen(function*() {
      yield* busy(20, 3)
      yield* elsewhere(Saga.catchUp(gates), 1)
      yield* isExact
    }).pipe(Effect.provide(database)))

  it.live("begins where it is told to", () =>
    Effect.gen(function*() {
      const saga = Saga.define(durableGate, { inputs, startFrom: Start.now })
      yield* happens("1", Street.Rang({ gate: "a" }))
      yield* Saga.catchUp(saga)
      yield* happens("1", Street.Rang({ gate: "b" }))
      yield* Saga.catchUp(saga)
      assert.deepStrictEqual([...actual(yield* log).keys()], ["b"])
    }).pipe(Effect.provide(database)))

  it.live("keeps its number of parts", () =>
    Effect.gen(function*() {
      yield* Saga.catchUp(gates)
      const error = yield* Effect.flip(Saga.catchUp(Saga.define(durableGate, { inputs, partitions: 2 })))
      assert.instanceOf(error, PartitionsChanged)
    }).pipe(Effect.provide(database)))
})

describe("an input that cannot be handed over", () => {
  it.live("stops the saga before it, visibly, and all goes on once it is mended", () =>
    Effect.gen(function*() {
      const broken = Saga.define(
        DurableAggregate.make({
          ...gate,
          decide: (state, command, meta) => {
            if (command._tag === "Pass" && command.who === 13) throw new Error("a bug")
            return gate.decide(state, command, meta)
          }
        }),
        { inputs }
      )
      yield* busy(5, 10)
      yield* happens("1", Street.Rang({ gate: "0" }), Street.Came({ gate: "0", who: 13 }))
      yield* busy(5, 10)
      const error = yield* Effect.flip(Saga.run(broken))
      assert.instanceOf(error, ProjectionFailed)
      assert.deepInclude(error, { projection: "saga gate", after: 51n, upTo: 52n })
      assert.match(error.message, /The reducer threw while it reduced Pass.*a bug/)
      const [part] = yield* Status.of(Saga.subscriber(broken))
      assert.match(part?.error?.message ?? "", /a bug/)
      yield* Saga.catchUp(gates)
      yield* isExact
    }).pipe(Effect.provide(database)))

  it.live("because the aggregate refuses it stops a saga that is to stop then", () =>
    Effect.gen(function*() {
      const strict = Saga.define(durableGate, { inputs, refused: "stop" })
      yield* happens("1", Street.Rang({ gate: "a" }), Street.Came({ gate: "a", who: -1 }))
      const error = yield* Effect.flip(Saga.catchUp(strict))
      assert.instanceOf(error, ProjectionFailed)
      assert.deepInclude(error, { after: 1n, upTo: 2n })
      assert.instanceOf(error.cause, Saga.InputRefused)
      assert.match(error.message, /"a" refused Pass, which the event at global position 2 asks for: .*NobodyIsNegative/)
    }).pipe(Effect.provide(database)))

  it.live("because the aggregate refuses it is written down, once, by any other saga", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* happens("1", Street.Rang({ gate: "a" }), Street.Came({ gate: "a", who: -1 }))
      yield* Saga.catchUp(gates)
      yield* sql`UPDATE composable.checkpoints SET position = 0, event_id = NULL`
      yield* Saga.catchUp(gates)
      assert.deepStrictEqual(
        yield* sql`SELECT saga, position, instance, event_type, stream_id, command, reason FROM composable.saga_refusals`,
        [{
          saga: "gate",
          position: 2n,
          instance: "a",
          event_type: "Came.v1",
          stream_id: "street-1",
          command: "Pass",
          reason: `{"_tag":"NobodyIsNegative"}`
        }]
      )
    }).pipe(Effect.provide(database)))
})
