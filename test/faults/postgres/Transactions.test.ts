/**
 * The store beside transactions of its callers, and in their way: at other isolation levels, behind locks, in deadlocks,
 * prepared for a commit in two phases.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import { Array, Context, Effect, Fiber, Layer, Schedule, type Scope, Stream } from "effect"
import { BeginTransaction } from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Patience } from "../../../packages/postgres/src/internal/sendGroup.ts"
import { commandId, counted, several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as History from "../../../packages/postgres/test/History.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import * as TestLog from "../../../packages/postgres/test/TestLog.ts"
import * as ByHand from "./ByHand.ts"
import * as Follower from "./Follower.ts"
import * as Gate from "./Gate.ts"

const { any, exact, noStream } = ExpectedVersion

class Server extends Context.Service<Server, EmbeddedPostgres.EmbeddedPostgres>()("test/faults/Transactions") {}

/** Prepared transactions are off by default. */
const ServerLive = Layer.effect(
  Server,
  EmbeddedPostgres.start({ settings: { max_prepared_transactions: "5", deadlock_timeout: "200ms" } })
)

const pause = Schedule.spaced("5 millis")

layer(ServerLive, { excludeTestServices: true, timeout: "60 seconds" })(
  "a store beside its callers' transactions",
  (it) => {
    const control = (
      name: string,
      body: (log: TestLog.TestLog) => Effect.Effect<void, unknown, Scope.Scope | Server>
    ) => it.effect(name, () => Effect.flatMap(Effect.flatMap(Server, ({ url }) => TestLog.make(url)), body), 60_000)
    const test = (name: string, body: (log: TestLog.TestLog) => Effect.Effect<void, unknown, Scope.Scope | Server>) =>
      control(name, (log) => Effect.andThen(body(log), Invariants.assertSound(log.sql, log.schema, log.history)))

    const lock = (log: TestLog.TestLog) =>
      `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`

    test("T13: callers in SERIALIZABLE that fail and try again store each command once", (log) =>
      Effect.gen(function*() {
        yield* log.sql`CREATE TABLE totals (n int)`
        yield* log.sql`INSERT INTO totals VALUES (0)`
        let failures = 0
        const clients = yield* Effect.forEach(
          Array.range(1, 8),
          () => TestLog.connect({ url: log.url, startupParameters: { search_path: log.schema } })
        )
        yield* Effect.forEach(clients, (client, i) =>
          Effect.gen(function*() {
            const store = yield* Effect.provideService(
              PostgresEventStore.make({ schema: log.schema }),
              PgClient,
              client
            )
            const append = History.append(log.history, store)
            const options = { commandId: commandId() }
            // What is decided anew in each attempt is the caller's; the append knows its command again.
            yield* client.withTransaction(Effect.gen(function*() {
              const [row] = yield* client<{ n: number }>`SELECT n FROM totals`
              yield* append(stream(`s-${i % 3}`), any, several(2), options)
              yield* client`UPDATE totals SET n = ${row!.n + 1}`
            })).pipe(
              Effect.provideService(BeginTransaction, "BEGIN ISOLATION LEVEL SERIALIZABLE"),
              Effect.tapError(() => Effect.sync(() => failures++)),
              Effect.retry({
                while: (error) => isSqlError(error) && error.reason._tag === "SerializationError",
                schedule: Schedule.jittered(pause)
              })
            )
          }), { concurrency: "unbounded" })
        assert.isAbove(failures, 0, "some did fail")
        assert.deepStrictEqual(yield* log.sql`SELECT n FROM totals`, [{ n: 8 }])
        assert.strictEqual((yield* log.store.readAll({ after: 0n, limit: 1 })).head, 16n)
      }))

    test("T14: of 16 that decide by what they read, one gets the last seat, 40 times", ({ another, store }) =>
      Effect.gen(function*() {
        const stores = [store, yield* another]
        const book = (round: number, client: number) =>
          Effect.gen(function*() {
            const streamId = stream(`show-${round}`)
            const store = stores[client % 2]!
            const taken = yield* store.read(streamId)
            if (taken.length > 0) return 0
            yield* store.append(streamId, taken.length === 0 ? noStream : exact(taken.at(-1)!.version), several(1))
            return 1
          }).pipe(Effect.catchTag("VersionConflict", () => Effect.succeed(0)))
        for (let round = 0; round < 40; round++) {
          const seats = yield* Effect.forEach(Array.range(1, 16), (client) => book(round, client), {
            concurrency: "unbounded"
          })
          assert.strictEqual(seats.reduce((sum, seat) => sum + seat, 0), 1)
        }
      }))

    test("T14: a stream that grows while it is loaded page by page has no gap, and one version for one state", ({ another, store }) =>
      Effect.gen(function*() {
        const streamId = stream("long")
        yield* store.append(streamId, noStream, several(1_200))
        const other = yield* another
        const growing = yield* Effect.forkChild(
          Effect.forEach(Array.range(1, 50), () => other.append(streamId, any, several(20)))
        )
        for (let round = 0; round < 5; round++) {
          const versions = yield* Stream.runCollect(Stream.map(store.load(streamId), ({ version }) => version))
          assert.deepStrictEqual(versions, Array.range(0, versions.length - 1))
          assert.strictEqual(versions.length % 20, 0, "no append was seen in part")
        }
        yield* Fiber.join(growing)
      }))

    test("T23: a transaction that appended cannot be prepared, and leaves nothing", (log) =>
      Effect.gen(function*() {
        const session = yield* ByHand.session(log)
        yield* session.unsafe("BEGIN")
        yield* ByHand.append(session, log, stream("a"), several(2))
        const error = yield* Effect.flip(session.unsafe("PREPARE TRANSACTION 'half'"))
        assert.deepInclude(error.reason.cause, { code: "0A000" })
        assert.deepInclude(yield* log.store.append(stream("a"), noStream, several(1)), { globalPosition: 1n })
      }))

    control(
      "T23 control: without its announcement it can, and then holds up who comes after",
      (log) =>
        Effect.gen(function*() {
          yield* Sabotage.replaceIn(log.sql, `${log.schema}.append`, [[
            `PERFORM pg_notify('${log.schema}_events', tip::text);`,
            ""
          ]])
          const session = yield* ByHand.session(log)
          yield* session.unsafe("BEGIN")
          yield* ByHand.append(session, log, stream("a"), several(2))
          yield* session.unsafe("PREPARE TRANSACTION 'half'")
          const store = yield* log.open({ url: log.url, applicationName: "after" })
          const append = yield* Effect.forkChild(store.append(stream("a"), any, several(1)))
          yield* Gate.waiting(log.sql, "after", 1)
          assert.strictEqual((yield* log.store.readAll({ after: 0n, limit: 1 })).head, 0n)
          yield* session.unsafe("COMMIT PREPARED 'half'")
          assert.deepInclude(yield* Fiber.join(append), { version: 2, globalPosition: 3n })
        })
    )

    test("an append behind a lock that is held for longer than its patience fails typed, and is not done later", (log) =>
      Effect.gen(function*() {
        const open = (startupParameters: Record<string, string>) =>
          Effect.provideService(log.open({ url: log.url, startupParameters }), Patience, "1 second")
        const stores = [yield* open({ statement_timeout: "300ms" }), yield* open({ lock_timeout: "300ms" })]
        yield* Effect.scoped(Effect.gen(function*() {
          const holder = yield* log.sql.reserve
          yield* holder.executeRaw("BEGIN", [])
          yield* holder.executeRaw(lock(log), [])
          const errors = yield* Effect.forEach(
            stores,
            (store) => Effect.flip(store.append(stream("a"), any, several(2))),
            {
              concurrency: "unbounded"
            }
          )
          for (const [i, error] of errors.entries()) {
            assert.deepInclude(error, { _tag: "EventStoreError", retryable: true })
            const state = i === 0 ? "57014" : "55P03"
            if (error._tag === "EventStoreError" && isSqlError(error.cause)) {
              assert.deepInclude(error.cause.reason.cause, { code: state })
            }
          }
          yield* holder.executeRaw("COMMIT", [])
        }))
        // Whoever waited before has had its turn when a later one is through.
        for (const store of stores) {
          yield* store.append(stream("b"), any, several(1))
        }
        assert.deepStrictEqual(yield* log.store.read(stream("a")), [])
      }))

    const deadlocks = Effect.map(
      Server,
      ({ dataDir }) => readFileSync(join(dataDir, "postgres.log"), "utf8").split("deadlock detected").length - 1
    )

    for (const victim of ["the store", "the caller"] as const) {
      test(`a deadlock between users' SQL in the append's transaction and another, whose victim is ${victim}`, (log) =>
        Effect.gen(function*() {
          const patient = { deadlock_timeout: "30s" }
          const store = yield* log.open({
            url: log.url,
            applicationName: "store",
            ...(victim === "the caller" && { startupParameters: patient })
          })
          yield* log.sql`CREATE TABLE totals (n int)`
          yield* log.sql`INSERT INTO totals VALUES (0)`
          yield* log.sql.unsafe(`CREATE FUNCTION count_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          UPDATE ${log.schema}.totals SET n = n + 1; RETURN NULL; END $$`)
          yield* log
            .sql`CREATE TRIGGER count_events AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION count_events()`
          const before = yield* deadlocks
          const session = yield* ByHand.session(log)
          if (victim === "the store") {
            yield* session.unsafe("SET deadlock_timeout = '30s'")
          }
          yield* session.unsafe("BEGIN")
          yield* session`UPDATE totals SET n = n + 100`
          const append = yield* Effect.forkChild(store.append(stream("a"), noStream, several(3)))
          yield* Effect.repeat(
            log.sql`SELECT pid FROM pg_stat_activity WHERE application_name = 'store' AND wait_event_type = 'Lock'`,
            { until: (rows) => rows.length === 1, schedule: pause }
          )
          const second = Effect.andThen(ByHand.append(session, log, stream("a"), several(2)), session.unsafe("COMMIT"))
          if (victim === "the caller") {
            const error = yield* Effect.flip(second)
            assert.deepInclude(error.reason.cause, { code: "40P01" })
            yield* session.unsafe("ROLLBACK")
            assert.deepInclude(yield* Fiber.join(append), { version: 2, globalPosition: 3n, duplicate: false })
            assert.deepStrictEqual(yield* log.sql`SELECT n FROM totals`, [{ n: 3 }])
          } else {
            yield* second
            const conflict = yield* Effect.flip(Fiber.join(append))
            assert.deepInclude(conflict, { _tag: "VersionConflict", actual: 1 })
            assert.deepStrictEqual(yield* log.sql`SELECT n FROM totals`, [{ n: 102 }])
          }
          assert.strictEqual(yield* deadlocks, before + 1)
        }))
    }

    test("a deadlock of two others round the lock: the store's appends get through, and its subscriber sees them", (log) =>
      Effect.gen(function*() {
        const store = yield* log.open({ url: log.url, applicationName: "bystander" })
        const follower = yield* Follower.follow(log.store)
        yield* log.sql`CREATE TABLE totals (n int)`
        yield* log.sql`INSERT INTO totals VALUES (0)`
        const [one, two] = [yield* ByHand.session(log), yield* ByHand.session(log)]
        yield* one.unsafe("BEGIN")
        yield* two.unsafe("BEGIN")
        yield* one`UPDATE totals SET n = n + 1`
        yield* ByHand.append(two, log, stream("a"), [counted(1)])
        const appends = yield* Effect.forkChild(
          Effect.forEach(Array.range(1, 20), () => store.append(stream("b"), any, several(2)), {
            concurrency: "unbounded"
          })
        )
        yield* Gate.waiting(log.sql, "bystander", 1)
        const end = (session: PgClient, last: Effect.Effect<unknown, unknown>) =>
          Effect.matchEffect(last, {
            onFailure: () => Effect.as(session.unsafe("ROLLBACK"), 0),
            onSuccess: () => Effect.as(session.unsafe("COMMIT"), 1)
          })
        const ends = yield* Effect.all([
          end(one, ByHand.append(one, log, stream("a"), [counted(2)])),
          end(two, two`UPDATE totals SET n = n + 1`)
        ], { concurrency: "unbounded" })
        assert.deepStrictEqual(ends.toSorted(), [0, 1], "one of the two was the victim")
        yield* Fiber.join(appends)
        assert.strictEqual((yield* log.store.read(stream("b"))).length, 40)
        const rows = yield* Invariants.readRows(log.sql, log.schema)
        assert.strictEqual(rows.length, 41)
        yield* Effect.timeout(follower.received(41), "5 seconds")
        assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
      }))

    control(
      "T06: without the lock, transacts in opposite orders get in each other's way",
      (log) =>
        Effect.gen(function*() {
          yield* Sabotage.replaceIn(log.sql, `${log.schema}.append`, [
            [`PERFORM pg_advisory_xact_lock(1129270608, '"${log.schema}".events'::regclass::oid::integer);`, ""]
          ])
          const stores = [log.store, yield* log.another]
          const to = (id: string) => ({ streamId: stream(id), expected: any, events: several(1) })
          yield* Effect.forEach(
            Array.range(1, 200),
            (i) => Effect.exit(stores[i % 2]!.transact(i % 2 === 0 ? [to("a"), to("b")] : [to("b"), to("a")])),
            {
              concurrency: 8
            }
          )
          const failed = log.history.filter(({ outcome }) => outcome._tag !== "Stored")
          assert.isNotEmpty(failed)
        })
    )
  }
)
