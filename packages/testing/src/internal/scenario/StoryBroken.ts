/**
 * How a scenario fails.
 */
import { differences } from "../differences.ts"
import { block } from "./words.ts"

/** A feature does not do what a story tells, or the story leaves something out. Test runners show the two sides as a diff. */
export class StoryBroken extends Error {
  override readonly name = "StoryBroken"
  readonly expected: unknown
  readonly actual: unknown
  /** The steps that lead to the failure, as code for a test, where the story did not name them itself. */
  readonly script: string | undefined

  constructor({ actual, because, cause, expected, happened, script, wayOut }: Complaint) {
    const steps = script === undefined ? "" : `\nThe steps that lead there:\n${script}`
    super(`${happened}${steps}\nLikely cause: ${because}\nWay out: ${wayOut}`, cause === undefined ? {} : { cause })
    this.expected = expected
    this.actual = actual
    this.script = script
  }
}

/** What a failure tells. */
export interface Complaint {
  readonly happened: string
  readonly because: string
  readonly wayOut: string
  readonly expected?: unknown
  readonly actual?: unknown
  readonly script?: string
  readonly cause?: unknown
}

/** Two sides that should be the same, place by place and as a whole. */
export const sides = (expected: unknown, actual: unknown): string =>
  `${differences(expected, actual).map((line) => `  ${line}`).join("\n")}\nexpected: ${block(expected)}\nactual:   ${
    block(actual)
  }`
