/**
 * How projections are doing: how far each partition is behind the log, who works on it, and why nobody does.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { schema } from "./internal/schema.ts"
import { nameOf } from "./internal/worker.ts"
import type { Part, Subscriber } from "./Lease.ts"

/** How a partition is doing. */
export interface PartStatus extends Part {
  /** Everything up to this global position is in the read model. */
  readonly position: bigint
  /** How many positions of the log there are behind it, whether or not they hold events that matter here. */
  readonly behind: bigint
  /** How long ago the oldest of these was recorded; zero when there is none. Both clocks are databases'. */
  readonly lag: Duration.Duration
  /** The process that works on it, if one does. */
  readonly owner: string | undefined
  /** Since when nobody shall work on it, see `Rebuild.pause`. */
  readonly pausedAt: Date | undefined
  /** How many take-overs there have been. */
  readonly epoch: bigint
  /** Why work on it stopped, unless the read model has moved since. */
  readonly error: { readonly message: string; readonly at: Date } | undefined
}

interface Row {
  readonly partition: number
  readonly position: bigint
  readonly owner: string | null
  readonly epoch: bigint | null
  readonly error: string | null
  readonly failed_at: Date | null
  readonly paused_at: Date | null
  readonly now: Date
}

/** The partitions of a projection; none before it was run for the first time. */
export const of = (
  { name, version }: Subscriber
): Effect.Effect<ReadonlyArray<PartStatus>, SqlError | LogReadError, EventStore | PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const events = yield* EventStore
    const rows = yield* client.unsafe<Row>(
      `SELECT c.partition, c.position, l.epoch, clock_timestamp() AS now,
         CASE WHEN l.expires_at > clock_timestamp() THEN l.owner END AS owner,
         CASE WHEN l.failed_at > c.updated_at THEN l.error END AS error, l.failed_at, v.paused_at
       FROM ${schema}.checkpoints AS c LEFT JOIN ${schema}.leases AS l USING (projection, version, partition)
         LEFT JOIN ${schema}.versions AS v USING (projection, version)
       WHERE projection = $1 AND version = $2 ORDER BY c.partition`,
      [name, version]
    )
    return yield* Effect.forEach(
      rows,
      (row) =>
        Effect.map(events.readAll({ after: row.position, limit: 1 }), ({ events: [next], head }): PartStatus => ({
          name,
          version,
          partition: row.partition,
          position: row.position,
          behind: head > row.position ? head - row.position : 0n,
          lag: Duration.millis(next === undefined ? 0 : Math.max(0, row.now.getTime() - next.recordedAt)),
          owner: row.owner ?? undefined,
          pausedAt: row.paused_at ?? undefined,
          epoch: row.epoch ?? 0n,
          error: row.error === null || row.failed_at === null ? undefined : { message: row.error, at: row.failed_at }
        }))
    )
  })

/** What is wrong with some projections: nothing, when the list is empty. */
export interface Health {
  readonly healthy: boolean
  /** One sentence for each partition that is not well, with what blocks it. */
  readonly complaints: ReadonlyArray<string>
}

/**
 * Whether projections are well: each partition has somebody who works on it, has not stopped, and lags no longer than
 * `maxLag`.
 */
export const health = (
  subscribers: ReadonlyArray<Subscriber>,
  maxLag: Duration.Input
): Effect.Effect<Health, SqlError | LogReadError, EventStore | PgClient.PgClient> =>
  Effect.map(Effect.forEach(subscribers, of), (all) => {
    const limit = Duration.fromInputUnsafe(maxLag)
    const complaints = all.flatMap((parts, i) =>
      parts.length === 0
        ? [`${nameOf(subscribers[i]!)} has never been run`]
        : parts.flatMap((part) => complaintOf(part, limit) ?? [])
    )
    return { healthy: complaints.length === 0, complaints }
  })

const complaintOf = (part: PartStatus, limit: Duration.Duration): string | undefined => {
  const who = `${nameOf(part)}, partition ${part.partition},`
  const where = `at position ${part.position}, ${part.behind} behind the log's end`
  if (part.error !== undefined) return `${who} has stopped ${where}: ${part.error.message}`
  if (part.pausedAt !== undefined) return `${who} is ${where}, paused since ${part.pausedAt.toISOString()}`
  if (part.owner === undefined) return `${who} is ${where}, and no process works on it`
  if (Duration.isGreaterThan(part.lag, limit)) {
    return `${who} is ${where}: the next event is ${
      Duration.format(part.lag)
    } old, and process ${part.owner} works on it`
  }
  return undefined
}
