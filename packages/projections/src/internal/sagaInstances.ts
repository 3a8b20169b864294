/**
 * The read model of a saga's instances, by its own events: when each began, moved last, and whether it has ended.
 */
import { nameOf, type RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { instances } from "./sagaSchema.ts"

/** What is needed of a saga, and of a part of it, to keep the instances. */
interface Followed {
  readonly name: string
  readonly category: string
  /** The names of those with which an instance ends. */
  readonly ends: ReadonlyArray<string>
  /** Whether an instance belongs to the part. */
  readonly isOwn: (instance: string) => boolean
}

/** What some events of one instance come to. */
interface Moves {
  readonly first: RecordedEvent
  readonly last: RecordedEvent
  readonly count: number
}

/** Brings the instances of a part up to date with some events of the log, in the caller's transaction. */
export const apply = (
  { category, ends, isOwn, name }: Followed,
  events: ReadonlyArray<RecordedEvent>
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const moves = new Map<string, Moves>()
    const erased = new Set<string>()
    const prefix = `${category}-`
    for (const recorded of events) {
      if (!recorded.streamId.startsWith(prefix)) continue
      const instance = recorded.streamId.slice(prefix.length)
      if (!isOwn(instance)) continue
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
