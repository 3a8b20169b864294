/**
 * Where a subscriber begins to read the log. It counts once, when the subscriber is run for the first time anywhere.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { beginning as atBeginning, type Mark } from "./Checkpoint.ts"

/** Where to begin. */
export type Start =
  | { readonly _tag: "Beginning" }
  | { readonly _tag: "Now" }
  | { readonly _tag: "Behind"; readonly position: bigint }
  | { readonly _tag: "Since"; readonly time: DateTime.Utc }

/** With the first event of the log. */
export const beginning: Start = { _tag: "Beginning" }

/** With the first event that is committed after the subscriber has been set up; nothing that is under way is missed. */
export const now: Start = { _tag: "Now" }

/** With the first event behind a global position, at which the log must have arrived. */
export const behind = (position: bigint): Start => ({ _tag: "Behind", position })

/** With the first event that was recorded at this time or later, by the log's clock. */
export const since = (time: DateTime.Utc): Start => ({ _tag: "Since", time })

/** The place right before the first event that a subscriber reads. */
export const markOf = (start: Start): Effect.Effect<Mark, LogReadError, EventStore> =>
  Effect.gen(function*() {
    if (start._tag === "Beginning") return atBeginning
    const events = yield* EventStore
    if (start._tag === "Behind") return yield* markAt(start.position)
    const { head } = yield* events.readAll({ after: 0n, limit: 0 })
    return yield* markAt(start._tag === "Now" ? head : yield* lastBefore(DateTime.toEpochMillis(start.time), head))
  })

const markAt = (position: bigint) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const { previousEventId } = yield* events.readAll({ after: position, limit: 0 })
    return { position, eventId: previousEventId }
  })

/** The last position whose event was recorded before a time; times do not fall along the log, so halving finds it. */
const lastBefore = (time: number, head: bigint) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    let [before, from] = [0n, head + 1n]
    while (from - before > 1n) {
      const middle = (before + from) / 2n
      const page = yield* events.readAll({ after: middle - 1n, limit: 1 })
      const event = page.events[0]
      if (event !== undefined && event.recordedAt < time) before = middle
      else from = middle
    }
    return before
  })
