/**
 * The read model in another database than the log; and two logs whose read models are in one database.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as Projection from "../src/Projection.ts"
import { LogMismatch } from "../src/ProjectionError.ts"
import * as Tally from "./Votes.ts"

/** A log in a database of its own, apart from that of the context. */
const logElsewhere = PostgresEventStore.layer().pipe(Layer.provide(TestDatabase.layer), Layer.fresh)

describe("a read model in another database than the log", () => {
  it.live("has each event once, though its sessions and the projection are ended in between", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const here = yield* sql`SELECT to_regclass('composable.events') IS NULL AS none`
      assert.deepStrictEqual(here, [{ none: true }])
      yield* Tally.appendVotes(200)
      for (const last of [40n, 90n, 150n]) {
        // Cut off in the middle of its transaction, which has then written up to this event.
        const there = yield* Deferred.make<void>()
        const cut = yield* Effect.forkChild(Projection.run(Tally.tally(Tally.main, {
          after: ({ globalPosition }) =>
            globalPosition === last ? Effect.andThen(Deferred.succeed(there, undefined), Effect.never) : Effect.void
        })))
        yield* Deferred.await(there)
        yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()`
        yield* Fiber.interrupt(cut)
        yield* Tally.verify()
        yield* Tally.appendVotes(20)
      }
      const run = yield* Effect.forkChild(Projection.run(Tally.tally()))
      yield* Tally.appendVotes(40)
      yield* Tally.until(300n)
      assert.strictEqual(yield* Tally.verify(), 300n)
      yield* Fiber.interrupt(run)
    }).pipe(Effect.provide(Layer.merge(logElsewhere, TestDatabase.layer))))
})

describe("two logs whose read models are in one database", () => {
  it.live("do not share a projection's checkpoint: the second is refused, and the first goes on", () =>
    Effect.gen(function*() {
      const { config } = yield* PgClient.PgClient
      const second = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provide(effect, Layer.merge(logElsewhere, PgClient.layer(config)))
      yield* Tally.appendVotes(30)
      yield* Projection.catchUp(Tally.tally())
      const error = yield* second(Effect.flip(Effect.andThen(Tally.appendVotes(50), Projection.run(Tally.tally()))))
      assert.instanceOf(error, LogMismatch)
      assert.match(error.message, /two logs share one database of read models, give their projections different names/)
      const other = { ...Tally.main, name: "other" }
      yield* second(Effect.gen(function*() {
        yield* Tally.appendVotes(50)
        yield* Projection.catchUp(Tally.tally(other))
        assert.strictEqual(yield* Tally.verify(other), 50n)
      }))
      yield* Tally.appendVotes(10)
      assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 40n)
      assert.strictEqual(yield* Tally.verify(), 40n)
    }).pipe(Effect.provide(Layer.merge(logElsewhere, TestDatabase.layer))))
})
