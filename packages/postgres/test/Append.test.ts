/**
 * What the contract cannot ask of every store: stores of several processes on one database, and what becomes of the
 * commands that share a commit.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Exit, Fiber, Result, Schedule, Scope, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import { BeginTransaction } from "effect/sql/SqlClient"
import { commandId, counted, noted, several, stream } from "./Facts.ts"
import * as History from "./History.ts"
import { suite, type TestLog } from "./TestLog.ts"

const { any, exact, noStream, streamExists } = ExpectedVersion

/** How many commits the log's rows were written by. */
const commits = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ count: bigint }>`SELECT count(DISTINCT xmin::text) FROM events`,
    ([row]) => Number(row?.count)
  )

const tags = (results: ReadonlyArray<Result.Result<unknown, { readonly _tag: string }>>) =>
  results.map((result) => Result.isSuccess(result) ? "Stored" : result.failure._tag)

/** All at once, in one turn, hence in one group. */
const atOnce = <A, E>(effects: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.forEach(effects, Effect.result, { concurrency: "unbounded" })

suite("appends of several processes", (test) => {
  const race = (name: string, expectedIn: (round: number) => ExpectedVersion.ExpectedVersion, fresh: boolean) =>
    test(name, ({ another, store }) =>
      Effect.gen(function*() {
        const stores = [store, yield* another]
        for (let round = 0; round < 30; round++) {
          const streamId = stream(fresh ? `round-${round}` : "hot")
          const results = yield* atOnce(
            Array.makeBy(64, (i) => stores[i % 2]!.append(streamId, expectedIn(round), [counted(i)]))
          )
          const conflicts = results.filter(Result.isFailure).map(({ failure }) => failure)
          assert.strictEqual(conflicts.length, 63)
          for (const conflict of conflicts) {
            assert.strictEqual(conflict._tag, "VersionConflict")
            assert.deepInclude(conflict, { streamId, expected: expectedIn(round), actual: fresh ? 0 : round })
          }
        }
      }))

  race("T01: of 64 that expect one version, one wins each round", (round) => exact(round - 1), false)
  race("T02: of 64 that create one stream, one wins each round", () => noStream, true)

  test("T03: appends that expect any version all succeed", ({ another, store }) =>
    Effect.gen(function*() {
      const stores = [store, yield* another]
      for (let round = 0; round < 20; round++) {
        const results = yield* atOnce(Array.makeBy(20, (i) => stores[i % 2]!.append(stream("any"), any, several(3))))
        assert.isTrue(results.every((result) => Result.isSuccess(result)))
      }
      assert.strictEqual((yield* store.read(stream("any"))).length, 20 * 20 * 3)
    }))

  test("T05: transacts on streams in any order neither deadlock nor tear", ({ another, store }) =>
    Effect.gen(function*() {
      const stores = [store, yield* another]
      const streams = Array.makeBy(8, (i) => stream(String(i)))
      yield* Effect.forEach(Array.range(0, 15), (client) =>
        Effect.forEach(Array.range(0, 14), (round) => {
          const turned = [...streams.slice((client + round) % 8), ...streams.slice(0, (client + round) % 8)]
          const [first, ...rest] = client % 2 === 0 ? turned : turned.toReversed()
          const to = (streamId: typeof streams[number]) => ({ streamId, expected: any, events: several(1) })
          return stores[client % 2]!.transact([to(first!), ...rest.slice(0, 3).map(to)])
        }), { concurrency: "unbounded" })
      const { head } = yield* store.readAll({ after: 0n, limit: 1 })
      assert.strictEqual(head, 16n * 15n * 4n)
    }))

  test("T08: a command id 50 times at once, in two processes, then again, stores once", ({ another, store }) =>
    Effect.gen(function*() {
      const stores = [store, yield* another]
      const id = commandId()
      const append = (i: number) => stores[i % 2]!.append(stream("once"), noStream, several(3), { commandId: id })
      const results = yield* Effect.forEach(Array.range(1, 50), append, { concurrency: "unbounded" })
      const later = yield* Effect.andThen(store.append(stream("once"), exact(2), several(1)), append(1))
      assert.strictEqual(results.filter(({ duplicate }) => !duplicate).length, 1)
      for (const { globalPosition, version } of [...results, later]) {
        assert.deepStrictEqual({ globalPosition, version }, { globalPosition: 3n, version: 2 })
      }
    }))

  test("T08: a repeated transact that names a stream twice gets each part's first outcome", ({ another, store }) =>
    Effect.gen(function*() {
      const to = (id: string, count: number) => ({ streamId: stream(id), expected: any, events: several(count) })
      const transact = (store: EventStore.Service) =>
        Effect.map(
          store.transact([to("a", 2), to("b", 1), to("a", 3)], { commandId: "twice" }),
          (results): ReadonlyArray<EventStore.AppendResult> => results
        )
      const first = yield* transact(store)
      yield* store.append(stream("a"), any, several(1))
      const again = yield* transact(yield* another)
      assert.deepStrictEqual(first.map(({ version }) => version), [1, 0, 4])
      for (const [i, { globalPosition, version }] of first.entries()) {
        assert.deepStrictEqual(again[i], { globalPosition, version, duplicate: true })
      }
    }))
})

suite("a group", (test) => {
  test("each command has its own outcome", ({ sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("old"), noStream, several(3), { commandId: "stored before" })
      const results = yield* atOnce<EventStore.AppendResult, { readonly _tag: string }>([
        store.append(stream("new"), noStream, several(2)),
        store.append(stream("old"), exact(1), several(1)),
        store.append(stream("old"), noStream, several(3), { commandId: "stored before" }),
        store.append(stream("new"), noStream, several(1)),
        store.append(stream("old"), exact(2), several(1)),
        store.append(stream("missing"), streamExists, several(1)),
        store.append(stream("other"), noStream, several(3), { commandId: "stored before", metadata: { other: true } }),
        store.append(stream("new"), exact(1), several(2)),
        store.append(stream("old"), any, several(1)),
        store.append(stream("new"), streamExists, several(1))
      ])
      assert.deepStrictEqual(tags(results), [
        "Stored",
        "VersionConflict",
        "Stored",
        "VersionConflict",
        "Stored",
        "VersionConflict",
        "CommandIdConflict",
        "Stored",
        "Stored",
        "Stored"
      ])
      const told = results.map((result): object => Result.isSuccess(result) ? result.success : result.failure)
      assert.deepInclude(told[0], { version: 1, globalPosition: 5n, duplicate: false })
      assert.deepInclude(told[1], { actual: 2 })
      assert.deepInclude(told[2], { version: 2, globalPosition: 3n, duplicate: true })
      assert.deepInclude(told[3], { actual: 1 })
      assert.deepInclude(told[4], { version: 3, globalPosition: 6n, duplicate: false })
      assert.deepInclude(told[5], { actual: -1 })
      assert.deepInclude(told[7], { version: 3, globalPosition: 8n, duplicate: false })
      assert.deepInclude(told[8], { version: 4, globalPosition: 9n, duplicate: false })
      assert.deepInclude(told[9], { version: 4, globalPosition: 10n, duplicate: false })
      assert.isAtMost(yield* commits(sql), 3, "one commit before, one for the group, one for the repeated command id")
    }))

  test("each command of one event to a stream of its own has its own outcome", ({ sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("old"), noStream, several(3), { commandId: "stored before" })
      yield* store.append(stream("gone"), noStream, several(1))
      yield* store.tombstone(stream("gone"), any, { reason: "asked for" })
      const to = (id: string, expected: ExpectedVersion.ExpectedVersion, options?: EventStore.AppendOptions) =>
        store.append(stream(id), expected, several(1), options)
      const told = (results: ReadonlyArray<Result.Result<object, object>>) =>
        results.map((result) => Result.isSuccess(result) ? result.success : result.failure)

      const metadata = { by: "me", text: "\"{},\\\u00e9" }
      const passing = told(
        yield* atOnce([to("a", noStream), to("b", any, { metadata, correlationId: "cause" }), to("old", exact(2))])
      )
      assert.deepStrictEqual(passing, [
        { version: 0, globalPosition: 6n, duplicate: false },
        { version: 0, globalPosition: 7n, duplicate: false },
        { version: 3, globalPosition: 8n, duplicate: false }
      ])
      const [event] = yield* store.read(stream("b"))
      assert.deepInclude(event, { metadata, correlationId: "cause", data: several(1)[0].data })
      assert.strictEqual(yield* commits(sql), 3, "one before, one that erased, one for the group")

      const mixed = told(
        yield* atOnce([
          to("a", streamExists),
          to("b", noStream),
          to("gone", any),
          to("other", noStream, { commandId: "stored before" }),
          to("missing", streamExists),
          to("c", any)
        ])
      )
      assert.deepInclude(mixed[0], { version: 1, globalPosition: 9n, duplicate: false })
      assert.deepInclude(mixed[1], { _tag: "VersionConflict", actual: 0 })
      assert.deepInclude(mixed[2], { _tag: "StreamTombstoned", version: 1 })
      assert.deepInclude(mixed[3], { _tag: "CommandIdConflict" })
      assert.deepInclude(mixed[4], { _tag: "VersionConflict", actual: -1 })
      assert.deepInclude(mixed[5], { version: 0, globalPosition: 10n, duplicate: false })
      assert.strictEqual(yield* commits(sql), 4)
    }))

  test("two appends to one stream in one commit stand one after the other", ({ sql, store }) =>
    Effect.gen(function*() {
      const results = yield* Effect.all([
        store.append(stream("a"), any, several(2)),
        store.append(stream("a"), any, several(3))
      ], { concurrency: 2 })
      assert.deepStrictEqual(results.map(({ version }) => version), [1, 4])
      assert.strictEqual(yield* commits(sql), 1)
    }))

  test("a transact that conflicts in a later part leaves no gap for its group", ({ sql, store }) =>
    Effect.gen(function*() {
      const to = (id: string, expected: ExpectedVersion.ExpectedVersion, count: number) => ({
        streamId: stream(id),
        expected,
        events: several(count)
      })
      const results = yield* atOnce([
        store.transact([to("a", noStream, 2)]),
        store.transact([to("a", exact(1), 3), to("b", noStream, 2), to("a", exact(4), 1), to("c", exact(7), 1)]),
        store.transact([to("b", noStream, 1), to("a", exact(1), 1)]),
        store.transact([to("c", streamExists, 1), to("b", any, 1)]),
        store.transact([to("b", exact(0), 1), to("c", noStream, 1), to("b", exact(1), 2)])
      ])
      assert.deepStrictEqual(tags(results), ["Stored", "VersionConflict", "Stored", "VersionConflict", "Stored"])
      assert.deepStrictEqual(
        results.flatMap((result) => Result.isSuccess(result) ? result.success.map(({ version }) => version) : []),
        [1, 0, 2, 1, 0, 3]
      )
      assert.deepInclude(Result.isFailure(results[1]!) ? results[1].failure : {}, { streamId: "fact-c", actual: -1 })
      assert.strictEqual(yield* commits(sql), 1)
    }))

  test("what the database refuses for its own reason fails alone", ({ sql, store }) =>
    Effect.gen(function*() {
      yield* sql`CREATE FUNCTION refuse_odd() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF new.data->>'note' = 'forbidden' THEN RAISE EXCEPTION 'forbidden' USING ERRCODE = 'check_violation'; END IF;
          RETURN new;
        END $$`
      yield* sql`CREATE TRIGGER refuse_odd BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse_odd()`
      const results = yield* atOnce(
        Array.makeBy(20, (i) => store.append(stream(`s-${i % 5}`), any, [noted(i % 7 === 3 ? "forbidden" : i)]))
      )
      assert.deepStrictEqual(tags(results), Array.makeBy(20, (i) => i % 7 === 3 ? "EventStoreError" : "Stored"))
      const failures = results.filter(Result.isFailure).map(({ failure }) => failure)
      for (const failure of failures) assert.deepInclude(failure, { operation: "append", retryable: false })
    }))

  test("a deeply nested body that the database gives up on fails alone", ({ store }) =>
    Effect.gen(function*() {
      // Fine for JSON.stringify, beyond the depth that the server's stack allows.
      const depth = 7_000
      const text = `${"[".repeat(depth)}${"]".repeat(depth)}`
      const deep: ReturnType<typeof noted> = { ...noted(null), data: JSON.parse(text) }
      const results = yield* atOnce([
        store.append(stream("a"), any, [noted(1)]),
        store.append(stream("b"), any, [deep]),
        store.append(stream("c"), any, [noted(2)])
      ])
      assert.deepStrictEqual(tags(results), ["Stored", "EventStoreError", "Stored"])
    }))

  test("1 000 callers at once share few commits", ({ sql, store }) =>
    Effect.gen(function*() {
      yield* Effect.forEach(Array.range(1, 1_000), (i) => store.append(stream(`s-${i % 97}`), any, several(1)), {
        concurrency: "unbounded"
      })
      // What is left for the last ones may be shared out between two.
      assert.include([8, 9], yield* commits(sql))
    }))

  test("T67: interrupted callers leave no transaction open, and all or nothing behind", ({ another, sql, store }) =>
    Effect.gen(function*() {
      const stores = [store, yield* another]
      yield* Effect.forEach(Array.range(1, 200), (i) =>
        Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(stores[i % 2]!.append(stream(`s-${i % 5}`), any, several(1 + i % 3)), {
            startImmediately: true
          })
          for (let turn = 0; turn < i % 40; turn++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
        }), { concurrency: 16 })
      const left = yield* sql`SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
      assert.strictEqual(left.length, 0)
      yield* store.append(stream("s-0"), any, several(1))
    }))
})

suite("a store under pressure", (test) => {
  const clients = {
    "with three connections": { maxConnections: 3 },
    "with connections shared by all": { maxConnections: 3, multiplex: true },
    "without prepared statements": { prepare: false }
  }
  for (const [name, config] of Object.entries(clients)) {
    test(`T61: ${name}, 64 commands, 64 readers and a subscriber all get through`, (log) =>
      Effect.gen(function*() {
        const store = yield* log.open({ url: log.url, ...config })
        const followed = yield* Effect.forkChild(Stream.runCount(Stream.take(store.subscribe({ after: 0n }), 640)))
        yield* Effect.forEach(
          Array.range(1, 64),
          (i) =>
            Effect.forEach(
              Array.range(1, 10),
              () =>
                Effect.andThen(store.append(stream(`s-${i % 7}`), any, several(1)), store.read(stream(`s-${i % 5}`)))
            ),
          {
            concurrency: "unbounded"
          }
        )
        assert.strictEqual(yield* Fiber.join(followed), 640)
      }))
  }

  test("50 000 events in one append, and a transact over 2 000 streams", ({ store }) =>
    Effect.gen(function*() {
      const { globalPosition, version } = yield* store.append(stream("long"), noStream, several(50_000))
      assert.deepStrictEqual({ globalPosition, version }, { globalPosition: 50_000n, version: 49_999 })
      const to = (i: number) => ({ streamId: stream(`wide-${i}`), expected: noStream, events: several(2) })
      const results = yield* store.transact([to(0), ...Array.range(1, 1_999).map(to)])
      assert.isTrue(
        results.every((result, i) => result.version === 1 && result.globalPosition === BigInt(50_002 + 2 * i))
      )
      assert.strictEqual(yield* Stream.runCount(store.load(stream("long"))), 50_000)
    }))

  test("an append that runs into a timeout while it waits for the lock is tried again", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url, startupParameters: { statement_timeout: "100ms" } })
      const appended = yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw(
          `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`,
          []
        )
        const append = yield* Effect.forkChild(store.append(stream("a"), noStream, several(1)))
        // It has waited, been cancelled, and waits again.
        const waiting = log.sql<{ pid: number }>`SELECT pid, query_start::text AS since FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event = 'advisory'`
        const poll = { schedule: Schedule.spaced("5 millis") }
        const [first] = yield* Effect.repeat(waiting, { ...poll, until: (rows) => rows.length === 1 })
        yield* Effect.repeat(waiting, {
          ...poll,
          until: ([again]) => again !== undefined && JSON.stringify(again) !== JSON.stringify(first)
        })
        yield* holder.executeRaw("COMMIT", [])
        return yield* Fiber.join(append)
      }))
      assert.deepStrictEqual(appended, { version: 0, globalPosition: 1n, duplicate: false })
    }))

  test("T65: closing under load completes every caller, and what was acknowledged is there", (log) =>
    Effect.gen(function*() {
      for (let round = 0; round < 10; round++) {
        const scope = yield* Scope.make()
        const store = yield* Scope.provide(log.open({ url: log.url }), scope)
        const appends = yield* Effect.forEach(
          Array.range(1, 600),
          (i) => Effect.forkChild(store.append(stream(`s-${i % 7}`), any, several(1)), { startImmediately: true })
        )
        yield* Fiber.await(appends[round * 50]!)
        yield* Effect.timeout(Scope.close(scope, Exit.void), "5 seconds")
        const exits = yield* Effect.timeout(Effect.forEach(appends, Fiber.await), "5 seconds")
        for (const exit of exits) assert.isTrue(Exit.isSuccess(exit) || Exit.hasInterrupts(exit))
      }
    }))
})

suite("an append from within a transaction of the caller's own", (test) => {
  const begin = (log: TestLog) =>
    Effect.provideService(PostgresEventStore.make({ schema: log.schema }), PgClient, log.sql)

  test("learns of a command that its snapshot does not show", (log) =>
    Effect.gen(function*() {
      const store = yield* begin(log)
      const append = (store: EventStore.Service) =>
        store.append(stream("a"), noStream, several(2), { commandId: "known" })
      const again = yield* log.sql.withTransaction(Effect.gen(function*() {
        yield* log.sql`SELECT count(*) FROM events`
        yield* append(log.store)
        return yield* append(store)
      })).pipe(Effect.provideService(BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ"))
      assert.deepStrictEqual(again, { version: 1, globalPosition: 2n, duplicate: true })
    }))

  test("is not undone with it", (log) =>
    Effect.gen(function*() {
      const store = yield* begin(log)
      yield* Effect.flip(log.sql.withTransaction(
        Effect.andThen(History.append(log.history, store)(stream("a"), noStream, several(2)), Effect.fail("undo"))
      ))
      assert.strictEqual((yield* log.store.read(stream("a"))).length, 2)
    }))
})

suite("versions beyond what the database's integer holds", (test) => {
  test("are expected in vain", ({ store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), noStream, several(2))
      const results = yield* atOnce([
        store.append(stream("a"), exact(2 ** 31 - 1), several(1)),
        store.append(stream("a"), exact(2 ** 31), several(1)),
        store.append(stream("a"), exact(1), several(1)),
        store.append(stream("a"), exact(2 ** 53 - 1), several(1))
      ])
      assert.deepStrictEqual(tags(results), ["VersionConflict", "VersionConflict", "Stored", "VersionConflict"])
      assert.deepInclude(Result.isFailure(results[3]!) ? results[3].failure : {}, {
        expected: exact(2 ** 53 - 1),
        actual: 2
      })
    }))

  test("bound a read like any other", ({ store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), noStream, several(3))
      const versions = (options: EventStore.ReadOptions) =>
        Effect.map(store.read(stream("a"), options), (events) => events.map(({ version }) => version))
      assert.deepStrictEqual(yield* versions({ from: 2 ** 31 }), [])
      assert.deepStrictEqual(yield* versions({ from: 2 ** 53 - 1, direction: "backwards" }), [])
      assert.deepStrictEqual(yield* versions({ from: -(2 ** 40), to: 2 ** 53 - 1, maxCount: 2 ** 40 }), [0, 1, 2])
      assert.deepStrictEqual(yield* versions({ to: -(2 ** 40) }), [])
      assert.deepStrictEqual(yield* versions({ from: -Infinity, to: Infinity, maxCount: 2, direction: "backwards" }), [
        2,
        1
      ])
    }))
})
