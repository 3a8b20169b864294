import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Consistency from "../src/Consistency.ts"
import * as Projection from "../src/Projection.ts"
import { NotCaughtUp } from "../src/ProjectionError.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

/** Waiting with clients of its own, as in another process than the one that runs the projection. */
const elsewhere = Layer.unwrap(
  Effect.map(PgClient.PgClient, ({ config }) => Consistency.layer.pipe(Layer.provide(PgClient.layer({ ...config }))))
).pipe(Layer.provideMerge(database))

const sums = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ readonly sum: number }>`SELECT sum FROM tally_v1_votes WHERE choice = 'a'`
)

describe("waitFor", () => {
  // Time stands still: neither a poll nor the time-out can end the wait.
  it.effect("returns when the read model contains the position, woken by another process", () =>
    Effect.gen(function*() {
      const runner = yield* Effect.forkChild(Projection.run(Tally.tally()))
      for (let i = 1; i <= 20; i++) {
        const position = yield* Tally.append(Tally.voted("a"))
        const rows = yield* sums.pipe(Consistency.readAfter(Tally.main, { position, timeout: "10 seconds" }))
        assert.deepStrictEqual(rows, [{ sum: i }])
      }
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.provide(elsewhere)))

  it.live("costs no announcements while nobody waits, and is announced as soon as somebody does", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { waitFor } = yield* Consistency.Consistency
      const heard = yield* (yield* PgClient.PgClient).listen("composable_progress")
      /** What is announced of one more vote, when it was applied; the last word is this test's own. */
      const announced = Effect.gen(function*() {
        yield* Tally.until(yield* Tally.append(Tally.voted("a")))
        yield* sql`SELECT pg_notify('composable_progress', 'the end')`
        const payloads: Array<string> = []
        while (!payloads.includes("the end")) payloads.push((yield* Queue.take(heard)).payload)
        return payloads.length - 1
      })
      const runner = yield* Effect.forkChild(Projection.run(Tally.tally()))
      for (let silent = 0; silent < 20;) silent = (yield* announced) === 0 ? silent + 1 : 0
      const position = 5n + (yield* Tally.append(Tally.voted("a")))
      const waiting = yield* Effect.forkChild(waitFor(Tally.main, { position, timeout: "10 seconds" }))
      assert.strictEqual((yield* Queue.take(heard)).payload, "tally v1")
      for (let i = 0; i < 5; i++) {
        yield* Tally.append(Tally.voted("a"))
        assert.strictEqual((yield* Queue.take(heard)).payload, "tally v1")
      }
      yield* Fiber.join(waiting)
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.scoped, Effect.provide(elsewhere)))

  it.effect("returns at once when it does already, and wakes many at once", () =>
    Effect.gen(function*() {
      const { waitFor } = yield* Consistency.Consistency
      const waiting = yield* Effect.forkChild(Effect.forEach(
        Array.from({ length: 200 }, (_, i) => BigInt(i + 1)),
        (position) => waitFor(Tally.main, { position, timeout: "10 seconds" }),
        { concurrency: "unbounded", discard: true }
      ))
      yield* Tally.appendVotes(200)
      yield* Projection.catchUp(Tally.tally())
      yield* Fiber.join(waiting)
      yield* waitFor(Tally.main, { position: 200n, timeout: "10 seconds" })
      yield* waitFor(Tally.main, { position: 0n, timeout: "10 seconds" })
    }).pipe(Effect.provide(elsewhere)))

  it.effect("waits for the slowest partition", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { waitFor } = yield* Consistency.Consistency
      yield* Projection.catchUp({ ...Tally.tally(), partitions: 2 })
      yield* sql`UPDATE composable.checkpoints SET position = 5 WHERE partition = 0`
      const waiting = yield* Effect.forkChild(waitFor(Tally.main, { position: 5n, timeout: "10 seconds" }))
      yield* sql`SELECT pg_notify('composable_progress', 'tally v1')`
      yield* Effect.repeat(sql`SELECT 1`, { times: 20 })
      assert.isUndefined(waiting.pollUnsafe())
      yield* sql`UPDATE composable.checkpoints SET position = 7 WHERE partition = 1`
      yield* sql`SELECT pg_notify('composable_progress', 'tally v1')`
      yield* Fiber.join(waiting)
    }).pipe(Effect.provide(elsewhere)))

  it.effect("finds out by itself when the announcement was lost", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { waitFor } = yield* Consistency.Consistency
      yield* Projection.catchUp(Tally.tally())
      const waiting = yield* Effect.forkChild(waitFor(Tally.main, { position: 5n, timeout: "1 hour" }))
      yield* sql`UPDATE composable.checkpoints SET position = 5`
      while (waiting.pollUnsafe() === undefined) {
        yield* TestClock.adjust("1 second")
        yield* sql`SELECT 1`
      }
      yield* Fiber.join(waiting)
    }).pipe(Effect.provide(elsewhere)))

  it.live("gives up in time, and says how far the read model is", () =>
    Effect.gen(function*() {
      const { waitFor } = yield* Consistency.Consistency
      yield* Tally.appendVotes(3)
      yield* Projection.catchUp(Tally.tally())
      const error = yield* Effect.flip(waitFor(Tally.main, { position: 4n, timeout: "300 millis" }))
      assert.instanceOf(error, NotCaughtUp)
      assert.deepInclude(error, { projection: "tally", version: 1, position: 4n, reached: 3n })
      assert.match(error.message, /tally v1 was waited for up to global position 4, but is at 3\..*Wait longer/)
      const unknown = yield* Effect.flip(
        waitFor({ name: "nobody", version: 1 }, { position: 4n, timeout: "300 millis" })
      )
      assert.match(unknown.message, /has not been set up yet/)
    }).pipe(Effect.provide(elsewhere)))
})
