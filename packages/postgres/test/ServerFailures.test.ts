/**
 * What a server says of itself when it stops, crashes, starts, lacks memory or ends a session, provoked for real, on
 * servers of their own; and `statement_timeout` on every read.
 *
 * Not provoked here: 53100 is in `test/faults/postgres/DiskFull`, the standby's 25006 in `Health`, the others in
 * `sqlFailure`. The states 08xxx that the server itself sends tell of a broken protocol, which this client does not speak.
 */
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, References, Schedule, Stream } from "effect"
import { isSqlError } from "effect/sql/SqlError"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Patience } from "../src/internal/sendGroup.ts"
import { sqlState } from "../src/internal/sqlState.ts"
import { several, stream } from "./Facts.ts"
import { connect, make, suite } from "./TestLog.ts"

const any = { _tag: "Any" } as const
const pause = Schedule.spaced("10 millis")

/** The reason, and the server's own code where it could send one. */
const told = (error: unknown) => {
  assert.instanceOf(error, EventStoreError)
  const { cause, reason, retryable } = error
  return { reason, retryable, state: isSqlError(cause) ? sqlState(cause) : undefined }
}

const postmaster = ({ dataDir }: EmbeddedPostgres.EmbeddedPostgres): number =>
  Number(readFileSync(join(dataDir, "cluster", "postmaster.pid"), "utf8").split("\n")[0])

describe("a server", () => {
  it.live("57P03: that is being stopped lends no connection", () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start()
      const { store } = yield* make(server.url)
      const other = yield* connect({ url: server.url })
      // For as long as this session is there, an orderly stop waits.
      const last = yield* other.reserve
      yield* last.executeRaw("SELECT 1", [])
      const fresh = yield* make(server.url)
      yield* last.executeRaw(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
        []
      )
      process.kill(postmaster(server), "SIGTERM")
      const refused = Effect.map(Effect.flip(fresh.store.read(stream("a"))), told)
      yield* Effect.repeat(refused, {
        until: ({ reason, retryable, state }) => state === "57P03" && reason === "ShuttingDown" && retryable,
        schedule: pause
      }).pipe(Effect.timeout("10 seconds"))
      assert.deepStrictEqual(told(yield* Effect.flip(store.readAll({ after: 0n, limit: 1 }))).reason, "ShuttingDown")
    }).pipe(Effect.provideService(References.MinimumLogLevel, "Error")), 60_000)

  it.live(
    "57P02: one of whose processes crashes ends all sessions; appends that waited get through",
    () =>
      Effect.gen(function*() {
        const server = yield* EmbeddedPostgres.start()
        const { another, sql, store } = yield* make(server.url)
        const holder = yield* sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw("LOCK TABLE events", [])
        const read = yield* Effect.forkChild(Effect.flip(store.read(stream("a"))))
        const append = yield* Effect.forkChild((yield* another).append(stream("a"), any, several(1)))
        const victims = yield* Effect.repeat(
          sql<{ pid: number }>`SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'`,
          { until: (rows) => rows.length === 2, schedule: pause }
        )
        process.kill(victims[0]!.pid, "SIGKILL")
        assert.deepInclude(told(yield* Fiber.join(read)), { reason: "Unreachable", retryable: true })
        assert.deepInclude(yield* Fiber.join(append), { version: 0, duplicate: false })
        assert.include(readFileSync(join(server.dataDir, "postgres.log"), "utf8"), "was terminated by signal 9")
      }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "Error")),
    60_000
  )

  it.live(
    "53200: that has no memory left for a lock refuses appends, and takes them again",
    () =>
      Effect.gen(function*() {
        const settings = { max_locks_per_transaction: "10", max_connections: "12" }
        const server = yield* EmbeddedPostgres.start({ settings })
        const { open, sql } = yield* make(server.url)
        const store = yield* Effect.provideService(open({ url: server.url, maxConnections: 3 }), Patience, "300 millis")
        yield* store.append(stream("a"), any, several(1))
        const greedy = yield* sql.reserve
        const takeAll = greedy.executeRaw("SELECT pg_advisory_lock(n) FROM generate_series(1, 1000000) AS n", [])
        assert.strictEqual(sqlState(yield* Effect.flip(takeAll)), "53200")
        assert.deepStrictEqual(told(yield* Effect.flip(store.append(stream("a"), any, several(1)))), {
          reason: "OutOfMemory",
          retryable: true,
          state: "53200"
        })
        yield* greedy.executeRaw("SELECT pg_advisory_unlock_all()", [])
        assert.deepInclude(yield* store.append(stream("a"), any, several(1)), { version: 1, globalPosition: 2n })
      }).pipe(Effect.provideService(References.MinimumLogLevel, "Error")),
    60_000
  )
})

suite("a session", (test) => {
  test("57P05: that was idle for too long is replaced, and nobody notices", (log) =>
    Effect.gen(function*() {
      const applicationName = "idles"
      const startupParameters = { idle_session_timeout: "50ms" }
      const store = yield* log.open({ applicationName, startupParameters }, { wakeUp: { by: "poll" } })
      for (let i = 0; i < 3; i++) {
        assert.deepInclude(yield* store.append(stream("a"), any, several(1)), { version: i })
        assert.lengthOf(yield* store.read(stream("a")), i + 1)
        yield* Effect.repeat(
          log
            .sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = ${applicationName}`,
          { until: (rows) => rows.length === 0, schedule: pause }
        )
      }
    }))

  test("57014: that has a statement_timeout fails every read with it", (log) =>
    Effect.gen(function*() {
      const startupParameters = { statement_timeout: "1s" }
      const store = yield* log.open({ startupParameters, maxConnections: 8 }, { wakeUp: { by: "poll" } })
      yield* store.append(stream("a"), any, several(3), { commandId: "one" })
      const page = { after: 0n, limit: 10 }
      const partition = { index: 0, count: 2 }
      const reads: Readonly<Record<string, Effect.Effect<unknown, unknown>>> = {
        "read": store.read(stream("a")),
        "read backwards": store.read(stream("a"), { direction: "backwards" }),
        "load": Stream.runDrain(store.load(stream("a"))),
        "readAll": store.readAll(page),
        "readAll of names": store.readAll({ ...page, names: ["Counted"] }),
        "readAll of a partition": store.readAll({ ...page, partition }),
        "readAll of names in a partition": store.readAll({ ...page, names: ["Counted"], partition }),
        "readCommand": store.readCommand("one")
      }
      const holder = yield* log.sql.reserve
      yield* holder.executeRaw("BEGIN", [])
      yield* holder.executeRaw("LOCK TABLE events", [])
      const errors = yield* Effect.forEach(Object.values(reads), Effect.flip, { concurrency: "unbounded" })
      yield* holder.executeRaw("COMMIT", [])
      for (const [i, name] of Object.keys(reads).entries()) {
        assert.deepStrictEqual<unknown>(
          told(errors[i]),
          { reason: "StatementTimeout", retryable: true, state: "57014" },
          name
        )
      }
      yield* Effect.all(reads)
    }))
})
