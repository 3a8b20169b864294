/**
 * T43: a new version is built while the old one serves, writers write and queries query. No query fails, or sees a read
 * model that is partial or older than it was. `EVENTS` says how many there are at the beginning, 6 000 where it is not
 * set, and `REBUILD_KILLS` how often a rebuilding process is killed.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Consistency from "@composable-ts/projections/Consistency"
import * as Projection from "@composable-ts/projections/Projection"
import * as ReadModel from "@composable-ts/projections/ReadModel"
import * as Rebuild from "@composable-ts/projections/Rebuild"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { isSqlError } from "effect/sql/SqlError"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { throughContention } from "../../../packages/projections/src/internal/failures.ts"
import { schema } from "../../../packages/projections/src/internal/schema.ts"
import { show } from "../../../packages/projections/src/internal/servingViews.ts"
import { look, plain, type Seen, standings, vote } from "../../../packages/projections/test/Standings.ts"
import { untilSome } from "./Processes.ts"
import type { Rebuilding } from "./Rebuilder.ts"
import { seeded } from "./Seed.ts"

const events = Number(process.env["EVENTS"] ?? "6000")
const kills = Number(process.env["REBUILD_KILLS"] ?? "2")

const database = Consistency.layer.pipe(
  Layer.merge(PostgresEventStore.layer()),
  Layer.provideMerge(TestDatabase.layer)
)

const script = fileURLToPath(new URL("./Rebuilder.ts", import.meta.url))

/** A process that rebuilds, killed at the end of the scope. */
const rebuilder = (order: Omit<Rebuilding, "url" | "version" | "lease">) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    assert.isDefined(config.url)
    const rebuilding: Rebuilding = { ...order, version: 2, lease: 600, url: Redacted.value(config.url) }
    const child = yield* Effect.acquireRelease(
      Effect.sync((): ChildProcess =>
        spawn(process.execPath, [script, JSON.stringify(rebuilding)], { stdio: ["ignore", "inherit", "pipe"] })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let said = ""
    child.stderr?.setEncoding("utf8").on("data", (text: string) => said += text)
    const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>
    return {
      stop: (signal: "SIGKILL" | "SIGTERM") =>
        Effect.gen(function*() {
          assert.isTrue(child.kill(signal), said)
          assert.deepStrictEqual(
            yield* Effect.promise(() => closed),
            signal === "SIGKILL" ? [null, signal] : [0, null],
            said
          )
        })
    }
  })

/** What is wrong with what a query saw, after what it saw before. */
const faultOf = (before: Seen | undefined, seen: Seen): string | undefined => {
  const what = JSON.stringify({ before, seen })
  if (seen.votes !== seen.applied) return `partial: ${what}`
  if (seen.last < seen.applied) return `applied twice: ${what}`
  return before !== undefined && (seen.applied < before.applied || seen.last < before.last)
    ? `older: ${what}`
    : undefined
}

/** Queries without end, tells of the first, and stops with what is wrong, if anything is. */
const watching = (first: Effect.Effect<unknown> = Effect.void) =>
  Effect.gen(function*() {
    let before: Seen | undefined
    while (true) {
      const seen = yield* look
      const fault = faultOf(before, seen)
      if (fault !== undefined) return fault
      if (before === undefined) yield* first
      before = seen
      yield* Effect.sleep(1)
    }
  })

/** Queries in transactions that keep their snapshot, and are run again when the database asks for it. */
const watchingInSnapshots = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  let before: Seen | undefined
  while (true) {
    const seen = yield* sql.withTransaction(Effect.andThen(sql`SELECT 1`, Effect.delay(look, 3))).pipe(
      Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ"),
      Effect.retry({ while: (error) => isSqlError(error) && error.reason._tag === "SerializationError" })
    )
    const fault = faultOf(before, seen)
    if (fault !== undefined) return fault
    before = seen
  }
})

/** Writes without end; each write is looked for in the read model, by whichever version serves. */
const writing = (stream: string) =>
  Effect.gen(function*() {
    for (let i = 0;; i++) {
      const position = yield* vote(1 + i % 7, stream)
      const seen = yield* Consistency.readAfter({ name: "standings" }, { position, timeout: "60 seconds" })(look)
      if (seen.last < Number(position)) return `not there: ${position} in ${JSON.stringify(seen)}`
      yield* Effect.sleep(5)
    }
  })

/** A log of so many events, and a first version that has read it. */
const served = (partitions: number, count = events) =>
  Effect.gen(function*() {
    for (let left = count; left > 0; left -= 500) yield* vote(Math.min(500, left), `s${left % 16}`)
    yield* Projection.catchUp(standings(1, { partitions }))
  })

/** Keeps a record of every switch from now on. */
const recordSwitches = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE switches (version int)`
  yield* sql.unsafe(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO switches VALUES (new.version); RETURN NULL; END $$`)
  yield* sql`CREATE TRIGGER note AFTER INSERT OR UPDATE ON composable.serving FOR EACH ROW EXECUTE FUNCTION note()`
})

/** Waits for what would end the queries, or for an effect. */
const unlessFaulty = <A, E, R>(faults: ReadonlyArray<Fiber.Fiber<string, unknown>>, effect: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(
    effect,
    Effect.flatMap(
      Effect.raceAllFirst(faults.map((fiber) => Fiber.join(fiber))),
      (fault) => Effect.sync(() => assert.fail(fault))
    )
  )

/** What is wrong with what queries see while something is done, which begins after the first of them. */
const faultDuring = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const begun = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkChild(
      watching(Deferred.succeed(begun, undefined)).pipe(
        Effect.catch((error) => Effect.succeed(`failed: ${String(error.reason.cause)}`))
      )
    )
    yield* Deferred.await(begun)
    yield* effect
    return yield* Effect.timeoutOrElse(Fiber.join(fiber), {
      duration: "5 seconds",
      orElse: () => Effect.succeed("nothing")
    })
  })

describe("a rebuild beside the version that serves", () => {
  for (const [old, next] of [[1, 1], [2, 3]] as const) {
    it.live(
      `is seen by no query, from ${old} to ${next} partitions, though processes are killed`,
      () =>
        Effect.gen(function*() {
          const { random } = seeded()
          const sql = yield* SqlClient.SqlClient
          yield* served(old)
          yield* recordSwitches
          const serving = yield* Effect.forkChild(Projection.run(standings(1, { partitions: old })))
          const faults = yield* Effect.forEach(
            [watching(), watching(), watchingInSnapshots, writing("w1"), writing("w2")],
            (each) => Effect.forkChild(each)
          )
          const kill = Effect.gen(function*() {
            const process = yield* rebuilder({ partitions: next, pace: 20 })
            yield* untilSome(`SELECT FROM pg_stat_activity WHERE query LIKE '%standings_v2%' AND pid <> pg_backend_pid()
            UNION ALL SELECT FROM pg_namespace WHERE nspname = 'standings_v2'`)
            yield* Effect.sleep(random() * 400)
            yield* process.stop("SIGKILL")
          }).pipe(Effect.scoped)
          yield* unlessFaulty(faults, Effect.forEach(Array.from({ length: kills }), () => kill, { concurrency: 2 }))
          const [first, second] = [
            yield* rebuilder({ partitions: next, pace: 1 }),
            yield* rebuilder({ partitions: next, pace: 1 })
          ]
          yield* unlessFaulty(faults, untilSome("SELECT FROM composable.serving WHERE version = 2"))
          // The old version's program goes on, and nobody sees what it does.
          yield* unlessFaulty(faults, Effect.sleep(300))
          yield* Effect.forEach(faults, Fiber.interrupt)
          const head = yield* vote(3)
          const seen = yield* Consistency.readAfter({ name: "standings" }, { position: head, timeout: "60 seconds" })(
            look
          )
          assert.deepStrictEqual(seen, { version: 2, votes: Number(head), applied: Number(head), last: Number(head) })
          yield* Consistency.readAfter({ name: "standings", version: 1 }, { position: head, timeout: "60 seconds" })(
            look
          )
          assert.deepStrictEqual(
            yield* sql`SELECT count(DISTINCT position)::int AS n, count(*)::int AS all FROM applied`,
            [
              { n: Number(head), all: Number(head) }
            ]
          )
          assert.deepStrictEqual(yield* sql`SELECT version FROM switches`, [{ version: 2 }])
          yield* Rebuild.retire({ name: "standings", version: 1 })
          assert.deepInclude(yield* Effect.flip(Fiber.join(serving)), { _tag: "VersionRetired" })
          assert.deepInclude(yield* look, { version: 2, applied: Number(head) })
          for (const each of [first, second]) yield* each.stop("SIGTERM")
        }).pipe(Effect.scoped, Effect.provide(database)),
      60_000 + kills * 5_000 + events
    )
  }

  it.live("leaves the old version in place when a process dies within the switch", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* served(1, 1_000)
      const dying = yield* rebuilder({ partitions: 1, pace: 0 })
      yield* sql.withTransaction(Effect.gen(function*() {
        // A query of long duration keeps the switch waiting for the views' lock.
        yield* sql`SELECT FROM votes`
        yield* untilSome("SELECT FROM pg_locks WHERE relation = 'public.votes'::regclass AND NOT granted")
        yield* dying.stop("SIGKILL")
      }))
      assert.deepInclude(yield* look, { version: 1, applied: 1_000 })
      assert.strictEqual(yield* ReadModel.serving("standings"), 1)
      const resumed = yield* rebuilder({ partitions: 1, pace: 0 })
      yield* untilSome("SELECT FROM composable.serving WHERE version = 2")
      assert.deepInclude(yield* look, { version: 2, applied: 1_000 })
      yield* resumed.stop("SIGTERM")
    }).pipe(Effect.scoped, Effect.provide(database)), 60_000)
})

describe("the controls: queries see it", () => {
  it.live("when the switch does not ask how far the new version is", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* served(1, 3_000)
      const [v1, v2] = [standings(1), standings(2)]
      // It has read the first batch, and no more.
      yield* Effect.forkScoped(Projection.run(standings(2, {
        before: (batch) => batch.some(({ globalPosition }) => globalPosition > 2_000n) ? Effect.never : Effect.void
      })))
      yield* untilSome(`SELECT FROM ${schema}.checkpoints WHERE version = 2 AND position = 2000`)
      const careless = Effect.andThen(
        show(v2, v2.place, v1.place),
        sql.unsafe(`UPDATE ${schema}.serving SET version = 2`)
      )
      const fault = yield* faultDuring(throughContention(sql.withTransaction(careless)))
      assert.match(fault, /older/)
    }).pipe(Effect.scoped, Effect.provide(database)))

  it.live("when the views are made anew without a transaction", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* served(1, 100)
      const fault = yield* faultDuring(Effect.gen(function*() {
        yield* sql`DROP VIEW votes`
        yield* Effect.sleep(100)
        yield* sql`CREATE VIEW votes AS SELECT * FROM standings_v1.votes`
      }))
      assert.match(fault, /relation "votes" does not exist/)
    }).pipe(Effect.provide(database)))

  it.live("when the old version's program writes by the names that queries read", () =>
    Effect.gen(function*() {
      yield* served(1, 100)
      yield* Rebuild.build(standings(2))
      yield* vote(10)
      yield* Projection.catchUp(standings(2))
      const fault = yield* faultDuring(Projection.catchUp({ ...plain(1), setUp: Effect.void }))
      assert.match(fault, /applied twice/)
    }).pipe(Effect.provide(database)))
})
