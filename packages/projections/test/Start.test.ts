import { EventStore } from "@composable-ts/core/EventStore"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import * as Projection from "../src/Projection.ts"
import { CheckpointAhead } from "../src/ProjectionError.ts"
import * as Start from "../src/Start.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

/** A projection that remembers at which positions it has seen votes. */
const seeing = (startFrom?: Start.Start) => {
  const seen: Array<bigint> = []
  const projection = Projection.define(Tally.Votes, {
    name: "seen",
    version: 1,
    setUp: Effect.void,
    startFrom,
    on: { Voted: (_event, { globalPosition }) => Effect.sync(() => seen.push(globalPosition)) }
  })
  return { seen, projection }
}

const votes = (count: number) => Effect.repeat(Tally.append(Tally.voted("a")), { times: count - 1 })

describe("a projection", () => {
  it.live("begins with the first event of the log, unless told otherwise", () =>
    Effect.gen(function*() {
      const { projection, seen } = seeing()
      yield* votes(3)
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(seen, [1n, 2n, 3n])
    }).pipe(Effect.provide(database)))

  it.live("begins now: with what is committed from then on, and once; later runs go on where it is", () =>
    Effect.gen(function*() {
      const { projection, seen } = seeing(Start.now)
      yield* votes(3)
      assert.strictEqual(yield* Projection.catchUp(projection), 3n)
      yield* votes(2)
      assert.strictEqual(yield* Projection.catchUp(projection), 5n)
      assert.deepStrictEqual(seen, [4n, 5n])
      const sql = yield* SqlClient.SqlClient
      const events = yield* EventStore
      const [last] = (yield* events.readAll({ after: 4n, limit: 1 })).events
      assert.deepStrictEqual(yield* sql`SELECT event_id FROM composable.checkpoints`, [{ event_id: last?.eventId }])
    }).pipe(Effect.provide(database)))

  it.live("begins now, and misses nothing that is under way: an append in an open transaction comes later", () =>
    Effect.gen(function*() {
      const { projection, seen } = seeing(Start.now)
      const sql = yield* SqlClient.SqlClient
      yield* votes(3)
      // Whatever is appended while this lock is held waits for it, as for another append that has not committed yet.
      const held = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      const holder = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
        yield* sql`SELECT pg_advisory_xact_lock(1129270608, 'composable.events'::regclass::oid::integer)`
        yield* Deferred.succeed(held, undefined)
        yield* Deferred.await(goOn)
      })))
      yield* Deferred.await(held)
      const underWay = yield* Effect.forkChild(Tally.append(Tally.voted("a")))
      assert.strictEqual(yield* Projection.catchUp(projection), 3n)
      yield* Deferred.succeed(goOn, undefined)
      yield* Fiber.join(holder)
      assert.strictEqual(yield* Fiber.join(underWay), 4n)
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(seen, [4n])
    }).pipe(Effect.provide(database)))

  it.live("begins behind a position", () =>
    Effect.gen(function*() {
      const { projection, seen } = seeing(Start.behind(2n))
      yield* votes(4)
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(seen, [3n, 4n])
    }).pipe(Effect.provide(database)))

  it.live("does not begin behind a position at which the log has not arrived", () =>
    Effect.gen(function*() {
      const { projection } = seeing(Start.behind(5n))
      yield* votes(4)
      const error = yield* Effect.flip(Projection.catchUp(projection))
      assert.instanceOf(error, CheckpointAhead)
    }).pipe(Effect.provide(database)))

  it.live("begins at a time, by the clock of the log", () =>
    Effect.gen(function*() {
      const events = yield* EventStore
      yield* votes(3)
      yield* Effect.sleep(5)
      yield* votes(2)
      const [fourth] = (yield* events.readAll({ after: 3n, limit: 1 })).events
      const { projection, seen } = seeing(Start.since(DateTime.makeUnsafe(fourth!.recordedAt)))
      yield* Projection.catchUp(projection)
      assert.deepStrictEqual(seen, [4n, 5n])
    }).pipe(Effect.provide(database)))
})

describe("markOf a time", () => {
  const at = (millis: number) => Start.markOf(Start.since(DateTime.makeUnsafe(millis)))

  it.effect("is right before the first event of that time or later, for every time and length of log", () =>
    Effect.gen(function*() {
      for (let length = 0; length <= 9; length++) {
        const store = yield* MemoryEventStore.make
        yield* Effect.gen(function*() {
          for (let i = 1; i <= length; i++) {
            yield* TestClock.setTime(length * 1_000 + i * 10)
            yield* Tally.append(Tally.voted("a"))
          }
          const { events } = yield* store.readAll({ after: 0n, limit: 100 })
          for (let time = length * 1_000; time <= length * 1_000 + length * 10 + 11; time += 5) {
            const before = events.filter(({ recordedAt }) => recordedAt < time)
            assert.deepStrictEqual(yield* at(time), {
              position: BigInt(before.length),
              eventId: before.at(-1)?.eventId
            })
          }
        }).pipe(Effect.provide(Layer.succeed(EventStore, store)))
      }
    }))
})
