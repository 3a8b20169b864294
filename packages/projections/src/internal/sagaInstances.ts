/**
 * The read model of a saga's instances, by its own events: when each began, moved last, and whether it has ended.
 */
import { nameOf, type RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Tombstone from "@composable-ts/core/Tombstone"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Start from "../Start.ts"
import type { Subscription } from "../Subscription.ts"
import { instances } from "./sagaSchema.ts"

/** What is needed of a saga to keep its instances. */
interface Followed {
  readonly name: string
  readonly category: string
  /** The names of all its events. */
  readonly events: ReadonlyArray<string>
  /** The names of those with which an instance ends. */
  readonly ends: ReadonlyArray<string>
}

/** What some events of one instance come to. */
interface Moves {
  readonly first: RecordedEvent
  readonly last: RecordedEvent
  readonly count: number
}

/** Keeps the instances of a saga. */
export const make = ({ category, ends, events, name }: Followed): Subscription<SqlClient.SqlClient> => ({
  name: `saga ${name} instances`,
  version: 1,
  events: [...events, Tombstone.type],
  partitions: 1,
  startFrom: Start.beginning,
  setUp: Effect.void,
  apply: (page) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const moves = new Map<string, Moves>()
      const erased = new Set<string>()
      const prefix = `${category}-`
      for (const recorded of page) {
        if (!recorded.streamId.startsWith(prefix)) continue
        const instance = StreamId.id(recorded.streamId as StreamId.StreamId)
        if (Tombstone.from(recorded) !== undefined) {
          erased.add(instance)
          moves.delete(instance)
        } else if (recorded.erased !== true) {
          const before = moves.get(instance)
          moves.set(instance, { first: before?.first ?? recorded, last: recorded, count: (before?.count ?? 0) + 1 })
        }
      }
      if (erased.size > 0) {
        yield* sql.unsafe(`DELETE FROM ${instances} WHERE saga = $1 AND instance = ANY($2::text[])`, [
          name,
          [...erased]
        ])
      }
      if (moves.size === 0) return
      const all = [...moves.values()]
      yield* sql.unsafe(
        `INSERT INTO ${instances} AS i (saga, instance, begun_at, moved_at, last_event, events, ended)
         SELECT $1::text, instance, to_timestamp(begun / 1000.0), to_timestamp(moved / 1000.0), event, count, ended
         FROM unnest($2::text[], $3::float8[], $4::float8[], $5::text[], $6::bigint[], $7::bool[])
           AS m(instance, begun, moved, event, count, ended)
         ON CONFLICT (saga, instance) DO UPDATE SET moved_at = excluded.moved_at, last_event = excluded.last_event,
           events = i.events + excluded.events, ended = excluded.ended`,
        [
          name,
          [...moves.keys()],
          all.map(({ first }) => first.recordedAt),
          all.map(({ last }) => last.recordedAt),
          all.map(({ last }) => nameOf(last.type)),
          all.map(({ count }) => count),
          all.map(({ last }) => ends.includes(nameOf(last.type)))
        ]
      )
    })
})
