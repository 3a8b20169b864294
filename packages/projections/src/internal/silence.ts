/**
 * How a transaction that may take as long as it likes is told from one whose connection has died without a word.
 *
 * A statement is sent over the transaction's connection from time to time. Where it is answered, all is well. Where it is
 * not, it may wait for a statement of the handler's that takes its time, so the server is asked over another connection:
 * while it is at work for the transaction, that goes on. When it waits for the next statement, and has waited for as long
 * as it was not answered, has no such transaction any more, or does not answer there either, the two have lost each other.
 *
 * A handler that reads a stream slowly can look the same: all rows are here, and its next statement is not sent before
 * they are taken. So each time that this leads to nothing there is twice as much time.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** Whether the server has been at work for the transaction within this time; asked over another connection. */
export type IsAtWork = (within: Duration.Duration) => Effect.Effect<boolean, SqlError>

/** For how long connections may be silent. */
export interface Silence {
  /** Ends when the connection of the transaction in which this is made has fallen silent. */
  readonly inTransaction: (sql: SqlClient.SqlClient) => Effect.Effect<Effect.Effect<void>>
  /** There was an answer: the next time there is as much time as at first. */
  readonly broken: () => void
}

const once = (sql: SqlClient.SqlClient, isAtWork: IsAtWork, limit: Duration.Duration) =>
  Effect.contextWith((context: Context.Context<never>) => {
    const probe = Effect.provideContext(Effect.exit(sql.unsafe("SELECT").unprepared), context)
    return Effect.succeed(Effect.gen(function*() {
      while (true) {
        yield* Effect.sleep(limit)
        // Not interrupted with who waits for it: that would cancel whatever the connection does then.
        const fiber = yield* Effect.forkDetach(probe)
        while ((yield* Effect.timeoutOption(Fiber.await(fiber), limit))._tag === "None") {
          const answer = yield* Effect.timeoutOption(Effect.exit(isAtWork(limit)), limit)
          if (fiber.pollUnsafe() !== undefined) break
          if (answer._tag === "Some" && answer.value._tag === "Success" && answer.value.value) continue
          // Ends the connection, if it is this that is not answered.
          fiber.interruptUnsafe()
          return
        }
      }
    }))
  })

/** Connections may be silent for about twice this time, to begin with. */
export const make = (isAtWork: IsAtWork, limit: Duration.Duration): Silence => {
  let now = limit
  return {
    inTransaction: (sql) =>
      Effect.suspend(() => {
        const allowed = now
        return Effect.map(
          once(sql, isAtWork, allowed),
          Effect.tap(() =>
            Effect.sync(() => {
              now = Duration.times(allowed, 2)
            })
          )
        )
      }),
    broken: () => {
      now = limit
    }
  }
}
