/**
 * How the database's functions that write to the log are called, and how to look up what a command stored.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import type { EventStoreError } from "@composable-ts/core/EventStoreError"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Database from "./Database.ts"
import type { Pipeline } from "./Pipeline.ts"
import { resend } from "./sendGroup.ts"
import { sqlState } from "./sqlState.ts"

const isRetryable = (error: EventStoreError): boolean => error.retryable

/** What whoever writes to the log needs. */
export interface Writing {
  /** For looking up. */
  readonly client: PgClient
  readonly call: Call
  /** The schema's name as SQL takes it. */
  readonly schema: string
  readonly storedBy: StoredBy
  readonly patience: Duration.Input
}

/** A timer of more would go off at once. */
const longestTimer = 2 ** 31 - 1

declare const setTimeout: (done: () => void, milliseconds: number) => unknown
declare const clearTimeout: (timer: unknown) => void

/** By which such a function refuses every isolation but READ COMMITTED. */
const wrongIsolation = "25000"

/**
 * Calls a function that writes to the log: as a statement of its own, which is one round trip, unless the role or the database has
 * been given another default isolation. The function tells; from then on it is called in a transaction that states its
 * isolation, for two round trips more.
 */
export const makeCall = (client: () => PgClient) => {
  type Values = ReadonlyArray<ReadonlyArray<unknown>>
  let readCommittedByDefault = true

  const inReadCommitted = (text: string, parameters: ReadonlyArray<unknown>): Effect.Effect<Values, SqlError> =>
    Effect.scoped(Effect.gen(function*() {
      const connection = yield* client().reserve
      yield* connection.executeUnprepared("BEGIN ISOLATION LEVEL READ COMMITTED", [], undefined)
      const values = yield* connection.executeValues(text, parameters).pipe(
        // A connection on which not even this can be said is lost, and its transaction with it.
        Effect.tapError(() => Effect.ignore(connection.executeUnprepared("ROLLBACK", [], undefined)))
      )
      yield* connection.executeUnprepared("COMMIT", [], undefined)
      return values
    }))

  return (text: string, parameters: ReadonlyArray<unknown>): Effect.Effect<Values, SqlError> =>
    Effect.suspend(() =>
      readCommittedByDefault
        ? Effect.catchIf(
          client().unsafe(text, parameters).values,
          (error) => sqlState(error) === wrongIsolation,
          () => {
            readCommittedByDefault = false
            return inReadCommitted(text, parameters)
          }
        )
        : inReadCommitted(text, parameters)
    )
}

type Call = ReturnType<typeof makeCall>

/**
 * A call whose answer does not come in time counts as one whose connection was lost, which is what it mostly is: a network
 * that drops everything says nothing, and TCP gives up after a quarter of an hour. Whoever appends holds off interruption
 * while it does; giving up goes on all the same.
 */
export const answeredIn = (limit: Duration.Input, { client, giveUp }: Pipeline): (call: Call) => Call => {
  const duration = Duration.fromInputUnsafe(limit)
  const milliseconds = Math.min(Duration.toMillis(duration), longestTimer)
  const late = (by: PgClient): Effect.Effect<never, SqlError> => {
    const message = `no answer within ${Duration.format(duration)}`
    const reason = new ConnectionError({ cause: new Error(message), message, operation: "append" })
    return Effect.andThen(giveUp(by), Effect.fail(new SqlError({ reason })))
  }
  // By a fiber and a timer of the platform: what Effect has for this would be a tenth of a lone append's cost.
  return (call) => (text, parameters) =>
    Effect.withFiber((caller) =>
      Effect.callback((resume) => {
        const by = client()
        const fiber = Effect.runForkWith(caller.context)(call(text, parameters))
        const timer = setTimeout(() => {
          stop()
          fiber.interruptUnsafe()
          resume(late(by))
        }, milliseconds)
        const stop = fiber.addObserver((exit) => {
          clearTimeout(timer)
          resume(exit)
        })
      })
    )
}

/** Looks up what a command stored, as patiently as a group is sent. */
export const makeStoredBy = (
  client: PgClient,
  readCommand: EventStore.Operations["readCommand"],
  patience: Duration.Input
) =>
(commandId: string) =>
  readCommand(commandId).pipe(
    Effect.retry({ schedule: resend(patience), while: isRetryable }),
    Database.outsideTransaction(client)
  )

type StoredBy = ReturnType<typeof makeStoredBy>
