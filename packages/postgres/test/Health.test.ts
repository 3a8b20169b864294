import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Health from "@composable-ts/postgres/Health"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted, References, Schedule, Stream } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { several, stream } from "./Facts.ts"
import { connect, openStore, suite, type TestLog } from "./TestLog.ts"

const { any } = ExpectedVersion

const until = (health: Effect.Effect<Health.Report>, holds: (report: Health.Report) => boolean) =>
  Effect.repeat(health, { until: holds, schedule: Schedule.spaced("10 millis") })

const kinds = ({ problems }: Health.Report) => problems.map(({ kind }) => kind)

/** The report when somebody follows the log, and notifications arrive. */
const followed = (store: PostgresEventStore.Service) =>
  Effect.andThen(
    Effect.forkScoped(Stream.runDrain(store.subscribe({ after: 0n }))),
    until(store.health, ({ wakeUp }) => wakeUp.listening)
  )

/** A session that has the table to itself, so that an append gets the append lock and then waits. */
const lockTable = ({ sql }: TestLog) =>
  Effect.gen(function*() {
    const connection = yield* sql.reserve
    yield* connection.executeRaw("SET application_name = 'nightly batch'", [])
    yield* connection.executeRaw("BEGIN", [])
    yield* connection.executeRaw("LOCK TABLE events IN EXCLUSIVE MODE", [])
    const [row] = yield* connection.executeValues("SELECT pg_backend_pid()", [])
    return { pid: Number(row?.[0]), release: connection.executeRaw("COMMIT", []) }
  })

suite("health", (test) => {
  test("of a store to which nobody has subscribed: healthy, and it does not listen", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(3))
      const report = yield* log.store.health
      assert.deepInclude(report, { status: "healthy", problems: [], heartbeatAge: undefined })
      assert.deepInclude(report.wakeUp, { listening: false, reason: "unused" })
      const channels = yield* log.sql`SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND query LIKE 'LISTEN%' AND query LIKE ${`%${log.schema}%`}`
      assert.lengthOf(channels, 0)
      // By then the connection would have been there, had anything asked for it.
      assert.isTrue((yield* followed(log.store)).wakeUp.listening)
    }))

  test("of a store that is followed: healthy, listening, and what the server says", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(3))
      const report = yield* followed(log.store)
      assert.deepInclude(report, { status: "healthy", problems: [] })
      assert.isAtLeast(report.heartbeatAge ?? -1, 0)
      assert.deepInclude(report.server, { isStandby: false, head: 3n, fsync: true, fullPageWrites: true })
      assert.match(report.server?.version ?? "", /^\d+\.\d+/)
      assert.isAtLeast(report.server?.schemaVersion ?? 0, 1)
      assert.isAbove(report.server?.connections.max ?? 0, report.server?.connections.used ?? 0)
      assert.strictEqual(report.pool.size, 4)
      assert.deepStrictEqual(report.appends, { waiting: 0, underWay: 0 })
      assert.deepInclude(report.server?.appendLock, { holder: undefined, waiting: 0, longestWait: 0 })
    }))

  test("T17: of stalled appends: names who holds the lock, and for whom that waits", (log) =>
    Effect.gen(function*() {
      const health: Health.Options = { stalledAfter: "100 millis" }
      const stores = yield* Effect.all([
        log.open({ applicationName: "shop" }, { health }),
        log.open({ applicationName: "billing" }, { health })
      ])
      const batch = yield* lockTable(log)
      const first = yield* Effect.forkChild(stores[0].append(stream("a"), any, several(1)))
      yield* until(stores[0].health, ({ server }) => server?.appendLock.holder !== undefined)
      const second = yield* Effect.forkChild(stores[1].append(stream("b"), any, several(1)))
      const report = yield* until(stores[1].health, (report) => kinds(report).includes("AppendsStalled"))
      assert.deepStrictEqual(report.appends, { waiting: 0, underWay: 1 })
      const lock = report.server?.appendLock
      assert.strictEqual(report.status, "degraded")
      assert.strictEqual(lock?.holder?.applicationName, "shop")
      assert.strictEqual(lock?.waiting, 1)
      assert.isAtLeast(lock?.longestWait ?? 0, 100)
      assert.deepStrictEqual(
        lock?.holderWaitsFor.map(({ applicationName, pid, state }) => ({ applicationName, pid, state })),
        [{ applicationName: "nightly batch", pid: batch.pid, state: "idle in transaction" }]
      )
      const [problem] = report.problems
      assert.match(
        problem?.message ?? "",
        /pid \d+ \(shop, active since .*which itself waits for pid \d+ \(nightly batch/
      )
      yield* batch.release
      yield* Effect.all([Fiber.join(first), Fiber.join(second)])
      assert.deepStrictEqual(kinds(yield* stores[1].health), [])
    }))

  test("T17: names the blocker also to a role that may not look into other sessions", (log) =>
    Effect.gen(function*() {
      const role = `watcher_${log.schema}`
      yield* log.sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`)
      yield* Effect.addFinalizer(() =>
        Effect.ignore(Effect.andThen(log.sql.unsafe(`DROP OWNED BY ${role}`), log.sql.unsafe(`DROP ROLE ${role}`)))
      )
      yield* log.sql.unsafe(`GRANT ALL ON SCHEMA ${log.schema} TO ${role}`)
      yield* log.sql.unsafe(`GRANT ALL ON ALL TABLES IN SCHEMA ${log.schema} TO ${role}`)
      yield* log.sql.unsafe(`GRANT ALL ON ALL FUNCTIONS IN SCHEMA ${log.schema} TO ${role}`)
      const database = new URL(Redacted.value(log.url)).pathname.slice(1)
      yield* log.sql.unsafe(`GRANT CREATE ON DATABASE ${database} TO ${role}`)
      const watcher = yield* log.open({ username: role, password: Redacted.make("secret") }, {
        health: { stalledAfter: "50 millis" }
      })
      const shop = yield* log.open({ applicationName: "shop" })
      const other = yield* log.another
      const batch = yield* lockTable(log)
      const first = yield* Effect.forkChild(shop.append(stream("a"), any, several(1)))
      yield* until(watcher.health, ({ server }) => server?.appendLock.holder !== undefined)
      const second = yield* Effect.forkChild(other.append(stream("b"), any, several(1)))
      const report = yield* until(watcher.health, (report) => kinds(report).includes("AppendsStalled"))
      assert.deepInclude(report.server?.appendLock.holder, { applicationName: "shop", transactionSince: undefined })
      assert.deepStrictEqual(report.server?.appendLock.holderWaitsFor.map(({ pid }) => pid), [batch.pid])
      yield* batch.release
      yield* Effect.all([Fiber.join(first), Fiber.join(second)])
    }))

  test("of a pool whose connections are all in use: unreachable, within its time-out", (log) =>
    Effect.gen(function*() {
      const client = yield* connect({ url: log.url, maxConnections: 1 })
      const store = yield* openStore({ url: log.url, maxConnections: 1 }, { schema: log.schema })
      assert.isBelow((yield* store.health).pool.waited ?? Infinity, 1_000)
      const layer = PostgresEventStore.layer({ schema: log.schema, health: { timeout: "100 millis" } })
      const report = yield* Effect.gen(function*() {
        const { check } = yield* Health.Health
        yield* client.reserve
        return yield* check
      }).pipe(Effect.provide(layer.pipe(Layer.provide(Layer.succeed(PgClient.PgClient, client)))))
      assert.match(report.problems[0]?.message ?? "", /whether all of the pool's connections are in use/)
    }))

  test("of a log that is gone: failing, and says so", (log) =>
    Effect.gen(function*() {
      yield* log.sql.unsafe(`ALTER SCHEMA ${log.schema} RENAME TO elsewhere`)
      const report = yield* until(log.store.health, ({ status }) => status === "failing")
      assert.deepStrictEqual(kinds(report)[0], "LogUnreadable")
      assert.match(report.problems[0]?.message ?? "", /tables or functions are not there/)
      yield* log.sql.unsafe(`ALTER SCHEMA elsewhere RENAME TO ${log.schema}`)
    }))
})

describe("health of a server", () => {
  it.live("T64: that may lose what it acknowledged says which setting does it", () =>
    Effect.gen(function*() {
      const settings = { fsync: "off", full_page_writes: "off", synchronous_commit: "off" }
      const { url } = yield* EmbeddedPostgres.start({ settings })
      const store = yield* openStore({ url })
      const report = yield* store.health
      assert.strictEqual(report.status, "degraded")
      assert.deepStrictEqual(kinds(report), ["DurabilityOff", "DurabilityOff", "DurabilityOff"])
      for (const [i, setting] of Object.keys(settings).entries()) {
        assert.include(report.problems[i]?.message, `${setting} is off`)
      }
    }), 60_000)

  it.live("with few connections left says so", () =>
    Effect.gen(function*() {
      const { url } = yield* EmbeddedPostgres.start({ settings: { max_connections: "13" } })
      const store = yield* openStore({ url, maxConnections: 2 })
      assert.deepStrictEqual(kinds(yield* followed(store)), [])
      for (let i = 0; i < 7; i++) yield* (yield* connect({ url })).reserve
      assert.include(kinds(yield* store.health), "ConnectionsScarce")
    }), 60_000)

  it.live("that became a standby says so, and appends fail for that reason", () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start()
      const store = yield* openStore({ url: server.url })
      const sql = yield* connect({ url: server.url })
      const [row] = yield* sql<{ folder: string }>`SELECT current_setting('data_directory') AS folder`
      writeFileSync(join(row?.folder ?? "", "standby.signal"), "")
      yield* server.restart
      const report = yield* until(store.health, ({ server }) => server !== undefined)
      assert.strictEqual(report.status, "failing")
      assert.include(kinds(report), "Standby")
      const error = yield* Effect.flip(store.append(stream("a"), any, several(1)))
      assert.deepInclude(error, { _tag: "EventStoreError", reason: "ReadOnly", retryable: false })
      assert.deepStrictEqual(yield* store.read(stream("a")), [])
    }).pipe(Effect.provideService(References.MinimumLogLevel, "Error")), 60_000)
})
