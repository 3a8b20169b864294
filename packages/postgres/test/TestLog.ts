/**
 * A log on a fresh database, for one test, and any number of stores on it, each like a process of its own.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { it } from "@effect/vitest"
import { Effect, type Redacted, type Scope } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import type { Migrator, SqlError } from "effect/sql"
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
): Effect.Effect<EventStore.Service, SqlError.SqlError | Migrator.MigrationError, Scope.Scope> =>
  Effect.flatMap(
    connect(config),
    (client) => Effect.provideService(PostgresEventStore.make(options), PgClient.PgClient, client)
  )

/** What a test gets. */
export interface TestLog {
  readonly url: Redacted.Redacted
  /** A client for looking at the tables, and for disturbing. */
  readonly sql: PgClient.PgClient
  readonly history: History.History
  /** The log's store; its appends are recorded in the history. */
  readonly store: EventStore.Service
  /** Another store on the same log, as of another process; its appends are recorded too. */
  readonly another: Effect.Effect<
    EventStore.Service,
    SqlError.SqlError | Migrator.MigrationError,
    Scope.Scope
  >
}

const recording = (history: History.History, store: EventStore.Service): EventStore.Service => ({
  ...store,
  append: History.append(history, store),
  transact: History.transact(history, store)
})

/** A log in the default schema of a fresh database. */
export const make = Effect.gen(function*() {
  const url = yield* TestDatabase.make
  const history: History.History = []
  const another = Effect.map(openStore({ url }), (store) => recording(history, store))
  return { url, sql: yield* connect({ url }), history, store: yield* another, another } satisfies TestLog
})

/** A test on a fresh log, which must be sound at the end. */
export const test = (
  name: string,
  body: (log: TestLog) => Effect.Effect<void, unknown, Scope.Scope>,
  timeout = 30_000
): void =>
  it.live(name, () =>
    Effect.gen(function*() {
      const log = yield* make
      yield* body(log)
      yield* Invariants.assertSound(log.sql, "composable", log.history)
    }), timeout)
