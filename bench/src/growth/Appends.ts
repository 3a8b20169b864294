/**
 * Rounds of appends, and what they cost in CPU time.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import type * as Cost from "../Cost.ts"
import * as Log from "../Log.ts"
import { streamOf } from "../Order.ts"

/** Appends one event to an order. */
export const append = (log: Log.Log, id: string, version: number) =>
  log.events.append(streamOf(id), ExpectedVersion.exact(version - 1), Log.encoded(id, version, 1))

/** Fails when what was acknowledged since a position is not what is stored, or not in order. */
export const check = (log: Log.Log, after: bigint, count: number): Effect.Effect<void, Error> =>
  Effect.flatMap(
    Log.faultOf(log, after, count),
    (fault) => fault === undefined ? Effect.void : Effect.fail(new Error(fault))
  )

/** What a round came to. */
export interface Round {
  readonly appends: number
  readonly cost: Cost.Cost
}

/**
 * Microseconds of CPU time for each append, over all rounds, of this process and of the server: the system counts the
 * server's in steps of ten milliseconds, which is too coarse for a round.
 */
export const perAppend = (rounds: ReadonlyArray<Round>): readonly [client: number, server: number | null] => {
  const sum = (of: (round: Round) => number) => rounds.reduce((total, round) => total + of(round), 0)
  const appends = sum((round) => round.appends)
  return [
    sum(({ cost }) => cost.client) / appends,
    rounds.some(({ cost }) => cost.server === undefined) ? null : sum(({ cost }) => cost.server ?? 0) / appends
  ]
}
