import * as ConnectionPool from "@composable-ts/postgres/ConnectionPool"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Exit, Fiber, Metric, Redacted, Schedule, Scope } from "effect"
import { several, stream } from "./Facts.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const any = { _tag: "Any" } as const

const observed = (log: TestLog, maxConnections: number) =>
  Effect.flatMap(connect({ url: log.url, maxConnections }), (client) => ConnectionPool.observe(client, log.schema))

const until = (client: PgClient, usage: ConnectionPool.Usage) =>
  Effect.repeat(Effect.sync(() => JSON.stringify(ConnectionPool.usageOf(client))), {
    until: (now) => now === JSON.stringify(usage),
    schedule: Schedule.spaced("5 millis")
  })

const stateOf = (log: TestLog, id: string) =>
  Effect.map(
    Metric.snapshot,
    (metrics) => metrics.find((metric) => metric.id === id && metric.attributes?.["pool"] === log.schema)?.state
  )

suite("an observed pool", (test) => {
  test("tells what is lent, what is left and who waits, also to the metrics", (log) =>
    Effect.gen(function*() {
      const client = yield* observed(log, 2)
      assert.deepStrictEqual(ConnectionPool.usageOf(client), { used: 0, free: 2, waiting: 0 })
      const scope = yield* Scope.make()
      const connection = yield* Scope.provide(client.reserve, scope)
      yield* connection.executeRaw("SELECT 1", [])
      const transaction = yield* Effect.forkChild(client.withTransaction(Effect.never))
      yield* until(client, { used: 2, free: 0, waiting: 0 })
      const statement = yield* Effect.forkChild(client`SELECT 2 AS two`)
      const given = yield* Effect.forkChild(client`SELECT 3`)
      yield* until(client, { used: 2, free: 0, waiting: 2 })
      assert.deepInclude(yield* stateOf(log, "composable_pool_used"), { value: 2 })
      assert.deepInclude(yield* stateOf(log, "composable_pool_free"), { value: 0 })
      assert.deepInclude(yield* stateOf(log, "composable_pool_waiting"), { value: 2 })
      yield* Fiber.interrupt(given)
      yield* until(client, { used: 2, free: 0, waiting: 1 })
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(statement), [{ two: 2 }])
      yield* Fiber.interrupt(transaction)
      yield* until(client, { used: 0, free: 2, waiting: 0 })
      assert.deepInclude(yield* stateOf(log, "composable_pool_wait"), { count: 4 })
    }))

  test("is one that listens, too", (log) =>
    Effect.gen(function*() {
      const client = yield* observed(log, 2)
      yield* Effect.scoped(Effect.andThen(client.listen("news"), until(client, { used: 1, free: 1, waiting: 0 })))
      yield* until(client, { used: 0, free: 2, waiting: 0 })
    }))

  test("of which no connection can be had counts nobody who has given up", (log) =>
    Effect.gen(function*() {
      const nowhere = yield* connect({ url: Redacted.make("postgres://nobody@127.0.0.1:1/nothing"), maxConnections: 1 })
      const client = yield* ConnectionPool.observe(nowhere, log.schema)
      yield* Effect.flip(client`SELECT 1`)
      assert.deepStrictEqual(ConnectionPool.usageOf(client), { used: 0, free: 1, waiting: 0 })
    }))

  test("does for a store what any does, and its health tells of it", (log) =>
    Effect.gen(function*() {
      const client = yield* observed(log, 3)
      const store = yield* Effect.provideService(
        PostgresEventStore.open({ schema: log.schema }),
        PgClient,
        client
      )
      yield* Effect.forEach(Array.range(1, 50), (i) => store.append(stream(`s-${i % 5}`), any, several(2)), {
        concurrency: "unbounded"
      })
      const within = client.withTransaction(
        Effect.andThen(client`SET LOCAL application_name = 'mine'`, store.read(stream("s-1")))
      )
      assert.lengthOf(yield* within, 20)
      yield* Effect.flip(client.withTransaction(Effect.andThen(client`CREATE TABLE undone ()`, Effect.fail("undo"))))
      assert.deepStrictEqual(yield* client`SELECT to_regclass('undone')::text AS found`, [{ found: null }])
      const broken = client.withTransaction(Effect.ignore(client`SELECT 1 / 0`))
      assert.match(String(yield* Effect.flip(broken)), /COMMIT rolled back/)
      const { pool } = yield* store.health
      assert.deepInclude(pool, { size: 3, usage: { used: 0, free: 3, waiting: 0 } })
      assert.isUndefined((yield* log.store.health).pool.usage)
    }))

  test("cannot be one whose statements share connections", (log) =>
    Effect.gen(function*() {
      const client = yield* connect({ url: log.url, multiplex: true })
      const exit = yield* Effect.exit(ConnectionPool.observe(client))
      assert.match(String(exit), /cannot be observed/)
    }))
})
