/**
 * Values in the words of a message.
 */
import * as Formatter from "effect/Formatter"

/** An action's name. */
export const tagOf = (action: unknown): string =>
  typeof action === "object" && action !== null && "_tag" in action ? String(action._tag) : Formatter.format(action)

/** On one line. */
export const inline = (value: unknown): string => Formatter.format(value)

/** On as many lines as it takes. */
export const block = (value: unknown): string => Formatter.format(value, { space: 2 })

/** A list, a line for each. */
export const bullets = (lines: ReadonlyArray<string>): string =>
  lines.map((line) => `  - ${line.replaceAll("\n", "\n    ")}`).join("\n")

/** A number of things. */
export const count = (number: number, thing: string): string => `${number} ${thing}${number === 1 ? "" : "s"}`
