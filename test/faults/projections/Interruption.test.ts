/**
 * T67: a projection's fiber may end at any moment: what it had begun is undone, what it had committed stays, and whoever goes
 * on later counts exactly.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { seeded } from "./Seed.ts"

const database = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer))

/** Nobody is left inside a transaction. */
const allIdle = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`
    SELECT state, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'`
  assert.deepStrictEqual(rows, [])
})

/** Waits until two processes run the projection. */
const twoMembers = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  while (true) {
    const rows = yield* sql`SELECT FROM composable.members HAVING count(*) = 2`
    if (rows.length > 0) return
  }
})

describe("T67: interruption", () => {
  it.live("at sixty random moments leaves the count exact", () =>
    Effect.gen(function*() {
      const { random } = seeded()
      const [whole] = yield* Effect.timed(Projection.catchUp(Tally.tally()))
      let head = 0n
      const milestones = new Set<bigint>()
      for (let round = 0; round < 60; round++) {
        if (round % 2 === 0) head = yield* Tally.appendVotes(1 + Math.floor(random() * 30))
        const projection = round % 3 === 0 ? Tally.batchTally() : Tally.tally()
        const runner = yield* Effect.forkChild(Projection.run(projection))
        // From before the first statement to behind the last.
        yield* Effect.sleep(Duration.times(whole, random() * 1.5))
        yield* Fiber.interrupt(runner)
        if (round % 4 === 0) {
          milestones.add(yield* Tally.verify())
          yield* allIdle
        }
      }
      // The rounds came through some work, but were not simply always done with it.
      assert.isAbove(milestones.size, 5)
      assert.strictEqual(yield* Projection.catchUp(Tally.tally()), head)
      assert.strictEqual(yield* Tally.verify(), head)
    }).pipe(Effect.provide(database)), 60_000)

  it.live("in the middle of a handler undoes its batch", () =>
    Effect.gen(function*() {
      const inside = yield* Deferred.make<void>()
      const stuck = Tally.tally(Tally.main, {
        after: ({ globalPosition }) =>
          globalPosition === 30n ? Effect.andThen(Deferred.succeed(inside, undefined), Effect.never) : Effect.void
      })
      yield* Tally.appendVotes(40)
      const runner = yield* Effect.forkChild(Projection.run(stuck))
      yield* Deferred.await(inside)
      yield* Fiber.interrupt(runner)
      yield* allIdle
      assert.strictEqual(yield* Tally.verify(), 0n)
      assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 40n)
      assert.strictEqual(yield* Tally.verify(), 40n)
    }).pipe(Effect.provide(database)))

  it.live("in the middle of the set-up undoes it", () =>
    Effect.gen(function*() {
      const inside = yield* Deferred.make<void>()
      const projection = Tally.tally()
      const stuck = {
        ...projection,
        setUp: Effect.andThen(projection.setUp, Effect.andThen(Deferred.succeed(inside, undefined), Effect.never))
      }
      const runner = yield* Effect.forkChild(Projection.run(stuck))
      yield* Deferred.await(inside)
      yield* Fiber.interrupt(runner)
      yield* allIdle
      yield* Tally.appendVotes(40)
      assert.strictEqual(yield* Projection.catchUp(projection), 40n)
      assert.strictEqual(yield* Tally.verify(), 40n)
    }).pipe(Effect.provide(database)))

  it.live("of a runner that stands by lets go at once", () =>
    Effect.gen(function*() {
      const inside = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const slow = Tally.tally(Tally.main, {
        before: () => Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(goOn))
      })
      yield* Tally.appendVotes(40)
      const first = yield* Effect.forkChild(Projection.catchUp(slow))
      yield* Deferred.await(inside)
      const second = yield* Effect.forkChild(Projection.catchUp(Tally.tally()))
      yield* twoMembers
      yield* Fiber.interrupt(second)
      assert.isUndefined(first.pollUnsafe(), "the first is still at work")
      yield* Deferred.succeed(goOn, undefined)
      assert.strictEqual(yield* Fiber.join(first), 40n)
      assert.strictEqual(yield* Tally.verify(), 40n)
    }).pipe(Effect.provide(database)))
})
