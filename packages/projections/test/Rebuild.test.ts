import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer, Metric, Stream } from "effect"
import { SqlClient } from "effect/sql"
import * as Consistency from "../src/Consistency.ts"
import { migrate } from "../src/internal/schema.ts"
import * as Projection from "../src/Projection.ts"
import { NotCaughtUp, StillServing, SwitchFailed, TearDownMissing } from "../src/ProjectionError.ts"
import * as ReadModel from "../src/ReadModel.ts"
import * as Rebuild from "../src/Rebuild.ts"
import * as RebuildProgress from "../src/RebuildProgress.ts"
import * as Status from "../src/Status.ts"
import { isWhole, look, plain, standings, vote } from "./Standings.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated(
  "read models",
  PostgresEventStore.layer().pipe(Layer.merge(Layer.effectDiscard(migrate)))
)

const [v1, v2] = [standings(1), standings(2)]

const schemas = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly name: string }>`
    SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'standings%' OR nspname LIKE 'composable_%' ORDER BY name`
  return rows.map(({ name }) => name)
})

/** Waits until a look shows what is asked for. */
const until = <A, E, R>(query: Effect.Effect<A, E, R>, holds: (seen: A) => boolean) =>
  Effect.gen(function*() {
    while (true) {
      const seen = yield* query
      if (holds(seen)) return seen
      yield* Effect.sleep(5)
    }
  })

/** A transaction that has taken its snapshot, and asks when it is told to. */
const oldTransaction = (goOn: Effect.Effect<unknown>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const begun = yield* Deferred.make<void>()
    const fiber = yield* Effect.forkChild(
      sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT 1`
        yield* Deferred.succeed(begun, undefined)
        yield* goOn
        return yield* look
      })).pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL REPEATABLE READ"))
    )
    yield* Deferred.await(begun)
    return fiber
  })

describe("versioned", () => {
  it.live("keeps each version's tables in a schema of its own; the first serves from its set-up on", () =>
    Effect.gen(function*() {
      assert.isUndefined(yield* ReadModel.serving("standings"))
      yield* vote(10)
      yield* Projection.catchUp(v1)
      assert.deepStrictEqual(yield* look, { version: 1, votes: 10, applied: 10, last: 10 })
      yield* vote(10)
      yield* Projection.catchUp(v2)
      assert.strictEqual(yield* ReadModel.serving("standings"), 1)
      assert.deepInclude(yield* look, { version: 1, votes: 10 })
      assert.deepStrictEqual(yield* schemas, ["standings_v1", "standings_v2"])
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`SELECT sum(n)::int AS n FROM standings_v2.votes`, [{ n: 20 }])
      // What the handlers' names mean does not outlast their transaction.
      assert.deepStrictEqual(yield* sql`SELECT current_setting('search_path') LIKE '%standings%' AS left`, [{
        left: false
      }])
    }).pipe(Effect.provide(database)))

  it("refuses names that PostgreSQL would cut", () => {
    const long = { ...plain(1), name: "n".repeat(61) }
    assert.throws(() => ReadModel.versioned(long, { tables: ["votes"] }), RangeError)
    assert.throws(() => ReadModel.versioned(plain(1), { tables: ["ü".repeat(32)] }), RangeError)
    assert.doesNotThrow(() => ReadModel.versioned({ ...plain(1), name: "n".repeat(60) }, { tables: ["votes"] }))
  })

  it.live("takes names that need quotes, and can be queried by a role that may do nothing else", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const odd = ReadModel.versioned({ ...plain(1), name: "o'dd \"one\"" }, { tables: ["votes", "applied"] })
      const next = ReadModel.versioned({ ...plain(2), name: "o'dd \"one\"" }, { tables: ["votes", "applied"] })
      yield* vote(3)
      yield* Projection.catchUp(odd)
      const role = `reader_${process.pid}`
      yield* sql.unsafe(`CREATE ROLE ${role}`)
      yield* Effect.gen(function*() {
        yield* sql.unsafe(`GRANT SELECT ON votes, applied TO ${role}`)
        const asReader = sql.withTransaction(Effect.andThen(sql.unsafe(`SET LOCAL ROLE ${role}`), look))
        assert.deepInclude(yield* asReader, { version: 1, votes: 3 })
        yield* Rebuild.build(next)
        // A view that was made anew, and one that was replaced.
        assert.deepInclude(yield* asReader, { version: 2, votes: 3, applied: 3 })
      }).pipe(Effect.ensuring(
        Effect.orDie(Effect.andThen(sql.unsafe(`DROP OWNED BY ${role}`), sql.unsafe(`DROP ROLE ${role}`)))
      ))
    }).pipe(Effect.provide(database)))
})

describe("switchTo", () => {
  it.live("switches when the version contains what was shown, and says so when not", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      const early = yield* Effect.flip(Rebuild.switchTo(v2))
      assert.instanceOf(early, NotCaughtUp)
      assert.deepInclude(early, { version: 2, position: 10n, reached: undefined })
      yield* Projection.catchUp(v2)
      yield* vote(5)
      yield* Projection.catchUp(v1)
      const behind = yield* Effect.flip(Rebuild.switchTo(v2))
      assert.deepInclude(behind, { _tag: "NotCaughtUp", position: 15n, reached: 10n })
      assert.deepInclude(yield* look, { version: 1, votes: 15 })
      yield* Projection.catchUp(v2)
      yield* Rebuild.switchTo(v2)
      yield* Rebuild.switchTo(v2)
      assert.deepStrictEqual(yield* look, { version: 2, votes: 15, applied: 15, last: 15 })
      assert.strictEqual(yield* ReadModel.serving("standings"), 2)
    }).pipe(Effect.provide(database)))

  it.live("leads back to the old version while that is kept up to date", () =>
    Effect.gen(function*() {
      yield* vote(5)
      yield* Projection.catchUp(v1)
      yield* Rebuild.build(v2)
      yield* vote(5)
      yield* Projection.catchUp(v2)
      assert.deepInclude(yield* Effect.flip(Rebuild.switchTo(v1)), { _tag: "NotCaughtUp", position: 10n, reached: 5n })
      yield* Projection.catchUp(v1)
      yield* Rebuild.switchTo(v1)
      assert.deepInclude(yield* look, { version: 1, votes: 10 })
      // What has served once is not switched to by itself again.
      const running = yield* Effect.forkChild(Rebuild.run(v2))
      yield* vote(1)
      yield* until(Status.of(v2), ([part]) => part?.position === 11n)
      assert.strictEqual(yield* ReadModel.serving("standings"), 1)
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(database)))

  it.live("waits for the slowest partition of the new version, and the fastest of the old", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const [two, three] = [standings(1, { partitions: 2 }), standings(2, { partitions: 3 })]
      for (const stream of "abcdef") yield* vote(3, stream)
      yield* Projection.catchUp(two)
      yield* Projection.catchUp(three)
      yield* sql`UPDATE composable.checkpoints SET position = 17 WHERE version = 2 AND partition = 1`
      yield* sql`UPDATE composable.checkpoints SET position = 16 WHERE version = 1 AND partition = 0`
      assert.deepInclude(yield* Effect.flip(Rebuild.switchTo(three)), { position: 18n, reached: 17n })
      yield* sql`UPDATE composable.checkpoints SET position = 18 WHERE version = 2 AND partition = 1`
      yield* Rebuild.switchTo(three)
      assert.deepInclude(yield* look, { version: 2, votes: 18, applied: 18 })
    }).pipe(Effect.provide(database)))

  it.live("is taken up by the version that is built when it comes up while the other is held", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      yield* Projection.catchUp(v2)
      yield* vote(1)
      yield* Projection.catchUp(v1)
      const late = yield* Effect.forkChild(Effect.andThen(Effect.sleep(150), Projection.catchUp(v2)))
      yield* Rebuild.switchTo(v2)
      assert.deepInclude(yield* look, { version: 2, votes: 11 })
      yield* Fiber.join(late)
    }).pipe(Effect.provide(database)))

  it.live("counts what the old version is about to commit among what it has shown", () =>
    Effect.gen(function*() {
      const [inside, goOn] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const slow = standings(1, {
        before: (events) =>
          events.some(({ globalPosition }) => globalPosition === 11n)
            ? Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(goOn))
            : Effect.void
      })
      yield* vote(10)
      yield* Projection.catchUp(v1)
      yield* Projection.catchUp(v2)
      yield* vote(5)
      const running = yield* Effect.forkScoped(Projection.run(slow))
      yield* Deferred.await(inside)
      const switching = yield* Effect.forkScoped(Effect.flip(Rebuild.switchTo(v2)))
      const sql = yield* SqlClient.SqlClient
      yield* Effect.raceFirst(
        until(sql`SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted`, (rows) => rows.length > 0),
        Fiber.await(switching)
      )
      yield* Deferred.succeed(goOn, undefined)
      assert.deepInclude(yield* Fiber.join(switching), { _tag: "NotCaughtUp", position: 15n, reached: 10n })
      yield* Fiber.interrupt(running)
    }).pipe(Effect.scoped, Effect.provide(database)))

  it.live("fails, and changes nothing, where something depends on a view that must be made anew", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* vote(2)
      yield* Projection.catchUp(v1)
      yield* sql`CREATE VIEW mine AS SELECT choice FROM votes`
      yield* Projection.catchUp(v2)
      const error = yield* Effect.flip(Rebuild.switchTo(v2))
      assert.instanceOf(error, SwitchFailed)
      assert.match(error.message, /standings v2: .*votes.*depend.* They read what they read before/s)
      assert.deepInclude(yield* Effect.flip(Rebuild.build(v2)), { _tag: "SwitchFailed" })
      assert.deepInclude(yield* look, { version: 1, votes: 2 })
      yield* sql`DROP VIEW mine`
      yield* sql`CREATE VIEW mine AS SELECT position FROM applied`
      yield* Rebuild.switchTo(v2)
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM mine`, [{ n: 2 }])
    }).pipe(Effect.provide(database)))

  it.live("does not take a name that something else has", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE votes (mine int)`
      const error = yield* Effect.flip(Projection.catchUp(v1))
      assert.match(error.message, /could not be set up: "public"."votes" is there already/)
      assert.deepStrictEqual(yield* schemas, [])
    }).pipe(Effect.provide(database)))

  it.live("drops the views of what the new version does not have", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* vote(2)
      yield* Projection.catchUp(v1)
      yield* Rebuild.build(ReadModel.versioned(plain(2), { tables: ["votes"] }))
      assert.deepStrictEqual(
        yield* sql`SELECT to_regclass('applied') AS applied, to_regclass('votes')::text AS votes`,
        [{ applied: null, votes: "votes" }]
      )
    }).pipe(Effect.provide(database)))

  it.live("gives way to a long query, and does not make others wait for long", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* vote(10)
      yield* Projection.catchUp(v1)
      yield* Projection.catchUp(v2)
      const ends = yield* Deferred.make<void>()
      const report = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
        const before = yield* look
        yield* Deferred.await(ends)
        assert.deepStrictEqual(yield* look, before)
      })))
      yield* until(
        sql`SELECT FROM pg_locks WHERE relation = 'public.votes'::regclass AND granted`,
        (rows) => rows.length > 0
      )
      const waits = until(
        sql`SELECT FROM pg_locks WHERE relation = 'public.applied'::regclass AND NOT granted`,
        (rows) => rows.length > 0
      )
      const interrupted = yield* Effect.forkChild(Rebuild.switchTo(v2))
      yield* waits
      yield* Fiber.interrupt(interrupted)
      const switching = yield* Effect.forkChild(Rebuild.switchTo(v2))
      yield* waits
      // Queries that come behind it are served before the report has ended.
      for (let i = 0; i < 5; i++) assert.deepInclude(yield* look, { version: 1, votes: 10 })
      assert.isUndefined(switching.pollUnsafe())
      yield* Deferred.succeed(ends, undefined)
      yield* Fiber.join(report)
      yield* Fiber.join(switching)
      assert.deepInclude(yield* look, { version: 2, votes: 10 })
    }).pipe(Effect.provide(database)))

  it.live("shows a transaction that kept its snapshot from before the switch no half of it, but ends it", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* vote(10)
      yield* Projection.catchUp(v1)
      for (const guarded of [true, false]) {
        const next = standings(guarded ? 2 : 3)
        const goOn = yield* Deferred.make<void>()
        const old = yield* oldTransaction(Deferred.await(goOn))
        yield* Rebuild.build(next)
        const guard = `standings_v${next.version}.composable_serves()`
        // The control: without the question, it sees an empty read model.
        if (!guarded) yield* sql.unsafe(`CREATE OR REPLACE FUNCTION ${guard} RETURNS boolean LANGUAGE sql RETURN true`)
        yield* Deferred.succeed(goOn, undefined)
        const exit = yield* Fiber.await(old)
        if (guarded) {
          const error = yield* Effect.flip(exit)
          assert.strictEqual(error.reason._tag, "SerializationError")
          assert.match(String(error.reason.cause), /switched to projection standings v2 after this transaction began/)
        } else assert.deepInclude(yield* exit, { votes: 0 })
      }
    }).pipe(Effect.provide(database)))
})

describe("run", () => {
  it.live("switches once, though four run it, and goes on", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* vote(3_000)
      const old = yield* Effect.forkChild(Projection.run(v1))
      yield* until(Effect.option(look), (seen) => seen._tag === "Some" && seen.value.votes === 3_000)
      yield* sql`CREATE TABLE switches (version int)`
      yield* sql.unsafe(`CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO switches VALUES (new.version); RETURN NULL; END $$`)
      yield* sql`CREATE TRIGGER note AFTER INSERT OR UPDATE ON composable.serving FOR EACH ROW EXECUTE FUNCTION note()`
      const runs = yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkChild(Rebuild.run(v2)))
      yield* until(look, ({ version }) => version === 2)
      yield* vote(10)
      yield* until(look, ({ votes }) => votes === 3_010)
      yield* Effect.forEach([old, ...runs], Fiber.interrupt)
      assert.deepStrictEqual(yield* sql`SELECT version FROM switches`, [{ version: 2 }])
      assert.isTrue(isWhole(yield* look))
    }).pipe(Effect.provide(database)))

  it.live("does not lead back to a version lower than the one that serves", () =>
    Effect.gen(function*() {
      yield* vote(4)
      yield* Projection.catchUp(v1)
      yield* Rebuild.build(standings(3))
      yield* Projection.catchUp(v2)
      yield* Rebuild.build(v2)
      assert.strictEqual(yield* ReadModel.serving("standings"), 3)
      const running = yield* Effect.forkChild(Rebuild.run(v2))
      yield* vote(1)
      yield* until(Status.of(v2), ([part]) => part?.position === 5n)
      assert.strictEqual(yield* ReadModel.serving("standings"), 3)
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(database)))

  it.live("tells how far it is, how fast, and how long it takes; by values and by metrics", () =>
    Effect.gen(function*() {
      const [goOn, toEnd] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const slow = standings(2, {
        before: (events) =>
          Effect.all([
            events.some(({ globalPosition }) => globalPosition === 2_001n) ? Deferred.await(goOn) : Effect.void,
            events.some(({ globalPosition }) => globalPosition === 4_001n) ? Deferred.await(toEnd) : Effect.void
          ])
      })
      for (let i = 0; i < 7; i++) yield* vote(1_000)
      yield* Projection.catchUp(v1)
      const [unknown] = yield* Stream.runCollect(Stream.take(RebuildProgress.watch(v2), 1))
      assert.deepInclude(unknown, {
        state: "Unknown",
        position: 0n,
        head: 7_000n,
        rate: undefined,
        timeLeft: undefined
      })
      const running = yield* Effect.forkChild(Rebuild.run(slow))
      const seen = yield* RebuildProgress.watch(v2, "20 millis").pipe(
        Stream.tap(({ position }) => position === 2_000n ? Deferred.succeed(goOn, undefined) : Effect.void),
        Stream.takeUntil(({ position, rate }) => position === 4_000n && rate !== undefined && rate > 0),
        Stream.runCollect
      )
      const last = seen.at(-1)!
      assert.deepInclude(last, { state: "Building", head: 7_000n })
      assert.isTrue(last.timeLeft !== undefined && Duration.toMillis(last.timeLeft) > 0, JSON.stringify(last.rate))
      const gauges = yield* until(Metric.snapshot, (all) => all.some(({ id }) => id === "composable_rebuild_position"))
      const gauge = gauges.find(({ attributes, id }) =>
        id === "composable_rebuild_head" && attributes?.["projection"] === "standings"
      )
      assert.deepInclude(gauge?.attributes, { version: "2" })
      yield* Deferred.succeed(toEnd, undefined)
      const [done] = yield* RebuildProgress.watch(v2, "20 millis").pipe(
        Stream.filter(({ state }) => state === "Serving"),
        Stream.take(1),
        Stream.runCollect
      )
      assert.deepInclude(done, { position: 7_000n, head: 7_000n, timeLeft: Duration.zero })
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(database)))
})

describe("pause", () => {
  it.live("stops all processes, also those to come, until it is resumed", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      const [first, second] = [yield* Effect.forkChild(Rebuild.run(v2)), yield* Effect.forkChild(Projection.run(v2))]
      yield* until(ReadModel.serving("standings"), (version) => version === 2)
      yield* Rebuild.pause(v2)
      yield* Rebuild.pause(v2)
      yield* until(Status.of(v2), ([part]) => part?.owner === undefined)
      yield* Effect.forEach([first, second], Fiber.interrupt)
      const third = yield* Effect.forkChild(Projection.run(v1, v2))
      yield* vote(10)
      yield* until(Status.of(v1), ([part]) => part?.position === 20n)
      const [part] = yield* Status.of(v2)
      assert.deepInclude(part, { position: 10n, owner: undefined })
      assert.isDefined(part?.pausedAt)
      const { complaints } = yield* Status.health([v1, v2], { maxLag: "1 minute" })
      assert.lengthOf(complaints, 1)
      assert.match(complaints.join(), /standings v2, partition 0, is at position 10, 10 behind.*, paused since 20/)
      const [progress] = yield* Stream.runCollect(Stream.take(RebuildProgress.watch(v2), 1))
      assert.strictEqual(progress?.state, "Paused")
      yield* Rebuild.resume(v2)
      yield* until(Status.of(v2), ([part]) => part?.position === 20n)
      assert.isUndefined((yield* Status.of(v2))[0]?.pausedAt)
      yield* Fiber.interrupt(third)
    }).pipe(Effect.provide(database)))

  it.live("holds for a version that was never run", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      yield* Rebuild.pause(v2)
      const building = yield* Effect.forkChild(Rebuild.build(v2))
      yield* until(Status.of(v2), (parts) => parts.length > 0)
      yield* vote(5)
      yield* Projection.catchUp(v1)
      assert.deepInclude((yield* Status.of(v2))[0], { position: 0n, owner: undefined })
      yield* Rebuild.resume(v2)
      yield* Fiber.join(building)
      assert.deepInclude(yield* look, { version: 2, votes: 15 })
    }).pipe(Effect.provide(database)))
})

describe("retire", () => {
  it.live("takes a version away for good, by name and version alone", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* vote(10)
      const old = yield* Effect.forkChild(Projection.run(v1))
      yield* until(Status.of(v1), ([part]) => part?.position === 10n)
      const serving = yield* Effect.flip(Rebuild.retire({ name: "standings", version: 1 }))
      assert.instanceOf(serving, StillServing)
      yield* Rebuild.build(v2)
      yield* sql`CREATE VIEW mine AS SELECT choice FROM standings_v1.votes`
      const used = yield* Effect.flip(Rebuild.retire({ name: "standings", version: 1 }))
      assert.match(used.message, /standings v1 were not dropped, for they are read by mine\./)
      yield* sql`DROP VIEW mine`
      assert.deepStrictEqual(yield* schemas, ["standings_v1", "standings_v2"])
      yield* Rebuild.retire({ name: "standings", version: 1 })
      yield* Rebuild.retire({ name: "standings", version: 1 })
      assert.deepStrictEqual(yield* schemas, ["standings_v2"])
      assert.deepStrictEqual(
        yield* sql`SELECT version FROM composable.checkpoints UNION ALL SELECT version FROM composable.leases`,
        [{ version: 2 }, { version: 2 }]
      )
      // The process that runs it is told, and none sets it up again.
      for (const stopped of [Fiber.join(old), Projection.catchUp(v1), Rebuild.build(v1)]) {
        const error = yield* Effect.flip(stopped)
        assert.deepInclude(error, { _tag: "VersionRetired", version: 1 })
        assert.match(error.message, /standings v1 was retired, and its read model dropped/)
      }
      yield* vote(1)
      assert.deepInclude(yield* Effect.flip(Rebuild.switchTo(v1)), { _tag: "VersionRetired" })
      assert.deepStrictEqual(yield* schemas, ["standings_v2"])
      yield* Projection.catchUp(v2)
      assert.deepInclude(yield* look, { version: 2, votes: 11 })
    }).pipe(Effect.provide(database)))

  it.live("drops by its tearDown what keeps its tables itself", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const tally = Tally.tally()
      yield* Projection.catchUp(tally)
      yield* Rebuild.retire({ ...tally, tearDown: sql`DROP TABLE tally_v1_votes, tally_v1_applied` })
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('tally_v1_votes') AS votes`, [{ votes: null }])
      assert.deepInclude(yield* Effect.flip(Projection.catchUp(tally)), { _tag: "VersionRetired" })
    }).pipe(Effect.provide(database)))
})

describe("reset", () => {
  it.live("begins from scratch in one transaction, fenced against whoever is at work", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      let stops = true
      const first = standings(1, {
        before: (events) => {
          if (!stops || !events.some(({ globalPosition }) => globalPosition === 11n)) return Effect.void
          stops = false
          return Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(goOn))
        }
      })
      yield* vote(10)
      const running = yield* Effect.forkChild(Projection.run(first))
      yield* until(Status.of(first), ([part]) => part?.position === 10n)
      const [before] = yield* Status.of(first)
      yield* vote(10)
      yield* Deferred.await(inside)
      yield* sql`GRANT SELECT ON votes TO PUBLIC`
      yield* sql`CREATE VIEW mine AS SELECT choice FROM votes`
      // A transaction is under way, which has moved the checkpoint and will never end.
      yield* Rebuild.reset(first)
      yield* Deferred.succeed(goOn, undefined)
      yield* until(Status.of(first), ([part]) => part?.position === 20n)
      assert.deepStrictEqual(yield* look, { version: 1, votes: 20, applied: 20, last: 20 })
      assert.isAbove(Number((yield* Status.of(first))[0]?.epoch), Number(before?.epoch) + 1)
      assert.deepStrictEqual(yield* schemas, ["standings_v1"])
      // What depends on the views is there still, and so are rights.
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int > 0 AS some FROM mine`, [{ some: true }])
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(database)))

  it.live("leaves all as it was when the set-up fails", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      const broken = { ...v1, setUp: Effect.andThen(v1.setUp, Effect.fail("no room" as const)) }
      assert.strictEqual(yield* Effect.flip(Rebuild.reset(broken)), "no room")
      assert.deepStrictEqual(yield* look, { version: 1, votes: 10, applied: 10, last: 10 })
      assert.deepStrictEqual(yield* schemas, ["standings_v1"])
      assert.deepInclude((yield* Status.of(v1))[0], { position: 10n })
    }).pipe(Effect.provide(database)))

  it.live("runs tearDown and setUp of a projection that keeps its tables itself, and asks for a tearDown", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const tally = Tally.tally()
      yield* Tally.appendVotes(20)
      yield* Projection.catchUp(tally)
      assert.instanceOf(yield* Effect.flip(Rebuild.reset(tally)), TearDownMissing)
      const resettable = { ...tally, tearDown: sql`DROP TABLE tally_v1_votes, tally_v1_applied` }
      yield* Rebuild.reset(resettable)
      assert.strictEqual(yield* Tally.verify(), 0n)
      yield* Projection.catchUp(resettable)
      assert.strictEqual(yield* Tally.verify(), 20n)
      const more = { ...resettable, partitions: 2 }
      assert.deepInclude(yield* Effect.flip(Rebuild.reset(more)), { _tag: "PartitionsChanged", declared: 2, begun: 1 })
    }).pipe(Effect.provide(database)))

  it.live("can be done to a version that does not serve, and is switched to afterwards all the same", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      yield* Projection.catchUp(v2)
      yield* Rebuild.reset(v2)
      assert.deepInclude(yield* look, { version: 1, votes: 10 })
      assert.deepInclude((yield* Status.of(v2))[0], { position: 0n })
      yield* Rebuild.build(v2)
      assert.deepStrictEqual(yield* look, { version: 2, votes: 10, applied: 10, last: 10 })
    }).pipe(Effect.provide(database)))
})

describe("waitFor", () => {
  const elsewhere = Layer.unwrap(
    Effect.map(PgClient.PgClient, ({ config }) => Consistency.layer.pipe(Layer.provide(PgClient.layer({ ...config }))))
  ).pipe(Layer.provideMerge(database))

  it.live("follows what serves across the switch", () =>
    Effect.gen(function*() {
      yield* vote(10)
      yield* Projection.catchUp(v1)
      const read = (position: bigint) =>
        Consistency.readAfter({ name: "standings" }, { position, timeout: "20 seconds" })(look)
      assert.deepInclude(yield* read(10n), { version: 1, votes: 10 })
      // From here on the old version stands still: only the switch ends the wait.
      yield* vote(5)
      const waiting = yield* Effect.forkChild(read(15n))
      yield* Rebuild.build(v2)
      assert.deepInclude(yield* Fiber.join(waiting), { version: 2, votes: 15 })
      const error = yield* Effect.flip(
        Consistency.readAfter({ name: "nobody" }, { position: 1n, timeout: "200 millis" })(look)
      )
      assert.match(error.message, /Projection nobody was waited for up to global position 1, but has not been set up/)
    }).pipe(Effect.provide(elsewhere)))
})
