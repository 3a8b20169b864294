/**
 * A handler that fails, in whatever way: nothing of its event is applied, all before it is, and the error tells where.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import { EventDecodeFailed, UnknownEventType } from "@composable-ts/core/EventError"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import { ProjectionFailed } from "@composable-ts/projections/ProjectionError"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Effect, Layer, Result, Schema } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import * as Tally from "../../../packages/projections/test/Votes.ts"

const database = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer))

class Poisoned extends Data.TaggedError("Poisoned")<{ readonly position: bigint }> {}

type Misdeed = Effect.Effect<unknown, Poisoned | SqlError | string | { readonly at: bigint }, SqlClient.SqlClient>

const sql = (statement: string) => Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe(statement))

/** What a handler may do to its event, and what the projection's error then says. */
const misdeeds: ReadonlyArray<readonly [what: string, misdeed: Misdeed, says: RegExp]> = [
  ["fails", Effect.fail(new Poisoned({ position: 5n })), /: Poisoned$/],
  ["fails with a text", Effect.fail("out of paper"), /: out of paper$/],
  ["fails with a record that is no JSON", Effect.fail({ at: 5n }), /: \{"at":.*5.*\}$/],
  ["throws", Effect.sync(() => JSON.parse("{")), /: Expected property name/],
  ["dies", Effect.die(new Error("a bug")), /: a bug$/],
  ["is interrupted", Effect.interrupt, /interrupt/],
  ["fails and dies", Effect.failCause(Cause.combine(Cause.fail("first"), Cause.die("second"))), /: first$/],
  ["breaks a constraint", sql("INSERT INTO tally_v1_votes VALUES ('x', NULL)"), /null value in column "sum"/],
  ["asks for a table that is not there", sql("SELECT * FROM nowhere"), /relation "nowhere" does not exist/],
  ["breaks its transaction and says nothing", Effect.ignore(sql("SELECT 1 / 0")), /current transaction is aborted/],
  [
    "ends its transaction behind its back, and fails",
    Effect.andThen(sql("ROLLBACK"), Effect.fail("too clever")),
    /: too clever$/
  ]
]

const poison = 700n

describe("a handler that", () => {
  for (const [what, misdeed, says] of misdeeds) {
    it.live(`${what}: stops right before its event, by catchUp and by run`, () =>
      Effect.gen(function*() {
        let calls = 0
        const poisoned = Tally.tally(Tally.main, {
          after: ({ globalPosition }): Misdeed =>
            Effect.suspend((): Misdeed => globalPosition === poison ? (calls++, misdeed) : Effect.void)
        })
        yield* Tally.appendVotes(Number(poison) - 1)
        yield* Tally.append(Tally.voted("poison"))
        yield* Tally.appendVotes(400)
        for (const attempt of [Projection.catchUp(poisoned), Projection.run(poisoned), Projection.run(poisoned)]) {
          const error = yield* Effect.flip(attempt)
          assert.instanceOf(error, ProjectionFailed)
          assert.deepInclude(error, { projection: "tally", version: 1, after: poison - 1n, upTo: poison })
          assert.match(error.message, says)
          assert.include(error.message, "Projection tally v1 stopped behind global position 699")
          assert.strictEqual(yield* Tally.verify(), poison - 1n)
        }
        assert.isAtLeast(calls, 3)
        // Once the handler is mended all goes on, as if it had never failed.
        assert.strictEqual(yield* Projection.catchUp(Tally.tally()), 1_100n)
        assert.strictEqual(yield* Tally.verify(), 1_100n)
      }).pipe(Effect.provide(database)))
  }

  it.live("fails on a batch: the events before the culprit are applied, and the error names it alone", () =>
    Effect.gen(function*() {
      const healthy = Tally.batchTally()
      const poisoned = Projection.defineBatch(Tally.Votes, {
        ...healthy,
        events: ["Voted", "Withdrawn"],
        handle: (events) =>
          Effect.andThen(
            healthy.apply(Tally.some(events.map(({ recorded }) => recorded))),
            events.some(({ event }) => event.choice === "poison") ? Effect.fail("poisoned") : Effect.void
          )
      })
      yield* Tally.appendVotes(333)
      yield* Tally.append(Tally.voted("poison"))
      yield* Tally.appendVotes(600)
      const error = yield* Effect.flip(Projection.catchUp(poisoned))
      assert.instanceOf(error, ProjectionFailed)
      assert.deepInclude(error, { after: 333n, upTo: 334n })
      assert.strictEqual(yield* Tally.verify(), 333n)
    }).pipe(Effect.provide(database)))

  it.live("fails leaves other projections alone", () =>
    Effect.gen(function*() {
      const other = { ...Tally.main, name: "other" }
      const poisoned = Tally.tally(Tally.main, { before: () => Effect.fail("always") })
      yield* Tally.appendVotes(30)
      const [exit, position] = yield* Effect.all([
        Effect.exit(Projection.run(poisoned)),
        Projection.catchUp(Tally.tally(other))
      ], { concurrency: 2 })
      assert.strictEqual(exit._tag, "Failure")
      assert.strictEqual(position, 30n)
      assert.strictEqual(yield* Tally.verify(other), 30n)
      assert.strictEqual(yield* Tally.verify(), 0n)
    }).pipe(Effect.provide(database)))
})

describe("an event among the handled types", () => {
  /** The same event by another program, whose fields are other ones. */
  const Foreign = Action.define("Votes", { commands: {}, events: { Withdrawn: Event.v1({ who: Schema.String }) } })

  it.live("that does not decode stops the projection at its position", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(20)
      yield* Tally.append(Result.getOrThrow(Foreign.encode(Foreign.Withdrawn({ who: "me" }))))
      yield* Tally.appendVotes(20)
      for (const projection of [Tally.tally(), Tally.batchTally()]) {
        const error = yield* Effect.flip(Projection.catchUp(projection))
        assert.instanceOf(error, ProjectionFailed)
        assert.deepInclude(error, { after: 20n, upTo: 21n })
        assert.instanceOf(error.cause, EventDecodeFailed)
        assert.strictEqual(error.cause.globalPosition, 21n)
        assert.match(error.message, /Withdrawn\.v1 at stream "votes-1", version 20, global position 21/)
        assert.strictEqual(yield* Tally.verify(), 20n)
      }
    }).pipe(Effect.provide(database)))

  const third = Tally.events.Voted.next({ choice: Schema.String }, ({ choice }) => ({ choice }))
  const fourth = third.next({ choice: Schema.String }, (old) => old)
  for (const newer of [third, fourth]) {
    it.live(`of a version ${newer.version}, by a newer program, stops the projection and is not passed over`, () =>
      Effect.gen(function*() {
        const NewVotes = Action.define("Votes", { commands: {}, events: { Voted: newer } })
        yield* Tally.appendVotes(20)
        yield* Tally.append(Result.getOrThrow(NewVotes.encode(NewVotes.Voted({ choice: "a" }))))
        yield* Tally.appendVotes(20)
        for (const projection of [Tally.tally(), Tally.batchTally()]) {
          const error = yield* Effect.flip(Projection.catchUp(projection))
          assert.instanceOf(error, ProjectionFailed)
          assert.deepInclude(error, { after: 20n, upTo: 21n })
          assert.instanceOf(error.cause, UnknownEventType)
          assert.strictEqual(error.cause.type, `Voted.v${newer.version}`)
        }
      }).pipe(Effect.provide(database)))
  }

  it.live("that does not decode is nothing to a projection that handles others", () =>
    Effect.gen(function*() {
      const notes: Array<string> = []
      const projection = Projection.define(Tally.Votes, {
        name: "notes",
        version: 1,
        setUp: Effect.void,
        on: { Noted: ({ text }) => Effect.sync(() => notes.push(text)) }
      })
      yield* Tally.append(
        Result.getOrThrow(Foreign.encode(Foreign.Withdrawn({ who: "me" }))),
        Tally.noted("still here")
      )
      assert.strictEqual(yield* Projection.catchUp(projection), 2n)
      assert.deepStrictEqual(notes, ["still here"])
    }).pipe(Effect.provide(database)))
})
