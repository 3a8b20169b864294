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
import { nameOf } from "./internal/subject.ts"
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
   * `running`: a process works on it. `waiting`: one would, but a database is away, the log's say. `stopped`: it failed and
   * has not moved since, whether or not a process tries again. `paused`: nobody shall work on it, see `Rebuild.pause`.
   * `unowned`: no process works on it.
   */
  readonly state: "running" | "waiting" | "stopped" | "paused" | "unowned"
  /** Everything up to this global position is in the read model. */
  readonly position: bigint
  /** How many positions of the log there are behind it, whether or not they hold events that matter here. */
  readonly behind: bigint
  /** How long ago the oldest of these was recorded; zero when there is none. Both clocks are databases'. */
  readonly lag: Duration.Duration
  /** Events applied per second, over about the last minute: older ones count for less and less. */
  readonly rate: number
  /** When its checkpoint last moved, by the read model's database. */
  readonly movedAt: Date
  /** The oldest event behind it, whether or not it matters here. */
  readonly next: NextEvent | undefined
  /** For how long there has been something to do, and its checkpoint has not moved; zero when there is nothing. */
  readonly stillFor: Duration.Duration
  /** The sessions whose locks the transaction waits for that applies events, or would as soon as it has the checkpoint. */
  readonly blockedBy: ReadonlyArray<Session>
  /** The process that works on it, if one does. */
  readonly owner: string | undefined
  /** The processes beside that one that run the projection, and would take over. */
  readonly standby: ReadonlyArray<string>
  /** What its process waits for because it is away, and since when. */
  readonly waitingFor: { readonly message: string; readonly since: Date } | undefined
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
  readonly rate: number
  readonly standby: ReadonlyArray<string>
  readonly waiting_for: string | null
  readonly waiting_since: Date | null
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
      `SELECT s.partition, position, moved_at, state, owner, epoch, error, failed_at, clock_timestamp() AS now,
         rate, standby, waiting_for, waiting_since, (
         SELECT json_agg(DISTINCT jsonb_build_object(
           'pid', b.pid, 'name', coalesce(b.application_name, ''), 'state', b.state))
         FROM pg_locks AS k, pg_stat_activity AS b
         WHERE k.granted AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND (
           k.locktype = 'advisory' AND k.objsubid = 1
           AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended(
             'composable-ts checkpoint ' || version || ' ' || s.partition || ' of ' || projection, 0)
           -- Who waits for a row of the checkpoints has locked its place in the queue.
           OR k.locktype = 'tuple' AND k.relation = '${schema}.checkpoints'::regclass AND EXISTS (
             SELECT FROM ${schema}.checkpoints AS c
             WHERE c.projection = $1 AND c.version = $2 AND c.partition = s.partition
               AND c.ctid = format('(%s,%s)', k.page, k.tuple)::tid
           )
         ) AND b.pid = ANY(pg_blocking_pids(k.pid))
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
        Effect.map(events.readAll({ after: row.position, limit: 1 }), ({ events: [next], head }): PartStatus => {
          const age = next === undefined ? 0 : Math.max(0, row.now.getTime() - next.recordedAt)
          return {
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
            lag: Duration.millis(age),
            stillFor: Duration.millis(Math.min(age, Math.max(0, row.now.getTime() - row.moved_at.getTime()))),
            rate: row.rate,
            owner: row.owner ?? undefined,
            standby: row.standby,
            waitingFor: row.waiting_for === null || row.waiting_since === null
              ? undefined
              : { message: row.waiting_for, since: row.waiting_since },
            pausedAt: row.paused_at ?? undefined,
            epoch: row.epoch ?? 0n,
            error: row.error === null || row.failed_at === null ? undefined : { message: row.error, at: row.failed_at },
            parkedStreams: row.parked_streams,
            parked: row.parked,
            skipped: row.skipped
          }
        })
    )
  })

/** What is wrong with some projections: nothing, when the list is empty. */
export interface Health {
  readonly healthy: boolean
  /** One sentence for each partition that is not well, with what blocks it. */
  readonly complaints: ReadonlyArray<string>
}

/** What is not well any more. */
export interface Limits {
  /** How old the oldest event may be that is not in a read model. */
  readonly maxLag: Duration.Input
  /**
   * For how long a checkpoint may stand still while there is something to do: longer than any batch takes. Default
   * {@link defaultMaxStill}.
   */
  readonly maxStill?: Duration.Input | undefined
}

/** How long a checkpoint may stand still while there is something to do, unless told otherwise. */
export const defaultMaxStill: Duration.Input = "1 minute"

/**
 * Whether projections are well: each partition has somebody who works on it, has not stopped, waits for no database, lags
 * no longer than it may, and moves while there is something to do.
 */
export const health = (
  subscribers: ReadonlyArray<Subscriber>,
  { maxLag, maxStill = defaultMaxStill }: Limits
): Effect.Effect<Health, SqlError | LogReadError, EventStore | PgClient.PgClient> =>
  Effect.map(Effect.forEach(subscribers, of), (all) => {
    const limits = { lag: Duration.fromInputUnsafe(maxLag), still: Duration.fromInputUnsafe(maxStill) }
    const complaints = all.flatMap((parts, i) =>
      parts.length === 0
        ? [`${nameOf(subscribers[i]!)} has never been run`]
        : parts.flatMap((part) => complaintOf(part, limits) ?? [])
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

const complaintOf = (
  part: PartStatus,
  limits: { readonly lag: Duration.Duration; readonly still: Duration.Duration }
): string | undefined => {
  const who = `${nameOf(part)}, partition ${part.partition},`
  const where = `at position ${part.position}, ${part.behind} behind the log's end`
  if (part.error !== undefined) return `${who} has stopped ${where}: ${part.error.message}`
  if (part.pausedAt !== undefined) return `${who} is ${where}, paused since ${part.pausedAt.toISOString()}`
  if (part.owner === undefined) return `${who} is ${where}, and no process works on it`
  if (part.waitingFor !== undefined) {
    const { message, since } = part.waitingFor
    return `${who} is ${where}, and waits since ${since.toISOString()} for a database that is away: ${message}`
  }
  const isLate = Duration.isGreaterThan(part.lag, limits.lag)
  if (!isLate && !Duration.isGreaterThan(part.stillFor, limits.still)) return undefined
  const moved = isLate
    ? `since ${part.movedAt.toISOString()}`
    : `and has not moved for ${Duration.format(part.stillFor)}`
  return `${who} is ${where}, ${moved}: the next event, ${nextOf(part)}, is ${
    Duration.format(part.lag)
  } old, and process ${part.owner} works on it${blockersOf(part)}`
}
