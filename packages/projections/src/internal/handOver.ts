/**
 * Hands events to the outside, before the checkpoint moves behind them: so each at least once.
 */
import type { LogPage } from "@composable-ts/core/EventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { isReadonlyArrayNonEmpty as isNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Option from "effect/Option"
import type * as Schedule from "effect/Schedule"
import type { Mark } from "../Checkpoint.ts"
import type { Held } from "../Lease.ts"
import { ProjectionFailed } from "../ProjectionError.ts"
import type { Delivered, Subscription } from "../Subscription.ts"

/** Events that are handed over together, and how. */
export interface Parcel<out R> {
  readonly events: NonEmptyReadonlyArray<RecordedEvent>
  readonly hand: Effect.Effect<unknown, unknown, R>
}

/** How parcels are handed over. */
export interface Manner {
  /** How many lanes are at work at a time. */
  readonly concurrency: number
  /** When to try again what failed, and for how long. */
  readonly retry: Schedule.Schedule<unknown, unknown>
}

/** When to try again a handler that fails, in whatever way: it throws, dies or gives up. */
const persistently = <R>(hand: Effect.Effect<unknown, unknown, R>, retry: Manner["retry"]) =>
  hand.pipe(
    Effect.catchCause((cause) => Effect.fail(Cause.squash(cause))),
    Effect.retry(retry)
  )

/**
 * Hands over the parcels of each lane one after the other, and lanes at the same time. Behind a parcel that failed for
 * good no later one is begun; what is under way is not cut off, for nobody could say what the other side has of it.
 */
export const handOver = <R>(
  events: ReadonlyArray<RecordedEvent>,
  lanes: ReadonlyArray<ReadonlyArray<Parcel<R>>>,
  { concurrency, retry }: Manner,
  shouldPause: () => boolean
): Effect.Effect<Delivered, never, R> =>
  Effect.suspend(() => {
    const done = new Set<RecordedEvent>()
    let failed: { readonly position: bigint; readonly cause: unknown } | undefined
    const isDue = (parcel: Parcel<R>) =>
      failed === undefined ? done.size === 0 || !shouldPause() : parcel.events[0].globalPosition < failed.position
    const follow = (lane: ReadonlyArray<Parcel<R>>) =>
      Effect.gen(function*() {
        for (const parcel of lane) {
          if (!isDue(parcel)) return
          const cause = yield* persistently(parcel.hand, retry).pipe(
            Effect.match({ onSuccess: () => Option.none<unknown>(), onFailure: Option.some })
          )
          const { globalPosition: position } = parcel.events[0]
          if (Option.isSome(cause)) {
            if (failed === undefined || position < failed.position) failed = { position, cause: cause.value }
            return
          }
          for (const event of parcel.events) done.add(event)
        }
      })
    return Effect.map(Effect.forEach(lanes, follow, { concurrency, discard: true }), (): Delivered => {
      const undone = events.findIndex((event) => !done.has(event))
      return {
        done: undone < 0 ? events.length : undone,
        failure: failed !== undefined && events[undone]?.globalPosition === failed.position
          ? Option.some(failed.cause)
          : Option.none()
      }
    })
  })

/** For how long events are handed over until the checkpoint moves: so much is handed over again after a crash. */
const untilCheckpoint = 1_000

/** Applies a page. Tells how far the subscriber is then; `undefined` when the checkpoint was not where it should be. */
type Apply<E, R> = (mark: Mark, page: LogPage) => Effect.Effect<Mark | undefined, E, R>

/**
 * What a worker does with a page: what a subscription delivers is handed over first, outside of any transaction; then as
 * much of the page as was taken is applied, which moves the checkpoint.
 */
export const delivering = <E, R, R2>(
  { deliver }: Subscription<R>,
  held: Held,
  leaving: Latch.Latch,
  apply: Apply<E, R2>
): Apply<E | ProjectionFailed, R | R2> => {
  if (deliver === undefined) return apply
  return (mark, page) =>
    Effect.gen(function*() {
      const { events, lastEventId } = page
      if (!isNonEmpty(events)) return yield* apply(mark, page)
      const clock = yield* Clock.Clock
      const end = clock.currentTimeMillisUnsafe() + untilCheckpoint
      const { done, failure } = yield* deliver(
        events,
        () => Latch.isOpen(leaving) || clock.currentTimeMillisUnsafe() >= end,
        held
      )
      const last = events[done - 1]
      const reached = done === events.length
        ? yield* apply(mark, page)
        : last === undefined
        ? mark
        : yield* apply(mark, {
          ...page,
          events: events.slice(0, done),
          position: last.globalPosition,
          // A log that does not tell its events' ids here keeps no identity at checkpoints.
          lastEventId: lastEventId === undefined ? undefined : last.eventId
        })
      const next = events[done]
      if (reached === undefined || next === undefined || Option.isNone(failure)) return reached
      const { position: after } = reached
      return yield* new ProjectionFailed({
        projection: held.name,
        version: held.version,
        after,
        upTo: next.globalPosition,
        cause: failure.value
      })
    })
}
