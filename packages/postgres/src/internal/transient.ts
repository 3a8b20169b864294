/**
 * Which failures of the database pass by themselves.
 */
import type { SqlError } from "effect/sql/SqlError"

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

const stateShape = /^[0-9A-Z]{5}$/

/** The SQL state, where the server answered at all. */
export const stateOf = ({ reason: { cause } }: SqlError): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" &&
    stateShape.test(cause.code)
    ? cause.code
    : undefined

/** Whether the same statement may succeed later, with nothing changed. */
export const isTransient = (error: SqlError): boolean => {
  const state = stateOf(error)
  return error.reason.isRetryable || (state !== undefined && states.has(state))
}
