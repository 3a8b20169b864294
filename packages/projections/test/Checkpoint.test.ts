import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as CheckpointContract from "@composable-ts/testing/CheckpointContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { SqlClient } from "effect/sql"
import * as Checkpoint from "../src/Checkpoint.ts"
import { migrate } from "../src/internal/schema.ts"
import { checkpoints } from "./Tables.ts"

CheckpointContract.suite("Checkpoint", checkpoints)

const tally = { name: "tally", version: 1 }
const held = (epoch: bigint) => ({ ...tally, partition: 0, epoch })
const at = (position: bigint): Checkpoint.Mark => ({
  position,
  eventId: `00000000-0000-0000-0000-${`${position}`.padStart(12, "0")}`
})

/** A checkpoint at the beginning, claimed in epoch 1. */
const claimed = Effect.gen(function*() {
  const service = yield* Checkpoint.Checkpoints
  yield* service.begin(tally, 1, Checkpoint.beginning)
  yield* service.claim(held(1n))
  return service
})

const position = Effect.flatMap(
  Checkpoint.Checkpoints,
  (service) => Effect.map(service.read(tally), ([only]) => only?.position)
)

describe("the tables of checkpoints", () => {
  for (const round of [1, 2, 3, 4, 5]) {
    it.live(`are made beside event stores that make theirs, all in one empty database (${round})`, () =>
      Effect.gen(function*() {
        const store = Effect.asVoid(Effect.scoped(PostgresEventStore.make()))
        yield* Effect.all(
          Array.from({ length: 8 }, (_, i) => (i + round) % 2 === 0 ? migrate : store),
          { concurrency: "unbounded" }
        )
        const service = yield* Checkpoint.make
        assert.deepStrictEqual(yield* service.read(tally), [])
      }).pipe(Effect.provide(TestDatabase.layer)))
  }
})

describe("in a transaction", () => {
  it.live("a checkpoint does not move when the transaction is undone, and one mover waits for another", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const service = yield* claimed
      const advance = (to: bigint) => service.advance(held(1n), Checkpoint.beginning, at(to))
      yield* Effect.ignore(sql.withTransaction(Effect.andThen(advance(5n), Effect.fail("no"))))
      assert.strictEqual(yield* position, 0n)
      const moved = yield* Effect.all(
        Array.from({ length: 6 }, (_, i) => sql.withTransaction(advance(BigInt(i + 1)))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(moved.filter((won) => won), 1)
      assert.strictEqual(yield* position, BigInt(moved.indexOf(true) + 1))
    }).pipe(Effect.provide(checkpoints)))

  it.live("a beginning is undone with the transaction, and the next to come begins", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const service = yield* Checkpoint.Checkpoints
      const begin = service.begin(tally, 2, Checkpoint.beginning)
      yield* Effect.ignore(sql.withTransaction(Effect.andThen(begin, Effect.fail("no"))))
      assert.deepStrictEqual(yield* service.read(tally), [])
      assert.isTrue(yield* begin)
    }).pipe(Effect.provide(checkpoints)))

  it.live("that commits soon, a claim waits for it, and finds the checkpoint where it leads", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const service = yield* claimed
      const moved = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const earlier = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
        yield* service.advance(held(1n), Checkpoint.beginning, at(5n))
        yield* Deferred.succeed(moved, undefined)
        yield* Deferred.await(goOn)
      })))
      yield* Deferred.await(moved)
      const claim = yield* Effect.forkChild(service.claim(held(2n)))
      yield* somebodyWaits
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(earlier)
      assert.deepStrictEqual(yield* Fiber.join(claim), at(5n))
    }).pipe(Effect.provide(checkpoints)))

  it.live("that stays open, as a stopped process's does, a claim does not wait for: its session is ended", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const service = yield* claimed
      const { config } = yield* PgClient.PgClient
      const moved = yield* Deferred.make<void>()
      const wakeUp = yield* Deferred.make<void>()
      const stopped = yield* Effect.forkChild(
        Effect.exit(sql.withTransaction(Effect.gen(function*() {
          yield* service.advance(held(1n), Checkpoint.beginning, at(5n))
          yield* Deferred.succeed(moved, undefined)
          yield* Deferred.await(wakeUp)
          return yield* sql`SELECT 1`
        }))).pipe(Effect.provide(PgClient.layer(config)))
      )
      // Another partition's transaction has nothing to do with it.
      yield* service.begin({ name: "other", version: 1 }, 1, Checkpoint.beginning)
      const other = { name: "other", version: 1, partition: 0, epoch: 1n }
      yield* service.claim(other)
      const otherMoved = yield* Deferred.make<void>()
      const bystander = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
        yield* service.advance(other, Checkpoint.beginning, at(3n))
        yield* Deferred.succeed(otherMoved, undefined)
        yield* Deferred.await(wakeUp)
        yield* sql`SELECT 1`
      })))
      yield* Deferred.await(moved)
      yield* Deferred.await(otherMoved)
      assert.deepStrictEqual(yield* service.claim(held(2n)), Checkpoint.beginning)
      yield* Deferred.succeed(wakeUp, undefined)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(stopped)))
      yield* Fiber.join(bystander)
      assert.strictEqual(yield* position, 0n)
      assert.deepStrictEqual(yield* service.claim(other), at(3n))
    }).pipe(Effect.provide(checkpoints)))
})

/** Waits until somebody in this database waits for a lock. */
const somebodyWaits = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  while (true) {
    const rows = yield* sql`
      SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
    if (rows.length > 0) return
  }
})

describe("a checkpoint's row", () => {
  it.live("is rewritten in place: no index changes with it (T47)", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* claimed
      // One session, whose counts are flushed at once.
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* sql.reserve
        for (let i = 1; i <= 300; i++) {
          yield* connection.executeRaw(`UPDATE composable.checkpoints SET position = ${i}, updated_at = now()`, [])
        }
        yield* connection.executeRaw("SELECT pg_stat_force_next_flush()", [])
      }))
      const [counts] = yield* sql<{ readonly updates: bigint; readonly inPlace: bigint }>`
        SELECT n_tup_upd AS updates, n_tup_hot_upd AS "inPlace" FROM pg_stat_user_tables WHERE relname = 'checkpoints'`
      assert.isDefined(counts)
      assert.isAtLeast(Number(counts.updates), 300)
      assert.isAbove(Number(counts.inPlace) / Number(counts.updates), 0.95)
    }).pipe(Effect.provide(checkpoints)))
})
