/**
 * Catching up into a read model with a row for each event, effectively once: a handler for each event, or for each batch.
 * The floor writes the same rows by the same statements, in transactions as large, and reads no log.
 */
import * as Projection from "@composable-ts/projections/Projection"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type pg from "pg"
import type { Experiment } from "../Contest.ts"
import { connections, work } from "../floor/Connection.ts"
import * as Log from "../Log.ts"
import { eventAt, Order, type OrderEvent } from "../Order.ts"
import * as Peer from "../Peer.ts"
import type { Profile } from "../Profile.ts"
import * as ReadModel from "../ReadModel.ts"
import { numbers, rate } from "../Timing.ts"

const batchSize = 500

type Write = Projection.Projection<SqlError, SqlClient.SqlClient>

/** How a kind of projection writes its rows, and how the floor does. */
interface Kind {
  readonly id: string
  readonly about: string
  /** How many events the log holds. */
  readonly events: (profile: Profile) => number
  readonly projection: (table: string, version: number) => Write
  readonly write: (client: pg.Client, table: string, rows: ReadonlyArray<Row>) => Promise<void>
}

interface Row {
  readonly event: OrderEvent
  readonly recorded: { readonly globalPosition: bigint }
}

const run = (statement: string, parameters: ReadonlyArray<unknown> = []) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(statement, parameters))

const row: Kind = {
  id: "projection.row",
  about:
    "Catching up into a read model with a row for each event, by a handler for each event, effectively once. The " +
    "floor writes the same rows by the same statements, in transactions as large, and reads no log.",
  events: ({ rows }) => rows,
  projection: (table, version) => {
    const handle = (event: OrderEvent, { globalPosition }: Row["recorded"]) =>
      run(ReadModel.insert(table), ReadModel.values(event, globalPosition))
    return Projection.define(Order, {
      name: "row",
      version,
      setUp: run(ReadModel.create(table)),
      on: { Placed: handle, Revised: handle }
    })
  },
  write: async (client, table, rows) => {
    await client.query("BEGIN")
    for (const { event, recorded } of rows) {
      await client.query({
        name: `insert into ${table}`,
        text: ReadModel.insert(table),
        values: ReadModel.values(event, recorded.globalPosition)
      })
    }
    await client.query("COMMIT")
  }
}

const batch: Kind = {
  id: "projection.batch",
  about: "The same by a handler for each batch, in one statement.",
  events: ({ events }) => events,
  projection: (table, version) =>
    Projection.defineBatch(Order, {
      name: "batch",
      version,
      setUp: run(ReadModel.create(table)),
      events: ["Placed", "Revised"],
      handle: (events) => run(ReadModel.insertAll(table), ReadModel.columns(events))
    }),
  write: async (client, table, rows) => {
    await client.query({
      name: `insert all into ${table}`,
      text: ReadModel.insertAll(table),
      values: ReadModel.columns(rows)
    })
  }
}

const experiment = ({ about, events, id, projection, write }: Kind): Experiment => ({
  measures: [{ id, unit: "events/s", better: "higher", about }],
  open: (profile) =>
    Effect.gen(function*() {
      const log = yield* Log.open
      const count = events(profile)
      yield* Log.fill(log, "1", count)
      yield* log.sql`VACUUM ANALYZE composable.events`
      const [client] = yield* connections(log.url, 1)
      const rows = numbers(count).map((index): Row => ({
        event: eventAt("1", index),
        recorded: { globalPosition: BigInt(index + 1) }
      }))
      const sum = rows.reduce((sum, { event }) => sum + event.total, 0)
      const outcome = (table: string, perSecond: number) =>
        Effect.gen(function*() {
          const fault = yield* ReadModel.faultOf(table, count, sum)
          yield* run(`DROP TABLE ${table}`)
          return { figures: { [id]: perSecond }, fault }
        }).pipe(Effect.provideContext(log.context))
      return {
        floor: (round) =>
          Effect.gen(function*() {
            const table = `floor_${round}`
            yield* work(() => client!.query(ReadModel.create(table)))
            const start = performance.now()
            yield* work(async () => {
              for (let from = 0; from < count; from += batchSize) {
                await write(client!, table, rows.slice(from, from + batchSize))
              }
            })
            return yield* outcome(table, rate(count, start).perSecond)
          }),
        ours: (round) =>
          Effect.gen(function*() {
            const table = `ours_${round}`
            const start = performance.now()
            yield* Projection.catchUp(projection(table, round + 1))
            return yield* outcome(table, rate(count, start).perSecond)
          }).pipe(Effect.provideContext(log.context)),
        peers: yield* Peer.emmetts(id, profile)
      }
    })
})

export const experiments: ReadonlyArray<Experiment> = [experiment(row), experiment(batch)]
