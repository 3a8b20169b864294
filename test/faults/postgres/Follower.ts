/**
 * A subscriber that follows the log through everything, as a consumer with a checkpoint does: when its subscription
 * fails for a reason that may pass, it subscribes again after the last event that it got.
 */
import type { Service } from "@composable-ts/core/EventStore"
import type { SubscribeError } from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { Effect, Fiber, References, Schedule, type Scope, Stream } from "effect"

export interface Follower {
  /** What it got, in order of arrival. */
  readonly delivered: ReadonlyArray<RecordedEvent>
  /** Waits until it got so many events; fails when it gave up following. */
  readonly received: (count: number) => Effect.Effect<void, SubscribeError>
}

const pause = Schedule.spaced("10 millis")

/** Follows from the beginning. */
export const follow = (store: Service): Effect.Effect<Follower, never, Scope.Scope> =>
  Effect.gen(function*() {
    const delivered: Array<RecordedEvent> = []
    const run = Effect.suspend(() =>
      store.subscribe({ after: delivered.at(-1)?.globalPosition ?? 0n }).pipe(
        Stream.runForEach((event) => Effect.sync(() => delivered.push(event))),
        // It waits for what the test broke, and would say so.
        Effect.provideService(References.MinimumLogLevel, "Error")
      )
    )
    const passes = (error: SubscribeError) => error._tag === "EventStoreError" && error.retryable
    const fiber = yield* Effect.forkScoped(Effect.retry(run, { schedule: pause, while: passes }))
    return {
      delivered,
      received: (count) =>
        Effect.raceFirst(
          Effect.asVoid(
            Effect.repeat(Effect.sync(() => delivered.length), { until: (length) => length >= count, schedule: pause })
          ),
          Effect.andThen(Fiber.join(fiber), Effect.never)
        )
    }
  })
