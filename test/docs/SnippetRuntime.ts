/** What a program made of a document's fences needs while it runs: assertions that can neither be skipped nor swallowed. */
import { AssertionError, deepStrictEqual } from "node:assert"
import { format } from "node:util"

/** The line that `console.log` prints for these arguments. */
export const printed = (...args: ReadonlyArray<unknown>): string => format(...args)

/**
 * Announces the assertions of a program by their lines and returns the function that makes one. The process fails
 * unless each of them has held by the time it exits, so one inside a callback that never runs, or inside a fiber whose
 * failure nobody sees, is caught too.
 */
export const expectAssertions = (
  lines: ReadonlyArray<number>
): (line: number, actual: unknown, expected: unknown) => void => {
  const outstanding = new Set(lines)
  process.once("exit", (code) => {
    if (code !== 0 || outstanding.size === 0) return
    process.stderr.write(`the assertion on line ${[...outstanding].join(", ")} never held; does its code run?\n`)
    process.exitCode = 1
  })
  return (line, actual, expected) => {
    try {
      deepStrictEqual(actual, expected)
    } catch (error) {
      if (!(error instanceof AssertionError)) throw error
      throw new Error(`line ${line}: the value is not what the document says\n${error.message}`, { cause: error })
    }
    outstanding.delete(line)
  }
}
