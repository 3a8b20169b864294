/**
 * The code by which PostgreSQL tells what went wrong.
 */
import type { SqlError } from "effect/sql/SqlError"

const shape = /^[0-9A-Z]{5}$/

/** The SQL state of a failure, or undefined when it did not come from the server. */
export const sqlState = ({ reason: { cause } }: SqlError): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" &&
    shape.test(cause.code)
    ? cause.code
    : undefined
