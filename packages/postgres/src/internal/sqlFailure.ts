/**
 * A failure of the database as it may be logged. The server's answer shows the row that it refused, key and state and
 * all; what is left here is what it says about the statement.
 */
import type { SqlError } from "effect/sql/SqlError"

const textOf = (cause: unknown, name: string): string | undefined => {
  const value: unknown = typeof cause === "object" && cause !== null ? Reflect.get(cause, name) : undefined
  return typeof value === "string" ? value : undefined
}

/** The same failure without the values that it was about: kind, message, SQL state and constraint. */
export const withoutValues = ({ reason }: SqlError): Error => {
  const { _tag, cause, message } = reason
  const state = textOf(cause, "code")
  const constraint = textOf(cause, "constraint")
  const more = [state && `SQL state ${state}`, constraint && `constraint ${constraint}`].filter(Boolean).join(", ")
  return new Error(`${_tag}: ${textOf(cause, "message") ?? message}${more === "" ? "" : ` (${more})`}`)
}
