/**
 * Waiting for a database that may never answer: a connection can die without a word.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { ConnectionError, SqlError } from "effect/sql/SqlError"

const away = (operation: string, message: string) =>
  new SqlError({ reason: new ConnectionError({ cause: new Error(message), message, operation }) })

const late = (operation: string, duration: Duration.Input) =>
  away(
    operation,
    `no answer within ${Duration.format(Duration.fromInputUnsafe(duration))}: is the network broken, the ` +
      `server overloaded, the pool used up, or what is asked for locked?`
  )

const silent = (operation: string) =>
  away(
    operation,
    "the connection has fallen silent: the server waits for the next statement, and does not answer one. Is the network broken?"
  )

/** Told by an effect that it has begun; it then ends, or what it is given does, which is to say that nobody answers it. */
export type Begun = (silence: Effect.Effect<void>) => Effect.Effect<void>

/**
 * Gives up as if the database were away, unless an effect ends or calls what it is given within this time; from then on
 * it may take as long as it likes, while it is not found that its connection has fallen silent. What is given up is
 * interrupted, and nobody waits for that: where the connection has fallen silent it takes seconds, or for ever.
 */
export const begunInTime = <A, E, R>(
  operation: string,
  duration: Duration.Input,
  effect: (begun: Begun) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const begun = yield* Deferred.make<Effect.Effect<void>>()
      const fiber = yield* Effect.forkDetach(
        restore(effect((silence) => Effect.asVoid(Deferred.succeed(begun, silence)))),
        { startImmediately: true }
      )
      /** Whether the effect ends, and is not found to be given up. */
      const ends = (givenUp: Effect.Effect<unknown>) =>
        Effect.raceFirst(Effect.as(Fiber.await(fiber), true), Effect.as(givenUp, false))
      const first = yield* Effect.onInterrupt(
        restore(Effect.timeoutOption(
          Effect.raceFirst(Deferred.await(begun), Effect.as(Fiber.await(fiber), Effect.never)),
          duration
        )),
        () => Fiber.interrupt(fiber)
      )
      if (Option.isNone(first)) {
        fiber.interruptUnsafe()
        return yield* late(operation, duration)
      }
      const silence = first.value
      const hasEnded = yield* Effect.onInterrupt(restore(ends(silence)), () => {
        fiber.interruptUnsafe()
        // It is undone first, unless there is nobody to undo it.
        return ends(silence)
      })
      if (hasEnded) return yield* Fiber.join(fiber)
      fiber.interruptUnsafe()
      return yield* silent(operation)
    })
  )

/** Gives up as if the database were away, unless an effect ends within this time. */
export const inTime = <A, E, R>(
  operation: string,
  duration: Duration.Input,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError, R> => begunInTime(operation, duration, () => effect)
