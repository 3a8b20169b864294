/**
 * The tables that projections, forwarders, sagas and the event bus keep their books in: making them, and giving a role the
 * rights to use them.
 *
 * A role that may make tables needs none of this: whatever runs first makes them. For one that may not, run
 * {@link migrate} and {@link grant} as their owner when you deploy, before programs of the new version start. The tables
 * of the read models are the application's own: make them when you deploy, too, and let `setUp` only fill them, or give
 * the role a schema of its own to make them in.
 *
 * @example
 * ```ts no-run
 * import * as Migrations from "@composable-ts/projections/Migrations"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const Owner = PgClient.layer({ url: Redacted.make("postgres://views_owner@localhost/views") })
 *
 * export const deploy = Migrations.migrate.pipe(
 *   Effect.andThen(Migrations.grant({ role: "views_app" })),
 *   Effect.provide(Owner)
 * )
 * ```
 */
import * as Effect from "effect/Effect"
import type { MigrationError } from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as internal from "./internal/schema.ts"

/**
 * Makes the tables, or brings them up to date. What it makes belongs to the role that runs it. Any number of processes
 * may do so at once; where nothing is missing nothing is done, and no right is needed but to read.
 */
export const migrate: Effect.Effect<void, SqlError | MigrationError, SqlClient.SqlClient> = internal.migrate

const quoted = (role: string): string => `"${role.replaceAll("\"", "\"\"")}"`

/**
 * Lets an existing role run projections, forwarders, sagas and the event bus on tables that {@link migrate} has made: it may
 * read and write their rows, and make, change or drop nothing. Run it as their owner, after each migration; to run it
 * again changes nothing.
 */
export const grant = (options: {
  /** The role's name as in `pg_roles`, unquoted. */
  readonly role: string
}): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const role = quoted(options.role)
    const { migrationsTable, schema, tables, views } = internal
    yield* sql.withTransaction(Effect.gen(function*() {
      yield* sql.unsafe(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`)
      for (const readable of [migrationsTable, ...views]) {
        yield* sql.unsafe(`GRANT SELECT ON ${schema}.${readable} TO ${role}`)
      }
      for (const table of tables) {
        yield* sql.unsafe(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${schema}.${table} TO ${role}`)
      }
    }))
  })
