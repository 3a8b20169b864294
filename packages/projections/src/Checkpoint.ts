/**
 * A checkpoint says how far a subscriber has read the log, one for each partition. It lives in the read model's database
 * and moves in the very transaction that changes the read model, so the two cannot disagree.
 *
 * Two things guard it. The *fence*: it carries an epoch, raised by each new owner before it reads on ({@link
 * Service.claim}), and moves only for the owner of that epoch and only from where that owner believes it to be ({@link
 * Service.advance}). So a process that was stopped, thought dead and replaced can finish its work as often as it likes:
 * its transaction does not commit. And the *identity* of the log: it carries the id of the event at its position. A log
 * that was restored to an earlier state, or is another one, has another event there, or none. Where all partitions stand at
 * the beginning, the id of the log's first event tells ({@link Service.identify}).
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { rateAt, rateOver, schema } from "./internal/schema.ts"
import type { Held, Part, Subscriber } from "./Lease.ts"
import { CheckpointMissing, LeaseLost } from "./ProjectionError.ts"

/** A place in the log. */
export interface Mark {
  /** Everything up to this global position was read. */
  readonly position: bigint
  /** The id of the event there; `undefined` at the log's beginning, and where nobody has kept it. */
  readonly eventId: string | undefined
}

/** The mark before the first event. */
export const beginning: Mark = { position: 0n, eventId: undefined }

/** Where a checkpoint is moved. */
export interface Step extends Mark {
  /** How many events were applied on the way, for the rate that `Status` tells. Default 0. */
  readonly events?: number | undefined
}

/** A partition's checkpoint. */
export interface Checkpoint extends Mark {
  readonly partition: number
}

/** The checkpoints of a database. */
export interface Service {
  /** The subscriber's checkpoints by partition; none before {@link Service.begin}. */
  readonly read: (subscriber: Subscriber) => Effect.Effect<ReadonlyArray<Checkpoint>, SqlError>
  /**
   * Makes a subscriber's checkpoints in the caller's transaction, unless they are there. Tells whether it made them. One
   * that comes second waits until the first commits.
   */
  readonly begin: (subscriber: Subscriber, partitions: number, from: Mark) => Effect.Effect<boolean, SqlError>
  /**
   * Raises the fence: from now on only the owner of this lease, or of a later one, moves the checkpoint. Fails when a
   * later owner has claimed it. It does not wait for a transaction that an earlier owner has left open, however long:
   * that one's session is ended.
   */
  readonly claim: (held: Held) => Effect.Effect<Mark, LeaseLost | CheckpointMissing | SqlError>
  /**
   * Keeps all checkpoints of a subscriber from moving until the caller's transaction ends. It does not wait for a
   * transaction that an owner has left open, however long: that one's session is ended, its work rolled back.
   */
  readonly seize: (subscriber: Subscriber) => Effect.Effect<ReadonlyArray<Checkpoint>, SqlError>
  /**
   * Moves the checkpoint in the caller's transaction, in which nothing has been written so far. Tells whether it did: if
   * not, the owner was replaced, or the checkpoint is not where the owner believes, and the transaction must not commit.
   */
  readonly advance: (held: Held, from: Mark, to: Step) => Effect.Effect<boolean, SqlError>
  /**
   * The id of the first event of the log that the subscriber reads: the one given, if it is the first to be given.
   * `undefined` without checkpoints.
   */
  readonly identify: (subscriber: Subscriber, firstEventId: string) => Effect.Effect<string | undefined, SqlError>
}

/** The checkpoints, as a service. */
export class Checkpoints extends Context.Service<Checkpoints, Service>()(
  "@composable-ts/projections/Checkpoints"
) {}

const table = `${schema}.checkpoints`

/**
 * Marks a transaction that moves a checkpoint, for who has to end it. A lock only in name: it is shared, is held to the
 * transaction's end, and nobody waits for it.
 */
const marker = ({ name, partition, version }: Part): string =>
  `composable-ts checkpoint ${version} ${partition} of ${name}`

/** The sessions whose transactions have moved a checkpoint; `$1` is its {@link marker}. */
const marked = `locktype = 'advisory' AND objsubid = 1 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32 | objid::bigint) = hashtextextended($1, 0)`

/**
 * Whether a transaction that has moved this checkpoint is under way, and the server has done anything for it within this
 * time, or is about to. Without `track_activities` every one that is under way counts as such.
 */
export const isAtWork = (
  sql: SqlClient.SqlClient,
  part: Part,
  within: Duration.Duration
): Effect.Effect<boolean, SqlError> =>
  Effect.map(
    sql.unsafe(
      `SELECT FROM pg_locks JOIN pg_stat_activity AS session USING (pid)
       WHERE ${marked} AND (state NOT LIKE 'idle%'
         OR state_change > clock_timestamp() - $2::float8 * interval '1 millisecond')`,
      [marker(part), Duration.toMillis(within)]
    ),
    (rows) => rows.length > 0
  )

/** How long to wait for an earlier owner's transaction before its session is ended. */
const patience = "1s"

/** The checkpoints of the `SqlClient`'s database. */
export const make: Effect.Effect<Service, never, SqlClient.SqlClient> = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient

  const read: Service["read"] = ({ name, version }) =>
    Effect.map(
      sql.unsafe<{ readonly partition: number; readonly position: bigint; readonly event_id: string | null }>(
        `SELECT partition, position, event_id FROM ${table} WHERE projection = $1 AND version = $2 ORDER BY partition`,
        [name, version]
      ),
      (rows) =>
        rows.map(({ event_id, partition, position }) => ({ partition, position, eventId: event_id ?? undefined }))
    )

  const begin: Service["begin"] = ({ name, version }, partitions, { eventId, position }) =>
    Effect.map(
      sql.unsafe(
        `INSERT INTO ${table} (projection, version, partition, position, event_id)
         SELECT $1::text, $2::int, partition, $4::bigint, $5::uuid FROM generate_series(0, $3::int - 1) AS partition
         ON CONFLICT DO NOTHING RETURNING partition`,
        [name, version, partitions, position, eventId ?? null]
      ),
      (rows) => rows.length > 0
    )

  const raise = ({ epoch, name, partition, version }: Held) =>
    sql.withTransaction(Effect.gen(function*() {
      yield* sql.unsafe(`SET LOCAL lock_timeout = '${patience}'`)
      return yield* sql.unsafe<{ readonly position: bigint; readonly event_id: string | null }>(
        `UPDATE ${table} SET epoch = $4 WHERE projection = $1 AND version = $2 AND partition = $3 AND epoch <= $4
         RETURNING position, event_id`,
        [name, version, partition, epoch]
      )
    }))

  const endEarlier = (held: Part) =>
    sql.unsafe<{ readonly pid: number }>(
      `SELECT pid FROM pg_locks, pg_terminate_backend(pid) AS ended
       WHERE ${marked} AND pid <> pg_backend_pid() AND ended`,
      [marker(held)]
    )

  const claim: Service["claim"] = (held) =>
    Effect.catchIf(
      Effect.flatMap(raise(held), ([row]) => {
        const { epoch, name, partition, version } = held
        if (row !== undefined) return Effect.succeed({ position: row.position, eventId: row.event_id ?? undefined })
        return Effect.flatMap(read(held), (checkpoints) =>
          Effect.fail(
            checkpoints.some((checkpoint) => checkpoint.partition === partition)
              ? new LeaseLost({ projection: name, version, partition, epoch })
              : new CheckpointMissing({ projection: name, version })
          ))
      }),
      (error): error is SqlError => isSqlError(error) && error.reason._tag === "LockTimeoutError",
      () => Effect.andThen(endEarlier(held), Effect.suspend(() => claim(held)))
    )

  const lockAll = ({ name, version }: Subscriber) =>
    sql.withTransaction(Effect.andThen(
      sql.unsafe(`SET LOCAL lock_timeout = '${patience}'`),
      sql.unsafe(
        `SELECT FROM ${table} WHERE projection = $1 AND version = $2 ORDER BY partition FOR NO KEY UPDATE`,
        [name, version]
      )
    ))

  const seize: Service["seize"] = (subscriber) =>
    Effect.catchIf(
      Effect.andThen(lockAll(subscriber), read(subscriber)),
      (error): error is SqlError => isSqlError(error) && error.reason._tag === "LockTimeoutError",
      () =>
        Effect.flatMap(read(subscriber), (parts) =>
          Effect.forEach(parts, ({ partition }) => endEarlier({ ...subscriber, partition }), { discard: true })).pipe(
            Effect.andThen(Effect.suspend(() =>
              seize(subscriber)
            ))
          )
    )

  const advance: Service["advance"] = (held, from, to) =>
    Effect.map(
      sql.unsafe(
        `UPDATE ${table} SET position = $6, event_id = $7::uuid, updated_at = now(),
           rate = ${rateAt("now()")} + $9::float8 / ${rateOver}
         WHERE projection = $1 AND version = $2 AND partition = $3 AND epoch = $4 AND position = $5
         RETURNING pg_try_advisory_xact_lock_shared(hashtextextended($8, 0))`,
        [
          held.name,
          held.version,
          held.partition,
          held.epoch,
          from.position,
          to.position,
          to.eventId ?? null,
          marker(held),
          to.events ?? 0
        ]
      ),
      (rows) => rows.length > 0
    )

  const known = ({ name, version }: Subscriber) =>
    sql.unsafe<{ readonly first: string | null }>(
      `SELECT first_event_id AS first FROM ${table} WHERE projection = $1 AND version = $2 AND partition = 0`,
      [name, version]
    )

  const identify: Service["identify"] = (subscriber, firstEventId) =>
    Effect.gen(function*() {
      const [row] = yield* known(subscriber)
      // Whoever works on that partition, and keeps its row locked, has said so before.
      const [given] = row === undefined || row.first !== null ? [row] : yield* sql.unsafe<{ readonly first: string }>(
        `UPDATE ${table} SET first_event_id = coalesce(first_event_id, $3::uuid)
         WHERE projection = $1 AND version = $2 AND partition = 0 RETURNING first_event_id AS first`,
        [subscriber.name, subscriber.version, firstEventId]
      )
      return given?.first ?? undefined
    })

  return { read, begin, claim, seize, advance, identify }
})

/** Provides the checkpoints of the `SqlClient`'s database, whose tables must be there. */
export const layer: Layer.Layer<Checkpoints, never, SqlClient.SqlClient> = Layer.effect(Checkpoints, make)
