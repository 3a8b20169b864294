/**
 * What is known of a projection's versions beside their checkpoints: which one serves, where its tables are, which are
 * paused and which retired.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Subscriber } from "../Lease.ts"
import { VersionRetired } from "../ProjectionError.ts"
import { schema } from "./schema.ts"

/** Where a version keeps its tables, and through which views they are read. */
export interface Place {
  /** The schema of the version's own tables. */
  readonly tablesIn: string
  /** The schema of the views, the same in all versions. */
  readonly viewsIn: string
  /** The names that tables and views have in common. */
  readonly names: ReadonlyArray<string>
}

/** A version. */
export interface Version extends Subscriber {
  /** `undefined` for one that does not keep its tables by `ReadModel.versioned`. */
  readonly place: Place | undefined
  /** Whether the views show it now. */
  readonly serving: boolean
  readonly servedBefore: boolean
  readonly retired: boolean
  readonly pausedAt: Date | undefined
  /** The positions of its partitions; none before it was set up. */
  readonly positions: ReadonlyArray<bigint>
}

/**
 * Lets no other transaction change what serves, set up or take away, for one projection, until the caller's transaction
 * ends.
 */
export const lock = (projection: string): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      Effect.asVoid(sql.unsafe("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [
        `composable-ts versions of ${projection}`
      ]))
  )

interface Row {
  readonly version: number
  readonly tables_in: string | null
  readonly views_in: string | null
  readonly views: ReadonlyArray<string> | null
  readonly serving: boolean
  readonly served_before: boolean
  readonly retired: boolean
  readonly paused_at: Date | null
  readonly positions: ReadonlyArray<bigint>
}

/** The versions of a projection that were set up, paused or retired, in their order, all read at one moment. */
export const of = (projection: string): Effect.Effect<ReadonlyArray<Version>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe<Row>(
      `SELECT version, v.tables_in, v.views_in, v.views, s.version IS NOT NULL AS serving, v.paused_at,
         v.served_at IS NOT NULL AS served_before, v.retired_at IS NOT NULL AS retired,
         coalesce(c.positions, '{}') AS positions
       FROM (SELECT * FROM ${schema}.versions WHERE projection = $1) AS v
       FULL JOIN (
         SELECT version, array_agg(position ORDER BY partition) AS positions
         FROM ${schema}.checkpoints WHERE projection = $1 GROUP BY version
       ) AS c USING (version)
       LEFT JOIN (SELECT version FROM ${schema}.serving WHERE projection = $1) AS s USING (version)
       ORDER BY version`,
      [projection]
    )
    return rows.map((row): Version => ({
      name: projection,
      version: row.version,
      place: row.tables_in === null || row.views_in === null
        ? undefined
        : { tablesIn: row.tables_in, viewsIn: row.views_in, names: row.views ?? [] },
      serving: row.serving,
      servedBefore: row.served_before,
      retired: row.retired,
      pausedAt: row.paused_at ?? undefined,
      positions: row.positions
    }))
  })

/** One of a projection's versions, as {@link of} has it. */
export const find = ({ name, version }: Subscriber) =>
  Effect.map(of(name), (versions) => versions.find((each) => each.version === version))

/** Lets a version be set up in the caller's transaction, unless it was retired. */
export const admit = (
  { name, version }: Subscriber
): Effect.Effect<void, SqlError | VersionRetired, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    yield* lock(name)
    const known = yield* find({ name, version })
    if (known?.retired === true) return yield* new VersionRetired({ projection: name, version })
  })

/** Writes down where a version keeps its tables. */
export const place = (
  { name, version }: Subscriber,
  { names, tablesIn, viewsIn }: Place
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.asVoid(sql.unsafe(
      `INSERT INTO ${schema}.versions (projection, version, tables_in, views_in, views) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (projection, version) DO UPDATE
       SET tables_in = excluded.tables_in, views_in = excluded.views_in, views = excluded.views`,
      [name, version, tablesIn, viewsIn, names]
    )))

/** Writes down that the views show a version, and tells those who wait for the one that serves. */
export const serve = (
  { name, version }: Subscriber,
  announcement: { readonly channel: string; readonly payload: string }
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(
      `INSERT INTO ${schema}.serving (projection, version) VALUES ($1, $2)
       ON CONFLICT (projection) DO UPDATE SET version = excluded.version, since = excluded.since`,
      [name, version]
    )
    yield* sql.unsafe(
      `UPDATE ${schema}.versions SET served_at = coalesce(served_at, clock_timestamp())
       WHERE projection = $1 AND version = $2`,
      [name, version]
    )
    yield* sql.unsafe("SELECT pg_notify($1, $2)", [announcement.channel, announcement.payload])
  })

/** The least of some positions; `undefined` of none. */
export const least = (positions: ReadonlyArray<bigint>): bigint | undefined =>
  positions.length === 0 ? undefined : positions.reduce((a, b) => a < b ? a : b)

/** The greatest of some positions; `undefined` of none. */
export const greatest = (positions: ReadonlyArray<bigint>): bigint | undefined =>
  positions.length === 0 ? undefined : positions.reduce((a, b) => a > b ? a : b)
