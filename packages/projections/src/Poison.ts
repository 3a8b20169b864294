/**
 * What becomes of an event that cannot be applied: its handler fails, dies, is interrupted, breaks or ends its
 * transaction, or the event does not decode. Whatever the handler wrote is rolled back, and the others of its batch are
 * applied without it.
 */
import * as Schedule from "effect/Schedule"
import type { ProjectionFailed } from "./ProjectionError.ts"

/** What becomes of an event that cannot be applied. */
export type Poison =
  | { readonly _tag: "Stop" }
  | { readonly _tag: "Skip" }
  | { readonly _tag: "Park" }

/** The projection stops right before the event, and tells why: no event is passed over. */
export const stop: Poison = { _tag: "Stop" }

/**
 * The projection passes over the event, writes a dead letter in the same transaction, and goes on: with later events of
 * the same stream, too. For read models in which events do not build upon each other.
 */
export const skip: Poison = { _tag: "Skip" }

/**
 * The event and all later ones of its stream are put aside as dead letters, in order, until they are replayed or
 * discarded. Other streams go on.
 */
export const park: Poison = { _tag: "Park" }

/**
 * When an event that cannot be applied is tried again; what the schedule is given tells the failure. Until the schedule
 * ends, its partition goes no further.
 *
 * @example
 * ```ts
 * import type * as Poison from "@composable-ts/projections/Poison"
 * import * as Schedule from "effect/Schedule"
 *
 * export const retry: Poison.Retry = Schedule.exponential("100 millis").pipe(
 *   Schedule.jittered,
 *   Schedule.upTo({ times: 5 })
 * )
 * ```
 */
export type Retry = Schedule.Schedule<unknown, ProjectionFailed>

/** An event that cannot be applied is not tried again. */
export const never: Retry = Schedule.recurs(0)
