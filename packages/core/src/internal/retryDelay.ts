/**
 * How long a schedule waits after so many attempts, told anew each time, so that nothing of it need be kept.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/**
 * The delay in milliseconds behind the attempt of this number, from 1; nothing, when the schedule has ended by then. A
 * schedule that looks at the time sees only its own delays.
 */
export const retryDelay = (
  schedule: Schedule.Schedule<unknown>,
  attempt: number,
  failure: unknown
): Effect.Effect<number | undefined> =>
  Effect.gen(function*() {
    const step = yield* Schedule.toStep(schedule)
    let now = 0
    let delay = 0
    for (let i = 0; i < attempt; i++) {
      const next = yield* Effect.option(step(now, failure))
      if (Option.isNone(next)) return undefined
      delay = Duration.toMillis(next.value[1])
      now += delay
    }
    return delay
  })
