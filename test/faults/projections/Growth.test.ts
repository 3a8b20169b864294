/**
 * What a long catch-up leaves behind: no memory that grows with the log (T60), and checkpoints that are updated in place
 * (T47). `EVENTS` sets the log's length; 10^5 takes a few seconds.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as StreamId from "@composable-ts/core/StreamId"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { isReadonlyArrayNonEmpty } from "effect/Array"
import { SqlClient } from "effect/sql"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Tally from "../../../packages/projections/test/Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

setFlagsFromString("--expose-gc")
const gc: unknown = runInNewContext("gc")

const length = Number(process.env["EVENTS"] ?? "100000")

const fill = Effect.gen(function*() {
  const events = yield* EventStore
  const some = Array.from({ length: 5_000 }, (_, i) => Tally.noted("x".repeat(200) + i))
  if (!isReadonlyArrayNonEmpty(some)) return
  for (let i = 0; i < length / some.length; i++) {
    yield* events.append(Result.getOrThrow(StreamId.make("votes", `${i}`)), ExpectedVersion.any, some)
  }
})

/** A projection whose handler is called with each batch. */
const noting = (handle: () => void) =>
  Projection.defineBatch(Tally.Votes, {
    name: "noting",
    version: 1,
    setUp: Effect.void,
    events: ["Noted"],
    handle: () => Effect.sync(handle)
  })

/** The heap at the half of a catch-up, and by how much it has grown at its end. */
const growth = (keep: () => unknown) =>
  Effect.gen(function*() {
    yield* fill
    const batches = Math.ceil(length / 2_000)
    const kept: Array<unknown> = []
    const sizes: Array<number> = []
    let batch = 0
    const reached = yield* Projection.catchUp(noting(() => {
      kept.push(keep())
      batch++
      if (batch === Math.floor(batches / 2) || batch === batches - 1) {
        if (typeof gc === "function") gc()
        sizes.push(process.memoryUsage().heapUsed)
      }
    }))
    assert.strictEqual(reached, BigInt(length))
    assert.lengthOf(sizes, 2)
    return sizes[1]! - sizes[0]!
  })

/** What half of the log would take, if only a tenth of its text stayed. */
const limit = length / 2 * 20

describe("a catch-up of a long log", () => {
  it.live(`takes no memory that grows with the log: ${length} events (T60)`, () =>
    Effect.gen(function*() {
      assert.isBelow(yield* growth(() => undefined), Math.max(limit, 2_000_000))
    }).pipe(Effect.provide(database)), 60_000 + length)

  it.live("control: a handler that keeps something of each batch shows", () =>
    Effect.gen(function*() {
      assert.isAbove(yield* growth(() => Array.from({ length: 20_000 }, (_, i) => i + 0.5)), Math.max(limit, 2_000_000))
    }).pipe(Effect.provide(database)), 60_000 + length)
})

describe("checkpoints", () => {
  it.live("are updated in place: more than 95 of 100 moves are HOT (T47)", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const moves = 300
      yield* Tally.appendVotes(1)
      const running = yield* Effect.forkChild(Projection.run(Tally.tally()))
      for (let i = 1; i <= moves; i++) yield* Tally.until(yield* Tally.append(Tally.voted("a")))
      yield* Fiber.interrupt(running)
      while (true) {
        const [row] = yield* sql<{ readonly updates: bigint; readonly hot: bigint }>`
          SELECT n_tup_upd AS updates, n_tup_hot_upd AS hot FROM pg_stat_user_tables
          WHERE schemaname = 'composable' AND relname = 'checkpoints'`
        // An idle session tells the last of its numbers late.
        if (row !== undefined && Number(row.updates) >= moves / 3) {
          assert.isAbove(Number(row.hot) / Number(row.updates), 0.95)
          return
        }
        yield* Effect.sleep(20)
      }
    }).pipe(Effect.provide(database)))

  it.live("control: they would not be, with an index on what moves", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const moves = 50
      yield* Tally.appendVotes(1)
      yield* Projection.catchUp(Tally.tally())
      yield* sql`CREATE INDEX ON composable.checkpoints (position)`
      for (let i = 1; i <= moves; i++) yield* sql`UPDATE composable.checkpoints SET position = position + 1`
      while (true) {
        const [row] = yield* sql<{ readonly updates: bigint; readonly hot: bigint }>`
          SELECT n_tup_upd AS updates, n_tup_hot_upd AS hot FROM pg_stat_user_tables
          WHERE schemaname = 'composable' AND relname = 'checkpoints'`
        if (row !== undefined && Number(row.updates) >= moves) {
          assert.isBelow(Number(row.hot) / Number(row.updates), 0.5)
          return
        }
        yield* Effect.sleep(20)
      }
    }).pipe(Effect.provide(database)))
})
