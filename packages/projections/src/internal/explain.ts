/**
 * What errors say.
 */
import { toStringUnknown } from "effect/Inspectable"

/** What an error and the errors behind it say: the outermost of a database's tells little. */
export const explain = (error: unknown): string => {
  const said = new Set<string>()
  const seen = new Set<unknown>()
  let cause = error
  for (; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    seen.add(cause)
    said.add(cause.message || cause.name)
  }
  if (said.size === 0 || !(cause === undefined || cause instanceof Error)) said.add(toStringUnknown(cause, 0))
  return [...said].join(": ")
}
