/**
 * A log on a fresh database, for one test, and any number of stores on it, each like a process of its own.
 */
import type * as Migrations from "@composable-ts/postgres/Migrations"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { layer } from "@effect/vitest"
import { Context, Effect, Layer, type Redacted, References, Schedule, type Scope } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { SqlError } from "effect/sql"
import { randomUUID } from "node:crypto"
import * as History from "./History.ts"
import * as Invariants from "./Invariants.ts"

/** A client of its own, with its own connections. */
export const connect = (
  config: PgClient.PgPoolConfig
): Effect.Effect<PgClient.PgClient, SqlError.SqlError, Scope.Scope> =>
  Effect.provide(PgClient.make({ maxConnections: 4, ...config }), Reactivity.layer)

/** A store with its own connections. */
export const openStore = (
  config: PgClient.PgPoolConfig,
  options?: PostgresEventStore.Options
): Effect.Effect<PostgresEventStore.Service, OpenError, Scope.Scope> =>
  Effect.flatMap(
    connect(config),
    (client) => Effect.provideService(PostgresEventStore.make(options), PgClient.PgClient, client)
  )

/** What a test gets. */
export interface TestLog {
  readonly url: Redacted.Redacted
  /** The log's schema, its own in a database that the suite's tests share. */
  readonly schema: string
  /** A client for looking at the tables, which it finds without the schema's name, and for disturbing. */
  readonly sql: PgClient.PgClient
  /** What became of the appends of all stores. */
  readonly history: History.History
  /** The log's store. */
  readonly store: PostgresEventStore.Service
  /** Another store on the same log, as of another process. */
  readonly another: Effect.Effect<PostgresEventStore.Service, OpenError, Scope.Scope>
  /** The same, with a client configured otherwise, and other options. */
  readonly open: (
    config: PgClient.PgPoolConfig,
    options?: PostgresEventStore.Options
  ) => Effect.Effect<PostgresEventStore.Service, OpenError, Scope.Scope>
}

type OpenError = PostgresEventStore.OpenError | Migrations.MigrateError

const recording = (history: History.History, store: PostgresEventStore.Service): PostgresEventStore.Service => ({
  ...store,
  append: History.append(history, store),
  transact: History.transact(history, store)
})

/** Keeps every append of this log waiting, as one does that is under way in another process, while the effect runs. */
export const whileLocked = <A, E, R>(
  { schema, sql }: TestLog,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError.SqlError, R> =>
  Effect.scoped(Effect.gen(function*() {
    const holder = yield* sql.reserve
    yield* holder.executeRaw("BEGIN", [])
    yield* holder.executeRaw(
      `SELECT pg_advisory_xact_lock(1129270608, '${schema}.events'::regclass::oid::integer)`,
      []
    )
    return yield* Effect.ensuring(effect, Effect.orDie(holder.executeRaw("COMMIT", [])))
  }))

/** Waits until an append waits for the lock. */
export const lockAwaited = ({ sql }: TestLog): Effect.Effect<unknown, SqlError.SqlError> =>
  Effect.repeat(
    sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`,
    { until: (rows) => rows.length > 0, schedule: Schedule.spaced("5 millis") }
  )

/** A log of its own in this database. */
export const make = (url: Redacted.Redacted) =>
  Effect.gen(function*() {
    const schema = `log_${randomUUID().replaceAll("-", "")}`
    const history: History.History = []
    const open: TestLog["open"] = (config, options) =>
      openStore({ url, ...config }, { ...options, schema }).pipe(
        // A test that ends connections knows that they are lost: the warnings of it would bury all else.
        Effect.provideService(References.MinimumLogLevel, "Error"),
        Effect.map((store) => recording(history, store))
      )
    const another = open({})
    const store = yield* another
    const sql = yield* connect({ url, startupParameters: { search_path: schema } })
    return { url, schema, sql, history, store, another, open } satisfies TestLog
  })

class Database extends Context.Service<Database, Redacted.Redacted>()("postgres/test/Database") {}

/** Declares a test on a fresh log. */
export type Declare = (
  name: string,
  body: (log: TestLog) => Effect.Effect<void, unknown, Scope.Scope>,
  timeout?: number
) => void

/**
 * Tests that share a database. At the end of a `test` its log must be sound. A `control` takes a safeguard away and
 * asserts itself what goes wrong then.
 */
export const suite = (name: string, declare: (test: Declare, control: Declare) => void): void =>
  layer(Layer.effect(Database, TestDatabase.make), { excludeTestServices: true, timeout: "60 seconds" })(name, (it) => {
    const control: Declare = (name, body, timeout = 30_000) =>
      it.effect(name, () => Effect.flatMap(Effect.flatMap(Database, make), body), timeout)
    const test: Declare = (name, body, timeout) =>
      control(
        name,
        (log) => Effect.andThen(body(log), Invariants.assertSound(log.sql, log.schema, log.history)),
        timeout
      )
    declare(test, control)
  })
