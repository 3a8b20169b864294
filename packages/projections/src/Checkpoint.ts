/**
 * A checkpoint says how far a projection has read the log. It lives in the read model's database and moves in the very
 * transaction that changes the read model, so the two cannot disagree.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** Whose checkpoint it is: every version of a projection has one of its own. */
export interface Owner {
  readonly name: string
  readonly version: number
}

const schema = "composable"
const table = `${schema}.checkpoints`

const migrations = Migrator.fromRecord({
  "0001_checkpoints": Effect.flatMap(SqlClient.SqlClient, (sql) =>
    // Rows are rewritten at every step: free space on their page, and no index on what changes, keep that cheap.
    sql.unsafe(`
      CREATE TABLE ${table} (
        projection text COLLATE "C" NOT NULL,
        version integer NOT NULL,
        position bigint NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (projection, version)
      ) WITH (fillfactor = 50)`))
})

/** Makes the table of checkpoints, if it is missing. Any number of processes may do so at once. */
export const migrate: Effect.Effect<void, SqlError | Migrator.MigrationError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.gen(function*() {
      // The lock of whoever makes something in this schema: an event store, which also makes the schema, has the same.
      yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts migrations ${schema}`}, 0))`
      yield* sql.unsafe(`CREATE SCHEMA IF NOT EXISTS ${schema}`)
      yield* Migrator.make({})({ loader: migrations, table: `${schema}.checkpoint_migrations` })
    }))
  }
)

/** The last global position that the owner's read model contains; `undefined` before its set-up. */
export const read = ({ name, version }: Owner): Effect.Effect<bigint | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly position: bigint }>`
      SELECT position FROM ${sql.literal(table)} WHERE projection = ${name} AND version = ${version}`
    return rows[0]?.position
  })

/** Sets the owner's checkpoint before the first event, unless it has one. Tells whether it had none. */
export const start = ({ name, version }: Owner): Effect.Effect<boolean, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      INSERT INTO ${sql.literal(table)} (projection, version, position) VALUES (${name}, ${version}, 0)
      ON CONFLICT DO NOTHING RETURNING position`
    return rows.length > 0
  })

/**
 * Moves the owner's checkpoint, if it still stands where the caller believes, and locks it until the transaction's end.
 * Tells whether it did: if not, another process has moved it, and what the caller is about to apply was applied.
 */
export const advance = (
  { name, version }: Owner,
  from: bigint,
  to: bigint
): Effect.Effect<boolean, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      UPDATE ${sql.literal(table)} SET position = ${to}, updated_at = now()
      WHERE projection = ${name} AND version = ${version} AND position = ${from} RETURNING position`
    return rows.length > 0
  })
