/**
 * T62: connections that die without a word, so that nobody resets them and nothing ever answers.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import * as TcpProxy from "../postgres/TcpProxy.ts"
import { untilSome } from "./Processes.ts"

const database = Layer.merge(TestDatabase.layerMigrated("log", PostgresEventStore.layer()), Logger.layer([]))

/** Runs a tally behind a proxy, its leases a second and a half long; ends it, however many of its connections are dead. */
const behindProxy = <E, R>(projection: Projection.Projection<E, R>) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    assert.isDefined(config.url)
    const url = new URL(Redacted.value(config.url))
    const proxy = yield* TcpProxy.make(Number(url.port))
    url.port = String(proxy.port)
    const clients = PgClient.layer({ url: Redacted.make(url.href) })
    const store = PostgresEventStore.layer({ readTimeout: "500 millis", wakeUp: { heartbeat: "300 millis" } })
    const ended = yield* Deferred.make<void>()
    const runner = yield* Effect.forkDetach(
      Projection.run(projection).pipe(
        Effect.ensuring(Deferred.succeed(ended, undefined)),
        Effect.provideService(Lease.Time, "1500 millis"),
        Effect.provide(store.pipe(Layer.provideMerge(clients)))
      )
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => runner.interruptUnsafe()))
    yield* Tally.until(yield* Tally.appendVotes(20))
    return { ended: Deferred.await(ended), proxy, runner }
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

/** Those on which pages are read and applied, and no heartbeat is sent. */
const isWorkers = (data: Buffer) => !data.includes("composable.leases") && !data.includes("LISTEN")

const nobodyInTransaction =
  "SELECT WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE state LIKE 'idle in transaction%')"

/** A tally that stops in the midst of its thirtieth event, and goes on in this way the first time. */
const stopping = (goesOn: Effect.Effect<unknown, SqlError, SqlClient.SqlClient>) =>
  Effect.gen(function*() {
    const inside = yield* Deferred.make<void>()
    const silenced = yield* Deferred.make<void>()
    let tries = 0
    const after = ({ globalPosition }: RecordedEvent): typeof goesOn =>
      Effect.gen(function*() {
        if (globalPosition !== 30n || ++tries > 1) return
        yield* Deferred.succeed(inside, undefined)
        yield* Deferred.await(silenced)
        yield* goesOn
      })
    return { projection: Tally.tally(Tally.main, { after }), inside, silenced, tries: () => tries }
  })

const goesOn = {
  "waits for something else": Effect.never,
  "has a statement under way": Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1`),
  "is about to commit": Effect.void
}

describe.concurrent("T62: a connection falls silent", () => {
  for (const [which, isSuch] of Object.entries(kinds)) {
    it.live(`${which}: the projection goes on, and keeps its lease or takes it again`, () =>
      Effect.gen(function*() {
        const { proxy, runner } = yield* behindProxy(Tally.tally())
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
      const { proxy, runner } = yield* behindProxy(Tally.tally())
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

  for (const [which, goOn] of Object.entries(goesOn)) {
    it.live(
      `in a handler that ${which}: the transaction is given up, and is another's turn`,
      () =>
        Effect.gen(function*() {
          const { inside, projection, silenced, tries } = yield* stopping(goOn)
          const { proxy, runner } = yield* behindProxy(projection)
          yield* Tally.appendVotes(20)
          yield* Deferred.await(inside)
          proxy.silence(isWorkers)
          yield* Deferred.succeed(silenced, undefined)
          yield* Tally.until(40n)
          assert.strictEqual(tries(), 2)
          assert.strictEqual(yield* Tally.verify(), 40n)
          assert.isUndefined(runner.pollUnsafe(), "the projection has ended")
          yield* untilSome(nobodyInTransaction)
        }).pipe(Effect.scoped, Effect.provide(database)),
      60_000
    )
  }

  it.live(
    "in a handler, and its process is to end: that does not wait for an answer for ever",
    () =>
      Effect.gen(function*() {
        const { inside, projection } = yield* stopping(Effect.never)
        const { ended, proxy, runner } = yield* behindProxy(projection)
        yield* Tally.appendVotes(20)
        yield* Deferred.await(inside)
        proxy.silence(isWorkers)
        yield* Effect.forkChild(Fiber.interrupt(runner))
        // Before anybody ends it at the server.
        yield* ended
        const other = yield* Effect.forkChild(
          Projection.run(Tally.tally()).pipe(Effect.provideService(Lease.Time, "1500 millis"))
        )
        yield* Tally.until(40n)
        assert.strictEqual(yield* Tally.verify(), 40n)
        yield* Fiber.interrupt(other)
      }).pipe(Effect.scoped, Effect.provide(database)),
    60_000
  )

  it.live(
    "and one that is only slow is left alone: in a statement of its own, and between two",
    () =>
      Effect.gen(function*() {
        const { inside, projection, silenced, tries } = yield* stopping(
          Effect.andThen(
            Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT pg_sleep(6)`),
            Effect.sleep("6 seconds")
          )
        )
        const { runner } = yield* behindProxy(projection)
        yield* Tally.appendVotes(20)
        yield* Deferred.await(inside)
        yield* Deferred.succeed(silenced, undefined)
        yield* Tally.until(40n)
        assert.strictEqual(tries(), 1)
        assert.strictEqual(yield* Tally.verify(), 40n)
        assert.isUndefined(runner.pollUnsafe(), "the projection has ended")
      }).pipe(Effect.scoped, Effect.provide(database)),
    60_000
  )
})
