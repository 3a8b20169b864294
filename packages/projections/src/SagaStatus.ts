/**
 * How sagas are doing: how many instances are open, which have not moved for long, what of their effects was given up,
 * and which inputs they refused.
 *
 * What is open and when it last moved is a read model, which the saga keeps as it follows the log; what is under way and
 * what was given up comes from the outbox, where it is revived or discarded, too.
 */
import type * as AggregateStore from "@composable-ts/core/AggregateStore"
import { EventStore } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import { type ListedEntry, Outbox, type OutboxError } from "@composable-ts/core/Outbox"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Refusals from "./internal/refusals.ts"
import * as Tables from "./internal/sagaSchema.ts"
import { LogMismatch } from "./ProjectionError.ts"
import * as Saga from "./Saga.ts"
import * as Status from "./Status.ts"

/** Which saga. Any {@link Saga.Saga} is one. */
export interface Watched extends Pick<Saga.Runnable<unknown>, "name"> {
  readonly aggregate: { readonly category: string }
  readonly durable: { readonly kinds: ReadonlyArray<string> }
}

/** An instance of a saga. */
export interface Instance {
  readonly instance: string
  readonly begunAt: Date
  /** When its last event was recorded. */
  readonly movedAt: Date
  /** The name of that event. */
  readonly lastEvent: string
  readonly events: bigint
  /** Whether that event is one of those with which the saga ends. */
  readonly ended: boolean
}

/** An input that an instance refused, as it was written down. It had no effect. */
export interface Refusal {
  /** The event's global position. */
  readonly position: bigint
  readonly instance: string
  readonly eventId: string
  readonly eventType: string
  readonly streamId: string
  /** The tag of the command that was refused. */
  readonly command: string
  readonly reason: string
  readonly refusedAt: Date
}

/** How a saga is doing. */
export interface SagaStatus {
  /** Instances that have not ended. */
  readonly open: number
  /** Those of them that have not moved for longer than was asked for. */
  readonly overdue: number
  readonly ended: number
  /** Inputs that were refused, and that nobody has retried or discarded. */
  readonly refused: number
  /** Effects that were given up. */
  readonly dead: number
  /** How far it has read the log, part by part. */
  readonly parts: ReadonlyArray<Status.PartStatus>
}

/** Which instances to list. */
export interface OpenOptions {
  /** Only those that have not moved for so long, by the database's clock. Default: all. */
  readonly unmovedFor?: Duration.Input | undefined
  /** Only those behind this one, in the order of the list. Default: from the first. */
  readonly after?: Pick<Instance, "movedAt" | "instance"> | undefined
  /** How many at the most. */
  readonly limit: number
}

/** Which refusals to list. */
export interface RefusedOptions {
  /** Only those behind this one, in the order of the list. Default: from the first. */
  readonly after?: Pick<Refusal, "position" | "instance"> | undefined
  /** How many at the most. */
  readonly limit: number
}

/**
 * What an instance is about.
 *
 * - `stuck`: an effect of it was given up, or an input was refused, so somebody has to look.
 * - `running`: effects of it are under way, due, or to be tried again.
 * - `waiting`: for a timer, or for an input.
 * - `ended`: its last event was one of those with which the saga ends, and nothing of it is under way.
 */
export type Standing = "stuck" | "running" | "waiting" | "ended"

/** All that is known of an instance. */
export interface Inspection extends Instance {
  readonly standing: Standing
  /** Its effects that are not completed: the first hundred. */
  readonly effects: ReadonlyArray<ListedEntry>
  /** The inputs that it refused: the first hundred. */
  readonly refused: ReadonlyArray<Refusal>
}

interface InstanceRow {
  readonly instance: string
  readonly begun_at: Date
  readonly moved_at: Date
  readonly last_event: string
  readonly events: bigint
  readonly ended: boolean
}

interface RefusalRow {
  readonly position: bigint
  readonly instance: string
  readonly event_id: string
  readonly event_type: string
  readonly stream_id: string
  readonly command: string
  readonly reason: string
  readonly refused_at: Date
}

const instanceOf = (row: InstanceRow): Instance => ({
  instance: row.instance,
  begunAt: row.begun_at,
  movedAt: row.moved_at,
  lastEvent: row.last_event,
  events: row.events,
  ended: row.ended
})

const refusalOf = (row: RefusalRow): Refusal => ({
  position: row.position,
  instance: row.instance,
  eventId: row.event_id,
  eventType: row.event_type,
  streamId: row.stream_id,
  command: row.command,
  reason: row.reason,
  refusedAt: row.refused_at
})

const instanceColumns = "instance, begun_at, moved_at, last_event, events, ended"
const refusalColumns = "position, instance, event_id, event_type, stream_id, command, reason, refused_at"

const gauge = Metric.gauge("composable_saga_instances", {
  description: "Instances of sagas, by saga and standing, as of the last look at the status"
})

/** How a saga is doing. It counts, so it is for operators. Instances that have not moved for `overdue` count as such. */
export const of = (
  saga: Watched,
  overdue: Duration.Input
): Effect.Effect<
  SagaStatus,
  SqlError | LogReadError | OutboxError,
  EventStore | Outbox | PgClient.PgClient
> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const outbox = yield* Outbox
    const [row] = yield* client.unsafe<{ open: number; overdue: number; ended: number; refused: number }>(
      `SELECT (count(*) FILTER (WHERE NOT ended))::int AS open, (count(*) FILTER (WHERE ended))::int AS ended,
         (count(*) FILTER (
           WHERE NOT ended AND moved_at < clock_timestamp() - $2::float8 * interval '1 millisecond'
         ))::int AS overdue,
         (SELECT count(*)::int FROM ${Tables.refusals} WHERE saga = $1) AS refused
       FROM ${Tables.instances} WHERE saga = $1`,
      [saga.name, Duration.toMillis(overdue)]
    )
    const kinds = new Set(saga.durable.kinds)
    const counts = (yield* outbox.counts).filter(({ kind }) => kinds.has(kind))
    const status: SagaStatus = {
      ...row!,
      dead: counts.reduce((sum, { dead }) => sum + dead, 0),
      parts: yield* Status.of(Saga.subscriber(saga))
    }
    for (const standing of ["open", "overdue", "ended"] as const) {
      yield* Metric.update(Metric.withAttributes(gauge, { saga: saga.name, standing }), status[standing])
    }
    return status
  })

/** Instances that have not ended, those that have not moved for longest first. */
export const open = (
  saga: Watched,
  { after, limit, unmovedFor = 0 }: OpenOptions
): Effect.Effect<ReadonlyArray<Instance>, SqlError, PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const rows = yield* client.unsafe<InstanceRow>(
      `SELECT ${instanceColumns} FROM ${Tables.instances}
       WHERE saga = $1 AND NOT ended AND moved_at <= clock_timestamp() - $2::float8 * interval '1 millisecond'
         AND ($3::timestamptz IS NULL OR (moved_at, instance) > ($3, $4::text))
       ORDER BY moved_at, instance LIMIT $5`,
      [saga.name, Duration.toMillis(unmovedFor), after?.movedAt ?? null, after?.instance ?? null, limit]
    )
    return rows.map(instanceOf)
  })

/** Inputs that were refused, in the order of the log. */
export const refused = (
  saga: Watched,
  { after, limit }: RefusedOptions
): Effect.Effect<ReadonlyArray<Refusal>, SqlError, PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const rows = yield* client.unsafe<RefusalRow>(
      `SELECT ${refusalColumns} FROM ${Tables.refusals}
       WHERE saga = $1 AND (position, instance) > ($2::bigint, $3::text) ORDER BY position, instance LIMIT $4`,
      [saga.name, after?.position ?? 0n, after?.instance ?? "", limit]
    )
    return rows.map(refusalOf)
  })

/** Forgets refused inputs that somebody has seen to; says how many of these there were. */
export const discard = (
  saga: Watched,
  refusals: ReadonlyArray<Pick<Refusal, "position" | "instance">>
): Effect.Effect<number, SqlError, PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const rows = yield* client.unsafe(
      `DELETE FROM ${Tables.refusals} AS r USING unnest($2::bigint[], $3::text[]) AS gone(position, instance)
       WHERE r.saga = $1 AND r.position = gone.position AND r.instance = gone.instance RETURNING r.position`,
      [saga.name, refusals.map(({ position }) => position), refusals.map(({ instance }) => instance)]
    )
    return rows.length
  })

/** What {@link retry} came to for one input. */
export interface Retried extends Pick<Refusal, "position" | "instance"> {
  /** Only what was `refused` once more is listed still, with the new reason; see {@link Saga.Again}. */
  readonly outcome: Saga.Again["outcome"]
}

/**
 * Hands refused inputs to their instances once more, when the saga's code was mended: in order of position, one after the
 * other, here and now, whether the saga runs or not. Those that nobody has written down any more are left out.
 *
 * An input so takes effect once, however often it is tried, by several at the same time, or delivered by the log again:
 * it has the command id that it had. When it does it comes behind whatever its instance has handled since, and before
 * what is yet to come: it is decided on the state as it is now, and what was decided in the meantime stays as it is. If
 * later inputs should have waited for it, declare `refused: "stop"` instead.
 *
 * Of an instance that was erased it is refused again. It fails, leaving this one and those behind it as they are, when
 * the event does not decode or the aggregate throws.
 */
export const retry = <S, C extends { readonly _tag: string }, E extends { readonly _tag: string }, R, N>(
  saga: Saga.Saga<S, C, E, R, N>,
  refusals: ReadonlyArray<Pick<Refusal, "position" | "instance">>
): Effect.Effect<
  ReadonlyArray<Retried>,
  SqlError | LogReadError | LogMismatch | Saga.ReceiveError,
  AggregateStore.DurableNeeds<N> | EventStore | PgClient.PgClient
> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const log = yield* EventStore
    const { again } = yield* Saga.make(saga, () => Effect.void)
    const rows = yield* client.unsafe<Pick<RefusalRow, "position" | "instance" | "event_id">>(
      `SELECT r.position, r.instance, r.event_id FROM ${Tables.refusals} AS r
       JOIN (SELECT DISTINCT * FROM unnest($2::bigint[], $3::text[])) AS asked(position, instance)
         USING (position, instance)
       WHERE r.saga = $1 ORDER BY r.position, r.instance`,
      [saga.name, refusals.map(({ position }) => position), refusals.map(({ instance }) => instance)]
    )
    const retried: Array<Retried> = []
    for (const { event_id: read, instance, position } of rows) {
      const { events: [recorded] } = yield* log.readAll({ after: position - 1n, limit: 1 })
      if (recorded?.globalPosition !== position || recorded.eventId !== read) {
        const { name: projection, version } = Saga.subscriber(saga)
        return yield* new LogMismatch({ projection, version, partition: 0, position, read, found: recorded?.eventId })
      }
      const given = yield* again(recorded, instance)
      yield* given.outcome === "refused"
        ? Effect.provideService(Refusals.restate(saga.name, { position, instance }, given.reason), SqlClient, client)
        : discard(saga, [{ position, instance }])
      retried.push({ position, instance, outcome: given.outcome })
    }
    return retried
  })

/** Effects of a saga's instances that were given up, in the order of the log. `Outbox.revive` tries one again. */
export const dead = (
  saga: Watched,
  options: { readonly after?: ListedEntry | undefined; readonly limit: number }
): Effect.Effect<ReadonlyArray<ListedEntry>, OutboxError, Outbox> =>
  Effect.flatMap(Outbox, (outbox) => outbox.list({ ...options, status: "dead", kinds: saga.durable.kinds }))

const shown = 100

const standingOf = (
  { ended }: Instance,
  effects: ReadonlyArray<ListedEntry>,
  refused: ReadonlyArray<Refusal>
): Standing => {
  if (refused.length > 0 || effects.some(({ status }) => status === "dead")) return "stuck"
  if (effects.some(({ status }) => status !== "waiting")) return "running"
  return ended ? "ended" : "waiting"
}

/** All that is known of an instance; nothing for one that the saga's read model does not have, yet or any more. */
export const inspect = (
  saga: Watched,
  instance: string
): Effect.Effect<Inspection | undefined, SqlError | OutboxError, Outbox | PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const outbox = yield* Outbox
    const [row] = yield* client.unsafe<InstanceRow>(
      `SELECT ${instanceColumns} FROM ${Tables.instances} WHERE saga = $1 AND instance = $2`,
      [saga.name, instance]
    )
    if (row === undefined) return undefined
    const rows = yield* client.unsafe<RefusalRow>(
      `SELECT ${refusalColumns} FROM ${Tables.refusals} WHERE saga = $1 AND instance = $2 ORDER BY position LIMIT $3`,
      [saga.name, instance, shown]
    )
    const of = instanceOf(row)
    const refused = rows.map(refusalOf)
    const streamId = `${saga.aggregate.category}-${instance}`
    const effects = yield* outbox.list({ streamId, limit: shown })
    return { ...of, refused, effects, standing: standingOf(of, effects, refused) }
  })

/** When a saga is not well any more. */
export interface Limits {
  /** How old the oldest event may be that a part has not read. */
  readonly maxLag: Duration.Input
  /** For how long an instance may stay open without moving: longer than the saga's longest timer. */
  readonly overdue: Duration.Input
}

/** What is wrong with some sagas; nothing, when the list is empty. */
export const health = (
  sagas: ReadonlyArray<Watched>,
  { maxLag, overdue }: Limits
): Effect.Effect<
  Status.Health,
  SqlError | LogReadError | OutboxError,
  EventStore | Outbox | PgClient.PgClient
> =>
  Effect.gen(function*() {
    const { complaints: reading } = yield* Status.health(sagas.map(Saga.subscriber), { maxLag })
    const others = yield* Effect.forEach(sagas, (saga) => Effect.map(of(saga, overdue), complaintsOf(saga, overdue)))
    const complaints = [...reading, ...others.flat()]
    return { healthy: complaints.length === 0, complaints }
  })

const complaintsOf = ({ name }: Watched, limit: Duration.Input) => (status: SagaStatus): ReadonlyArray<string> => [
  ...(status.dead > 0 ? [`Saga ${name}: ${status.dead} effects were given up; revive or discard them`] : []),
  ...(status.refused > 0 ? [`Saga ${name}: ${status.refused} inputs were refused; retry or discard them`] : []),
  ...(status.overdue > 0
    ? [
      `Saga ${name}: ${status.overdue} instances have not moved for ${Duration.format(Duration.fromInputUnsafe(limit))}`
    ]
    : [])
]
