/**
 * Runs the migrations that a schema lacks.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { MigrationBlocked, type RightsMissing, type SchemaTooNew } from "../MigrationsError.ts"
import type { Migration } from "./Migration.ts"
import { quoted } from "./schemaName.ts"
import { inspect, migrationsTable, missing, tooNew } from "./schemaState.ts"
import { sqlState } from "./sqlState.ts"

const lockNotAvailable = "55P03"

/**
 * Whoever migrates, or grants, in this schema does so alone, to the end of the transaction. It is taken before the schema
 * exists, which two could otherwise both try to create, and waited for as long as it takes, whatever timeouts the role
 * has been given: they would also end the building of an index.
 */
export const lockMigrations = (sql: SqlClient.SqlClient, schema: string) =>
  Effect.gen(function*() {
    yield* sql.unsafe("SET LOCAL statement_timeout = 0")
    yield* sql.unsafe("SET LOCAL lock_timeout = 0")
    yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts migrations ${schema}`}, 0))`
  })

const loader = (schema: string, migrations: ReadonlyArray<Migration>): Migrator.Loader =>
  Effect.succeed(migrations.map(({ name, statements }, i) => [
    i + 1,
    name,
    Effect.succeed(Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      for (const statement of statements(schema)) yield* sql.unsafe(statement)
    }))
  ]))

/** EXECUTE is everyone's unless taken away. */
const takeFunctionsFromPublic = (sql: SqlClient.SqlClient, schema: string) =>
  Effect.gen(function*() {
    const functions = yield* sql<{ readonly signature: string }>`
      SELECT oid::regprocedure::text AS signature FROM pg_proc
      WHERE pronamespace = ${schema}::regnamespace AND proowner = current_user::regrole`
    for (const { signature } of functions) yield* sql.unsafe(`REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC`)
  })

/** The failure behind what the Migrator made of it. */
const blocked = (error: SqlError | Migrator.MigrationError): boolean => {
  const cause = isSqlError(error) ? error : error.cause
  return isSqlError(cause) && sqlState(cause) === lockNotAvailable
}

/**
 * One of many migrates at a time, and the others find the work done. For the locks of tables, behind which every append
 * would queue, it waits only so long. The isolation is stated, because a snapshot from before the lock would not show
 * what the holder before has done.
 */
const run = (schema: string, migrations: ReadonlyArray<Migration>, lockTimeout: Duration.Duration) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const name = quoted(schema)
    const waited = Math.ceil(Duration.toMillis(lockTimeout))
    yield* sql.withTransaction(Effect.gen(function*() {
      yield* lockMigrations(sql, schema)
      yield* sql.unsafe(`SET LOCAL lock_timeout = ${waited}`)
      const exists = yield* sql`SELECT FROM pg_namespace WHERE nspname = ${schema}`
      if (exists.length === 0) yield* sql.unsafe(`CREATE SCHEMA ${name}`)
      yield* sql.unsafe(`
        CREATE TABLE IF NOT EXISTS ${name}.${migrationsTable} (
          migration_id integer PRIMARY KEY,
          created_at timestamptz NOT NULL DEFAULT now(),
          name text NOT NULL,
          oldest_program integer
        )`)
      yield* sql.unsafe(`COMMENT ON COLUMN ${name}.${migrationsTable}.oldest_program IS
        'A program works on the schema from here on if it knows at least the migration of this id.'`)
      yield* Migrator.make({})({ loader: loader(schema, migrations), table: `${schema}.${migrationsTable}` })
      for (const [i, { oldestProgram }] of migrations.entries()) {
        yield* sql.unsafe(
          `UPDATE ${name}.${migrationsTable} SET oldest_program = $2
           WHERE migration_id = $1 AND oldest_program IS NULL`,
          [i + 1, oldestProgram]
        )
      }
      yield* takeFunctionsFromPublic(sql, schema)
    })).pipe(
      // The migrator makes defects of a failed migration, and the client of a rollback whose connection is lost. Both may
      // pass, so a caller must be able to see them and try again.
      Effect.catchDefect((defect) =>
        isSqlError(defect) || defect instanceof Migrator.MigrationError ? Effect.fail(defect) : Effect.die(defect)
      ),
      Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"),
      Effect.catchIf(blocked, (cause) => Effect.fail(new MigrationBlocked({ schema, waited, cause })))
    )
  })

/**
 * Brings the schema up to date. One that is up to date is only looked at: no lock is taken, so that a start waits for
 * no dump or other long query.
 */
export const migrate = (
  schema: string,
  migrations: ReadonlyArray<Migration>,
  lockTimeout: Duration.Duration
): Effect.Effect<
  void,
  SqlError | Migrator.MigrationError | MigrationBlocked | SchemaTooNew | RightsMissing,
  SqlClient.SqlClient
> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const state = yield* inspect(sql, schema, migrations)
    const unfit = tooNew(schema, migrations, state)
    if (unfit !== undefined) return yield* unfit
    if (missing(migrations, state).length > 0) yield* run(schema, migrations, lockTimeout)
  })
