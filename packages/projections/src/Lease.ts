/**
 * A lease says which process works on a partition of a subscriber: its owner, until when it is believed to be alive, and
 * an *epoch* that counts the take-overs. Only the database's clock counts; no process compares a time of its own.
 *
 * The lease avoids wasted work and moves it to where there is room; it does not make the work safe. What does is the
 * fence of the checkpoint, see `Checkpoint`: an owner that was replaced without its knowing cannot commit. So there is
 * no session lock to lose behind a proxy, and no clock to trust.
 *
 * A process is a *member* of the subscribers that it runs. It renews its membership and its leases while it lives, takes
 * free leases up to its fair share, and gives some back when another has room: `internal/assignment` says how many.
 * Whoever gives back, joins or leaves says so on {@link channel}; a lease whose owner says nothing more is free when it
 * expires.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { schema } from "./internal/schema.ts"

/** Who reads the log: a projection, in one of its versions. */
export interface Subscriber {
  readonly name: string
  readonly version: number
}

/** A subscriber's part of the log. */
export interface Part extends Subscriber {
  /** From 0. */
  readonly partition: number
}

/** A part that a process owns. */
export interface Held extends Part {
  readonly epoch: bigint
}

/** A process that runs a subscriber. */
export interface Member extends Subscriber {
  /** The process, a UUID. */
  readonly member: string
}

/** A lease as everybody sees it. */
export interface Lease extends Held {
  /** The process that works on the part, if there is one that lives. */
  readonly owner: string | undefined
  /** How long the owner is believed to be alive if it is not heard of; without an owner, since when, as a negative. */
  readonly expiresIn: Duration.Duration
}

/** Who lives, and who owns what. */
export interface Survey {
  readonly leases: ReadonlyArray<Lease>
  readonly members: ReadonlyArray<Member>
}

/** A subscriber on which nobody shall work: until it is resumed, or for good. See `Rebuild.pause` and `Rebuild.retire`. */
export interface Withheld extends Subscriber {
  readonly order: "Paused" | "Retired"
}

/** The leases of a database. */
export interface Service {
  /** Makes a subscriber's leases, free to take, unless they are there. */
  readonly declare: (subscriber: Subscriber, partitions: number) => Effect.Effect<void, SqlError>
  /**
   * Says that a process lives and runs these subscribers, and renews the leases that it owns, expired ones too unless
   * somebody took them. Returns those.
   */
  readonly renew: (
    member: string,
    subscribers: ReadonlyArray<Subscriber>
  ) => Effect.Effect<ReadonlyArray<Held>, SqlError>
  /**
   * Who lives, and who owns what; free leases of what is paused are left out. It may be out of date as soon as it
   * is there.
   */
  readonly survey: Effect.Effect<Survey, SqlError>
  /** What nobody shall work on. */
  readonly withheld: Effect.Effect<ReadonlyArray<Withheld>, SqlError>
  /** Takes what is free of these parts and not paused, in a new epoch, and returns it. Of many who try at once, one succeeds. */
  readonly take: (member: string, parts: ReadonlyArray<Part>) => Effect.Effect<ReadonlyArray<Held>, SqlError>
  /** Gives back a lease, unless somebody else has taken it, so that others take it at once. */
  readonly release: (member: string, held: Held) => Effect.Effect<void, SqlError>
  /** Writes down why work under a lease has stopped, for people and for `Status`; unless somebody else has taken it. */
  readonly fail: (held: Held, error: string) => Effect.Effect<void, SqlError>
  /** Writes down what the owner waits for, or that it waits no longer (`undefined`); unless somebody else has taken it. */
  readonly waits: (held: Held, what: string | undefined) => Effect.Effect<void, SqlError>
  /** Ends a process's membership of a subscriber, and gives back its leases, so that others take them at once. */
  readonly leave: (member: string, subscriber: Subscriber) => Effect.Effect<void, SqlError>
}

/** The leases, as a service. */
export class Leases extends Context.Service<Leases, Service>()("@composable-ts/projections/Leases") {}

/**
 * How long a process counts as alive that is not heard of: how long others wait until they take over after a crash. It
 * says so three times within that time. A clean stop needs no wait. Default 10 seconds; the same in all processes.
 *
 * @example
 * ```ts
 * import * as Lease from "@composable-ts/projections/Lease"
 * import * as Effect from "effect/Effect"
 *
 * export const sooner = Effect.provideService(Lease.Time, "3 seconds")
 * ```
 */
export const Time: Context.Reference<Duration.Input> = Context.Reference("@composable-ts/projections/Lease/Time", {
  defaultValue: (): Duration.Input => "10 seconds"
})

/** Where everybody is told that a lease became free, or that a process came or went; with a payload, what is waited for. */
export const channel = `${schema}_leases`

const table = `${schema}.leases`
const members = `${schema}.members`

const columns = (subscribers: ReadonlyArray<Subscriber>) =>
  [subscribers.map(({ name }) => name), subscribers.map(({ version }) => version)] as const

/** A lease's row, as the database answers. */
interface Row {
  readonly projection: string
  readonly version: number
  readonly partition: number
  readonly epoch: bigint
}

const held = ({ epoch, partition, projection, version }: Row): Held => ({ name: projection, version, partition, epoch })

/** Whether a lease, by the name that its row has in a statement, is one to take up. */
const notPaused = (lease: string): string =>
  `NOT EXISTS (
     SELECT FROM ${schema}.versions AS v
     WHERE v.projection = ${lease}.projection AND v.version = ${lease}.version AND v.paused_at IS NOT NULL
   )`

/** The leases of the `SqlClient`'s database. */
export const make: Effect.Effect<Service, never, SqlClient.SqlClient> = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const time = Duration.toMillis(Duration.fromInputUnsafe(yield* Time))

  const declare: Service["declare"] = ({ name, version }, partitions) =>
    Effect.asVoid(sql.unsafe(
      // Where the leases were lost and the checkpoints were not, epochs go on behind those that the fences know.
      `INSERT INTO ${table} (projection, version, partition, epoch)
       SELECT $1::text, $2::int, n, coalesce((
         SELECT epoch FROM ${schema}.checkpoints WHERE projection = $1 AND version = $2 AND partition = n
       ), 0) FROM generate_series(0, $3::int - 1) AS n ON CONFLICT DO NOTHING`,
      [name, version, partitions]
    ))

  const renew: Service["renew"] = (member, subscribers) =>
    Effect.map(
      sql.unsafe<Row>(
        `WITH until AS (
          SELECT clock_timestamp() + $2::float8 * interval '1 millisecond' AS time
        ), gone AS (
          DELETE FROM ${members} WHERE expires_at < clock_timestamp() - interval '1 minute' AND member <> $1::uuid
        ), alive AS (
          INSERT INTO ${members} (projection, version, member, expires_at)
          SELECT s.name, s.version, $1::uuid, until.time FROM until, unnest($3::text[], $4::int[]) AS s(name, version)
          ON CONFLICT (projection, version, member) DO UPDATE SET expires_at = excluded.expires_at
          RETURNING xmax = 0 AS joined
        ), told AS (
          SELECT pg_notify('${channel}', '') FROM alive WHERE joined LIMIT 1
        ), renewed AS (
          UPDATE ${table} SET expires_at = until.time FROM until WHERE owner = $1::uuid
          RETURNING projection, version, partition, epoch
        ) SELECT renewed.* FROM (SELECT count(*) FROM told) AS telling LEFT JOIN renewed ON true`,
        [member, time, ...columns(subscribers)]
      ),
      // Without a lease there is one row of nulls: the telling takes place all the same.
      (rows) => rows.filter(({ projection }) => projection !== null).map(held)
    )

  const survey: Service["survey"] = Effect.gen(function*() {
    const leases = yield* sql.unsafe<Row & { readonly owner: string | null; readonly left: number }>(
      `SELECT projection, version, partition, epoch, left_ms AS left,
         CASE WHEN left_ms > 0 THEN owner END AS owner
       FROM ${table}, LATERAL (
         SELECT (extract(epoch FROM expires_at - clock_timestamp()) * 1000)::float8 AS left_ms
       ) AS age WHERE left_ms > 0 AND owner IS NOT NULL OR ${notPaused(table)}`
    )
    const alive = yield* sql.unsafe<{ projection: string; version: number; member: string }>(
      `SELECT projection, version, member FROM ${members} WHERE expires_at > clock_timestamp()`
    )
    return {
      leases: leases.map((row): Lease => ({
        name: row.projection,
        version: row.version,
        partition: row.partition,
        epoch: row.epoch,
        owner: row.owner ?? undefined,
        expiresIn: Duration.millis(row.left)
      })),
      members: alive.map(({ member, projection, version }) => ({ name: projection, version, member }))
    }
  })

  const withheld: Service["withheld"] = sql.unsafe<Withheld>(
    `SELECT projection AS name, version, CASE WHEN retired_at IS NULL THEN 'Paused' ELSE 'Retired' END AS order
     FROM ${schema}.versions WHERE paused_at IS NOT NULL OR retired_at IS NOT NULL`
  )

  const take: Service["take"] = (member, parts) =>
    parts.length === 0 ? Effect.succeed([]) : Effect.map(
      sql.unsafe<Row>(
        `UPDATE ${table} AS lease SET owner = $1::uuid, epoch = lease.epoch + 1, waiting_for = NULL, waiting_since = NULL,
           expires_at = clock_timestamp() + $2::float8 * interval '1 millisecond'
         FROM (
           SELECT l.projection, l.version, l.partition FROM ${table} AS l
           JOIN unnest($3::text[], $4::int[], $5::int[]) AS wanted(name, version, partition)
             ON l.projection = wanted.name AND l.version = wanted.version AND l.partition = wanted.partition
           WHERE (l.owner IS NULL OR l.expires_at <= clock_timestamp()) AND ${notPaused("l")}
           FOR UPDATE OF l SKIP LOCKED
         ) AS free
         WHERE lease.projection = free.projection AND lease.version = free.version
           AND lease.partition = free.partition
         RETURNING lease.projection, lease.version, lease.partition, lease.epoch`,
        [member, time, ...columns(parts), parts.map(({ partition }) => partition)]
      ),
      (rows) => rows.map(held)
    )

  const release: Service["release"] = (member, { epoch, name, partition, version }) =>
    Effect.asVoid(sql.unsafe(
      `WITH freed AS (
        UPDATE ${table} SET owner = NULL, expires_at = clock_timestamp()
        WHERE projection = $2 AND version = $3 AND partition = $4 AND owner = $1::uuid AND epoch = $5 RETURNING partition
      ) SELECT pg_notify('${channel}', '') FROM freed`,
      [member, name, version, partition, epoch]
    ))

  const fail: Service["fail"] = ({ epoch, name, partition, version }, error) =>
    Effect.asVoid(sql.unsafe(
      `UPDATE ${table} SET error = left($5, 10000), failed_at = clock_timestamp()
       WHERE projection = $1 AND version = $2 AND partition = $3 AND epoch = $4`,
      [name, version, partition, epoch, error.replaceAll("\0", "")]
    ))

  const waits: Service["waits"] = ({ epoch, name, partition, version }, what) =>
    Effect.asVoid(sql.unsafe(
      `UPDATE ${table} SET waiting_for = $5,
         waiting_since = CASE WHEN $5::text IS NOT NULL THEN coalesce(waiting_since, clock_timestamp()) END
       WHERE projection = $1 AND version = $2 AND partition = $3 AND epoch = $4`,
      [name, version, partition, epoch, what?.replaceAll("\0", "").slice(0, 10_000) ?? null]
    ))

  const leave: Service["leave"] = (member, { name, version }) =>
    Effect.asVoid(sql.unsafe(
      `WITH gone AS (
        DELETE FROM ${members} WHERE member = $1::uuid AND projection = $2 AND version = $3
      ), freed AS (
        UPDATE ${table} SET owner = NULL, expires_at = clock_timestamp()
        WHERE owner = $1::uuid AND projection = $2 AND version = $3
      ) SELECT pg_notify('${channel}', '')`,
      [member, name, version]
    ))

  return { declare, renew, survey, withheld, take, release, fail, waits, leave }
})

/** Provides the leases of the `SqlClient`'s database, whose tables must be there. */
export const layer: Layer.Layer<Leases, never, SqlClient.SqlClient> = Layer.effect(Leases, make)
