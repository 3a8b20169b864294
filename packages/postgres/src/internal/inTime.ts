/**
 * Waiting for a database that may never answer.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

/**
 * Waits so long for the answer, and then fails. Interrupting a statement waits for the server to confirm it, for seconds
 * where the connection has fallen silent; here that goes on behind the back of whoever gave up waiting.
 */
export const inTime = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  { duration, late }: { readonly duration: Duration.Input; readonly late: () => E2 }
): Effect.Effect<A, E | E2, R> =>
  Effect.acquireUseRelease(
    Effect.forkDetach(effect, { startImmediately: true }),
    (fiber) => Effect.timeoutOrElse(Fiber.join(fiber), { duration, orElse: () => Effect.fail(late()) }),
    (fiber) => Effect.sync(() => fiber.interruptUnsafe())
  )

const wallClock = Clock.Clock.defaultValue()

/** A server knows nothing of a test's clock: what waits for it goes by the true one. */
export const inRealTime: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = Effect.provideService(
  Clock.Clock,
  wallClock
)
