/**
 * T62: connections that die without a word, so that nobody resets them and nothing ever answers.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import * as TcpProxy from "../postgres/TcpProxy.ts"
import { untilSome } from "./Processes.ts"

const database = Layer.merge(TestDatabase.layerMigrated("log", PostgresEventStore.layer()), Logger.layer([]))

/** Runs a tally behind a proxy, its leases a second and a half long; ends it, however many of its connections are dead. */
const behindProxy = Effect.gen(function*() {
  const { config } = yield* PgClient.PgClient
  assert.isDefined(config.url)
  const url = new URL(Redacted.value(config.url))
  const proxy = yield* TcpProxy.make(Number(url.port))
  url.port = String(proxy.port)
  const clients = PgClient.layer({ url: Redacted.make(url.href) })
  const store = PostgresEventStore.layer({ readTimeout: "500 millis", wakeUp: { heartbeat: "300 millis" } })
  const runner = yield* Effect.forkDetach(
    Projection.run(Tally.tally()).pipe(
      Effect.provideService(Lease.Time, "1500 millis"),
      Effect.provide(store.pipe(Layer.provideMerge(clients)))
    )
  )
  yield* Effect.addFinalizer(() => Effect.sync(() => runner.interruptUnsafe()))
  yield* Tally.until(yield* Tally.appendVotes(20))
  return { proxy, runner }
})

const lease = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) =>
    sql<{ readonly owner: string; readonly epoch: bigint; readonly expires: Date }>`
      SELECT owner, epoch, expires_at AS expires FROM composable.leases`
)

const kinds = {
  "that the heartbeat goes over": (data: Buffer) => data.includes("composable.leases"),
  "that listens": (data: Buffer) => data.includes("LISTEN"),
  "that the log is read over": (data: Buffer) => data.includes("events")
}

// One that dies in the middle of a handler's transaction is left out: it is TCP that tells, see docs/projections.md.
describe("T62: a connection falls silent", () => {
  for (const [which, isSuch] of Object.entries(kinds)) {
    it.live(`${which}: the projection goes on, and keeps its lease or takes it again`, () =>
      Effect.gen(function*() {
        const { proxy, runner } = yield* behindProxy
        proxy.silence(isSuch)
        const [before] = yield* lease
        assert.isDefined(before)
        yield* Tally.until(yield* Tally.appendVotes(20))
        // Renewed for longer than a heartbeat that hangs would let it last.
        yield* untilSome(
          `SELECT FROM composable.leases WHERE expires_at > '${before.expires.toISOString()}'::timestamptz + interval '2 s'`
        )
        yield* Tally.until(yield* Tally.appendVotes(20))
        assert.strictEqual(yield* Tally.verify(), 60n)
        assert.isUndefined(runner.pollUnsafe(), "the projection has ended")
      }).pipe(Effect.scoped, Effect.provide(database)), 60_000)
  }

  it.live("and so do all: another process takes over at the end of the lease", () =>
    Effect.gen(function*() {
      const { proxy, runner } = yield* behindProxy
      proxy.blackhole()
      yield* Tally.appendVotes(20)
      const other = yield* Effect.forkChild(
        Projection.run(Tally.tally()).pipe(Effect.provideService(Lease.Time, "1500 millis"))
      )
      yield* Tally.until(40n)
      assert.strictEqual(yield* Tally.verify(), 40n)
      assert.isUndefined(runner.pollUnsafe(), "the projection has ended")
      yield* Fiber.interrupt(other)
    }).pipe(Effect.scoped, Effect.provide(database)), 60_000)
})
