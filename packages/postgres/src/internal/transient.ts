/**
 * Which failures of the database pass by themselves.
 */
import type { SqlError } from "effect/sql/SqlError"
import { sqlState } from "./sqlState.ts"

/** SQL states of a server that shuts down, starts, or lacks room for the moment. The client does not count them. */
const states = new Set([
  "53100", // disk full
  "53200", // out of memory
  "53300", // too many connections
  "57P01", // the session was terminated, or the server is being stopped
  "57P02", // another process of the server crashed
  "57P03" // the server is starting
])

/** Whether the same statement may succeed later, with nothing changed. */
export const isTransient = (error: SqlError): boolean => {
  const state = sqlState(error)
  return error.isRetryable || (state !== undefined && states.has(state))
}
