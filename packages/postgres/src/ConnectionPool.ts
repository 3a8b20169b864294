/**
 * A client that tells how its pool is used. The driver keeps that to itself, so it is counted where connections are lent
 * and given back.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import { binding } from "./internal/boundMetric.ts"

declare const performance: { readonly now: () => number }

/** How a pool is used. */
export interface Usage {
  /** How many connections are lent. */
  readonly used: number
  /** How many more can be lent, whether they are open or not. */
  readonly free: number
  /** How many callers wait for one: until it is free, or until it is open. */
  readonly waiting: number
}

const used = Metric.gauge("composable_pool_used", { description: "Connections of the pool that are lent, by pool" })
const free = Metric.gauge("composable_pool_free", {
  description: "Connections that the pool could lend besides, open or not, by pool"
})
const waiting = Metric.gauge("composable_pool_waiting", {
  description: "Callers that wait for a connection, by pool"
})
const waited = Metric.timer("composable_pool_wait", {
  description: "Time until a connection was lent, or could not be had, by pool"
})

const usages = new WeakMap<PgClient.PgClient, () => Usage>()

/** How the pool of a client that {@link observe} made is used right now; `undefined` for any other client. */
export const usageOf = (client: PgClient.PgClient): Usage | undefined => usages.get(client)?.()

/** What becomes of connections that are lent, counted. */
const makeLending = (size: number, name: string) =>
  Effect.map(Effect.context<never>(), (context) => {
    const bound = binding(context, { pool: name })
    const [tellUsed, tellFree, tellWaiting, tellWaited] = [bound(used), bound(free), bound(waiting), bound(waited)]
    let lent = 0
    let callers = 0
    const usage = (): Usage => ({ used: lent, free: Math.max(0, size - lent), waiting: callers })
    const count = (change: { readonly lent?: 1 | -1; readonly waiting?: 1 | -1 }): void => {
      lent += change.lent ?? 0
      callers += change.waiting ?? 0
      tellUsed(lent)
      tellFree(Math.max(0, size - lent))
      tellWaiting(callers)
    }
    const lend = <A, R>(acquire: Effect.Effect<A, SqlError, R>): Effect.Effect<A, SqlError, R | Scope.Scope> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.suspend(() => {
          const since = performance.now()
          count({ waiting: 1 })
          return restore(acquire).pipe(
            Effect.onExit(() =>
              Effect.sync(() => {
                count({ waiting: -1 })
                tellWaited(Duration.millis(performance.now() - since))
              })
            ),
            Effect.tap(() => {
              count({ lent: 1 })
              return Effect.addFinalizer(() => Effect.sync(() => count({ lent: -1 })))
            })
          )
        })
      )
    return { usage, lend }
  })

/** The server answers the COMMIT of a transaction that has failed with a ROLLBACK. */
const commit = (connection: Connection) =>
  Effect.flatMap(connection.executeRaw("COMMIT", []), (result) => {
    const rolledBack = typeof result === "object" && result !== null && "command" in result &&
      result.command === "ROLLBACK"
    const message = "COMMIT rolled back a transaction that had failed"
    return rolledBack
      ? Effect.fail(
        new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation: "commit" }) })
      )
      : Effect.void
  })

/**
 * The same client, with its pool's use told to the metrics `composable_pool_used`, `composable_pool_free`,
 * `composable_pool_waiting` and `composable_pool_wait`, and to the health of a store that is opened with it. Only what
 * goes through this client is counted. `name` tells the pools of a process apart.
 *
 * Each statement takes a connection for itself, so a client with `multiplex`, whose statements share them, cannot be
 * observed: that dies with a `TypeError`.
 */
export const observe = (
  client: PgClient.PgClient,
  name = "default"
): Effect.Effect<PgClient.PgClient> =>
  Effect.gen(function*() {
    const { config } = client
    if (config.multiplex === true) {
      return yield* Effect.die(new TypeError("a client with `multiplex` lends no connections: it cannot be observed"))
    }
    // Not the driver's type, for a client that is no pool has none.
    const size = "maxConnections" in config && typeof config.maxConnections === "number" ? config.maxConnections : 10
    const { lend, usage } = yield* makeLending(size, name)
    const made = yield* SqlClient.make({
      driver: client.driver,
      acquirer: lend(client.reserve),
      transactionService: client.transactionService,
      prepareTransactionControls: true,
      commit,
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
      compiler: PgClient.makeCompiler(config.transformQueryNames, config.transformJson),
      spanAttributes: Object.entries({
        ...config.spanAttributes,
        "db.system.name": "postgresql",
        "db.namespace": config.database ?? config.username ?? "postgres",
        "server.address": config.host ?? "localhost",
        "server.port": config.port ?? 5432
      }),
      transformRows: config.transformResultNames === undefined
        ? undefined
        : Statement.defaultTransforms(config.transformResultNames, config.transformJson).array
    })
    const { json, listen, notify, reactive, reactiveMailbox } = client
    const observed: PgClient.PgClient = Object.assign(made, {
      [PgClient.TypeId]: PgClient.TypeId,
      config,
      json,
      notify,
      reactive,
      reactiveMailbox,
      listen: (channel: string) => lend(listen(channel))
    })
    usages.set(observed, usage)
    return observed
  }).pipe(Effect.provide(Reactivity.layer))

/**
 * Provides a client that is observed, see {@link observe}: in the place of `PgClient.layer`.
 *
 * @example
 * ```ts no-run
 * import * as ConnectionPool from "@composable-ts/postgres/ConnectionPool"
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const Database = ConnectionPool.layer({ url: Redacted.make("postgres://localhost/shop"), maxConnections: 10 })
 * export const Events = PostgresEventStore.layer().pipe(Layer.provideMerge(Database))
 * ```
 */
export const layer = (
  config: PgClient.PgPoolConfig,
  name?: string
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError> =>
  PgClient.layerFrom(Effect.flatMap(PgClient.make(config), (client) => observe(client, name)))
