/**
 * T38: behind a proxy that lends a server's connection for one transaction only.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Layer, Logger, Queue, Redacted, Schedule } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import { connect, openStore, suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"
import * as Pooler from "./Pooler.ts"
import * as Writers from "./Writers.ts"

const { any } = ExpectedVersion

/** A pooler before the server, and the URL by which to reach it. */
const pooled = (url: Redacted.Redacted, size = 3) =>
  Effect.gen(function*() {
    const direct = new URL(Redacted.value(url))
    const pooler = yield* Pooler.make(Number(direct.port), size)
    direct.port = String(pooler.port)
    return { pooler, url: Redacted.make(direct.href) }
  })

const behindPooler = (prepare: boolean) =>
  PostgresEventStore.layer({ wakeUp: { by: "poll" } }).pipe(
    Layer.provide(Layer.unwrap(Effect.gen(function*() {
      const { url } = yield* pooled(yield* TestDatabase.make)
      return PgClient.layer({ url, prepare })
    })))
  )

EventStoreContract.suite("T38: PostgresEventStore behind a pooler", behindPooler(false))

const pause = Schedule.spaced("5 millis")

const writtenBy = (log: TestLog, options: PgClient.PgPoolConfig) =>
  Effect.gen(function*() {
    const stores = yield* Effect.forEach(
      Array.range(1, 4),
      () => log.open({ maxConnections: 4, ...options }, { wakeUp: { longestPause: "100 millis" } })
    )
    const follower = yield* Follower.follow(stores[0]!)
    const stop = yield* Writers.start({ stores, writers: 16, streams: 8, seed: 38 })
    const stored = () => log.history.filter(({ outcome }) => outcome._tag === "Stored").length
    yield* Effect.repeat(Effect.sync(stored), { until: (count) => count >= 1_000, schedule: pause })
    yield* stop
    const rows = yield* Invariants.readRows(log.sql, log.schema)
    yield* Effect.timeout(follower.received(rows.length), "10 seconds")
    assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
  })

suite("T38: behind a pooler", (test, control) => {
  test("16 writers and a subscriber, with a client that prepares nothing: no statement is unknown", (log) =>
    Effect.gen(function*() {
      const { pooler, url } = yield* pooled(log.url)
      yield* writtenBy(log, { url, prepare: false })
      assert.deepStrictEqual([...pooler.errors], [])
      assert.isAbove(pooler.transactions().filter((count) => count > 100).length, 1, "no connection is one store's own")
    }))

  test("16 writers and a subscriber, with a client that prepares: what is unknown is sent again", (log) =>
    Effect.gen(function*() {
      const { pooler, url } = yield* pooled(log.url)
      yield* writtenBy(log, { url })
      // It shows that the double is as mean as it says.
      assert.deepStrictEqual([...pooler.errors.keys()], ["26000"])
    }))

  test("a store finds out that no notification arrives, says so once, and polls", (log) =>
    Effect.gen(function*() {
      const { pooler, url } = yield* pooled(log.url)
      const said: Array<unknown> = []
      const logger = Logger.make(({ logLevel, message }) => void (logLevel === "Warn" && said.push(message)))
      const store = yield* Effect.provide(
        openStore({ url, prepare: false }, { schema: log.schema, wakeUp: { longestPause: "100 millis" } }),
        Logger.layer([logger])
      )
      const follower = yield* Follower.follow(store)
      yield* Effect.repeat(Effect.sync(() => said.length), { until: (count) => count === 1, schedule: pause })
      assert.match(String(said), /LISTEN .* does not work; polling/)
      for (let i = 1; i <= 5; i++) {
        yield* log.store.append(stream("a"), any, several(2))
        yield* Effect.timeout(follower.received(2 * i), "5 seconds")
      }
      assert.strictEqual(said.length, 1)
      assert.strictEqual(pooler.sent("LISTEN"), 1)
    }))

  test("a store that is told to poll does not try to listen", (log) =>
    Effect.gen(function*() {
      const { pooler, url } = yield* pooled(log.url)
      const store = yield* log.open({ url, prepare: false }, { wakeUp: { by: "poll" } })
      const follower = yield* Follower.follow(store)
      yield* log.store.append(stream("a"), any, several(2))
      yield* Effect.timeout(follower.received(2), "5 seconds")
      assert.strictEqual(pooler.sent("LISTEN"), 0)
    }))

  control("control: LISTEN is accepted there, and nothing ever comes", (log) =>
    Effect.gen(function*() {
      const { pooler, url } = yield* pooled(log.url)
      const client = yield* connect({ url, prepare: false })
      const notifications = yield* client.listen(`${log.schema}_events`)
      // So that the connection which LISTENs is lent to nobody when the notification comes.
      yield* client`SELECT 1`
      yield* log.store.append(stream("a"), any, several(1))
      yield* Effect.repeat(Effect.sync(pooler.swallowed), { until: (count) => count === 1, schedule: pause })
      assert.strictEqual(yield* Queue.size(notifications), 0)
    }))
})
