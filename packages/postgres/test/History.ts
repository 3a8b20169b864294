/**
 * What clients were told about their appends: stored, refused, or nothing certain. {@link Invariants} compares it with
 * what the database holds.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import type { AppendError } from "@composable-ts/core/EventStoreError"
import { Cause, Effect, Exit } from "effect"
import { commandId } from "./Facts.ts"

/** One append as its caller saw it end. */
export interface Entry {
  readonly commandId: string
  readonly appends: ReadonlyArray<Pick<EventStore.StreamAppend, "streamId" | "events">>
  readonly outcome:
    | { readonly _tag: "Stored"; readonly results: ReadonlyArray<EventStore.AppendResult> }
    /** The store said no: nothing may be there. */
    | { readonly _tag: "Refused"; readonly error: AppendError }
    /** The store could not say, or nobody waited for it: all of it may be there, or nothing. */
    | { readonly _tag: "Unknown"; readonly cause: Cause.Cause<AppendError> }
}

/** The appends of a test, in the order in which they ended. */
export type History = Array<Entry>

const outcomeOf = (exit: Exit.Exit<ReadonlyArray<EventStore.AppendResult>, AppendError>): Entry["outcome"] => {
  if (Exit.isSuccess(exit)) return { _tag: "Stored", results: exit.value }
  const [reason] = exit.cause.reasons
  const refused = exit.cause.reasons.length === 1 && reason !== undefined && Cause.isFailReason(reason)
    && reason.error._tag !== "EventStoreError"
  return refused ? { _tag: "Refused", error: reason.error } : { _tag: "Unknown", cause: exit.cause }
}

/** Appends, and records how that ended. */
export const transact = (history: History, store: EventStore.Service): EventStore.Service["transact"] =>
(
  appends,
  options = {}
) => {
  const id = options.commandId ?? commandId()
  return Effect.onExit(
    store.transact(appends, { ...options, commandId: id }),
    (exit) => Effect.sync(() => history.push({ commandId: id, appends, outcome: outcomeOf(exit) }))
  )
}

/** Appends to one stream, and records how that ended. */
export const append = (history: History, store: EventStore.Service): EventStore.Service["append"] =>
(
  streamId,
  expected,
  events,
  options
) => Effect.map(transact(history, store)([{ streamId, expected, events }], options), ([result]) => result)
