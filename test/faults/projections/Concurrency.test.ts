/**
 * Many runners of one projection, and what keeps them apart: the checkpoint moves only from where its mover believed it
 * to be. The control takes that away and must see doubles (T35's negative control).
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { vi } from "vitest"
import type * as Checkpoint from "../../../packages/projections/src/Checkpoint.ts"
import * as Projection from "../../../packages/projections/src/Projection.ts"
import * as Tally from "../../../packages/projections/test/Votes.ts"

const fence = vi.hoisted(() => ({ down: false }))

vi.mock(import("../../../packages/projections/src/Checkpoint.ts"), async (original) => {
  const real = await original()
  const advanceBlindly: typeof Checkpoint.advance = ({ name, version }, _from, to) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`
        UPDATE composable.checkpoints SET position = ${to} WHERE projection = ${name} AND version = ${version}`
      return true
    })
  return { ...real, advance: (...args) => fence.down ? advanceBlindly(...args) : real.advance(...args) }
})

const database = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer))

/** An effect with clients of its own, as another process would have them. */
const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    const clients = PgClient.layer({ ...config, maxConnections: 5 })
    return yield* Effect.provide(effect, Layer.provideMerge(PostgresEventStore.layer(), clients))
  })

/** Two runners that read the same page before either applies it; then both go on. */
const twoOnOnePage = Effect.gen(function*() {
  const projection = Tally.tally()
  yield* Projection.catchUp(projection)
  yield* Tally.appendVotes(50)
  const bothHaveRead = yield* Deferred.make<void>()
  let pages = 0
  const meeting = Effect.updateService(EventStore, (events) => ({
    ...events,
    readAll: (options) =>
      Effect.tap(events.readAll(options), () => {
        if (options.limit === 0) return Effect.void
        return ++pages === 2 ? Deferred.succeed(bothHaveRead, undefined) : Deferred.await(bothHaveRead)
      })
  }))
  const positions = yield* Effect.all([Projection.catchUp(projection), Projection.catchUp(projection)], {
    concurrency: 2
  }).pipe(meeting)
  assert.deepStrictEqual(positions, [50n, 50n])
})

describe("two runners on one page", () => {
  it.live("apply it once", () =>
    Effect.gen(function*() {
      yield* twoOnOnePage
      assert.strictEqual(yield* Tally.verify(), 50n)
    }).pipe(Effect.provide(database)))

  it.live("control: apply it twice once the checkpoint moves unconditionally", () =>
    Effect.gen(function*() {
      yield* Effect.acquireRelease(
        Effect.sync(() => fence.down = true),
        () => Effect.sync(() => fence.down = false)
      )
      yield* twoOnOnePage
      const verdict = yield* Effect.exit(Tally.verify())
      assert.isTrue(Exit.isFailure(verdict), "the counter did not show the doubles")
      const sql = yield* SqlClient.SqlClient
      const times = yield* sql`
        SELECT DISTINCT count(*) AS times FROM tally_v1_applied GROUP BY position`
      assert.deepStrictEqual(times, [{ times: 2n }])
    }).pipe(Effect.scoped, Effect.provide(database)))
})

describe("four processes' worth of runners", () => {
  it.live("count exactly while the log grows", () =>
    Effect.gen(function*() {
      const runners = yield* Effect.forkChild(
        Effect.all(
          [
            Projection.run(Tally.tally()),
            Projection.run(Tally.tally()),
            Projection.run(Tally.batchTally()),
            Projection.run(Tally.batchTally())
          ].map(elsewhere),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.forEach(Array.from({ length: 60 }), () => Tally.appendVotes(20), { concurrency: 6, discard: true })
      yield* Tally.until(1_200n)
      assert.strictEqual(yield* Tally.verify(), 1_200n)
      yield* Fiber.interrupt(runners)
    }).pipe(Effect.provide(database)))

  it.live("set up once, though each makes the checkpoints' table and the store's in an empty database", () =>
    Effect.gen(function*() {
      yield* Effect.all(
        Array.from({ length: 8 }, () => elsewhere(Projection.catchUp(Tally.tally()))),
        { concurrency: "unbounded" }
      )
      const positions = yield* elsewhere(Effect.andThen(
        Tally.appendVotes(10),
        Effect.all(
          Array.from({ length: 8 }, () => Projection.catchUp(Tally.tally())),
          { concurrency: "unbounded" }
        )
      ))
      assert.deepStrictEqual(positions, Array.from({ length: 8 }, () => 10n))
      yield* elsewhere(Tally.verify())
    }).pipe(Effect.provide(TestDatabase.layer)))
})
