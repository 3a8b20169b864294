/**
 * Many runners of one projection in one process.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Projection from "../../../packages/projections/src/Projection.ts"
import * as Tally from "../../../packages/projections/test/Votes.ts"

const database = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer))

/** An effect with clients of its own, as another process would have them. */
const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    const clients = PgClient.layer({ ...config, maxConnections: 5 })
    return yield* Effect.provide(effect, Layer.provideMerge(PostgresEventStore.layer(), clients))
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
