/**
 * Which failures pass by themselves, and how long to try.
 */
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import { MigrationError } from "effect/sql/Migrator"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { ProjectionFailed, TransactionEnded } from "../ProjectionError.ts"

/** While the database is away there is nothing to do but to wait for it. */
const outage = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")])

/** Deadlocks and the like pass, or they are the handler's own doing. */
const contention = Schedule.exponential("10 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 10 }))

/** What the database said, where it did. */
const reasonOf = (error: unknown): unknown =>
  error instanceof ProjectionFailed || error instanceof EventStoreError || error instanceof MigrationError
    ? reasonOf(error.cause)
    : error

/** What kind of failure it is at bottom, in a word: a tag, or the name of the error's class. */
export const kindOf = (error: unknown): string => {
  const reason = reasonOf(error)
  if (isSqlError(reason)) return reason.reason._tag
  if (hasProperty(reason, "_tag") && typeof reason._tag === "string") return reason._tag
  return reason instanceof Error ? reason.name : typeof reason
}

/** Whether the database is away. An event store that says so need not have its reason from SQL. */
export const isOutage = (error: unknown): boolean => {
  const reason = reasonOf(error)
  if (isSqlError(reason)) return reason.reason._tag === "ConnectionError" || outageStates.has(sqlState(reason))
  const failed = error instanceof ProjectionFailed ? error.cause : error
  return failed instanceof EventStoreError ? failed.retryable : failed instanceof ProjectionFailed && isOutage(failed)
}

/** Being shut down, crashed, starting up, out of connections: the driver does not count these among its outages. */
const outageStates: ReadonlySet<unknown> = new Set(["57P01", "57P02", "57P03", "53300"])

const sqlState = ({ reason: { cause } }: SqlError): unknown => hasProperty(cause, "code") ? cause.code : undefined

/** Whether transactions were in each other's way. */
export const isContention = (error: unknown): boolean => {
  const reason = reasonOf(error)
  return isSqlError(reason) && reason.isRetryable && !isOutage(reason)
}

/**
 * Whether a failure says nothing about the event that was to be applied: transactions in each other's way, a database that
 * is away, out of disk, memory or luck, or that takes no writes since a failover. Another event would have fared no better.
 */
export const isBlameless = (error: unknown): boolean => {
  const reason = reasonOf(error)
  if (!isSqlError(reason)) return isOutage(error)
  const state = sqlState(reason)
  return isOutage(reason) || reason.isRetryable || state === "25006" ||
    typeof state === "string" && (state.startsWith("53") || state.startsWith("58"))
}

/**
 * Whether nothing is gained by a smaller batch: what would have failed anything; and a handler that ended its transaction,
 * whose successors in the batch wrote without one, and would write again.
 */
export const isIndivisible = (failed: ProjectionFailed): boolean =>
  isContention(failed) || isOutage(failed) || failed.cause instanceof TransactionEnded

/** Tries again, a few times, what failed because transactions were in each other's way. */
export const throughContention = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, { schedule: contention, while: isContention })

/** Tries again, for as long as it takes, what failed because the database is away. */
export const throughOutages = (who: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.tapError((error) =>
      isOutage(error) ? Effect.logWarning(`${who}: the database is away`, error) : Effect.void
    ),
    Effect.retry({ schedule: outage, while: isOutage })
  )

/** Tries again what failed in a way that passes. */
export const patiently = (who: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  effect.pipe(throughContention, throughOutages(who))
