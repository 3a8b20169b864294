/**
 * What a worker does with events that cannot be applied, and with those that queue behind them.
 *
 * A stream is parked as long as it has a row in `parked_streams`; its events wait in `dead_letters`. The worker knows
 * the parked streams of its partition by heart, so that a page costs nothing more while there are none. That is exact,
 * although others change the table, because it errs on one side only:
 *
 * - *Nobody parks but the owner.* Rows are only added by a transaction that also moves the checkpoint, so by the owner of
 *   its epoch. A new owner asks for them after it has raised the fence: from then on no earlier owner's transaction
 *   commits. So a stream that the worker does not know to be parked is not.
 * - *Anybody unparks*, by a replay or a discard. So a stream that the worker believes to be parked may not be. Before it
 *   puts an event aside it locks the stream's row, until its own commit. Who unparks locks that row, too, and only then
 *   looks whether something waits. Either the unparking commits first: the worker finds no row, and applies the event,
 *   behind all that was replayed. Or the worker commits first: who would unpark finds the event among what waits.
 *
 * A replay deletes a letter in the transaction that applies its event, without the stream's lock; so the worker never
 * waits for a replay's handlers. One that dies when it has applied the last letter leaves a row with nothing behind it:
 * the stream is as good as unparked, and whoever locks the row next removes it.
 *
 * Locks are taken in one order by all: letters, the stream's row, the read model. A replay takes no lock on the row while
 * it has one on the read model.
 *
 * Under a stricter isolation than READ COMMITTED, a row that was removed since the transaction began is a serialization
 * failure, and the transaction is tried again; a letter that was replayed since still looks as if it waited, so the event
 * queues behind it, where the replay, which must lock the row before it may unpark, finds it.
 */
import type { LogPage } from "@composable-ts/core/EventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import { isReadonlyArrayNonEmpty as isNonEmpty } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Latch from "effect/Latch"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Mark } from "../Checkpoint.ts"
import type { Held, Subscriber } from "../Lease.ts"
import { ProjectionFailed, TransactionEnded } from "../ProjectionError.ts"
import type { Subscription } from "../Subscription.ts"
import { partKey } from "./assignment.ts"
import { explain } from "./explain.ts"
import { isBlameless, isIndivisible } from "./failures.ts"
import { schema } from "./schema.ts"

/** Forgets all dead letters of a subscriber, in the caller's transaction. */
export const forget = ({ name, version }: Subscriber): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.andThen(
      sql.unsafe(`DELETE FROM ${schema}.dead_letters WHERE projection = $1 AND version = $2`, [name, version]),
      Effect.asVoid(
        sql.unsafe(`DELETE FROM ${schema}.parked_streams WHERE projection = $1 AND version = $2`, [name, version])
      )
    ))

/** How many streams of each part of some subscribers are parked, by the part as a text; parts with none are left out. */
export const parkedStreams = (
  subscribers: ReadonlyArray<Subscriber>
): Effect.Effect<ReadonlyMap<string, number>, SqlError, SqlClient.SqlClient> =>
  Effect.map(
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      sql.unsafe<{ name: string; version: number; partition: number; count: number }>(
        `SELECT p.projection AS name, p.version, p.partition, count(*)::int AS count
         FROM ${schema}.parked_streams AS p JOIN unnest($1::text[], $2::int[]) AS s(name, version)
           ON p.projection = s.name AND p.version = s.version GROUP BY 1, 2, 3`,
        [
          subscribers.map(({ name }) =>
            name
          ),
          subscribers.map(({ version }) => version)
        ]
      )),
    (rows) => new Map(rows.map(({ count, ...part }) => [partKey(part), count]))
  )

/** An error as a letter keeps it. */
export const errorText = (error: unknown): string => explain(error).replaceAll("\0", "").slice(0, 10_000)

/** An event that failed by itself, at the end of a page of one position. */
export interface Failure<in R, out S> {
  readonly failed: ProjectionFailed
  readonly page: LogPage
  readonly leaving: Latch.Latch
  /** Moves the checkpoint over the page and does this in the same transaction; `undefined` when it was not there. */
  readonly pass: <E>(
    deed: Effect.Effect<unknown, E, R | SqlClient.SqlClient>
  ) => Effect.Effect<Mark | undefined, ProjectionFailed, S>
}

/** Whether a failure is no reason to pass over the event, and stops the projection whatever its policy. */
const isFinal = (failed: ProjectionFailed): boolean => isBlameless(failed) || isIndivisible(failed)

/** How long to be silent after a line about a failing event. */
const silence = 1_000

/** Logs the first of many lines, and then one now and again, which tells how many were left out. */
const sparingly = () => {
  let next = -Infinity
  let unsaid = 0
  return (line: string): Effect.Effect<void> =>
    Effect.clockWith((clock) => {
      const now = clock.currentTimeMillisUnsafe()
      if (now < next) return Effect.sync(() => void unsaid++)
      const more = unsaid === 0 ? "" : ` (and ${unsaid} such lines more since the last one)`
      next = now + silence
      unsaid = 0
      return Effect.logWarning(line + more)
    })
}

/** What one worker needs, for as long as it holds its lease. */
export const make = <R>(subscription: Subscription<R>, held: Held, who: string) => {
  const { name, partition, version } = held
  const { poison, retry } = subscription
  const key = [name, version] as const
  /** All parked streams of the partition, and maybe some that are not parked any more. */
  const parked = new Set<string>()
  const say = sparingly()

  const query = <Row extends object>(text: string, more: ReadonlyArray<unknown>) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe<Row>(text, [...key, ...more]))

  /** To be asked behind each claim of the checkpoint, and before anything else. */
  const load = Effect.map(
    query<{ readonly stream: string }>(
      `SELECT stream FROM ${schema}.parked_streams WHERE projection = $1 AND version = $2 AND partition = $3`,
      [partition]
    ),
    (rows) => {
      parked.clear()
      for (const { stream } of rows) parked.add(stream)
    }
  )

  const write = (
    kind: "parked" | "skipped",
    events: ReadonlyArray<RecordedEvent>,
    error: string | null,
    tries: number
  ) =>
    query(
      `INSERT INTO ${schema}.dead_letters AS letter (
         projection, version, position, partition, kind, stream, stream_version, event_type, event_id,
         error, attempts, failed_at
       )
       SELECT $1::text, $2::int, e.position, $3::int, $4::text, e.stream, e.version, e.type, e.id, $5::text, $6::int,
         CASE WHEN $6::int > 0 THEN clock_timestamp() END
       FROM unnest($7::bigint[], $8::text[], $9::int[], $10::text[], $11::uuid[])
         AS e(position, stream, version, type, id)
       ON CONFLICT (projection, version, position) DO UPDATE SET kind = excluded.kind, error = excluded.error,
         attempts = letter.attempts + excluded.attempts, failed_at = excluded.failed_at`,
      [
        partition,
        kind,
        error,
        tries,
        events.map(({ globalPosition }) => globalPosition),
        events.map(({ streamId }) => streamId),
        events.map(({ version }) => version),
        events.map(({ type }) => type),
        events.map(({ eventId }) => eventId)
      ]
    )

  /** Locks those of these streams that are parked, and still have something to wait for. */
  const waiting = (streams: ReadonlyArray<string>) =>
    Effect.gen(function*() {
      const rows = yield* query<{ readonly stream: string }>(
        `SELECT stream FROM ${schema}.parked_streams
         WHERE projection = $1 AND version = $2 AND stream = ANY($3::text[]) FOR UPDATE`,
        [streams]
      )
      const locked = new Set(rows.map(({ stream }) => stream))
      // Nobody else parks, so what is not parked now stays so, whatever becomes of this transaction.
      for (const stream of streams) if (!locked.has(stream)) parked.delete(stream)
      if (locked.size === 0) return locked
      const empty = yield* query<{ readonly stream: string }>(
        `DELETE FROM ${schema}.parked_streams AS s WHERE projection = $1 AND version = $2 AND stream = ANY($3::text[])
         AND NOT EXISTS (
           SELECT FROM ${schema}.dead_letters AS l
           WHERE l.projection = $1 AND l.version = $2 AND l.stream = s.stream AND kind = 'parked'
         ) RETURNING stream`,
        [[...locked]]
      )
      // They stay in `parked`: if this transaction does not commit, they are.
      for (const { stream } of empty) locked.delete(stream)
      return locked
    })

  /** Puts aside, in the caller's transaction, what is not to be applied; returns the rest. */
  const divide = (events: ReadonlyArray<RecordedEvent>) =>
    Effect.gen(function*() {
      const erased = events.filter(Tombstone.is).map(({ streamId }) => streamId)
      if (erased.length > 0) {
        // What waits is erased, and nothing of it left to be applied: the tombstone is not kept waiting behind it.
        yield* query(
          `DELETE FROM ${schema}.dead_letters WHERE projection = $1 AND version = $2 AND stream = ANY($3::text[])`,
          [erased]
        )
      }
      const concerned = new Set<string>()
      if (parked.size > 0) { for (const { streamId } of events) if (parked.has(streamId)) concerned.add(streamId) }
      if (concerned.size === 0) return events
      const aside = yield* waiting([...concerned])
      if (aside.size === 0) return events
      yield* write("parked", events.filter(({ streamId }) => aside.has(streamId)), null, 0)
      return events.filter(({ streamId }) => !aside.has(streamId))
    })

  /**
   * A handler that swallows an error, or ends the transaction, must not be taken for one that succeeded. Without the
   * transaction there is no id of one, or the checkpoint is not where it was moved to; that it is gone is told later.
   */
  const intact = ({ position }: LogPage) =>
    Effect.flatMap(
      query(
        `SELECT WHERE pg_current_xact_id_if_assigned() IS NOT NULL AND NOT EXISTS (
           SELECT FROM ${schema}.checkpoints WHERE projection = $1 AND version = $2 AND partition = $3
           AND position <> $4
         )`,
        [partition, position]
      ),
      (rows) => rows.length === 1 ? Effect.void : Effect.fail(new TransactionEnded())
    )

  /** Applies a page's events in the caller's transaction, which has moved the checkpoint; or puts them aside. */
  const apply = (page: LogPage): Effect.Effect<void, unknown, R | SqlClient.SqlClient> =>
    page.events.length === 0 ? Effect.void : Effect.flatMap(
      divide(page.events),
      (events) => isNonEmpty(events) ? Effect.andThen(subscription.apply(events, held), intact(page)) : Effect.void
    )

  const record = (event: RecordedEvent, { cause }: ProjectionFailed, tries: number) => {
    const error = errorText(cause)
    if (poison._tag === "Skip") return write("skipped", [event], error, tries)
    // Before the commit, for it may be a stream too many, but never one too few.
    parked.add(event.streamId)
    return Effect.andThen(
      query(
        `INSERT INTO ${schema}.parked_streams AS s (projection, version, partition, stream) VALUES ($1, $2, $3, $4)
         ON CONFLICT (projection, version, stream) DO UPDATE SET partition = s.partition`,
        [partition, event.streamId]
      ),
      write("parked", [event], error, tries)
    )
  }

  /** Tries the event again as long as the schedule says so, and then does what the policy says. */
  const settle = <S>(
    { failed, leaving, page, pass }: Failure<R, S>
  ): Effect.Effect<Mark | undefined, ProjectionFailed, S> => {
    const event = page.events[0]
    if (event === undefined || isFinal(failed)) return Effect.fail(failed)
    const which = `${who}: the event at global position ${page.position}, ${event.type} of stream ${event.streamId},`
    let tries = 0
    const again = Effect.suspend(() => tries++ === 0 ? Effect.fail(failed) : pass(apply(page))).pipe(
      Effect.retry({
        schedule: Schedule.tap(
          retry,
          ({ input }) => say(`${which} could not be applied, and is tried again: ${explain(input.cause)}`)
        ),
        while: (error) => !isFinal(error)
      })
    )
    // Who shall leave does not wait for the schedule; what is under way is rolled back.
    return Effect.raceFirst(again, Effect.as(leaving.await, undefined)).pipe(
      Effect.catchTag("ProjectionFailed", (last) => {
        if (poison._tag === "Stop" || isFinal(last)) return Effect.fail(last)
        return pass(record(event, last, tries)).pipe(
          Effect.mapError((unwritten) =>
            isBlameless(unwritten) ? unwritten : new ProjectionFailed({
              projection: name,
              version,
              after: unwritten.after,
              upTo: unwritten.upTo,
              cause: new Error(`${explain(last.cause)}; and its dead letter could not be written`, {
                cause: unwritten.cause
              })
            })
          ),
          Effect.tap(() =>
            say(
              `${which} could not be applied ${tries === 1 ? "once" : `${tries} times`} and ` +
                `${poison._tag === "Skip" ? "is skipped" : "its stream is parked"}: ${explain(last.cause)}`
            )
          )
        )
      })
    )
  }

  return { load, apply, settle }
}
