/**
 * The end of the program: what is said about a failure, on standard error, and the exit code.
 */
import { Cause, Console, Effect, Exit, Predicate, Runtime } from "effect"
import { CliError } from "effect/cli"
import { DatabaseUnavailable } from "../Database.ts"
import { exitCodes } from "./Failure.ts"

/** Failures that a user can act on say how they end; {@link DatabaseUnavailable} does not know of exit codes. */
const isExpected = (error: unknown): error is Error =>
  error instanceof DatabaseUnavailable || Predicate.hasProperty(error, Runtime.errorExitCode)

/** An expected failure is a sentence for the user; of any other the whole cause is shown. */
export const report = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const error = Cause.squash(cause)
  if (Cause.hasInterruptsOnly(cause) || !Runtime.getErrorReported(error)) return Effect.void
  return Console.error(isExpected(error) ? `orders: ${error.message}` : `orders failed: ${Cause.pretty(cause)}`)
}

/** Tells the exit code of the program's end. */
export const exitWith: Runtime.Teardown = (exit, onExit) =>
  onExit(Exit.isSuccess(exit) ? exitCodes.done : codeOf(exit.cause))

const codeOf = (cause: Cause.Cause<unknown>): number => {
  if (Cause.hasInterruptsOnly(cause)) return exitCodes.interrupted
  const error = Cause.squash(cause)
  if (CliError.isCliError(error)) return isHelp(error) ? exitCodes.done : exitCodes.misused
  return Predicate.hasProperty(error, Runtime.errorExitCode) ? Runtime.getErrorExitCode(error) : exitCodes.broken
}

const isHelp = (error: CliError.CliError): boolean => error._tag === "ShowHelp" && error.errors.length === 0
