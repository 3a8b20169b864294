/**
 * A feature and its counter: a read model that is not idempotent, so that an event applied twice, or not at all, shows.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import { Effect, Result, Schema } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import assert from "node:assert/strict"
import * as Projection from "../src/Projection.ts"

/** The events' histories: a vote's first version had no weight. */
export const events = {
  Voted: Event.v1({ choice: Schema.String })
    .next({ choice: Schema.String, weight: Schema.Int }, (old) => ({ ...old, weight: 1 })),
  Withdrawn: Event.v1({ choice: Schema.String, weight: Schema.Int }),
  Noted: Event.v1({ text: Schema.String })
}

export const Votes = Action.define("Votes", { commands: {}, events })

/** What the program before the second version wrote. */
export const OldVotes = Action.define("Votes", { commands: {}, events: { Voted: Event.v1({ choice: Schema.String }) } })

type Vote = Action.EventOf<typeof Votes>

export const voted = (choice: string, weight = 1): EncodedEvent =>
  Result.getOrThrow(Votes.encode(Votes.Voted({ choice, weight })))
export const votedBefore = (choice: string): EncodedEvent =>
  Result.getOrThrow(OldVotes.encode(OldVotes.Voted({ choice })))
export const withdrawn = (choice: string, weight = 1): EncodedEvent =>
  Result.getOrThrow(Votes.encode(Votes.Withdrawn({ choice, weight })))
export const noted = (text: string): EncodedEvent => Result.getOrThrow(Votes.encode(Votes.Noted({ text })))

/** Appends to the log, in one commit, and returns its new head. */
export const append = (first: EncodedEvent, ...more: ReadonlyArray<EncodedEvent>) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const streamId = Result.getOrThrow(StreamId.make("votes", "1"))
    return (yield* events.append(streamId, ExpectedVersion.any, [first, ...more])).globalPosition
  })

/** Appends so many votes, for "a" to "e" in turn, with a note after every seventh. */
export const appendVotes = (count: number) =>
  append(
    voted("a"),
    ...Array.from(
      { length: count - 1 },
      (_, i) => i % 7 === 6 ? noted(`${i}`) : i % 11 === 10 ? withdrawn("abcde"[i % 5]!) : voted("abcde"[i % 5]!, i % 3)
    )
  )

/** What a tally adds to its handler. */
export interface Around<E, R> {
  readonly before?: (recorded: RecordedEvent) => Effect.Effect<unknown, E, R>
  readonly after?: (recorded: RecordedEvent) => Effect.Effect<unknown, E, R>
}

/** Which tally. */
export interface Name {
  readonly name: string
  readonly version: number
  /** Where its tables are. */
  readonly schema: string
}

/** The tally of a test that needs but one. */
export const main: Name = { name: "tally", version: 1, schema: "public" }

const tables = ({ name, schema, version }: Name) => ({
  votes: `${schema}.${name}_v${version}_votes`,
  applied: `${schema}.${name}_v${version}_applied`
})

/** Makes the tables; they refuse no double, so that it shows. */
export const setUp = (tally: Name) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { applied, votes } = tables(tally)
    yield* sql.unsafe(`CREATE TABLE ${votes} (choice text PRIMARY KEY, sum integer NOT NULL)`)
    yield* sql.unsafe(`CREATE TABLE ${applied} (position bigint NOT NULL)`)
  })

const count = (tally: Name, choice: string, weight: number, { globalPosition }: RecordedEvent) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { applied, votes } = tables(tally)
    yield* sql`
      INSERT INTO ${sql.literal(votes)} AS v VALUES (${choice}, ${weight}::int)
      ON CONFLICT (choice) DO UPDATE SET sum = v.sum + excluded.sum`
    yield* sql`INSERT INTO ${sql.literal(applied)} VALUES (${globalPosition})`
  })

/** The tally by a handler for each event. */
export const tally = <E = never, R = never>(name: Name = main, { after, before }: Around<E, R> = {}) => {
  const on = (recorded: RecordedEvent, choice: string, weight: number) =>
    Effect.gen(function*() {
      if (before !== undefined) yield* before(recorded)
      yield* count(name, choice, weight, recorded)
      if (after !== undefined) yield* after(recorded)
    })
  return Projection.define(Votes, {
    name: name.name,
    version: name.version,
    setUp: setUp(name) as Effect.Effect<void, E | SqlError, R | SqlClient.SqlClient>,
    on: {
      Voted: ({ choice, weight }, recorded) => on(recorded, choice, weight),
      Withdrawn: ({ choice, weight }, recorded) => on(recorded, choice, -weight)
    }
  })
}

/** The tally by one statement for each batch. */
export const batchTally = (
  name: Name = main,
  before: (positions: ReadonlyArray<bigint>) => Effect.Effect<void> = () => Effect.void
) =>
  Projection.defineBatch(Votes, {
    name: name.name,
    version: name.version,
    setUp: setUp(name),
    events: ["Voted", "Withdrawn"],
    handle: (batch) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const { applied, votes } = tables(name)
        const positions = batch.map(({ recorded }) => recorded.globalPosition)
        yield* before(positions)
        yield* sql`
          INSERT INTO ${sql.literal(votes)} AS v
          SELECT choice, sum(weight) FROM unnest(
            ${batch.map(({ event }) => event.choice)}::text[], ${batch.map(({ event }) => signed(event))}::int[]
          ) AS u(choice, weight) GROUP BY choice
          ON CONFLICT (choice) DO UPDATE SET sum = v.sum + excluded.sum`
        yield* sql`INSERT INTO ${sql.literal(applied)} SELECT * FROM unnest(${positions}::bigint[])`
      })
  })

const signed = (event: Exclude<Vote, { readonly _tag: "Noted" }>): number =>
  event._tag === "Voted" ? event.weight : -event.weight

/** The whole log, page by page. */
export const log = Effect.gen(function*() {
  const events = yield* EventStore
  const all: Array<RecordedEvent> = []
  while (true) {
    const page = yield* events.readAll({ after: BigInt(all.length), limit: 500 })
    all.push(...page.events)
    if (page.position === page.head) return all
  }
})

/** What the fold of these events is, and which of them a tally applies. */
const fold = (events: ReadonlyArray<RecordedEvent>) => {
  const sums: Record<string, number> = {}
  const positions: Array<number> = []
  for (const recorded of events) {
    const event = Result.getOrThrow(Votes.decode(recorded))
    if (event._tag === "Noted") continue
    sums[event.choice] = (sums[event.choice] ?? 0) + signed(event)
    positions.push(Number(recorded.globalPosition))
  }
  return { sums, positions }
}

/**
 * Checks that the tally is exactly the fold of the log up to its checkpoint, each event applied once and in order, and
 * that the checkpoint does not lie behind the log's end. One statement reads it all, so it may be asked at any moment.
 * Returns the checkpoint.
 */
export const verify = (name: Name = main) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const { applied, votes } = tables(name)
    const [row] = yield* sql<{
      readonly checkpoint: bigint | null
      readonly sums: Record<string, number>
      readonly positions: ReadonlyArray<number>
    }>`SELECT
      (SELECT position FROM composable.checkpoints WHERE projection = ${name.name} AND version = ${name.version})
        AS checkpoint,
      (SELECT coalesce(json_object_agg(choice, sum), '{}') FROM ${sql.literal(votes)}) AS sums,
      (SELECT coalesce(json_agg(position ORDER BY position), '[]') FROM ${sql.literal(applied)}) AS positions`
    assert.ok(row !== undefined)
    const { checkpoint, positions, sums } = row
    assert.ok(checkpoint !== null, "a read model without a checkpoint")
    const events = yield* log
    assert.ok(Number(checkpoint) <= events.length, "the checkpoint lies behind the log's end")
    assert.deepStrictEqual({ sums, positions }, fold(events.slice(0, Number(checkpoint))))
    return checkpoint
  })

/** {@link verify}, once there is something to check. */
export const checked = (name: Name = main) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [made] = yield* sql`SELECT to_regclass(${tables(name).applied}) IS NOT NULL AS made`
    if (made?.["made"] === true) yield* verify(name)
  })

/** Some events as {@link Projection.Projection.apply} gets them. */
export const some = (events: ReadonlyArray<RecordedEvent>): NonEmptyReadonlyArray<RecordedEvent> => {
  const [first, ...rest] = events
  assert.ok(first !== undefined)
  return [first, ...rest]
}

/** A moment between two looks, by the real clock also where a test stops the time. */
const pause = Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 2)))

/** Waits until a tally has reached a position of the log. */
export const until = (position: bigint, name: Name = main) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    while (true) {
      const [made] = yield* sql`SELECT to_regclass('composable.checkpoints') IS NOT NULL AS made`
      if (made?.["made"] === true) {
        const rows = yield* sql`
          SELECT FROM composable.checkpoints
          WHERE projection = ${name.name} AND version = ${name.version} AND position >= ${position}`
        if (rows.length > 0) return
      }
      yield* pause
    }
  })
