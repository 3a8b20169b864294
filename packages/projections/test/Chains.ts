/**
 * A read model in which every event of a stream builds upon the one before: an event that is applied twice, left out or
 * out of order changes everything behind it. And a row that all streams share.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Tombstone from "@composable-ts/core/Tombstone"
import { Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import * as Projection from "../src/Projection.ts"
import { log, voted, Votes } from "./Votes.ts"

/** The id of a stream of votes. */
export const stream = (id: string): string => `votes-${id}`

/** Appends an event to each of these streams, in this order, in one commit; the choice tells the place in the list. */
export const append = (...ids: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const [first, ...more] = ids.map((id, i) => ({
      streamId: Result.getOrThrow(StreamId.make("votes", id)),
      expected: ExpectedVersion.any,
      events: [voted(`${i}`)] as const
    }))
    assert.ok(first !== undefined)
    yield* events.transact([first, ...more])
    const { head } = yield* events.readAll({ after: 0n, limit: 0 })
    return head
  })

/** Erases a stream. */
export const erase = (id: string) =>
  Effect.flatMap(
    EventStore,
    (events) =>
      events.tombstone(Result.getOrThrow(StreamId.make("votes", id)), ExpectedVersion.any, { reason: "asked" })
  )

/** What a handler does to an event besides applying it. */
export type Misdeed<E = unknown> = (recorded: RecordedEvent) => Effect.Effect<unknown, E, SqlClient.SqlClient>

/** Its subscriber. */
export const main = { name: "chains", version: 1 }

const setUp = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE chains (stream text PRIMARY KEY, chain text NOT NULL)`
  yield* sql`CREATE TABLE chain_total (events int NOT NULL)`
  yield* sql`INSERT INTO chain_total VALUES (0)`
})

const link = (recorded: RecordedEvent, choice: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const piece = `${recorded.version}:${choice}`
    yield* sql`
      WITH counted AS (UPDATE chain_total SET events = events + 1)
      INSERT INTO chains AS c VALUES (${recorded.streamId}, md5(${piece}))
      ON CONFLICT (stream) DO UPDATE SET chain = md5(c.chain || ${piece})`
  })

type Options = Partial<Pick<Projection.Declaration<never, never>, "poison" | "retry" | "partitions">>

/** By a handler for each event; the misdeed comes after its work. */
export const chains = (misdeed: Misdeed, options: Options = {}) =>
  Projection.define(Votes, {
    ...main,
    ...options,
    setUp: setUp as Effect.Effect<void, SqlError, SqlClient.SqlClient>,
    tombstoned: ({ streamId }) =>
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DELETE FROM chains WHERE stream = ${streamId}`),
    on: { Voted: ({ choice }, recorded) => Effect.andThen(link(recorded, choice), misdeed(recorded)) }
  })

/** By batches. */
export const batchChains = (misdeed: Misdeed, options: Options = {}) =>
  Projection.defineBatch(Votes, {
    ...main,
    ...options,
    setUp: setUp as Effect.Effect<void, SqlError, SqlClient.SqlClient>,
    events: ["Voted"],
    handle: (batch) =>
      Effect.andThen(
        Effect.forEach(batch, ({ event, recorded }) => link(recorded, event.choice), { discard: true }),
        Effect.forEach(batch, ({ recorded }) => misdeed(recorded), { discard: true })
      )
  })

const md5 = (text: string) => createHash("md5").update(text).digest("hex")

/** What the fold of these events is. */
export const fold = (events: ReadonlyArray<RecordedEvent>) => {
  const chains: Record<string, string> = {}
  let total = 0
  for (const recorded of events) {
    if (Tombstone.is(recorded)) delete chains[recorded.streamId]
    if (Tombstone.is(recorded) || recorded.erased === true) continue
    const event = Result.getOrThrow(Votes.decode(recorded))
    assert.equal(event._tag, "Voted")
    const piece = `${recorded.version}:${event._tag === "Voted" ? event.choice : ""}`
    chains[recorded.streamId] = md5((chains[recorded.streamId] ?? "") + piece)
    total++
  }
  return { chains, total }
}

/** What the read model holds. */
export const state = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly chains: Record<string, string>; readonly total: number }>`SELECT
    (SELECT coalesce(json_object_agg(stream, chain), '{}') FROM chains) AS chains, events AS total FROM chain_total`
  assert.ok(row !== undefined)
  return row
})

/** Checks that the read model is the fold of the log without these events. */
export const verify = (without: (recorded: RecordedEvent) => boolean = () => false) =>
  Effect.gen(function*() {
    const events = yield* log
    assert.deepStrictEqual(yield* state, fold(events.filter((recorded) => !without(recorded))))
  })
