/**
 * A run of tests, and its databases on a server that outlives it.
 *
 * Every database is named after its run, and a run keeps a connection open that bears its name. A run that was killed has
 * lost its connection, so whoever comes next knows its databases for leftovers, on whatever database of the server it
 * looks.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { createHash, randomBytes } from "node:crypto"

/** A name for a run. */
export const makeRun = (): string => randomBytes(6).toString("hex")

const prefix = (run: string): string => `test_${run}_`

/** A name for a database of a run. */
export const databaseName = (run: string): string => prefix(run) + randomBytes(10).toString("hex")

/** The name of a run's template: the same in every process of the run. */
export const templateName = (run: string, name: string): string =>
  `${prefix(run)}template_${createHash("sha256").update(name).digest("hex").slice(0, 20)}`

const connect = (
  url: Redacted.Redacted,
  applicationName: string
): Effect.Effect<PgClient.PgClient, SqlError, Scope.Scope> =>
  Effect.provide(PgClient.make({ url, maxConnections: 1, applicationName }), Reactivity.layer)

/** Work on the server over a connection for the moment only: hundreds of tests may hold a database at once. */
export const administer = <A, E>(
  url: Redacted.Redacted,
  work: (sql: PgClient.PgClient) => Effect.Effect<A, E, Scope.Scope>
): Effect.Effect<A, E | SqlError> => Effect.scoped(Effect.flatMap(connect(url, "TestDatabase"), work))

const holderOf = (run: string): string => `TestDatabase run ${run}`

/** Shows for the length of the scope that a run lives; before, drops what runs have left that do not. */
export const hold = (url: Redacted.Redacted, run: string): Effect.Effect<void, SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const sql = yield* connect(url, holderOf(run))
    // Reserved, the connection stays open though nothing is asked of it.
    yield* sql.reserve
    yield* administer(url, sweep)
  })

/**
 * A leftover has nobody connected to it, and no run that lives. A run connects before it makes its first database, so the
 * databases are listed first and the connections second.
 */
const sweep = (sql: PgClient.PgClient): Effect.Effect<void, SqlError> =>
  Effect.gen(function*() {
    const databases = yield* sql<{ readonly name: string }>`
      SELECT datname AS name FROM pg_database WHERE datname ~ '^test_[0-9a-f]{12}_'`
    if (databases.length === 0) return
    const sessions = yield* sql<{ readonly application: string; readonly database: string | null }>`
      SELECT application_name AS application, datname AS database FROM pg_stat_activity`
    for (const { name } of databases) {
      const run = name.split("_")[1]!
      if (sessions.some(({ application, database }) => application === holderOf(run) || database === name)) continue
      // Another run may sweep at the same time, or somebody have connected since: not ours to insist.
      yield* Effect.ignore(sql.unsafe(`DROP DATABASE IF EXISTS ${name}`))
    }
  })

/** Drops all that a run has made, whoever is still connected. */
export const dropAll = (url: Redacted.Redacted, run: string): Effect.Effect<void, SqlError> =>
  administer(url, (sql) =>
    Effect.gen(function*() {
      const databases = yield* sql<{ readonly name: string }>`
        SELECT datname AS name FROM pg_database WHERE starts_with(datname, ${prefix(run)})`
      for (const { name } of databases) yield* drop(sql, name)
    }))

/** Drops a database, whoever is still connected. */
export const drop = (sql: PgClient.PgClient, name: string): Effect.Effect<unknown, SqlError> =>
  sql.unsafe(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)

/**
 * Makes the run's template of a name unless it is there. It gets its name when it is complete, so what bears it is; a
 * lock sees to it that one process makes it while the others wait.
 */
export const ensureTemplate = <E>(
  url: Redacted.Redacted,
  name: string,
  fill: (database: string) => Effect.Effect<unknown, E>
): Effect.Effect<void, E | SqlError> =>
  administer(url, (sql) =>
    Effect.gen(function*() {
      const exists = Effect.map(
        sql`SELECT FROM pg_database WHERE datname = ${name}`,
        (rows) => rows.length > 0
      )
      if (yield* exists) return
      // A session's lock: it ends with the connection, at the end of this scope or of the process.
      yield* sql`SELECT pg_advisory_lock(hashtextextended(${name}, 0))`
      if (yield* exists) return
      const unfinished = `${name}_new`
      yield* drop(sql, unfinished)
      yield* sql.unsafe(`CREATE DATABASE ${unfinished} TEMPLATE template0`)
      yield* fill(unfinished)
      yield* sql.unsafe(`ALTER DATABASE ${unfinished} WITH ALLOW_CONNECTIONS false`)
      yield* sql.unsafe(`ALTER DATABASE ${unfinished} RENAME TO ${name}`)
    }))
