import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Checkpoint from "../src/Checkpoint.ts"

const tally = { name: "tally", version: 1 }

describe("Checkpoint", () => {
  for (const round of [1, 2, 3, 4, 5]) {
    it.live(`makes its table beside event stores that make theirs, all in one empty database (${round})`, () =>
      Effect.gen(function*() {
        const store = Effect.scoped(PostgresEventStore.make())
        yield* Effect.all(
          Array.from({ length: 8 }, (_, i) => (i + round) % 2 === 0 ? Checkpoint.migrate : store),
          { concurrency: "unbounded" }
        )
        assert.isUndefined(yield* Checkpoint.read(tally))
      }).pipe(Effect.provide(TestDatabase.layer)))
  }

  it.live("begins before the first event, once for each version", () =>
    Effect.gen(function*() {
      yield* Checkpoint.migrate
      assert.isUndefined(yield* Checkpoint.read(tally))
      assert.isTrue(yield* Checkpoint.start(tally))
      assert.isFalse(yield* Checkpoint.start(tally))
      assert.isTrue(yield* Checkpoint.start({ ...tally, version: 2 }))
      assert.isTrue(yield* Checkpoint.start({ ...tally, name: "Tally" }))
      assert.strictEqual(yield* Checkpoint.read(tally), 0n)
    }).pipe(Effect.provide(TestDatabase.layer)))

  it.live("moves only from where it stands, to positions of any size", () =>
    Effect.gen(function*() {
      const far = 2n ** 62n
      yield* Checkpoint.migrate
      assert.isFalse(yield* Checkpoint.advance(tally, 0n, 1n))
      yield* Checkpoint.start(tally)
      assert.isTrue(yield* Checkpoint.advance(tally, 0n, 5n))
      assert.isFalse(yield* Checkpoint.advance(tally, 0n, 6n))
      assert.isFalse(yield* Checkpoint.advance({ ...tally, version: 2 }, 5n, 6n))
      assert.isTrue(yield* Checkpoint.advance(tally, 5n, far))
      assert.isTrue(yield* Checkpoint.advance(tally, far, far + 1n))
      assert.strictEqual(yield* Checkpoint.read(tally), far + 1n)
    }).pipe(Effect.provide(TestDatabase.layer)))

  it.live("does not move when its transaction is undone, and one mover waits for another", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Checkpoint.migrate
      yield* Checkpoint.start(tally)
      yield* Effect.ignore(sql.withTransaction(Effect.andThen(Checkpoint.advance(tally, 0n, 5n), Effect.fail("no"))))
      assert.strictEqual(yield* Checkpoint.read(tally), 0n)
      const moved = yield* Effect.all(
        Array.from({ length: 6 }, (_, i) => sql.withTransaction(Checkpoint.advance(tally, 0n, BigInt(i + 1)))),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(moved.filter((won) => won), 1)
      assert.strictEqual(yield* Checkpoint.read(tally), BigInt(moved.indexOf(true) + 1))
    }).pipe(Effect.provide(TestDatabase.layer)))

  it.live("is rewritten in place: no index changes with it (T47)", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Checkpoint.migrate
      yield* Checkpoint.start(tally)
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
    }).pipe(Effect.provide(TestDatabase.layer)))
})
