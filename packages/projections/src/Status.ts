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

/** A session of the read model's server that another one waits for. */
export interface Session {
  readonly pid: number
  readonly applicationName: string
  /** `active`, `idle in transaction`, …; undefined where the role may not know (grant it `pg_read_all_stats`). */
  readonly state: string | undefined
}

/** An event that is not in the read model yet. */
export interface NextEvent {
  readonly position: bigint
  readonly type: string
  readonly streamId: string
}

/** How a partition is doing. */
export interface PartStatus extends Part {
  /**
   * `running`: a process works on it. `stopped`: it failed and has not moved since, whether or not a process tries again.
   * `paused`: nobody shall work on it, see `Rebuild.pause`. `unowned`: no process works on it.
   */
  readonly state: "running" | "stopped" | "paused" | "unowned"
  /** Everything up to this global position is in the read model. */
  readonly position: bigint
  /** How many positions of the log there are behind it, whether or not they hold events that matter here. */
  readonly behind: bigint
  /** How long ago the oldest of these was recorded; zero when there is none. Both clocks are databases'. */
  readonly lag: Duration.Duration
  /** When its checkpoint last moved, by the read model's database. */
  readonly movedAt: Date
  /** The oldest event behind it, whether or not it matters here. */
  readonly next: NextEvent | undefined
  /** The sessions whose locks the transaction waits for that is applying events right now. */
  readonly blockedBy: ReadonlyArray<Session>
  /** The process that works on it, if one does. */
  readonly owner: string | undefined
  /** Since when nobody shall work on it, see `Rebuild.pause`. */
  readonly pausedAt: Date | undefined
  /** How many take-overs there have been. */
  readonly epoch: bigint
  /** Why work on it stopped, unless the read model has moved since. */
  readonly error: { readonly message: string; readonly at: Date } | undefined
  /** How many streams are parked: nothing of theirs is applied until somebody replays or discards, see `DeadLetter`. */
  readonly parkedStreams: number
  /** How many events wait in them. */
  readonly parked: number
  /** How many events were skipped, and neither replayed nor discarded since. */
  readonly skipped: number
}

interface Row {
  readonly partition: number
  readonly position: bigint
  readonly owner: string | null
  readonly epoch: bigint | null
  readonly error: string | null
  readonly failed_at: Date | null
  readonly parked_streams: number
  readonly parked: number
  readonly skipped: number
  readonly paused_at: Date | null
  readonly now: Date
  readonly state: PartStatus["state"]
  readonly moved_at: Date
  readonly blockers:
    | ReadonlyArray<{ readonly pid: number; readonly name: string; readonly state: string | null }>
    | null
}

/** The partitions of a projection; none before it was run for the first time. */
export const of = (
  { name, version }: Subscriber
): Effect.Effect<ReadonlyArray<PartStatus>, SqlError | LogReadError, EventStore | PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const events = yield* EventStore
    const rows = yield* client.unsafe<Row>(
      `SELECT s.partition, position, moved_at, state, owner, epoch, error, failed_at, clock_timestamp() AS now, (
         SELECT json_agg(json_build_object('pid', b.pid, 'name', coalesce(b.application_name, ''), 'state', b.state))
         FROM pg_locks AS k, pg_stat_activity AS b
         WHERE k.locktype = 'advisory' AND k.objsubid = 1 AND k.granted
           AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended(
             'composable-ts checkpoint ' || version || ' ' || s.partition || ' of ' || projection, 0)
           AND b.pid = ANY(pg_blocking_pids(k.pid))
       ) AS blockers,
         (SELECT count(*)::int FROM ${schema}.parked_streams AS p WHERE p.projection = $1 AND p.version = $2
           AND p.partition = s.partition) AS parked_streams, letters.parked, letters.skipped, paused_at
       FROM ${schema}.projection_status AS s, LATERAL (
         SELECT count(*) FILTER (WHERE kind = 'parked')::int AS parked,
           count(*) FILTER (WHERE kind = 'skipped')::int AS skipped
         FROM ${schema}.dead_letters AS d WHERE d.projection = $1 AND d.version = $2 AND d.partition = s.partition
       ) AS letters
       WHERE projection = $1 AND version = $2 ORDER BY s.partition`,
      [name, version]
    )
    return yield* Effect.forEach(
      rows,
      (row) =>
        Effect.map(events.readAll({ after: row.position, limit: 1 }), ({ events: [next], head }): PartStatus => ({
          name,
          version,
          partition: row.partition,
          state: row.state,
          position: row.position,
          movedAt: row.moved_at,
          next: next === undefined
            ? undefined
            : { position: next.globalPosition, type: next.type, streamId: next.streamId },
          blockedBy: (row.blockers ?? []).map(({ name, pid, state }) => ({
            pid,
            applicationName: name,
            state: state ?? undefined
          })),
          behind: head > row.position ? head - row.position : 0n,
          lag: Duration.millis(next === undefined ? 0 : Math.max(0, row.now.getTime() - next.recordedAt)),
          owner: row.owner ?? undefined,
          pausedAt: row.paused_at ?? undefined,
          epoch: row.epoch ?? 0n,
          error: row.error === null || row.failed_at === null ? undefined : { message: row.error, at: row.failed_at },
          parkedStreams: row.parked_streams,
          parked: row.parked,
          skipped: row.skipped
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

const nextOf = ({ next }: PartStatus): string =>
  next === undefined ? "none" : `${next.type} of ${next.streamId} at ${next.position}`

const blockersOf = ({ blockedBy }: PartStatus): string =>
  blockedBy.length === 0 ?
    "" :
    `; its transaction waits for ${
      blockedBy.map(({ applicationName, pid, state }) =>
        `pid ${pid} (${applicationName === "" ? "unnamed" : applicationName}, ${state ?? "state unknown"})`
      ).join(" and ")
    }: end that one's transaction, or terminate it with pg_terminate_backend`

const complaintOf = (part: PartStatus, limit: Duration.Duration): string | undefined => {
  const who = `${nameOf(part)}, partition ${part.partition},`
  const where = `at position ${part.position}, ${part.behind} behind the log's end`
  if (part.error !== undefined) return `${who} has stopped ${where}: ${part.error.message}`
  if (part.pausedAt !== undefined) return `${who} is ${where}, paused since ${part.pausedAt.toISOString()}`
  if (part.owner === undefined) return `${who} is ${where}, and no process works on it`
  if (Duration.isGreaterThan(part.lag, limit)) {
    return `${who} is ${where}, since ${part.movedAt.toISOString()}: the next event, ${nextOf(part)}, is ${
      Duration.format(part.lag)
    } old, and process ${part.owner} works on it${blockersOf(part)}`
  }
  return undefined
}
