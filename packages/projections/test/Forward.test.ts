/**
 * What leaves the database: at least once, in order of each stream, known by its key, and never in a transaction.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as StreamId from "@composable-ts/core/StreamId"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import type { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Result, Schedule, type Scope } from "effect"
import { SqlClient } from "effect/sql"
import * as Forward from "../src/Forward.ts"
import { ProjectionFailed } from "../src/ProjectionError.ts"
import * as Status from "../src/Status.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const onLog = <E>(
  effect: Effect.Effect<void, E, EventStore | PgClient | SqlClient.SqlClient | Scope.Scope>
) => Effect.scoped(effect).pipe(Effect.provide(database))

const stream = (nr: number) => Result.getOrThrow(StreamId.make("votes", `${nr}`))

/** Appends votes to streams in turn, each in a commit of its own. */
const appendTo = (streams: number, votes: number) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    for (let i = 0; i < streams * votes; i++) {
      yield* events.append(stream(i % streams), ExpectedVersion.any, [Tally.voted(`${i}`)])
    }
  })

const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i)

/** What the other system has: the keys in the order in which they came, doubles too. */
class Other {
  readonly came: Array<Forward.DeduplicationKey> = []
  take(key: Forward.DeduplicationKey): void {
    this.came.push(key)
  }
  versionsOf(nr: number): ReadonlyArray<number> {
    return this.came.filter(({ streamId }) => streamId === stream(nr)).map(({ version }) => version)
  }
}

const soon = Schedule.recurs(2)

const hook = <R>(
  handle: (delivery: Forward.AtLeastOnce<{ readonly _tag: "Voted"; readonly choice: string }>) => Effect.Effect<
    unknown,
    unknown,
    R
  >,
  options: { readonly concurrency?: number; readonly partitions?: number; readonly version?: number } = {}
) => Forward.define(Tally.Votes, { name: "hook", version: 1, events: ["Voted"], retry: soon, ...options, handle })

const checkpoint = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly position: bigint }>`SELECT position FROM composable.checkpoints`
  return rows.map(({ position }) => position)
})

describe("a forwarder", () => {
  it.live("hands over each event in order, under a key that is the event's own, and no transaction is open meanwhile", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(2, 20)
      const sql = yield* SqlClient.SqlClient
      const other = new Other()
      const forward = hook(({ event, key, recorded }) =>
        Effect.gen(function*() {
          const open = yield* sql`SELECT FROM pg_stat_activity
            WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
              AND backend_type = 'client backend'`
          assert.lengthOf(open, 0)
          assert.strictEqual(event.choice, `${Number(recorded.globalPosition) - 1}`)
          assert.deepStrictEqual(key, {
            eventId: recorded.eventId,
            streamId: recorded.streamId,
            version: recorded.version
          })
          other.take(key)
        })
      )
      assert.strictEqual(forward.guarantee, "at least once")
      assert.strictEqual(yield* Forward.catchUp(forward), 40n)
      const events = yield* Tally.log
      assert.deepStrictEqual(
        other.came,
        events.map(({ eventId, streamId, version }) => ({ eventId, streamId, version }))
      )
      assert.strictEqual(yield* Forward.catchUp(forward), 40n)
      assert.lengthOf(other.came, 40)
    })))

  it.live("moves its checkpoint behind what was taken, and not before", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(1, 3)
      const seen: Array<ReadonlyArray<bigint>> = []
      yield* Forward.catchUp(hook(() => Effect.map(checkpoint, (positions) => seen.push(positions))))
      assert.deepStrictEqual(seen, [[0n], [0n], [0n]])
      assert.deepStrictEqual(yield* checkpoint, [3n])
    })))

  it.live("tries again what fails, throws or dies, and leaves none of it out", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(1, 9)
      const other = new Other()
      const tries = new Map<number, number>()
      yield* Forward.catchUp(hook(({ key }) => {
        const count = (tries.get(key.version) ?? 0) + 1
        tries.set(key.version, count)
        if (count <= 2) {
          if (key.version % 3 === 0) return Effect.fail("no")
          if (key.version % 3 === 1) return Effect.die("dead")
          throw new Error("thrown")
        }
        return Effect.sync(() => other.take(key))
      }))
      assert.deepStrictEqual(other.versionsOf(0), numbers(9))
      assert.deepStrictEqual([...tries.values()], numbers(9).map(() => 3))
    })))

  for (const concurrency of [1, 4]) {
    it.live(`stops right before what cannot be handed over, says why, and goes on with it later (${concurrency})`, () =>
      onLog(Effect.gen(function*() {
        yield* appendTo(5, 10)
        const other = new Other()
        let refuses = true
        const forward = hook(
          ({ key }) =>
            refuses && key.streamId === stream(2) && key.version === 4
              ? Effect.fail(new Error("503"))
              : Effect.sync(() => other.take(key)),
          { concurrency }
        )
        const error = yield* Effect.flip(Forward.run(forward))
        assert.instanceOf(error, ProjectionFailed)
        // The fifth vote of the third stream.
        assert.deepInclude(error, { projection: "forwarder:hook", after: 22n, upTo: 23n })
        assert.match(error.message, /^Forwarder hook v1 .*could not apply what follows up to 23: 503/)
        assert.deepStrictEqual(yield* checkpoint, [22n])
        const [status] = yield* Status.of(forward)
        assert.match(status?.error?.message ?? "", /503/)
        assert.deepStrictEqual(other.versionsOf(2), numbers(4))
        refuses = false
        assert.strictEqual(yield* Forward.catchUp(forward), 50n)
        assert.deepStrictEqual(other.versionsOf(2), numbers(10))
        for (const nr of numbers(5)) {
          assert.deepStrictEqual([...new Set(other.versionsOf(nr))], numbers(10))
        }
      })))
  }

  it.live("hands over again, under the same key, what was under way when it was cut off", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(1, 5)
      const other = new Other()
      const reached = yield* Deferred.make<void>()
      const first = yield* Effect.forkChild(Forward.run(hook(({ key }) =>
        Effect.gen(function*() {
          other.take(key)
          if (key.version === 3) {
            yield* Deferred.succeed(reached, undefined)
            yield* Effect.never
          }
        })
      )))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(first)
      yield* Forward.catchUp(hook(({ key }) => Effect.sync(() => other.take(key))))
      assert.deepStrictEqual(other.versionsOf(0), [0, 1, 2, 3, 0, 1, 2, 3, 4])
      assert.strictEqual(new Set(other.came.map(({ eventId }) => eventId)).size, 5)
    })))

  it.live("has as many streams under way at a time as it may, one event of each", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(6, 8)
      const other = new Other()
      const under = new Set<string>()
      let most = 0
      const four = yield* Deferred.make<void>()
      yield* Forward.catchUp(hook(
        ({ key }) =>
          Effect.gen(function*() {
            assert.isFalse(under.has(key.streamId), "two events of one stream at a time")
            under.add(key.streamId)
            most = Math.max(most, under.size)
            if (under.size === 4) yield* Deferred.succeed(four, undefined)
            yield* Deferred.await(four)
            yield* Effect.yieldNow
            under.delete(key.streamId)
            other.take(key)
          }),
        { concurrency: 4 }
      ))
      assert.strictEqual(most, 4)
      for (const nr of numbers(6)) assert.deepStrictEqual(other.versionsOf(nr), numbers(8))
    })))

  it.live("shares its partitions with other forwarders, each stream in order", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(8, 10)
      const other = new Other()
      yield* Forward.catchUp(hook(({ key }) => Effect.sync(() => other.take(key)), { partitions: 3 }))
      for (const nr of numbers(8)) assert.deepStrictEqual(other.versionsOf(nr), numbers(10))
    })))
})

describe("batches", () => {
  const batches = (sizes: Array<ReadonlyArray<string>>) =>
    Forward.defineBatch(Tally.Votes, {
      name: "index",
      version: 1,
      events: ["Voted"],
      batchSize: 4,
      retry: soon,
      handle: (batch) =>
        Effect.sync(() => void sizes.push(batch.map(({ event, recorded }) => `${recorded.streamId}:${event.choice}`))),
      tombstoned: ({ key }) => Effect.sync(() => void sizes.push([`gone:${key.streamId}`]))
    })

  it.live("hold so many at the most, end before a tombstone, and pass over what it erased", () =>
    onLog(Effect.gen(function*() {
      const events = yield* EventStore
      yield* appendTo(2, 3)
      const seen: Array<ReadonlyArray<string>> = []
      yield* Forward.catchUp(batches(seen))
      assert.deepStrictEqual(seen, [
        ["votes-0:0", "votes-1:1", "votes-0:2", "votes-1:3"],
        ["votes-0:4", "votes-1:5"]
      ])
      yield* events.append(stream(1), ExpectedVersion.any, [Tally.voted("x")])
      yield* events.tombstone(stream(0), ExpectedVersion.any, { reason: "request" })
      yield* events.append(stream(1), ExpectedVersion.any, [Tally.voted("y")])
      yield* Forward.catchUp(batches(seen))
      assert.deepStrictEqual(seen.slice(2), [["votes-1:x"], ["gone:votes-0"], ["votes-1:y"]])
      const anew: Array<ReadonlyArray<string>> = []
      yield* Forward.catchUp({ ...batches(anew), version: 2 })
      assert.deepStrictEqual(anew, [
        ["votes-1:1", "votes-1:3"],
        ["votes-1:5", "votes-1:x"],
        ["gone:votes-0"],
        ["votes-1:y"]
      ])
    })))

  it.live("that fail are handed over again as a whole, and stop before their first event", () =>
    onLog(Effect.gen(function*() {
      yield* appendTo(1, 10)
      const tried: Array<number> = []
      const error = yield* Effect.flip(Forward.run(Forward.defineBatch(Tally.Votes, {
        name: "index",
        version: 1,
        events: ["Voted"],
        batchSize: 4,
        retry: soon,
        handle: (batch) => {
          tried.push(batch[0].key.version)
          return batch.some(({ key }) => key.version === 6) ? Effect.fail("down") : Effect.void
        }
      })))
      assert.instanceOf(error, ProjectionFailed)
      assert.deepInclude(error, { after: 4n, upTo: 5n })
      assert.deepStrictEqual(tried, [0, 4, 4, 4])
      assert.deepStrictEqual(yield* checkpoint, [4n])
    })))
})
