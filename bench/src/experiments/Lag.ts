/**
 * How long after an append is acknowledged its row can be read from the read model, while one event comes at a time. A
 * second connection asks for the row over and over, so the figure is an upper bound: it contains the question that found
 * it. The floor is told by NOTIFY and inserts the row, without a log to read or a checkpoint to keep.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Projection from "@composable-ts/projections/Projection"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import type pg from "pg"
import type { Experiment, Outcome } from "../Contest.ts"
import { connections, query, work } from "../floor/Connection.ts"
import * as FloorLog from "../floor/FloorLog.ts"
import * as Log from "../Log.ts"
import { Order, type OrderEvent, streamOf } from "../Order.ts"
import * as ReadModel from "../ReadModel.ts"
import { numbers, p50, p99 } from "../Timing.ts"

const patience = 10_000

/** Waits until the row is there; resolves to how long that took, in milliseconds. */
const visible = async (reader: pg.Client, table: string, position: string): Promise<number> => {
  const start = performance.now()
  while (performance.now() - start < patience) {
    const { rows } = await reader.query({
      name: `find in ${table}`,
      text: `SELECT FROM ${table} WHERE position = $1`,
      values: [position],
      rowMode: "array"
    })
    if (rows.length === 1) return performance.now() - start
  }
  throw new Error(`the row of position ${position} was not there after ${patience} ms`)
}

/** Between two events, or the next would always come right after the last one's transaction. */
const pause = Effect.suspend(() => Effect.sleep(1 + Math.random() * 4))

const outcome = (lags: ReadonlyArray<number>): Outcome => ({
  figures: { "lag.p50": p50(lags), "lag.p99": p99(lags) },
  fault: undefined
})

const handle = (event: OrderEvent, { globalPosition }: { readonly globalPosition: bigint }) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql.unsafe(ReadModel.insert("ours_rows"), ReadModel.values(event, globalPosition))
  )

const rows = Projection.define(Order, {
  name: "rows",
  version: 1,
  setUp: Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(ReadModel.create("ours_rows"))),
  on: { Placed: handle, Revised: handle }
})

const trickle: Experiment = {
  measures: [
    {
      id: "lag.p50",
      unit: "ms",
      better: "lower",
      about:
        "From an append's acknowledgement to its row in the read model, one event at a time. The floor is told by " +
        "NOTIFY and inserts the row."
    },
    { id: "lag.p99", unit: "ms", better: "lower", about: "The same, of the slowest in a hundred." }
  ],
  open: ({ waits }) =>
    Effect.gen(function*() {
      const log = yield* Log.open
      const [reader, writer, listener, projector] = yield* connections(log.url, 4)
      yield* query(writer!, { text: FloorLog.create, rowMode: "array" })
      yield* query(writer!, { text: ReadModel.create("floor.rows"), rowMode: "array" })
      yield* query(listener!, { text: "LISTEN floor", rowMode: "array" })

      yield* Effect.provideContext(Projection.catchUp(rows), log.context)
      const projection = yield* Effect.forkScoped(Effect.provideContext(Projection.run(rows), log.context))

      return {
        floor: (round) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              const failures: Array<unknown> = []
              const insert = ({ payload }: pg.Notification) => {
                const values = [payload, `r${round}`, "customer", 0]
                projector!.query({ name: "insert", text: ReadModel.insert("floor.rows"), values })
                  .catch((reason: unknown) => failures.push(reason))
              }
              listener!.on("notification", insert)
              return { failures, insert }
            }),
            ({ failures }) =>
              Effect.gen(function*() {
                const lags = yield* Effect.forEach(numbers(waits), (index) =>
                  Effect.andThen(
                    pause,
                    work(async () =>
                      visible(reader!, "floor.rows", await FloorLog.insertAndNotify(writer!, `r${round}`, index))
                    )
                  ))
                return failures.length === 0 ? outcome(lags) : { ...outcome(lags), fault: String(failures[0]) }
              }),
            ({ insert }) => Effect.sync(() => void listener!.off("notification", insert))
          ),
        ours: (round) =>
          Effect.raceFirst(
            Effect.forEach(numbers(waits), (index) =>
              Effect.gen(function*() {
                yield* pause
                const { globalPosition } = yield* log.events.append(
                  streamOf(`r${round}`),
                  ExpectedVersion.exact(index - 1),
                  Log.encoded(`r${round}`, index, 1)
                )
                return yield* work(() => visible(reader!, "ours_rows", `${globalPosition}`))
              })),
            // It never ends but by failing.
            Fiber.join(projection)
          ).pipe(Effect.map(outcome))
      }
    })
}

export const experiments: ReadonlyArray<Experiment> = [trickle]
