/**
 * The log's schema: bringing it up to date, giving the application its rights, checking it.
 *
 * Two roles share a log. The *owner* runs the migrations and so owns the schema, its tables and its functions. The
 * *application* reads the log, and appends by functions that run with the owner's rights; it has no right to write any
 * table of the log by hand. Nobody, the owner and superusers included, can change or delete an event while the log's
 * triggers stand; and the owner is the only one, besides superusers, who can take the triggers away. So no process that
 * serves requests should connect as the owner.
 *
 * Both are ordinary roles. Let the owner be one that owns nothing else, may create the schema (CREATE on the database,
 * or own the schema), and is not a superuser. Run {@link migrate} and {@link grant} when you deploy, before programs of
 * the new version start:
 *
 * @example
 * ```ts no-run
 * import * as Migrations from "@composable-ts/postgres/Migrations"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const Owner = PgClient.layer({ url: Redacted.make("postgres://shop_owner@localhost/shop") })
 *
 * export const deploy = Migrations.migrate().pipe(
 *   Effect.andThen(Migrations.grant({ role: "shop_app" })),
 *   Effect.provide(Owner)
 * )
 * ```
 *
 * **Versions side by side.** A migration that only adds leaves programs that do not know it at work; one that takes
 * something away does not, and says which programs it rules out. So a program opens a log whose schema is newer than it
 * knows if every newer migration allows for it, and is refused with {@link SchemaTooNew} otherwise. It never opens one
 * that is older. Deploy in this order: migrate, grant, replace the programs one by one. Before a migration that rules
 * out the version that is running, which the changelog announces, stop that version: a program checks only when it
 * starts.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { MigrationError } from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as internalGrant from "./internal/grant.ts"
import * as internalMigrate from "./internal/migrate.ts"
import { migrations } from "./internal/schema.ts"
import { schemaName } from "./internal/schemaName.ts"
import * as schemaState from "./internal/schemaState.ts"
import type {
  LogDamaged,
  MigrationBlocked,
  MigrationMissing,
  RightsMissing,
  RoleUnfit,
  SchemaTooNew
} from "./MigrationsError.ts"

/** Which log. */
export interface Options {
  /** The schema that holds the log: lower-case letters, digits and `_`. Default `composable`. */
  readonly schema?: string | undefined
}

/** How to migrate. */
export interface MigrateOptions extends Options {
  /**
   * How long the migration may wait for the lock of a table. Appends that come meanwhile wait behind it, so keep it
   * short and try again rather. Default 5 seconds.
   */
  readonly lockTimeout?: Duration.Input | undefined
}

/** Why a log may not be worked on. */
export type CheckError = MigrationMissing | SchemaTooNew | LogDamaged | RightsMissing | SqlError

/** Why a schema could not be brought up to date. */
export type MigrateError = MigrationBlocked | SchemaTooNew | RightsMissing | MigrationError | SqlError

/** How long a migration waits for a table's lock unless told otherwise. */
const defaultLockTimeout: Duration.Input = "5 seconds"

/**
 * Brings a log's schema up to date, and makes it if need be. What it makes belongs to the role that runs it.
 *
 * All or nothing: what is missing runs in one transaction. Any number of processes may do it at once: one migrates, the
 * others wait and find it done, as do programs that start meanwhile. A schema that is up to date is only looked at, so a
 * process that starts waits for no dump and no long query.
 */
export const migrate = (options: MigrateOptions = {}): Effect.Effect<void, MigrateError, SqlClient> =>
  Effect.flatMap(
    schemaName(options.schema),
    (schema) =>
      internalMigrate.migrate(
        schema,
        migrations,
        Duration.fromInputUnsafe(options.lockTimeout ?? defaultLockTimeout)
      )
  )

/**
 * Gives an existing role the application's rights on a log, and takes from it any other right on the log's objects. Run
 * it as the owner, after each migration; to run it again changes nothing.
 *
 * Refused with {@link RoleUnfit} for a role that could change the log whatever is granted: a superuser, one with
 * CREATEROLE, a member of the owner or of a role like `pg_write_all_data`.
 */
export const grant = (
  options: Options & {
    /** The role's name as in `pg_roles`, unquoted. */
    readonly role: string
  }
): Effect.Effect<void, RoleUnfit | SqlError, SqlClient> =>
  Effect.flatMap(schemaName(options.schema), (schema) => internalGrant.grant(schema, options.role, migrations))

/**
 * Fails unless this program, as the role that is connected, may work on the log: its migrations were run, the parts that
 * guard it stand, the role has its rights. One query, which locks nothing that an append needs. `PostgresEventStore`
 * checks so whenever it opens a log.
 */
export const check = (options: Options = {}): Effect.Effect<void, CheckError, SqlClient> =>
  Effect.gen(function*() {
    const schema = yield* schemaName(options.schema)
    const state = yield* schemaState.inspect(yield* SqlClient, schema, migrations)
    yield* schemaState.judge(schema, migrations, state)
  })
