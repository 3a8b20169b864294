/**
 * A dead letter says that a projection has passed over an event that it could not apply, and why: a *skipped* one stands
 * for itself, a *parked* one waits with all later ones of its stream, see `Poison`. Here they are listed, looked at,
 * replayed and discarded; the tables behind them, `composable.dead_letters` and `composable.parked_streams` in the read
 * model's database, may be read with `psql`, and are not to be changed by hand.
 *
 * All of this may be done by any process while the projection runs, or while it does not. Nothing is lost, applied twice
 * or out of its stream's order.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { isOutage, throughContention } from "./internal/failures.ts"
import { errorText } from "./internal/poison.ts"
import { schema } from "./internal/schema.ts"
import { failsAs } from "./internal/worker.ts"
import type { Part, Subscriber } from "./Lease.ts"
import { LetterMissing, LogMismatch, type ProjectionFailed, ReplayFailed, TransactionEnded } from "./ProjectionError.ts"
import type { Subscription } from "./Subscription.ts"

/** An event that a projection has passed over. */
export interface DeadLetter extends Part {
  readonly kind: "parked" | "skipped"
  /** The event's global position. */
  readonly position: bigint
  readonly streamId: string
  readonly streamVersion: number
  /** The versioned type name, `OrderPlaced.v1`. */
  readonly type: string
  readonly eventId: string
  /** Why it could not be applied when it was tried last; `undefined` when it only waits behind another of its stream. */
  readonly error: string | undefined
  /** How often it was tried on its own, replays included. */
  readonly attempts: number
  /** When the projection passed over it, by the database's clock. */
  readonly writtenAt: Date
  /** When it was tried last; `undefined` when it never was. */
  readonly failedAt: Date | undefined
}

/** A stream of which nothing is applied until its letters are replayed or discarded. */
export interface ParkedStream extends Part {
  readonly streamId: string
  readonly parkedAt: Date
  /** How many of its events wait. */
  readonly events: number
  /** Why the first of them could not be applied. */
  readonly error: string | undefined
}

interface Row {
  readonly position: bigint
  readonly partition: number
  readonly kind: "parked" | "skipped"
  readonly stream: string
  readonly stream_version: number
  readonly event_type: string
  readonly event_id: string
  readonly error: string | null
  readonly attempts: number
  readonly written_at: Date
  readonly failed_at: Date | null
}

const letters = `${schema}.dead_letters`
const streams = `${schema}.parked_streams`
const ours = "projection = $1 AND version = $2"

const letterOf = ({ name, version }: Subscriber, row: Row): DeadLetter => ({
  name,
  version,
  partition: row.partition,
  kind: row.kind,
  position: row.position,
  streamId: row.stream,
  streamVersion: row.stream_version,
  type: row.event_type,
  eventId: row.event_id,
  error: row.error ?? undefined,
  attempts: row.attempts,
  writtenAt: row.written_at,
  failedAt: row.failed_at ?? undefined
})

const query = <R extends object>({ name, version }: Subscriber, text: string, more: ReadonlyArray<unknown> = []) =>
  Effect.flatMap(PgClient.PgClient, (client) => client.unsafe<R>(text, [name, version, ...more]))

/** Which letters to list. */
export interface ListOptions {
  /** Only letters behind this global position: that of the last one of the page before. Default: from the first. */
  readonly after?: bigint | undefined
  /** How many at the most. Default 100. */
  readonly limit?: number | undefined
  /** Only those of this stream. Default: of all. */
  readonly streamId?: string | undefined
}

/** A projection's dead letters, in order of global position, page by page. */
export const list = (
  subscriber: Subscriber,
  { after = -1n, limit = 100, streamId }: ListOptions = {}
): Effect.Effect<ReadonlyArray<DeadLetter>, SqlError, PgClient.PgClient> =>
  Effect.map(
    query<Row>(
      subscriber,
      `SELECT * FROM ${letters} WHERE ${ours} AND position > $3 AND ($5::text IS NULL OR stream = $5)
       ORDER BY position LIMIT $4`,
      [after, limit, streamId ?? null]
    ),
    (rows) => rows.map((row) => letterOf(subscriber, row))
  )

/** A projection's parked streams, the longest parked first. */
export const parked = (
  subscriber: Subscriber
): Effect.Effect<ReadonlyArray<ParkedStream>, SqlError, PgClient.PgClient> =>
  Effect.map(
    query<Omit<ParkedStream, "error" | keyof Subscriber> & { readonly error: string | null }>(
      subscriber,
      `SELECT s.partition, s.stream AS "streamId", s.parked_at AS "parkedAt", w.events, f.error
       FROM ${streams} AS s, LATERAL (
         SELECT count(*)::int AS events, min(position) AS first FROM ${letters} AS l
         WHERE l.projection = s.projection AND l.version = s.version AND l.stream = s.stream AND kind = 'parked'
       ) AS w LEFT JOIN ${letters} AS f ON f.projection = $1 AND f.version = $2 AND f.position = w.first
       WHERE s.projection = $1 AND s.version = $2 ORDER BY s.parked_at, s.stream`
    ),
    (rows) =>
      rows.map(({ error, ...row }) => ({
        ...row,
        name: subscriber.name,
        version: subscriber.version,
        error: error ?? undefined
      }))
  )

const find = (subscriber: Subscriber, position: bigint) =>
  Effect.flatMap(
    query<Row>(subscriber, `SELECT * FROM ${letters} WHERE ${ours} AND position = $3`, [position]),
    ([row]) =>
      row === undefined
        ? Effect.fail(new LetterMissing({ projection: subscriber.name, version: subscriber.version, position }))
        : Effect.succeed(letterOf(subscriber, row))
  )

/** A letter's event, from the log. */
const eventOf = ({ eventId, name: projection, partition, position, version }: DeadLetter) =>
  Effect.gen(function*() {
    const log = yield* EventStore
    const { events: [event] } = yield* log.readAll({ after: position - 1n, limit: 1 })
    if (event?.eventId === eventId) return event
    return yield* new LogMismatch({ projection, version, partition, position, read: eventId, found: event?.eventId })
  })

/** A letter together with its event as the log has it; erased since, perhaps. */
export interface Inspected {
  readonly letter: DeadLetter
  readonly event: RecordedEvent
}

/** Looks at the letter at a global position. Fails with `LogMismatch` when the log has another event there. */
export const inspect = (
  subscriber: Subscriber,
  position: bigint
): Effect.Effect<Inspected, LetterMissing | LogMismatch | LogReadError | SqlError, EventStore | PgClient.PgClient> =>
  Effect.gen(function*() {
    const letter = yield* find(subscriber, position)
    return { letter, event: yield* eventOf(letter) }
  })

/** What replaying needs, besides the handlers' own requirements: the log, and the read model's database. */
type Replaying<R> = Exclude<R, SqlClient.SqlClient> | EventStore | PgClient.PgClient

/** Why a replay ends early. */
export type Stopped = ReplayFailed | LogMismatch | LogReadError | SqlError

/** Statements that look again after they have waited need a snapshot each, whatever the program prefers. */
const readCommitted = Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED")

/**
 * Unparks a stream, unless something waits behind it; tells whether nothing does. The worker cannot put an event aside
 * between the look and the commit, for it locks the same row; see `internal/poison`.
 */
const unparked = (subscriber: Subscriber, streamId: string) =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    return yield* client.withTransaction(Effect.gen(function*() {
      yield* query(subscriber, `SELECT FROM ${streams} WHERE ${ours} AND stream = $3 FOR UPDATE`, [streamId])
      const waiting = yield* query(
        subscriber,
        `SELECT FROM ${letters} WHERE ${ours} AND stream = $3 AND kind = 'parked' LIMIT 1`,
        [streamId]
      )
      if (waiting.length > 0) return false
      yield* query(subscriber, `DELETE FROM ${streams} WHERE ${ours} AND stream = $3`, [streamId])
      return true
    })).pipe(readCommitted, throughContention)
  })

/**
 * Applies a letter's event and deletes the letter, in one transaction; tells whether the letter was still there. The
 * letter goes first: two replays cannot apply it both, and where a handler rolls back, the letter is there again.
 */
const applyLetter = <R>(subscription: Subscription<R>, letter: DeadLetter, event: RecordedEvent) =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const there = "projection = $1 AND version = $2 AND position = $3 AND kind = $4"
    const which = [letter.position, letter.kind]
    return yield* client.withTransaction(Effect.gen(function*() {
      const deleted = yield* query(letter, `DELETE FROM ${letters} WHERE ${there} RETURNING position`, which)
      if (deleted.length === 0) return false
      yield* subscription.apply([event], letter)
      const intact = yield* query(
        letter,
        `SELECT WHERE pg_current_xact_id_if_assigned() IS NOT NULL
         AND NOT EXISTS (SELECT FROM ${letters} WHERE ${there})`,
        which
      )
      return intact.length === 1 ? true : yield* new TransactionEnded()
    })).pipe(
      Effect.provideService(SqlClient.SqlClient, client),
      failsAs(letter, { after: letter.position - 1n, upTo: letter.position }),
      throughContention,
      Effect.tapError((failed) =>
        isOutage(failed) ? Effect.void : query(
          letter,
          `UPDATE ${letters} SET error = $5, attempts = attempts + 1, failed_at = clock_timestamp() WHERE ${there}`,
          [...which, errorText(failed.cause)]
        )
      )
    )
  })

/** The failure of a replay that has applied so many events before. */
const failedAt = (
  { name: projection, position, streamId: stream, version }: DeadLetter,
  applied: number
) =>
({ cause }: ProjectionFailed) =>
  Effect.fail(new ReplayFailed({ projection, version, stream, position, applied, cause }))

/**
 * Applies a stream's parked events with the projection's handlers, in order, each in a transaction of its own, until none
 * is left, those included that the running projection adds meanwhile; then the stream is not parked any more. Returns how
 * many it has applied. Fails with `ReplayFailed` at the first that cannot be applied: it and those behind it stay.
 */
export const replay = <R>(
  subscription: Subscription<R>,
  streamId: string
): Effect.Effect<number, Stopped, Replaying<R>> =>
  handling(Effect.gen(function*() {
    let applied = 0
    while (true) {
      const [row] = yield* query<Row>(
        subscription,
        `SELECT * FROM ${letters} WHERE ${ours} AND stream = $3 AND kind = 'parked' ORDER BY position LIMIT 1`,
        [streamId]
      )
      if (row === undefined) {
        if (yield* unparked(subscription, streamId)) return applied
        continue
      }
      const letter = letterOf(subscription, row)
      const event = yield* eventOf(letter)
      const done = yield* Effect.catchTag(
        applyLetter(subscription, letter, event),
        "ProjectionFailed",
        failedAt(letter, applied)
      )
      if (done) applied++
    }
  }))

/**
 * Applies one skipped event with the projection's handlers, now: behind later events of its stream, which have been
 * applied long since. Fails with `LetterMissing` when there is none at this global position.
 */
export const replaySkipped = <R>(
  subscription: Subscription<R>,
  position: bigint
): Effect.Effect<void, Stopped | LetterMissing, Replaying<R>> =>
  handling(Effect.gen(function*() {
    const letter = yield* find(subscription, position)
    const missing = new LetterMissing({ projection: letter.name, version: letter.version, position })
    if (letter.kind !== "skipped") return yield* missing
    const event = yield* eventOf(letter)
    const done = yield* Effect.catchTag(
      applyLetter(subscription, letter, event),
      "ProjectionFailed",
      failedAt(letter, 0)
    )
    if (!done) return yield* missing
  }))

/** Handlers get the read model's database as `SqlClient`; what else they need is the caller's to provide. */
const handling = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect as Effect.Effect<A, E, Exclude<R, SqlClient.SqlClient>>

/**
 * Discards one letter: its event will never be applied by this version. A parked one's followers stay parked, unless it
 * was the last. Returns how many letters that were: 1 or 0.
 */
export const discard = (
  subscriber: Subscriber,
  position: bigint
): Effect.Effect<number, SqlError, PgClient.PgClient> =>
  Effect.gen(function*() {
    const [gone] = yield* query<Row>(
      subscriber,
      `DELETE FROM ${letters} WHERE ${ours} AND position = $3 RETURNING *`,
      [position]
    )
    if (gone === undefined) return 0
    if (gone.kind === "parked") yield* unparked(subscriber, gone.stream)
    return 1
  })

/**
 * Discards all letters of a stream, parked and skipped, and unparks it: the projection goes on with the events behind.
 * Returns how many letters that were.
 */
export const discardStream = (
  subscriber: Subscriber,
  streamId: string
): Effect.Effect<number, SqlError, PgClient.PgClient> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const clear = Effect.map(
      query(subscriber, `DELETE FROM ${letters} WHERE ${ours} AND stream = $3 RETURNING position`, [streamId]),
      (rows) => rows.length
    )
    return yield* client.withTransaction(Effect.gen(function*() {
      const before = yield* clear
      yield* query(subscriber, `SELECT FROM ${streams} WHERE ${ours} AND stream = $3 FOR UPDATE`, [streamId])
      // What the worker has put aside since; it adds no more until this commits.
      const since = yield* clear
      yield* query(subscriber, `DELETE FROM ${streams} WHERE ${ours} AND stream = $3`, [streamId])
      return before + since
    })).pipe(readCommitted, throughContention)
  })
