/**
 * T38: projections behind a proxy that lends a server's connection for one transaction only. Nothing of theirs rests on a
 * session: not the leases, not the fence, and no notification has to arrive.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Logger, Redacted } from "effect"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import * as Pooler from "../postgres/Pooler.ts"
import { checkMoves, recordMoves, untilSome } from "./Processes.ts"

const database = Layer.merge(TestDatabase.layerMigrated("log", PostgresEventStore.layer()), Logger.layer([]))

/** A pooler before the database, and the log and the read models behind it. */
const behindPooler = (prepare: boolean) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    assert.isDefined(config.url)
    const url = new URL(Redacted.value(config.url))
    const pooler = yield* Pooler.make(Number(url.port), 4)
    url.port = String(pooler.port)
    const client = PgClient.layer({ url: Redacted.make(url.href), prepare })
    const pooled = PostgresEventStore.layer({ wakeUp: { by: "poll", longestPause: "50 millis" } }).pipe(
      Layer.provideMerge(client)
    )
    return { pooler, pooled }
  })

const time = Effect.provideService(Lease.Time, "1 second")

describe("T38: behind a pooler", () => {
  it.live(
    "two processes share a projection, one at a time; one takes over from the other, and counts exactly",
    () =>
      Effect.gen(function*() {
        const { pooled, pooler } = yield* behindPooler(false)
        const inside = yield* Deferred.make<void>()
        // The first stays in the midst of an event, and is replaced: it cannot commit what it had begun.
        const stuck = Tally.tally(Tally.main, {
          after: ({ globalPosition }) =>
            globalPosition === 251n ? Effect.andThen(Deferred.succeed(inside, undefined), Effect.never) : Effect.void
        })
        yield* Tally.appendVotes(200)
        yield* Projection.catchUp(Tally.tally()).pipe(Effect.provide(pooled))
        yield* recordMoves
        const first = yield* Effect.forkChild(Projection.run(stuck).pipe(time, Effect.provide(pooled)))
        yield* Tally.appendVotes(100)
        yield* Deferred.await(inside)
        const second = yield* Effect.forkChild(Projection.run(Tally.tally()).pipe(time, Effect.provide(pooled)))
        yield* untilSome("SELECT FROM composable.members HAVING count(*) = 2")
        // Nobody takes what is not free, however long its owner's handler takes.
        yield* untilSome("SELECT FROM composable.leases WHERE expires_at > clock_timestamp() + interval '500 ms'")
        assert.strictEqual(yield* Tally.verify(), 200n)
        yield* Fiber.interrupt(first)
        for (let i = 0; i < 20; i++) yield* Tally.until(yield* Tally.appendVotes(10))
        assert.strictEqual(yield* Tally.verify(), 500n)
        assert.isUndefined(second.pollUnsafe(), "the projection has ended")
        yield* Fiber.interrupt(second)
        yield* checkMoves
        assert.deepStrictEqual([...pooler.errors], [])
      }).pipe(Effect.scoped, Effect.provide(database)),
    60_000
  )

  it.live(
    "control: of a client that prepares, statements are unknown there; what was counted is exact all the same",
    () =>
      Effect.gen(function*() {
        const { pooled, pooler } = yield* behindPooler(true)
        yield* Tally.appendVotes(200)
        const runners = yield* Effect.forkChild(Effect.forEach(
          [1, 2],
          () => Effect.exit(Projection.run(Tally.tally()).pipe(time, Effect.provide(pooled))),
          { concurrency: 2 }
        ))
        while (!pooler.errors.has("26000")) {
          yield* Tally.appendVotes(1)
          yield* Effect.sleep(5)
        }
        yield* Tally.checked()
        yield* Fiber.interrupt(runners)
      }).pipe(Effect.scoped, Effect.provide(database)),
    60_000
  )
})
