/**
 * Waiting for a database that may never answer: a connection can die without a word.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { ConnectionError, SqlError } from "effect/sql/SqlError"

const silent = (duration: Duration.Input, operation: string) => {
  const message =
    `no answer within ${Duration.format(Duration.fromInputUnsafe(duration))}: is the network broken, the ` +
    `server overloaded, the pool used up, or what is asked for locked?`
  return new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation }) })
}

/**
 * Gives up as if the database were away, unless an effect ends or calls what it is given within this time; from then on
 * it may take as long as it likes. What is given up is interrupted, and nobody waits for that: where the connection has
 * fallen silent it takes seconds.
 */
export const begunInTime = <A, E, R>(
  operation: string,
  duration: Duration.Input,
  effect: (begun: Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkDetach(restore(effect(Effect.asVoid(Deferred.succeed(begun, undefined)))), {
        startImmediately: true
      })
      const waitFor = <B, E2>(some: Effect.Effect<B, E2>) =>
        Effect.onInterrupt(restore(some), () => Fiber.interrupt(fiber))
      const isLate = yield* waitFor(
        Effect.raceFirst(Deferred.await(begun), Fiber.await(fiber)).pipe(
          Effect.as(false),
          Effect.timeoutOrElse({ duration, orElse: () => Effect.succeed(true) })
        )
      )
      if (!isLate) return yield* waitFor(Fiber.join(fiber))
      fiber.interruptUnsafe()
      return yield* silent(duration, operation)
    })
  )

/** Gives up as if the database were away, unless an effect ends within this time. */
export const inTime = <A, E, R>(
  operation: string,
  duration: Duration.Input,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> => begunInTime(operation, duration, () => effect)
