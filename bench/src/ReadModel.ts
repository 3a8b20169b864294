/**
 * The read model that is measured: a row for each event, by global position.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { OrderEvent } from "./Order.ts"

export { create, insert, insertAll } from "./ReadModelSql.ts"

/** A row's values. */
export const values = (event: OrderEvent, position: bigint): [bigint, string, string, number] => [
  position,
  event.orderId,
  event.customerId,
  event.total
]

/** The rows of some events, column by column. */
export const columns = (
  batch: ReadonlyArray<{ readonly event: OrderEvent; readonly recorded: Pick<RecordedEvent, "globalPosition"> }>
) => [
  batch.map(({ recorded }) => recorded.globalPosition),
  batch.map(({ event }) => event.orderId),
  batch.map(({ event }) => event.customerId),
  batch.map(({ event }) => event.total)
]

/** What is wrong with the rows of so many events from the first position on, whose totals have this sum. */
export const faultOf = (
  table: string,
  count: number,
  sum: number
): Effect.Effect<string | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql.unsafe<{ rows: number; last: bigint; sum: number }>(
      `SELECT count(*)::int AS rows, max(position) AS last, sum(total)::float8 AS sum FROM ${table}`
    )
    const { last, rows, sum: stored } = row!
    if (rows !== count) return `${rows} rows for ${count} events`
    if (last !== BigInt(count)) return `the last row is of position ${last}, not ${count}`
    return stored === sum ? undefined : `the totals sum up to ${stored}, not ${sum}`
  })
