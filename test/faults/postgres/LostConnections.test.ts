/**
 * Connections that break at the worst moment: nothing is stored twice, nothing acknowledged is missing, and the caller
 * learns the true outcome.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Redacted, Schedule } from "effect"
import { Patience } from "../../../packages/postgres/src/internal/sendGroup.ts"
import { commandId, several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import { suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"
import * as TcpProxy from "./TcpProxy.ts"

const { any, exact, noStream } = ExpectedVersion

/** Between two looks at something that will come. */
const pause = Schedule.spaced("5 millis")

/** A proxy before the log's server, and a way to open stores behind it. */
const proxied = ({ open: openDirectly, url }: TestLog) =>
  Effect.gen(function*() {
    const direct = new URL(Redacted.value(url))
    const proxy = yield* TcpProxy.make(Number(direct.port))
    direct.port = String(proxy.port)
    const openWith = (options?: PostgresEventStore.Options) =>
      openDirectly({ url: Redacted.make(direct.href), maxConnections: 3 }, options)
    const open = openWith()
    /** A command id, and a fault for the moment when the client first sends it. */
    const doomed = (kind: TcpProxy.Fault["kind"]) => {
      const id = commandId()
      proxy.arrange({ kind, when: (data) => data.includes(id) })
      return id
    }
    return { proxy, open, openWith, doomed }
  })

suite("lost connections", (test, control) => {
  test("T10: the acknowledgement of the commit is lost 200 times, and every append is stored once", (log) =>
    Effect.gen(function*() {
      const { doomed, open, proxy } = yield* proxied(log)
      yield* Effect.forEach(Array.range(1, 8), (client) =>
        Effect.gen(function*() {
          const store = yield* open
          for (let round = 0; round < 25; round++) {
            const result = yield* store.append(stream(`client-${client}`), exact(2 * round - 1), several(2), {
              commandId: doomed("replyLost")
            })
            assert.deepInclude(result, { version: 2 * round + 1, duplicate: false })
          }
        }), { concurrency: "unbounded" })
      assert.strictEqual(proxy.happened(), 200)
      assert.strictEqual((yield* log.store.readAll({ after: 0n, limit: 1 })).head, 400n)
    }))

  test("T10: the acknowledgement of a whole group is lost, with commands of every outcome in it", (log) =>
    Effect.gen(function*() {
      const { doomed, open, proxy } = yield* proxied(log)
      const store = yield* open
      for (let round = 0; round < 10; round++) {
        const streamId = stream(`round-${round}`)
        const to = (expected: ExpectedVersion.ExpectedVersion, count: number) => ({
          streamId,
          expected,
          events: several(count)
        })
        const [first, conflict, others, last] = yield* Effect.all([
          store.transact([to(noStream, 2), to(any, 1), to(exact(2), 2)], { commandId: doomed("replyLost") }),
          Effect.flip(store.append(streamId, exact(7), several(1))),
          Effect.forEach(Array.range(1, 20), () => store.append(streamId, any, several(1)), {
            concurrency: "unbounded"
          }),
          store.append(streamId, any, several(3))
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(first.map(({ duplicate, version }) => ({ duplicate, version })), [
          { duplicate: false, version: 1 },
          { duplicate: false, version: 2 },
          { duplicate: false, version: 4 }
        ])
        assert.strictEqual(conflict._tag, "VersionConflict")
        assert.isFalse([...others, last].some(({ duplicate }) => duplicate))
        assert.strictEqual(last.version, 27)
      }
      assert.strictEqual(proxy.happened(), 10)
    }))

  for (const count of [1, 2]) {
    control(
      `T10 control: without the look-up of command ids, a lost acknowledgement stores twice: ${count} events`,
      (log) =>
        Effect.gen(function*() {
          yield* Sabotage.forgetCommands(log.sql, log.schema)
          const { doomed, open } = yield* proxied(log)
          const store = yield* open
          yield* store.append(stream("a"), any, several(count), { commandId: doomed("replyLost") })
          const rows = yield* Invariants.readRows(log.sql, log.schema)
          assert.strictEqual(rows.length, 2 * count)
          assert.strictEqual(Invariants.commandViolations(rows).length, 1)
          assert.strictEqual(Invariants.historyViolations(rows, log.history).length, 1)
        })
    )
  }

  for (const kind of ["requestLost", "requestCut", "requestUnanswered", "replyCut"] as const) {
    test(`T11: 100 times ${kind}, and every append is stored once`, (log) =>
      Effect.gen(function*() {
        const { doomed, open, proxy } = yield* proxied(log)
        yield* Effect.forEach(Array.range(1, 10), (client) =>
          Effect.gen(function*() {
            const store = yield* open
            for (let round = 0; round < 10; round++) {
              const result = yield* store.append(stream(`client-${client}`), exact(round - 1), several(1), {
                commandId: doomed(kind)
              })
              assert.deepInclude(result, { version: round, duplicate: false })
            }
          }), { concurrency: "unbounded" })
        assert.strictEqual(proxy.happened(), 100)
      }))
  }

  test("T11: the connection is lost while the append waits for the lock, which its backend then still gets", (log) =>
    Effect.gen(function*() {
      const { open, proxy } = yield* proxied(log)
      const store = yield* open
      yield* store.append(stream("a"), noStream, several(1))
      const waitingForLock = log.sql<{ count: number }>`SELECT count(*)::int FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database
        WHERE datname = current_database())`
      const until = (count: number) =>
        Effect.repeat(waitingForLock, { until: ([row]) => row?.count === count, schedule: pause })
      const results = yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw(
          `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`,
          []
        )
        const appends = yield* Effect.forkChild(
          Effect.forEach([1, 2, 3], () => store.append(stream("a"), any, several(2)), { concurrency: "unbounded" })
        )
        yield* until(1)
        proxy.resetAll()
        // The retry waits too, behind the backend whose client is gone.
        yield* until(2)
        yield* holder.executeRaw("COMMIT", [])
        return yield* Fiber.join(appends)
      }))
      assert.deepStrictEqual(results.map(({ duplicate, version }) => ({ duplicate, version })), [
        { duplicate: false, version: 2 },
        { duplicate: false, version: 4 },
        { duplicate: false, version: 6 }
      ])
    }))

  test(
    "a server that stays away fails all appends together, typed, when patience ends",
    (log) =>
      Effect.gen(function*() {
        const { open, proxy } = yield* proxied(log)
        const store = yield* Effect.provideService(open, Patience, "1 second")
        yield* store.append(stream("a"), noStream, several(1))
        proxy.close()
        // Were each waited for by itself, it would take two lanes 100 seconds: longer than this test may.
        const errors = yield* Effect.forEach(
          Array.range(1, 200),
          () => Effect.flip(store.append(stream("a"), any, several(1))),
          { concurrency: "unbounded" }
        )
        for (const error of errors) assert.deepInclude(error, { _tag: "EventStoreError", retryable: true })
      })
  )

  for (const kind of ["silence", "silentReply"] as const) {
    test(
      `T11: connections fall silent under appends (${kind}), and each is stored once, in time`,
      (log) =>
        Effect.gen(function*() {
          const { doomed, openWith, proxy } = yield* proxied(log)
          const store = yield* openWith({ appendTimeout: "300 millis" })
          yield* store.append(stream("warm"), any, several(1))
          const appends = ["a", "b"].map((id) => {
            const commandId = doomed(kind)
            return store.append(stream(id), noStream, several(1), { commandId })
          })
          const results = yield* Effect.timeout(Effect.all(appends, { concurrency: "unbounded" }), "20 seconds")
          assert.isAtLeast(proxy.happened(), 1)
          assert.deepStrictEqual(results.map(({ duplicate, version }) => ({ duplicate, version })), [
            { duplicate: false, version: 0 },
            { duplicate: false, version: 0 }
          ])
          assert.strictEqual((yield* log.store.readAll({ after: 0n, limit: 1 })).head, 3n)
        }),
      40_000
    )
  }

  test(
    "a server that has fallen silent for good fails appends typed, when patience ends",
    (log) =>
      Effect.gen(function*() {
        const { openWith, proxy } = yield* proxied(log)
        const store = yield* Effect.provideService(openWith({ appendTimeout: "300 millis" }), Patience, "500 millis")
        yield* store.append(stream("a"), any, several(1))
        proxy.blackhole()
        const error = yield* Effect.timeout(Effect.flip(store.append(stream("a"), any, several(1))), "20 seconds")
        assert.deepInclude(error, { _tag: "EventStoreError", reason: "Unreachable", retryable: true })
        assert.strictEqual((yield* log.store.readAll({ after: 0n, limit: 1 })).head, 1n)
      }),
    40_000
  )

  test("T62: a LISTEN connection that falls silent is made up for by polling", (log) =>
    Effect.gen(function*() {
      const { open, proxy } = yield* proxied(log)
      proxy.arrange({ kind: "silenceAfterReply", when: (data) => data.includes("LISTEN") })
      const store = yield* open
      const follower = yield* Follower.follow(store)
      yield* Effect.repeat(Effect.sync(proxy.happened), { until: (count) => count === 1, schedule: pause })
      for (let i = 0; i < 3; i++) {
        yield* log.store.append(stream("a"), any, several(2))
        yield* Effect.timeout(follower.received(2 * (i + 1)), "5 seconds")
      }
      const rows = yield* Invariants.readRows(log.sql, log.schema)
      assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
    }))
})
