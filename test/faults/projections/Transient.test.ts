/**
 * What passes by itself is waited for, and leaves the counter exact: deadlocks, serialization failures, connections that
 * end in the middle of a statement, between two, or with the commit's answer on its way, and a server that dies.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import { ProjectionFailed } from "@composable-ts/projections/ProjectionError"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"
import { once } from "node:events"
import { type AddressInfo, connect, createServer } from "node:net"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { seeded } from "./Seed.ts"

/** Log and read models in one fresh database; the many warnings of an outage are not shown. */
const database = PostgresEventStore.layer().pipe(
  Layer.provideMerge(TestDatabase.layer),
  Layer.provideMerge(Logger.layer([]))
)

type Deed = Effect.Effect<unknown, SqlError, SqlClient.SqlClient>

/** The tally, which does something in the middle of its hundredth event. */
const midway = (deed: (attempt: number) => Deed) => {
  let attempts = 0
  return Tally.tally(Tally.main, {
    after: ({ globalPosition }): Deed => Effect.suspend(() => globalPosition === 100n ? deed(++attempts) : Effect.void)
  })
}

const sql = (statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe<Readonly<Record<string, unknown>>>(statement))

/** The same on a connection of its own, outside the transaction under way. */
const aside = (statement: string) =>
  Effect.gen(function*() {
    const client = yield* SqlClient.SqlClient
    return yield* Effect.scoped(Effect.flatMap(client.reserve, (connection) => connection.executeRaw(statement, [])))
  })

/** Waits until somebody in this database waits for a lock. */
const somebodyWaits = Effect.gen(function*() {
  while (true) {
    const [row] = yield* sql(`
      SELECT count(*)::int AS waiting FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event_type = 'Lock'`)
    if (row?.["waiting"] === 1) return
  }
})

describe("contention", () => {
  it.live("a deadlock with somebody else's transaction is tried again (T46)", () =>
    Effect.gen(function*() {
      yield* sql("CREATE TABLE stock AS SELECT id, 0 AS taken FROM generate_series(1, 2) AS id")
      const client = yield* SqlClient.SqlClient
      const take = (id: number) => sql(`UPDATE stock SET taken = taken + 1 WHERE id = ${id}`)
      const handlerHasOne = yield* Deferred.make<void>()
      const otherHasTwo = yield* Deferred.make<void>()
      const other = yield* Effect.forkChild(client.withTransaction(Effect.gen(function*() {
        yield* take(2)
        yield* Deferred.succeed(otherHasTwo, undefined)
        yield* Deferred.await(handlerHasOne)
        yield* take(1)
      })))
      let tries = 0
      const projection = midway((attempt) =>
        Effect.gen(function*() {
          tries = attempt
          // Who waits for the shorter time notices the deadlock, and is its victim.
          yield* sql("SET LOCAL deadlock_timeout = '5ms'")
          yield* Deferred.await(otherHasTwo)
          yield* take(1)
          if (attempt === 1) {
            yield* Deferred.succeed(handlerHasOne, undefined)
            yield* somebodyWaits
          }
          yield* take(2)
        })
      )
      yield* Tally.appendVotes(200)
      assert.strictEqual(yield* Projection.catchUp(projection), 200n)
      yield* Fiber.join(other)
      assert.strictEqual(tries, 2)
      assert.strictEqual(yield* Tally.verify(), 200n)
      assert.deepStrictEqual(yield* sql("SELECT taken FROM stock"), [{ taken: 2 }, { taken: 2 }])
    }).pipe(Effect.provide(database)))

  it.live("a serialization failure is tried again", () =>
    Effect.gen(function*() {
      yield* sql("CREATE TABLE stock AS SELECT 0 AS taken")
      let tries = 0
      const projection = midway((attempt) =>
        Effect.gen(function*() {
          tries = attempt
          if (attempt < 4) yield* aside("UPDATE stock SET taken = taken + 1")
          yield* sql("UPDATE stock SET taken = taken + 1")
        })
      )
      yield* Tally.appendVotes(200)
      const position = yield* Projection.catchUp(projection).pipe(
        Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ")
      )
      assert.strictEqual(position, 200n)
      assert.strictEqual(tries, 4)
      assert.strictEqual(yield* Tally.verify(), 200n)
      assert.deepStrictEqual(yield* sql("SELECT taken FROM stock"), [{ taken: 4 }])
    }).pipe(Effect.provide(database)))

  it.live("runners that all work at the strictest isolation still count exactly", () =>
    Effect.gen(function*() {
      const runners = yield* Effect.forkChild(
        Effect.all(Array.from({ length: 3 }, () => Projection.run(Tally.tally())), { concurrency: "unbounded" }).pipe(
          Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL SERIALIZABLE")
        )
      )
      const appended = Effect.andThen(
        Effect.repeat(Tally.appendVotes(20), { times: 49 }),
        Tally.until(1_000n)
      )
      yield* Effect.raceFirst(appended, Fiber.join(runners))
      assert.strictEqual(yield* Tally.verify(), 1_000n)
      yield* Fiber.interrupt(runners)
    }).pipe(Effect.provide(database)))

  it.effect("that never passes stops the projection, and says what and where", () =>
    Effect.gen(function*() {
      yield* sql("CREATE TABLE stock AS SELECT 0 AS taken")
      const projection = midway(() =>
        Effect.andThen(aside("UPDATE stock SET taken = taken + 1"), sql("UPDATE stock SET taken = 0"))
      )
      yield* Tally.appendVotes(100)
      const stopped = yield* Effect.forkChild(Effect.flip(
        Projection.catchUp(projection).pipe(
          Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ")
        )
      ))
      while (stopped.pollUnsafe() === undefined) {
        yield* sql("SELECT 1")
        yield* TestClock.adjust("1 second")
      }
      const error = yield* Fiber.join(stopped)
      assert.instanceOf(error, ProjectionFailed)
      assert.deepInclude(error, { after: 0n, upTo: 100n })
      assert.match(error.message, /could not serialize access/)
      assert.strictEqual(yield* Tally.verify(), 0n)
    }).pipe(Effect.provide(database)))
})

describe("a connection that ends", () => {
  it.live("in the middle of the handler's statement is opened anew", () =>
    Effect.gen(function*() {
      const projection = midway((attempt) =>
        attempt <= 3 ? sql("SELECT pg_terminate_backend(pg_backend_pid())") : Effect.void
      )
      yield* Tally.appendVotes(200)
      assert.strictEqual(yield* Projection.catchUp(projection), 200n)
      assert.strictEqual(yield* Tally.verify(), 200n)
    }).pipe(Effect.provide(database)))

  it.live("between two of the handler's statements is opened anew", () =>
    Effect.gen(function*() {
      const projection = midway((attempt) =>
        Effect.gen(function*() {
          if (attempt > 3) return
          const [row] = yield* sql("SELECT pg_backend_pid() AS pid")
          yield* aside(`SELECT pg_terminate_backend(${row?.["pid"]}, 10000)`)
          yield* sql("SELECT 1")
        })
      )
      yield* Tally.appendVotes(200)
      assert.strictEqual(yield* Projection.catchUp(projection), 200n)
      assert.strictEqual(yield* Tally.verify(), 200n)
    }).pipe(Effect.provide(database)))

  it.live("at the commit is opened anew", () =>
    Effect.gen(function*() {
      const projection = Tally.tally()
      yield* Projection.catchUp(projection)
      yield* sql("CREATE SEQUENCE commits")
      yield* sql(`
        CREATE FUNCTION end_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF nextval('commits') <= 3 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
          RETURN NULL;
        END $$`)
      yield* sql(`
        CREATE CONSTRAINT TRIGGER end_at_commit AFTER INSERT ON tally_v1_applied
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_at_commit()`)
      yield* Tally.appendVotes(200)
      assert.strictEqual(yield* Projection.catchUp(projection), 200n)
      assert.strictEqual(yield* Tally.verify(), 200n)
    }).pipe(Effect.provide(database)))

  it.live("before the answer to the commit has come: what was committed is not applied again", () =>
    Effect.gen(function*() {
      const { config } = yield* PgClient.PgClient
      assert.isDefined(config.url)
      const proxy = yield* losingCommits(config.url)
      let handled = 0
      const projection = Tally.tally(Tally.main, {
        after: () => Effect.sync(() => (++handled === 100 || handled === 3_000) && proxy.loseNext())
      })
      yield* Tally.appendVotes(4_500)
      const position = yield* Projection.catchUp(projection).pipe(
        Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url: proxy.url }))))
      )
      assert.strictEqual(proxy.lost(), 2)
      assert.strictEqual(position, 4_500n)
      assert.strictEqual(yield* Tally.verify(), 4_500n)
    }).pipe(Effect.scoped, Effect.provide(database)))

  it.live(
    "at random, many times, those that listen included, is opened anew by run",
    () =>
      Effect.gen(function*() {
        const { random } = seeded()
        const { config } = yield* PgClient.PgClient
        const projector = PgClient.layer({ ...config, applicationName: "projector" })
        // Opened before the first kill: opening fails typed when its connection is lost, and is not what is tested here.
        const opened = yield* Layer.build(PostgresEventStore.layer().pipe(Layer.provideMerge(projector)))
        const runner = yield* Effect.forkChild(
          Effect.all([Projection.run(Tally.tally()), Projection.run(Tally.tally())], { concurrency: 2 }).pipe(
            Effect.provide(opened)
          )
        )
        let kills = 0
        let head = 0n
        while (kills < 40) {
          head = yield* Tally.appendVotes(1 + Math.floor(random() * 20))
          yield* Effect.sleep(random() * 10)
          const victims = yield* sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'projector'")
          const victim = victims[Math.floor(random() * victims.length)]
          if (victim !== undefined) {
            const [killed] = yield* sql(`SELECT pg_terminate_backend(${victim["pid"]}) AS killed`)
            if (killed?.["killed"] === true) kills++
          }
          yield* Tally.checked()
          assert.isUndefined(runner.pollUnsafe(), "the projection has ended")
        }
        yield* Tally.until(head)
        assert.strictEqual(yield* Tally.verify(), head)
        yield* Fiber.interrupt(runner)
      }).pipe(Effect.scoped, Effect.provide(database)),
    60_000
  )
})

/** A way to the server on which the answers to some commits are lost, and the connection with them. */
const losingCommits = (url: Redacted.Redacted) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      let toLose = false
      let lost = 0
      const target = new URL(Redacted.value(url))
      const proxy = createServer((client) => {
        const server = connect(Number(target.port), target.hostname)
        const end = () => {
          client.destroy()
          server.destroy()
        }
        client.on("data", (chunk) => server.write(chunk)).on("error", end).on("close", end)
        server.on("error", end).on("close", end).on("data", (chunk) => {
          if (toLose && chunk.includes("COMMIT\0")) {
            toLose = false
            lost++
            end()
          } else client.write(chunk)
        })
      }).listen(0, "127.0.0.1")
      await once(proxy, "listening")
      const through = new URL(target)
      through.port = String((proxy.address() as AddressInfo).port)
      return {
        url: Redacted.make(through.href),
        /** Loses the answer to the next commit. */
        loseNext: () => toLose = true,
        lost: () => lost,
        close: () => proxy.close()
      }
    }),
    ({ close }) => Effect.sync(close)
  )

describe("a server that goes down", () => {
  it.live("and comes back: run recovers by itself, and the count is exact", () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start()
      const clients = PgClient.layer({ url: server.url })
      yield* Effect.gen(function*() {
        const runner = yield* Effect.forkChild(Projection.run(Tally.tally()))
        const grow = yield* Effect.forkChild(Effect.forever(Effect.ignore(Tally.appendVotes(5))))
        let seen = 0n
        for (const goDown of [server.kill, Effect.void, server.kill]) {
          yield* Tally.until(seen + 200n)
          yield* goDown
          yield* server.restart
          yield* Tally.until(seen)
          seen = yield* Tally.verify()
          assert.isUndefined(runner.pollUnsafe(), "the projection has ended")
        }
        yield* Tally.until(seen + 200n)
        yield* Fiber.interrupt(grow)
        const head = yield* Tally.append(Tally.voted("last"))
        yield* Tally.until(head)
        assert.strictEqual(yield* Tally.verify(), head)
        yield* Fiber.interrupt(runner)
      }).pipe(Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(clients))))
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))), 60_000)
})
