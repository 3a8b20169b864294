/**
 * How a command fails, and the exit code that says so. Anything else is a fault and ends with {@link exitCodes.broken}.
 */
import { Runtime, Schema } from "effect"

/** What the process ends with. */
export const exitCodes = {
  done: 0,
  /** Some lines were refused, or there is no such order. */
  refused: 1,
  /** The command line or its input cannot be used. */
  misused: 2,
  /** The database, or this program, is broken. */
  broken: 3,
  interrupted: 130
} as const

/** There is nothing to show for what was asked. */
export class NothingToShow extends Schema.TaggedError<NothingToShow>()("NothingToShow", { message: Schema.String }) {
  override readonly [Runtime.errorExitCode] = exitCodes.refused
}

/** Some lines were refused; they have been reported already. */
export class LinesRefused extends Schema.TaggedError<LinesRefused>()("LinesRefused", {}) {
  override readonly [Runtime.errorExitCode] = exitCodes.refused
  override readonly [Runtime.errorReported] = false
}

/** The input cannot be read. */
export class InputUnusable extends Schema.TaggedError<InputUnusable>()("InputUnusable", { message: Schema.String }) {
  override readonly [Runtime.errorExitCode] = exitCodes.misused
}
