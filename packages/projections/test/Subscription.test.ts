import { EventStore, type ReadAllOptions } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as StreamId from "@composable-ts/core/StreamId"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Result } from "effect"
import { SqlClient } from "effect/sql"
import * as Projection from "../src/Projection.ts"
import { CheckpointAhead, LogMismatch, PartitionsChanged, ProjectionFailed } from "../src/ProjectionError.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

/** Waits until a statement answers with a row. */
const untilSome = (statement: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    while ((yield* sql.unsafe(statement)).length === 0) yield* Effect.sleep(2)
  })

/** A projection that writes down every vote in the order in which it comes. */
const ledger = (partitions: number, version = 1) =>
  Projection.defineBatch(Tally.Votes, {
    name: "ledger",
    version,
    partitions,
    setUp: Effect.flatMap(
      SqlClient.SqlClient,
      (sql) => sql`CREATE TABLE ledger (nr bigserial, stream text, version int)`
    ),
    events: ["Voted"],
    handle: (batch) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) =>
        sql`
        INSERT INTO ledger (stream, version)
        SELECT * FROM unnest(
          ${batch.map(({ recorded }) => recorded.streamId)}::text[],
          ${batch.map(({ recorded }) => recorded.version)}::int[]
        )`)
  })

/** Appends votes to many streams, so many to each. */
const appendTo = (streams: number, votes: number) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    for (let round = 0; round < votes; round++) {
      yield* Effect.forEach(Array.from({ length: streams }), (_, i) =>
        events.append(Result.getOrThrow(StreamId.make("votes", `${i}`)), ExpectedVersion.any, [Tally.voted("a")]), {
        concurrency: 8,
        discard: true
      })
    }
  })

/** Every stream's votes are there once and in order. */
const checkLedger = (streams: number, votes: number) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ readonly versions: ReadonlyArray<number> }>`
      SELECT array_agg(version ORDER BY nr) AS versions FROM ledger GROUP BY stream`
    assert.lengthOf(rows, streams)
    for (const { versions } of rows) assert.deepStrictEqual(versions, Array.from({ length: votes }, (_, i) => i))
  })

describe("partitions", () => {
  for (const partitions of [1, 2, 5]) {
    it.live(`${partitions}: hold every event once, each stream in order, in processes that come and go`, () =>
      Effect.gen(function*() {
        const { config } = yield* PgClient.PgClient
        yield* Projection.catchUp(ledger(partitions))
        const run = Projection.run(ledger(partitions)).pipe(
          Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(PgClient.layer(config)))),
          Effect.forkChild
        )
        const appending = yield* Effect.forkChild(appendTo(12, 30))
        const first = yield* run
        yield* untilSome("SELECT FROM composable.leases WHERE owner IS NOT NULL LIMIT 1")
        const second = yield* run
        if (partitions > 1) {
          yield* untilSome("SELECT FROM composable.leases WHERE owner IS NOT NULL HAVING count(DISTINCT owner) = 2")
        }
        yield* Fiber.join(appending)
        yield* Fiber.interrupt(first)
        yield* appendTo(12, 5)
        assert.strictEqual(yield* Projection.catchUp(ledger(partitions)), 420n)
        yield* checkLedger(12, 35)
        yield* Fiber.interrupt(second)
      }).pipe(Effect.provide(database)))
  }

  it.live("cannot be changed within a version", () =>
    Effect.gen(function*() {
      yield* Projection.catchUp(ledger(2))
      for (const declared of [1, 3]) {
        const error = yield* Effect.flip(Projection.catchUp(ledger(declared)))
        assert.instanceOf(error, PartitionsChanged)
        assert.deepInclude(error, { projection: "ledger", version: 1, declared, begun: 2 })
        assert.match(error.message, /declared with \d partitions, but was begun with 2.*new version/)
      }
    }).pipe(Effect.provide(database)))
})

describe("another log than the one that was read (T32)", () => {
  /** Runs a tally on a log of its own, which begins with so many votes. */
  const onLog = <A, E, R>(votes: number, effect: Effect.Effect<A, E, R>) =>
    Effect.andThen(Tally.appendVotes(votes), effect).pipe(Effect.provide(MemoryEventStore.layer))

  for (const votes of [30, 31, 700]) {
    it.live(`is noticed by its event at the checkpoint, though it holds ${votes} events`, () =>
      Effect.gen(function*() {
        yield* Tally.appendVotes(30)
        yield* Projection.catchUp(Tally.tally())
        for (const follow of [Projection.catchUp(Tally.tally()), Projection.run(Tally.tally())]) {
          const error = yield* Effect.flip(onLog(votes, follow))
          assert.instanceOf(error, LogMismatch)
          assert.deepInclude(error, { projection: "tally", version: 1, partition: 0, position: 30n })
          assert.match(error.message, /has read event [-0-9a-f]{36} at global position 30, .* has event [-0-9a-f]{36}/)
          assert.match(error.message, /rebuild the projection.*different names/)
        }
        assert.strictEqual(yield* Tally.verify(), 30n)
        // With its own log it goes on.
        yield* Tally.appendVotes(5)
        assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 35n)
        assert.strictEqual(yield* Tally.verify(), 35n)
      }).pipe(Effect.provide(database)))
  }

  it.live("is noticed where all checkpoints stand at the beginning, by the log's first event", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const tally = { ...Tally.tally(), partitions: 2 }
      yield* Tally.appendVotes(30)
      yield* Projection.catchUp(tally)
      const rewind = sql`UPDATE composable.checkpoints SET position = 0, event_id = NULL`
      yield* rewind
      const error = yield* Effect.flip(onLog(40, Projection.catchUp(tally)))
      assert.instanceOf(error, LogMismatch)
      const { previousEventId } = yield* (yield* EventStore).readAll({ after: 1n, limit: 0 })
      assert.strictEqual(error.read, previousEventId)
      assert.deepStrictEqual(yield* sql`SELECT DISTINCT position FROM composable.checkpoints`, [{ position: 0n }])
      // Without that, nothing tells the two apart.
      yield* sql`UPDATE composable.checkpoints SET first_event_id = NULL`
      assert.strictEqual(yield* onLog(40, Projection.catchUp(tally)), 40n)
    }).pipe(Effect.provide(database)))

  it.live("is noticed when both begin at once: one of them is applied, and nothing of the other", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const tally = { ...Tally.tally(), partitions: 2 }
      yield* Tally.appendVotes(30)
      const exits = yield* Effect.all([
        Effect.result(Projection.catchUp(tally)),
        Effect.result(onLog(40, Projection.catchUp(tally)))
      ], { concurrency: 2 })
      const [own, other] = exits.map((result) => Result.isSuccess(result) ? result.success : result.failure._tag)
      assert.includeDeepMembers([
        [30n, "LogMismatch"],
        [30n, "CheckpointAhead"],
        ["LogMismatch", 40n],
        // It had nothing to do itself, and looks at the end.
        ["CheckpointAhead", 40n]
      ], [[own, other]])
      const reached = yield* sql`SELECT DISTINCT position FROM composable.checkpoints`
      assert.deepStrictEqual(reached, [{ position: own === 30n ? 30n : 40n }])
    }).pipe(Effect.provide(database)))

  it.live("is noticed when it takes the log's place while a projection runs, at the very next page", () =>
    Effect.gen(function*() {
      const own = yield* EventStore
      const restored = yield* MemoryEventStore.make
      let current = own
      const swapped = {
        ...own,
        readAll: (options: ReadAllOptions) => Effect.suspend(() => current.readAll(options)),
        // Woken by a poll only, as after a lost connection.
        listen: Effect.succeed(Effect.sleep(5))
      }
      yield* Tally.appendVotes(30)
      const runner = yield* Effect.forkChild(
        Effect.flip(Projection.run(Tally.tally())).pipe(Effect.provideService(EventStore, swapped))
      )
      yield* Tally.until(30n)
      yield* Effect.provideService(Tally.appendVotes(50), EventStore, restored)
      current = restored
      assert.instanceOf(yield* Fiber.join(runner), LogMismatch)
      assert.strictEqual(yield* Tally.verify(), 30n)
    }).pipe(Effect.provide(database)))

  it.live("is noticed by a process that only stands by", () =>
    Effect.gen(function*() {
      const owner = yield* Effect.forkChild(Projection.run(Tally.tally()))
      yield* Tally.appendVotes(30)
      yield* Tally.until(30n)
      assert.instanceOf(yield* Effect.flip(onLog(40, Projection.run(Tally.tally()))), LogMismatch)
      assert.instanceOf(yield* Effect.flip(onLog(20, Projection.run(Tally.tally()))), CheckpointAhead)
      yield* Fiber.interrupt(owner)
    }).pipe(Effect.provide(database)))
})

describe("leases that were lost", () => {
  for (const loss of ["DELETE FROM composable.leases", "UPDATE composable.leases SET epoch = 0"]) {
    it.live(`while the checkpoints were kept: work goes on, behind the fences (${loss})`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Tally.appendVotes(10)
        for (let i = 0; i < 3; i++) yield* Projection.catchUp(Tally.tally())
        yield* sql.unsafe(loss)
        yield* Tally.appendVotes(10)
        assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 20n)
        assert.strictEqual(yield* Tally.verify(), 20n)
      }).pipe(Effect.provide(database)))
  }
})

describe("several projections in one run", () => {
  const names: ReadonlyArray<Tally.Name> = [{ ...Tally.main, name: "good" }, { ...Tally.main, name: "bad" }]

  it.live("go on when one of them stops, and it fails when none is left", () =>
    Effect.gen(function*() {
      const [good, bad] = names.map((name) =>
        Tally.tally(name, {
          before: ({ globalPosition }) =>
            globalPosition === (name.name === "bad" ? 10n : 60n) ? Effect.fail(`${name.name} stops`) : Effect.void
        })
      )
      const runner = yield* Effect.forkChild(Effect.flip(Projection.run(good!, bad!)))
      yield* Tally.appendVotes(20)
      yield* Tally.until(20n, names[0])
      yield* untilSome("SELECT FROM composable.members HAVING count(*) = 1")
      yield* Tally.appendVotes(30)
      yield* Tally.until(50n, names[0])
      assert.isUndefined(runner.pollUnsafe(), "it has ended while one goes on")
      yield* Tally.appendVotes(30)
      const error = yield* Fiber.join(runner)
      assert.instanceOf(error, ProjectionFailed)
      assert.match(error.message, /^Projection bad v1 stopped behind global position 9.*bad stops/)
      assert.strictEqual(yield* Tally.verify(names[1]), 9n)
      assert.strictEqual(yield* Tally.verify(names[0]), 59n)
    }).pipe(Effect.provide(database)))

  it.live("go on when one of them cannot be set up", () =>
    Effect.gen(function*() {
      const [good, bad] = names.map((name) => Tally.tally(name))
      const runner = yield* Effect.forkChild(Projection.run({ ...bad!, setUp: Effect.fail("no room") }, good!))
      yield* Tally.appendVotes(20)
      yield* Effect.raceFirst(Tally.until(20n, names[0]), Fiber.join(runner))
      assert.strictEqual(yield* Tally.verify(names[0]), 20n)
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.provide(database)))
})
