/**
 * Reads of streams, of the log and of commands.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import { CorruptLog, CorruptStream, EventStoreError } from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"
import { inRealTime, inTime } from "./inTime.ts"
import { columns, columnsOf, recordedAll, types } from "./rows.ts"
import { failed } from "./sqlFailure.ts"

/** Reads of a stream. */
export const makeRead = (client: PgClient, schema: string): EventStore.Operations["read"] => {
  const select = (order: "ASC" | "DESC") =>
    `SELECT ${columnsOf("$1")} FROM ${schema}.events WHERE stream_id = $1 AND version >= $2 AND version <= $3
     ORDER BY version ${order} LIMIT $4`
  const forwards = select("ASC")
  const backwards = select("DESC")
  return (streamId, { direction, from = 0, maxCount = null, to = maxVersion } = {}) =>
    Effect.flatMap(
      Effect.mapError(
        client.unsafe(direction === "backwards" ? backwards : forwards, [
          streamId,
          from,
          Math.min(to, maxVersion),
          maxCount
        ]).values,
        failed("read")
      ),
      (values) =>
        Effect.fromResult(
          Result.mapError(
            recordedAll(values, { streamId }),
            ({ issue, streamId, version }) => new CorruptStream({ streamId, version, issue })
          )
        )
    )
}

/** The largest value of the column. */
const maxVersion = 2 ** 31 - 1

/**
 * Positions are dense, so a page is a range of positions, whatever a filter leaves of it. The head is read in the same
 * statement, hence in the same snapshot: nothing can be committed between the two. So is the number of events that there
 * are in the range, where a filter would hide that one is missing.
 *
 * A stream's partition comes from the SHA-256 of its id. PostgreSQL's own hash functions are faster, but it promises
 * nobody that they stay the same, and a stream that changed its partition would be read twice or not at all.
 */
export const makeReadAll = (client: PgClient, schema: string): EventStore.Operations["readAll"] => {
  const within = "global_position > $1 AND global_position <= $1 + $2"
  const select = (...filters: ReadonlyArray<string>) => `
    WITH log AS MATERIALIZED (
      SELECT head,
        (SELECT event_id FROM ${schema}.events WHERE global_position = $1) AS previous,
        (SELECT event_id FROM ${schema}.events WHERE global_position = least($1 + $2, head)) AS last,
        ${filters.length === 0 ? "NULL" : `(SELECT count(*) FROM ${schema}.events WHERE ${within})`} AS count
      FROM (SELECT coalesce(max(global_position), 0) AS head FROM ${schema}.events) AS tip
    )
    SELECT ${tip.join(", ")} FROM log
    UNION ALL
    (SELECT ${columns}, NULL::text[] FROM ${schema}.events WHERE ${[within, ...filters].join(" AND ")}
     ORDER BY global_position)`
  const all = select()
  const some = select(named("$3"))
  const part = select(ofPartition("$3", "$4"))
  const someOfPart = select(ofPartition("$3", "$4"), named("$5"))
  // Looked up one by one: a join might be planned, on a log that is still small, to read all of it.
  const missing = `
    SELECT min(position) FROM generate_series($1::bigint + 1, $2) AS position
    WHERE (SELECT global_position FROM ${schema}.events WHERE global_position = position) IS NULL`

  const whole = (after: bigint, page: EventStore.LogPage, there: bigint | null) =>
    there === null || there >= page.position - (after > 0n ? after : 0n)
      ? Effect.succeed(page)
      : Effect.flatMap(
        Effect.mapError(client.unsafe(missing, [after, page.position]).values, failed("read the log")),
        ([row]) =>
          Effect.fail(
            new CorruptLog({
              globalPosition: row![0] as bigint,
              issue: `it is missing, though the log goes on to ${page.head}`
            })
          )
      )

  return ({ after, limit, names, partition }) => {
    const range = partition === undefined ? [after, limit] : [after, limit, partition.count, partition.index]
    const statement = names === undefined
      ? client.unsafe(partition === undefined ? all : part, range)
      : client.unsafe(partition === undefined ? some : someOfPart, [...range, names])
    return Effect.flatMap(Effect.mapError(statement.values, failed("read the log")), (values) => {
      // The first in practice; but SQL promises no order of the parts of a union.
      const tipAt = values.findIndex(isTip)
      const [top, previous, last, count] = values[tipAt]![types.length] as Tip
      const head = BigInt(top)
      const there = count === null ? null : BigInt(count)
      const end = after + BigInt(limit)
      const events = recordedAll(values, { except: tipAt })
      if (Result.isFailure(events)) {
        const { globalPosition, issue } = events.failure
        return Effect.fail(new CorruptLog({ globalPosition, issue }))
      }
      const page: EventStore.LogPage = {
        events: events.success,
        position: end < head ? end : head > after ? head : after,
        head,
        previousEventId: previous ?? undefined,
        lastEventId: after > head ? undefined : last ?? undefined
      }
      return whole(after, page, there)
    })
  }
}

/** Events of these names. */
const named = (names: string): string => `split_part(type, '.', 1) = ANY(${names})`

/** Events of one of so many partitions. */
const ofPartition = (count: string, index: string): string =>
  `('x' || encode(substr(sha256(convert_to(stream_id, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint % ${count} = ${index}`

/** The same without the database. */
export const partitionOf = (streamId: string, count: number): number =>
  createHash("sha256").update(streamId, "utf8").digest().readUInt32BE(0) % count

/** What one row of a page says of the log, behind the columns of the events. */
type Tip = readonly [head: string, previous: string | null, last: string | null, count: string | null]

/** That row, which is no event's. To order it among the events would have the server sort them all. */
const tip = [
  ...types.map((type) => `NULL::${type}`),
  "ARRAY[log.head::text, log.previous::text, log.last::text, log.count::text]"
]

const isTip = (row: ReadonlyArray<unknown>): boolean => row[types.length] !== null

const fingerprinted = (event: RecordedEvent, fingerprint: string | null): EventStore.CommandEvent =>
  fingerprint === null ? event : { ...event, fingerprint }

/** Reads of what a command stored. */
export const makeReadCommand = (client: PgClient, schema: string): EventStore.Operations["readCommand"] => {
  const operation = "read a command's events"
  const text = `
    SELECT fingerprint, ${columns} FROM ${schema}.events, (
      SELECT global_position AS first, command_size AS size FROM ${schema}.events
      WHERE command_id = $1 AND command_size IS NOT NULL
    ) AS command
    WHERE global_position >= command.first AND global_position < command.first + command.size
    ORDER BY global_position`
  return (commandId) =>
    Effect.flatMap(
      Effect.mapError(client.unsafe(text, [commandId]).values, failed(operation)),
      (values): Effect.Effect<ReadonlyArray<EventStore.CommandEvent>, EventStoreError> => {
        const events = recordedAll(values, { behind: 1 })
        if (Result.isFailure(events)) {
          const { globalPosition, issue } = events.failure
          const cause = new CorruptLog({ globalPosition, issue })
          return Effect.fail(new EventStoreError({ operation, issue: cause.message, retryable: false, cause }))
        }
        return Effect.succeed(
          events.success.map((event, i) => fingerprinted(event, values[i]![0] as string | null))
        )
      }
    )
}

/** Reads that end in time, also on a connection that never answers. */
export const patiently = (duration: Duration.Input) => (operation: string) => {
  const late = (): EventStoreError => {
    const patience = Duration.format(Duration.fromInputUnsafe(duration))
    return new EventStoreError({
      operation,
      reason: "Unreachable",
      issue: `no answer within ${patience}: see to the network and the server's load, or raise readTimeout`,
      retryable: true,
      cause: new Error(`No answer within ${patience}`)
    })
  }
  return <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A, E | EventStoreError> =>
    inRealTime(inTime(read, { duration, late }))
}
