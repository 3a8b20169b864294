/**
 * What becomes of a read model when a stream is erased, or the log is damaged.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { CorruptLog } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import type { Tombstone } from "@composable-ts/core/Tombstone"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import * as Projection from "../src/Projection.ts"
import { noted, voted, Votes } from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const streamOf = (id: string) => Result.getOrThrow(StreamId.make("votes", id))

const append = (id: string, ...[first, ...more]: readonly [EncodedEvent, ...ReadonlyArray<EncodedEvent>]) =>
  Effect.flatMap(EventStore, (events) => events.append(streamOf(id), ExpectedVersion.any, [first, ...more]))

const erase = (id: string) =>
  Effect.flatMap(EventStore, (events) => events.tombstone(streamOf(id), ExpectedVersion.any, { reason: `${id} asked` }))

/** What the handlers were called with, in their order. */
type Seen = Array<string>

const forgetting = (seen: Seen) => ({ globalPosition, reason, recordedAt, streamId, version }: Tombstone) =>
  Effect.sync(() => {
    assert.isAbove(recordedAt, 1_700_000_000_000)
    seen.push(`${globalPosition} forget ${streamId} at ${version}: ${reason}`)
  })

const kinds = {
  "by a handler for each event": (seen: Seen) =>
    Projection.define(Votes, {
      name: "seen",
      version: 1,
      setUp: Effect.void,
      tombstoned: forgetting(seen),
      on: {
        Voted: ({ choice }, { globalPosition }) => Effect.sync(() => seen.push(`${globalPosition} ${choice}`))
      }
    }),
  "by batches": (seen: Seen) =>
    Projection.defineBatch(Votes, {
      name: "seen",
      version: 1,
      setUp: Effect.void,
      tombstoned: forgetting(seen),
      events: ["Voted"],
      handle: (batch) =>
        Effect.sync(() => {
          seen.push(batch.map(({ event, recorded }) => `${recorded.globalPosition} ${event.choice}`).join(", "))
        })
    })
}

const unforgetting = (seen: Seen) => ({
  "by a handler for each event": Projection.define(Votes, {
    name: "unforgetting",
    version: 1,
    setUp: Effect.void,
    on: { Voted: ({ choice }) => Effect.sync(() => seen.push(choice)) }
  }),
  "by batches": Projection.defineBatch(Votes, {
    name: "unforgetting in batches",
    version: 1,
    setUp: Effect.void,
    events: ["Voted"],
    handle: (batch) => Effect.sync(() => seen.push(...batch.map(({ event }) => event.choice)))
  })
})

/** Two votes of a, one of b, a's erasure, a vote of b. */
const story = Effect.gen(function*() {
  yield* append("a", voted("a1"), noted("between"), voted("a2"))
  yield* append("b", voted("b1"))
})
const end = Effect.andThen(erase("a"), append("b", voted("b2")))

describe("a projection that forgets", () => {
  for (const [name, make] of Object.entries(kinds)) {
    it.live(`${name}: was up to date, and learns of the erasure in its place`, () =>
      Effect.gen(function*() {
        const seen: Seen = []
        const projection = make(seen)
        assert.deepStrictEqual(projection.events, ["Voted", "$tombstone"])
        yield* story
        assert.strictEqual(yield* Projection.catchUp(projection), 4n)
        yield* end
        assert.strictEqual(yield* Projection.catchUp(projection), 6n)
        assert.deepStrictEqual(
          seen.flatMap((entry) => entry.split(", ")),
          ["1 a1", "3 a2", "4 b1", "5 forget votes-a at 3: a asked", "6 b2"]
        )
      }).pipe(Effect.provide(database)))

    it.live(`${name}: comes late, passes over what is erased, and gets the tombstone between its neighbours`, () =>
      Effect.gen(function*() {
        const seen: Seen = []
        yield* story
        yield* end
        assert.strictEqual(yield* Projection.catchUp(make(seen)), 6n)
        assert.deepStrictEqual(seen, ["4 b1", "5 forget votes-a at 3: a asked", "6 b2"])
      }).pipe(Effect.provide(database)))
  }

  it.live("fails with the failure of its handler, right before the tombstone", () =>
    Effect.gen(function*() {
      const projection = Projection.define(Votes, {
        name: "failing",
        version: 1,
        setUp: Effect.void,
        tombstoned: () => Effect.fail("cannot forget"),
        on: { Voted: () => Effect.void }
      })
      yield* story
      yield* end
      const error = yield* Effect.flip(Projection.catchUp(projection))
      assert.isTrue(error._tag === "ProjectionFailed" && error.cause === "cannot forget" && error.upTo === 5n)
    }).pipe(Effect.provide(database)))
})

describe("a projection that does not forget", () => {
  for (const name of ["by a handler for each event", "by batches"] as const) {
    it.live(`${name}: passes over erased events, and does not even read tombstones`, () =>
      Effect.gen(function*() {
        const seen: Seen = []
        const projection = unforgetting(seen)[name]
        assert.deepStrictEqual(projection.events, ["Voted"])
        yield* story
        yield* end
        assert.strictEqual(yield* Projection.catchUp(projection), 6n)
        assert.deepStrictEqual(seen, ["b1", "b2"])
      }).pipe(Effect.provide(database)))
  }
})

describe("a projection of a damaged log", () => {
  const damages = {
    "an event was deleted": "DELETE FROM composable.events WHERE global_position = 3",
    "an event that it does not handle was deleted": "DELETE FROM composable.events WHERE global_position = 3",
    "an event's metadata was changed": "UPDATE composable.events SET metadata = '[]' WHERE global_position = 3"
  }
  for (const [name, damage] of Object.entries(damages)) {
    it.live(`T51: ${name}: stops before the damage, and does not skip it`, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const seen: Seen = []
        const projection = Projection.define(Votes, {
          name: "seen",
          version: 1,
          setUp: Effect.void,
          on: { Voted: ({ choice }) => Effect.sync(() => seen.push(choice)) }
        })
        const third = name.includes("not handle") ? noted("3") : voted("3")
        yield* append("a", voted("1"), voted("2"), third, voted("4"))
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* sql`ALTER TABLE composable.events DISABLE TRIGGER ALL`
          yield* sql.unsafe(damage)
          yield* sql`ALTER TABLE composable.events ENABLE ALWAYS TRIGGER events_immutable`
        }))
        const error = yield* Effect.flip(Projection.catchUp(projection))
        assert.instanceOf(error, CorruptLog)
        assert.strictEqual(error.globalPosition, 3n)
        assert.deepStrictEqual(seen, [])
        assert.deepStrictEqual(yield* sql`SELECT position FROM composable.checkpoints`, [{ position: 0n }])
      }).pipe(Effect.provide(database)))
  }
})
