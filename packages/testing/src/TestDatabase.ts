/**
 * A fresh database for each test, on a real PostgreSQL server: an empty one, or a copy of one that was migrated once for
 * the whole run.
 *
 * The server is the one that `@composable-ts/testing/GlobalSetup` started for the whole run of vitest. Without that,
 * `DATABASE_URL` names it; without either, each scope starts a temporary one. No test is ever skipped for lack of one.
 *
 * Nothing stays on a server of `DATABASE_URL`: each database is dropped at the end of its scope, templates at the end of
 * the run, and what a killed run has left, at the start of the next.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as EmbeddedPostgres from "./EmbeddedPostgres.ts"
import * as testRun from "./internal/testRun.ts"

/** The environment variable by which `GlobalSetup` tells the tests' processes the URL of their server. */
export const serverVariable = "COMPOSABLE_TEST_SERVER_URL"

/** The environment variable by which `GlobalSetup` tells the tests' processes the run that they belong to. */
export const runVariable = "COMPOSABLE_TEST_RUN"

/** Why there is no database to test on. */
export type Failure = EmbeddedPostgres.EmbeddedPostgresError | Config.ConfigError | SqlError

const server = Effect.gen(function*() {
  const configured = yield* Config.option(Config.Redacted(serverVariable))
  return Option.isSome(configured) ? configured.value : yield* EmbeddedPostgres.databaseUrl()
})

const withDatabase = (url: Redacted.Redacted, name: string): Redacted.Redacted => {
  const parsed = new URL(Redacted.value(url))
  parsed.pathname = `/${name}`
  return Redacted.make(parsed.href, { label: "url" })
}

/**
 * A database of a run, dropped at the end of the scope. Nobody connects to what it is copied from, so copies are made at
 * the same time. Copied through the log and not as files, which would wait for two checkpoints: twice as fast for one or
 * two at once, and no slower for twenty.
 */
const copyOf = (
  url: Redacted.Redacted,
  run: string,
  template: string
): Effect.Effect<Redacted.Redacted, SqlError, Scope.Scope> => {
  const name = testRun.databaseName(run)
  const create = testRun.administer(
    url,
    (sql) => sql.unsafe(`CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY wal_log`)
  )
  const drop = testRun.administer(url, (sql) => testRun.drop(sql, name))
  return Effect.as(Effect.acquireRelease(create, () => Effect.orDie(drop)), withDatabase(url, name))
}

/**
 * Creates an empty database with a name of its own and yields its URL. Needs PostgreSQL 15 or newer, and the right to
 * create databases. At the end of the scope the database is dropped, whoever is still connected to it.
 */
export const make: Effect.Effect<Redacted.Redacted, Failure, Scope.Scope> = Effect.gen(function*() {
  const url = yield* server
  const known = yield* Config.option(Config.String(runVariable))
  const run = Option.getOrElse(known, testRun.makeRun)
  if (Option.isNone(known)) yield* testRun.hold(url, run)
  return yield* copyOf(url, run, "template0")
})

/**
 * Creates a database that is migrated already, and yields its URL. The migration runs once in a run of vitest, whichever
 * worker comes first, on a template; each database is a copy of that. Without `GlobalSetup` there is no run to share it
 * in, so the migration runs on each database.
 *
 * One name stands for one migration: give another to what sets up otherwise.
 *
 * @example
 * ```ts no-run
 * import * as TestDatabase from "@composable-ts/testing/TestDatabase"
 * import * as Effect from "effect/Effect"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const migrate = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE carts (id text PRIMARY KEY)`)
 *
 * export const url = TestDatabase.migrated("carts", migrate)
 * ```
 */
export const migrated = <A, E, R>(
  name: string,
  migrate: Effect.Effect<A, E, R>
): Effect.Effect<Redacted.Redacted, E | Failure, Scope.Scope | Exclude<R, Clients | Scope.Scope>> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<Exclude<R, Clients | Scope.Scope>>()
    const on = (url: Redacted.Redacted) =>
      Effect.scoped(migrate).pipe(
        Effect.provide(PgClient.layer({ url })),
        Effect.provideContext(context)
      ) as Effect.Effect<A, E | SqlError>
    const known = yield* Config.option(Config.String(runVariable))
    if (Option.isNone(known)) {
      const url = yield* make
      yield* on(url)
      return url
    }
    const url = yield* server
    const template = testRun.templateName(known.value, name)
    if (!ready.has(template)) {
      yield* testRun.ensureTemplate(url, template, (database) => on(withDatabase(url, database)))
      ready.add(template)
    }
    return yield* copyOf(url, known.value, template)
  })

/** The templates that this process knows to be there. Their names tell runs apart; a run keeps its templates to its end. */
const ready = new Set<string>()

/** What is provided on a database. */
type Clients = PgClient.PgClient | SqlClient.SqlClient

/**
 * Provides the SQL clients on a fresh database.
 *
 * @example
 * ```ts no-run
 * import * as TestDatabase from "@composable-ts/testing/TestDatabase"
 * import { assert, layer } from "@effect/vitest"
 * import { Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 *
 * layer(TestDatabase.layer, { excludeTestServices: true })("a fresh database", (it) => {
 *   it.effect("answers", () =>
 *     Effect.gen(function*() {
 *       const sql = yield* SqlClient.SqlClient
 *       assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
 *     }))
 * })
 * ```
 */
export const layer: Layer.Layer<Clients, Failure> = Layer.unwrap(
  Effect.map(make, (url) => PgClient.layer({ url }))
)

/**
 * Provides what a layer provides, on a database that the layer has migrated already; and the SQL clients beside it. The
 * layer is built once in a run to migrate the template, see {@link migrated}, and then on each copy, where it finds its
 * migrations done.
 *
 * @example
 * ```ts no-run
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 * import * as TestDatabase from "@composable-ts/testing/TestDatabase"
 *
 * export const Log = TestDatabase.layerMigrated("log", PostgresEventStore.layer())
 * ```
 */
export const layerMigrated = <A, E, R>(
  name: string,
  migrating: Layer.Layer<A, E, R>
): Layer.Layer<A | Clients, E | Failure, Exclude<R, Clients | Scope.Scope>> =>
  Layer.unwrap(
    Effect.map(
      // Fresh: what is built on the template is not what is built on the copy.
      migrated(name, Layer.build(Layer.fresh(migrating))),
      (url) => Layer.provideMerge(migrating, PgClient.layer({ url }))
    )
  ) as Layer.Layer<A | Clients, E | Failure, Exclude<R, Clients | Scope.Scope>>
