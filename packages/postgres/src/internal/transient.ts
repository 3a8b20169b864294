/**
 * Which failures of the database pass by themselves.
 */
import type { SqlError } from "effect/sql/SqlError"
import { sqlState } from "./sqlState.ts"

/** SQL states of a server that shuts down, starts, or lacks room for the moment. The client does not count them. */
const states = new Set([
  "25P03", // the session was ended, for it was idle in a transaction
  "25P04", // the session was ended, for its transaction took too long
  "53100", // disk full
  "53200", // out of memory
  "53300", // too many connections
  "57P01", // the session was terminated, or the server is being stopped
  "57P02", // another process of the server crashed
  "57P03", // the server is starting
  "57P05" // the session was ended, for it was idle
])

/** The statement within the append at which the failure happened, as the server tells it. */
const placeOf = ({ reason: { cause } }: SqlError): unknown =>
  typeof cause === "object" && cause !== null && "where" in cause ? cause.where : undefined

/** Whether the same statement may succeed later, with nothing changed. */
export const isTransient = (error: SqlError): boolean => {
  const state = sqlState(error)
  return error.isRetryable || (state !== undefined && states.has(state))
}

/**
 * Whether an append was too much for the time or the memory that the server gives a statement, so that a smaller one may
 * succeed. One that has waited for the lock all the time has done nothing yet, and is no smaller for being halved.
 */
export const isTooMuch = (error: SqlError): boolean => {
  const state = sqlState(error)
  if (state === "53200") return true
  const place = placeOf(error)
  return state === "57014" && !(typeof place === "string" && place.includes("pg_advisory_xact_lock"))
}
