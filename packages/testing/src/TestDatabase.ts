/**
 * A fresh, empty database for each test, on a real PostgreSQL server.
 *
 * The server is the one that `@composable-ts/testing/GlobalSetup` started for the whole run of vitest. Without that,
 * `DATABASE_URL` names it; without either, each scope starts a temporary one. No test is ever skipped for lack of one.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { randomUUID } from "node:crypto"
import * as EmbeddedPostgres from "./EmbeddedPostgres.ts"

/** The environment variable by which `GlobalSetup` tells the tests' processes the URL of their server. */
export const serverVariable = "COMPOSABLE_TEST_SERVER_URL"

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
 * Creates an empty database with a name of its own and yields its URL. Needs PostgreSQL 15 or newer, and the right to
 * create databases. At the end of the scope the database is dropped, whoever is still connected to it.
 */
export const make: Effect.Effect<
  Redacted.Redacted,
  EmbeddedPostgres.EmbeddedPostgresError | Config.ConfigError | SqlError,
  Scope.Scope
> = Effect.gen(function*() {
  const url = yield* server
  const name = `test_${randomUUID().replaceAll("-", "")}`
  // A connection for the moment only: hundreds of tests may hold a database at once.
  const administer = (statement: string) =>
    Effect.scoped(Effect.flatMap(
      PgClient.make({ url, maxConnections: 1, applicationName: "TestDatabase" }),
      (sql) => sql.unsafe(statement)
    )).pipe(Effect.provide(Reactivity.layer))
  yield* Effect.acquireRelease(
    // Nobody connects to template0, so databases can be copied from it at the same time. Copied as files, they leave
    // nothing in memory to be written when they are dropped: twice as fast, measured with twenty at once.
    administer(`CREATE DATABASE ${name} TEMPLATE template0 STRATEGY file_copy`),
    () => Effect.orDie(administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`))
  )
  return withDatabase(url, name)
})

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
export const layer: Layer.Layer<
  PgClient.PgClient | SqlClient.SqlClient,
  EmbeddedPostgres.EmbeddedPostgresError | Config.ConfigError | SqlError
> = Layer.unwrap(Effect.map(make, (url) => PgClient.layer({ url })))
