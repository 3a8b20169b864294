/**
 * The code by which PostgreSQL tells what went wrong.
 */
import type { SqlError } from "effect/sql/SqlError"

/** The SQL state of a failure, or undefined when it did not come from the server. */
export const sqlState = ({ reason: { cause } }: SqlError): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
