import { EventStore, type ReadAllOptions } from "@composable-ts/core/EventStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Queue } from "effect"
import { SqlClient } from "effect/sql"
import * as Projection from "../src/Projection.ts"
import { CheckpointAhead, CheckpointMissing, ProjectionFailed } from "../src/ProjectionError.ts"
import * as Tally from "./Votes.ts"

/** Log and read models in one fresh database for each test. */
const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const tableNames = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly name: string }>`
    SELECT schemaname || '.' || tablename AS name FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'composable') ORDER BY name`
  return rows.map(({ name }) => name)
})

const checkpoints = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  return yield* sql`SELECT projection, version, position FROM composable.checkpoints ORDER BY projection, version`
})

/** An effect with the event store of the context, whose reads of the log are told beforehand. */
const tellingReads = (told: (options: ReadAllOptions) => void) =>
  Effect.updateService(EventStore, (events) => ({
    ...events,
    readAll: (options) => Effect.suspend(() => (told(options), events.readAll(options)))
  }))

describe("define", () => {
  it("asks for every stored type of the handled events, and for no other", () => {
    assert.deepStrictEqual(Tally.tally().events, ["Voted", "Withdrawn"])
  })

  it.live("has only those read, and hands each over in its current shape", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const projection = Projection.define(Tally.Votes, {
        name: "seen",
        version: 1,
        setUp: Effect.void,
        on: {
          Voted: (event, recorded) =>
            Effect.sync(() => seen.push([event, recorded.type, recorded.globalPosition, recorded.streamId]))
        }
      })
      yield* Tally.append(
        Tally.votedBefore("a"),
        Tally.noted("between"),
        Tally.voted("b", 7),
        Tally.withdrawn("b")
      )
      const asked: Array<ReadonlyArray<string> | undefined> = []
      yield* Projection.catchUp(projection).pipe(tellingReads(({ limit, names }) => limit > 0 && asked.push(names)))
      assert.deepStrictEqual(seen, [
        [{ _tag: "Voted", choice: "a", weight: 1 }, "Voted.v1", 1n, "votes-1"],
        [{ _tag: "Voted", choice: "b", weight: 7 }, "Voted.v2", 3n, "votes-1"]
      ])
      // By name: versions to come are met and not passed over; other events are not even read.
      assert.isNotEmpty(asked)
      for (const names of asked) assert.deepStrictEqual(names, ["Voted"])
      assert.deepStrictEqual(yield* checkpoints, [{ projection: "seen", version: 1, position: 4n }])
    }).pipe(Effect.provide(database)))

  it.live("runs handlers one after the other, in the order of the log", () =>
    Effect.gen(function*() {
      let inside = 0
      const order: Array<bigint> = []
      const alone = (recorded: RecordedEvent) =>
        Effect.gen(function*() {
          assert.strictEqual(++inside, 1)
          yield* Effect.yieldNow
          order.push(recorded.globalPosition)
        })
      const projection = Tally.tally(Tally.main, { before: alone, after: () => Effect.sync(() => inside--) })
      yield* Tally.appendVotes(40)
      yield* Projection.catchUp(projection)
      yield* Tally.verify()
      assert.deepStrictEqual(order, order.toSorted((a, b) => Number(a - b)))
    }).pipe(Effect.provide(database)))

  it.live("goes along with the log even if no event matters", () =>
    Effect.gen(function*() {
      const nothing = Projection.define(Tally.Votes, { name: "nothing", version: 1, setUp: Effect.void, on: {} })
      yield* Tally.append(Tally.voted("a"), Tally.noted("b"))
      assert.strictEqual(yield* Projection.catchUp(nothing), 2n)
    }).pipe(Effect.provide(database)))
})

describe("defineBatch", () => {
  it.live("hands over what a batch holds of the named events, in one call for each batch", () =>
    Effect.gen(function*() {
      const batches: Array<ReadonlyArray<bigint>> = []
      const projection = Tally.batchTally(Tally.main, (positions) => Effect.sync(() => batches.push(positions)))
      assert.deepStrictEqual(projection.events, ["Voted", "Withdrawn"])
      yield* Tally.append(Tally.votedBefore("a"))
      yield* Tally.appendVotes(2_600)
      assert.strictEqual(yield* Projection.catchUp(projection), 2_601n)
      assert.strictEqual(yield* Tally.verify(), 2_601n)
      assert.lengthOf(batches, 2)
    }).pipe(Effect.provide(database)))

  it.live("is not called for a stretch of the log that holds none of them", () =>
    Effect.gen(function*() {
      const batches: Array<ReadonlyArray<bigint>> = []
      const projection = Tally.batchTally(Tally.main, (positions) => Effect.sync(() => batches.push(positions)))
      yield* Tally.append(Tally.noted("first"), ...Array.from({ length: 1_700 }, (_, i) => Tally.noted(`${i}`)))
      yield* Tally.append(Tally.voted("a"))
      assert.strictEqual(yield* Projection.catchUp(projection), 1_702n)
      assert.deepStrictEqual(batches, [[1_702n]])
      yield* Tally.verify()
    }).pipe(Effect.provide(database)))
})

describe("setUp", () => {
  it.live("runs once, though eight start at once on an empty database", () =>
    Effect.gen(function*() {
      let runs = 0
      const projection = Tally.tally()
      const counted = { ...projection, setUp: Effect.andThen(Effect.sync(() => runs++), projection.setUp) }
      yield* Tally.appendVotes(30)
      const positions = yield* Effect.all(Array.from({ length: 8 }, () => Projection.catchUp(counted)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(positions, Array.from({ length: 8 }, () => 30n))
      assert.strictEqual(runs, 1)
      yield* Projection.catchUp(counted)
      assert.strictEqual(runs, 1)
      assert.strictEqual(yield* Tally.verify(), 30n)
    }).pipe(Effect.provide(database)))

  it.live("is undone together with the checkpoint when it fails, and the next to come does it", () =>
    Effect.gen(function*() {
      const projection = Tally.tally()
      const fails = { ...projection, setUp: Effect.andThen(projection.setUp, Effect.fail("no room" as const)) }
      const error = yield* Effect.flip(Projection.catchUp(fails))
      assert.instanceOf(error, ProjectionFailed)
      assert.strictEqual(error.cause, "no room")
      assert.match(error.message, /^Projection tally v1 could not be set up.*no room/)
      assert.deepStrictEqual(yield* tableNames, [])
      assert.deepStrictEqual(yield* checkpoints, [])
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(yield* tableNames, ["public.tally_v1_applied", "public.tally_v1_votes"])
    }).pipe(Effect.provide(database)))

  it.live("is done by a second process when it fails in the first", () =>
    Effect.gen(function*() {
      let runs = 0
      const projection = Tally.tally()
      const flaky = {
        ...projection,
        setUp: Effect.andThen(projection.setUp, Effect.suspend(() => runs++ === 0 ? Effect.fail("once") : Effect.void))
      }
      yield* Tally.appendVotes(30)
      const exits = yield* Effect.all(Array.from({ length: 4 }, () => Effect.exit(Projection.catchUp(flaky))), {
        concurrency: "unbounded"
      })
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 3)
      assert.strictEqual(runs, 2)
      assert.strictEqual(yield* Tally.verify(), 30n)
    }).pipe(Effect.provide(database)))

  it.live("that broke its transaction without a word leaves nothing, and is reported", () =>
    Effect.gen(function*() {
      const projection = Tally.tally()
      const sql = yield* SqlClient.SqlClient
      const breaks = { ...projection, setUp: Effect.andThen(projection.setUp, Effect.ignore(sql`SELECT 1 / 0`)) }
      const error = yield* Effect.flip(Projection.catchUp(breaks))
      assert.instanceOf(error, ProjectionFailed)
      assert.deepStrictEqual(yield* tableNames, [])
      assert.deepStrictEqual(yield* checkpoints, [])
    }).pipe(Effect.provide(database)))
})

describe("catchUp", () => {
  it.live("applies more than one batch, across stretches in which nothing matters", () =>
    Effect.gen(function*() {
      yield* Tally.append(Tally.voted("a", 3))
      yield* Tally.append(Tally.noted("first"), ...Array.from({ length: 1_300 }, (_, i) => Tally.noted(`${i}`)))
      yield* Tally.appendVotes(700)
      yield* Tally.append(Tally.noted("last"))
      assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 2_003n)
      assert.strictEqual(yield* Tally.verify(), 2_003n)
    }).pipe(Effect.provide(database)))

  it.live("on an empty log ends at 0", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 0n)
      assert.strictEqual(yield* Tally.verify(), 0n)
    }).pipe(Effect.provide(database)))

  it.live("ends where the log ended when it was called, though every event brings another", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(600)
      const endless = Tally.tally(Tally.main, { after: () => Effect.orDie(Tally.append(Tally.voted("z"))) })
      const position = yield* Projection.catchUp(endless)
      assert.isAtLeast(Number(position), 600)
      assert.isAtMost(Number(position), 1_000)
      assert.strictEqual(yield* Tally.verify(), position)
    }).pipe(Effect.provide(database)))

  it.live("follows a log in memory as well", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(800)
      assert.strictEqual(yield* Projection.catchUp(Tally.batchTally()), 800n)
      assert.strictEqual(yield* Tally.verify(), 800n)
    }).pipe(Effect.provide(Layer.merge(MemoryEventStore.layer, TestDatabase.layer))))

  it.live("keeps a read model in a schema of its own", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const reports = { name: "tally", version: 1, schema: "reports" }
      const projection = Tally.tally(reports)
      const withSchema = { ...projection, setUp: Effect.andThen(sql`CREATE SCHEMA reports`, projection.setUp) }
      yield* Tally.appendVotes(20)
      yield* Projection.catchUp(withSchema)
      assert.strictEqual(yield* Tally.verify(reports), 20n)
      assert.deepStrictEqual(yield* tableNames, ["reports.tally_v1_applied", "reports.tally_v1_votes"])
    }).pipe(Effect.provide(database)))

  it.live("keeps a read model and its checkpoint in another database than the log", () => {
    const log = PostgresEventStore.layer().pipe(Layer.provide(TestDatabase.layer), Layer.fresh)
    return Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Tally.appendVotes(600)
      assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 600n)
      assert.strictEqual(yield* Tally.verify(), 600n)
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('composable.events') AS events`, [{ events: null }])
    }).pipe(Effect.provide(Layer.merge(log, Layer.fresh(TestDatabase.layer))))
  })

  it.live("begins a new version at the first event, while the old one stays as it is", () =>
    Effect.gen(function*() {
      const second = { ...Tally.main, version: 2 }
      yield* Tally.appendVotes(60)
      yield* Projection.catchUp(Tally.tally())
      yield* Tally.appendVotes(60)
      assert.strictEqual(yield* Projection.catchUp(Tally.tally(second)), 120n)
      assert.deepStrictEqual(yield* checkpoints, [
        { projection: "tally", version: 1, position: 60n },
        { projection: "tally", version: 2, position: 120n }
      ])
      assert.strictEqual(yield* Tally.verify(second), 120n)
      assert.strictEqual(yield* Tally.verify(), 60n)
      yield* Projection.catchUp(Tally.tally())
      assert.strictEqual(yield* Tally.verify(), 120n)
    }).pipe(Effect.provide(database)))

  it.live("stops when the log ends before the checkpoint", () =>
    Effect.gen(function*() {
      const projection = Tally.tally()
      yield* Tally.appendVotes(30)
      yield* Projection.catchUp(projection)
      // The same read model with another log, as after a restore from an older backup.
      const restored = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.gen(function*() {
          yield* Tally.appendVotes(20)
          return yield* effect
        }).pipe(Effect.provide(MemoryEventStore.layer))
      for (const follow of [Projection.catchUp(projection), Projection.run(projection)]) {
        const error = yield* Effect.flip(restored(follow))
        assert.instanceOf(error, CheckpointAhead)
        assert.deepInclude(error, { projection: "tally", version: 1, checkpoint: 30n, head: 20n })
        assert.match(error.message, /tally v1 has applied the log up to 30, but the log ends at 20/)
      }
      assert.strictEqual(yield* Tally.verify(), 30n)
    }).pipe(Effect.provide(database)))

  it.live("stops when its checkpoint is taken away", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Tally.appendVotes(600)
      const removing = Tally.tally(Tally.main, {
        before: ({ globalPosition }) => globalPosition === 500n ? sql`DELETE FROM composable.checkpoints` : Effect.void
      })
      const error = yield* Effect.flip(Projection.catchUp(removing))
      assert.instanceOf(error, CheckpointMissing)
      assert.match(error.message, /tally v1 has lost its checkpoint/)
    }).pipe(Effect.provide(database)))
})

describe("run", () => {
  // In these tests time stands still: a wait for the next poll would never end, only an append can wake the projection.
  it.effect("is woken by an append, again and again, without a poll", () =>
    Effect.gen(function*() {
      const applied = yield* Queue.unbounded<bigint>()
      const sql = yield* SqlClient.SqlClient
      const telling = Tally.tally(Tally.main, {
        after: ({ globalPosition }) => sql.afterCommit(Effect.asVoid(Queue.offer(applied, globalPosition)))
      })
      const fiber = yield* Effect.forkChild(Projection.run(telling))
      for (let i = 1n; i <= 50n; i++) {
        assert.strictEqual(yield* Tally.append(Tally.voted("a")), i)
        assert.strictEqual(yield* Queue.take(applied), i)
        assert.strictEqual(yield* Tally.verify(), i)
      }
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(database)))

  it.effect("catches up first, and misses nothing between the last page and the first wait", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(900)
      let reads = 0
      const events = yield* EventStore
      // Appends right behind the read that finds the log's end: nobody waits yet.
      const late = {
        ...events,
        readAll: (options: ReadAllOptions) =>
          Effect.tap(
            events.readAll(options),
            (page) =>
              page.position === page.head && reads++ < 5
                ? Effect.orDie(Effect.provideService(Tally.append(Tally.voted("late")), EventStore, events))
                : Effect.void
          )
      }
      const fiber = yield* Effect.forkChild(Projection.run(Tally.tally()).pipe(Effect.provideService(EventStore, late)))
      yield* Tally.until(905n)
      assert.strictEqual(yield* Tally.verify(), 905n)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(database)))

  it.effect("reads nothing while nothing is appended", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(10)
      let reads = 0
      const fiber = yield* Effect.forkChild(Projection.run(Tally.tally()).pipe(tellingReads(() => reads++)))
      yield* Tally.until(10n)
      yield* Tally.append(Tally.voted("a"))
      yield* Tally.until(11n)
      // Wake-ups for what was already read may still be on their way; then no more come.
      const settled = reads
      yield* Effect.repeat(Effect.andThen(SqlClient.SqlClient, (sql) => sql`SELECT 1`), { times: 200 })
      assert.isAtMost(reads, settled + 2)
      assert.strictEqual(yield* Tally.verify(), 11n)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(database)))

  it.live("refuses two of one name and version, and begins none of them", () =>
    Effect.gen(function*() {
      const before = yield* tableNames
      const other = { ...Tally.main, name: "other" }
      const twice = Projection.run(Tally.tally(other), Tally.tally(Tally.main), Tally.tally(Tally.main))
      const error = yield* Effect.flip(Effect.timeout(twice, "20 seconds"))
      assert.deepInclude(error, {
        _tag: "DuplicateProjection",
        projection: Tally.main.name,
        version: Tally.main.version
      })
      assert.match(error.message, /was given twice to be run.*give each its own name/)
      assert.deepStrictEqual(yield* tableNames, before)
    }).pipe(Effect.provide(database)))

  it.live("keeps two versions and another projection up to date side by side", () =>
    Effect.gen(function*() {
      const names = [Tally.main, { ...Tally.main, version: 2 }, { ...Tally.main, name: "other" }]
      const fiber = yield* Effect.forkChild(
        Effect.all(names.map((name) => Projection.run(Tally.tally(name))), { concurrency: "unbounded" })
      )
      for (let i = 0; i < 20; i++) yield* Tally.appendVotes(40)
      for (const name of names) {
        yield* Tally.until(800n, name)
        assert.strictEqual(yield* Tally.verify(name), 800n)
      }
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(database)))
})
