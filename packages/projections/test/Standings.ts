/**
 * A versioned read model of votes that shows at a glance whether it is whole: how many votes there are, by choice and by
 * position. Version 2 has another column, between the others.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import { Effect, Result } from "effect"
import { SqlClient } from "effect/sql"
import type { SqlError } from "effect/sql/SqlError"
import assert from "node:assert/strict"
import * as Projection from "../src/Projection.ts"
import * as ReadModel from "../src/ReadModel.ts"
import * as Tally from "./Votes.ts"

/** What is different about one. */
export interface Variant {
  readonly partitions?: number
  /** Run before each batch, in its transaction. */
  readonly before?: (events: ReadonlyArray<RecordedEvent>) => Effect.Effect<unknown, SqlError, SqlClient.SqlClient>
}

/** The projection without a schema for each version. */
export const plain = (version: number, { before, partitions = 1 }: Variant = {}) =>
  Projection.defineBatch(Tally.Votes, {
    name: "standings",
    version,
    partitions,
    setUp: Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.all([
        sql.unsafe(
          version === 1
            ? "CREATE TABLE votes (part int, choice text, n int, PRIMARY KEY (choice, part))"
            : "CREATE TABLE votes (part int, made_by text DEFAULT 'second', choice text, n int, PRIMARY KEY (choice, part))"
        ),
        sql.unsafe("CREATE TABLE applied (position bigint NOT NULL)")
      ], { discard: true })),
    tearDown: Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.asVoid(sql`SELECT 'nothing outside of the schema'`)),
    events: ["Voted"],
    handle: (batch) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        if (before !== undefined) yield* before(batch.map(({ recorded }) => recorded))
        // Parts of a choice's count apart, so that partitions do not wait for each other's rows.
        yield* sql`
          INSERT INTO votes (part, choice, n)
          SELECT hashtext(stream), choice, count(*) FROM unnest(
            ${batch.map(({ recorded }) => recorded.streamId as string)}::text[], ${
          batch.map(({ event }) => event.choice)
        }::text[]
          ) AS u(stream, choice) GROUP BY 1, 2 ORDER BY 1, 2
          ON CONFLICT (choice, part) DO UPDATE SET n = votes.n + excluded.n`
        yield* sql`INSERT INTO applied SELECT * FROM unnest(${
          batch.map(({ recorded }) => recorded.globalPosition)
        }::bigint[])`
      })
  })

/** A version of the read model; its views are in `public`. */
export const standings = (version: number, variant: Variant = {}) =>
  ReadModel.versioned(plain(version, variant), { tables: ["votes", "applied"] })

/** Appends so many votes to a stream, in one commit, and returns the log's new head. */
export const vote = (count: number, stream = "1") =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const [first, ...more] = Array.from({ length: count }, (_, i) => Tally.voted("abcde"[i % 5]!))
    assert.ok(first !== undefined)
    const streamId = Result.getOrThrow(StreamId.make("votes", stream))
    return (yield* events.append(streamId, ExpectedVersion.any, [first, ...more])).globalPosition
  })

/** What a query sees. */
export interface Seen {
  readonly version: number
  readonly votes: number
  readonly applied: number
  readonly last: number
}

/** Queries the views by one statement. */
export const look = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [seen] = yield* sql<Seen>`
    SELECT coalesce(sum(n), 0)::int AS votes,
      CASE WHEN bool_or(to_jsonb(votes) ? 'made_by') THEN 2 ELSE 1 END AS version,
      (SELECT count(*)::int FROM applied) AS applied,
      (SELECT coalesce(max(position), 0)::int FROM applied) AS last
    FROM votes`
  assert.ok(seen !== undefined)
  return seen
})

/** Whether what was seen is a state of the log at one position, of one that holds nothing but votes. */
export const isWhole = ({ applied, last, votes }: Seen): boolean => votes === applied && applied === last
