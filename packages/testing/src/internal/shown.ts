/**
 * Two values that ought to be equal, shown so that one sees where they are not: first the places by name, one beneath the
 * other, then both values as one text, in which lines of the one alone are marked with `-`, of the other alone with `+`.
 */
import * as Formatter from "effect/Formatter"
import type { Palette } from "./colour.ts"
import { type Difference, places, readable } from "./differences.ts"

/** Columns wider than this are not padded: what is beside them would be out of sight. */
const widest = 40

const columnOf = (texts: ReadonlyArray<string>): number =>
  Math.max(0, ...texts.map(({ length }) => length).filter((length) => length <= widest))

const aligned = (found: ReadonlyArray<Difference>, { actual: got, expected: wanted, place }: Palette) => {
  const pathColumn = columnOf(found.map(({ path }) => path)) + 2
  const expectedColumn = columnOf(found.map(({ expected }) => expected)) + 1
  return found.map(({ actual, expected, path }) => {
    const where = path === "" ? "" : place(`${path}:`) + " ".repeat(Math.max(1, pathColumn - path.length - 1))
    const padding = " ".repeat(Math.max(1, expectedColumn - expected.length))
    return `${where}expected ${wanted(expected)},${padding}got ${got(actual)}`
  })
}

/** Beyond this many pairs of lines the comparison would take longer than reading the values. */
const mostPairs = 1_000_000

type Line = readonly [mark: " " | "-" | "+", text: string]

/** The lines of both, in order; of those in common as many as possible are said once. */
export const merged = (expected: ReadonlyArray<string>, actual: ReadonlyArray<string>): ReadonlyArray<Line> => {
  const all = (mark: "-" | "+", lines: ReadonlyArray<string>) => lines.map((text): Line => [mark, text])
  if (expected.length * actual.length > mostPairs) return [...all("-", expected), ...all("+", actual)]
  // common[i][j]: how many lines the rests from i and from j have in common.
  const common = Array.from({ length: expected.length + 1 }, () => Array.from({ length: actual.length + 1 }, () => 0))
  for (let i = expected.length - 1; i >= 0; i--) {
    for (let j = actual.length - 1; j >= 0; j--) {
      common[i]![j] = expected[i] === actual[j]
        ? common[i + 1]![j + 1]! + 1
        : Math.max(common[i + 1]![j]!, common[i]![j + 1]!)
    }
  }
  const lines: Array<Line> = []
  let i = 0
  let j = 0
  while (i < expected.length && j < actual.length) {
    if (expected[i] === actual[j]) {
      lines.push([" ", expected[i]!])
      i += 1
      j += 1
    } else if (common[i + 1]![j]! >= common[i]![j + 1]!) {
      lines.push(["-", expected[i++]!])
    } else {
      lines.push(["+", actual[j++]!])
    }
  }
  return [...lines, ...all("-", expected.slice(i)), ...all("+", actual.slice(j))]
}

const block = (value: unknown): ReadonlyArray<string> => Formatter.format(value, { space: 2 }).split("\n")

/** What differs, and both values. */
export const shown = (expected: unknown, actual: unknown, palette: Palette): string => {
  const lines = merged(block(expected), block(actual)).map(([mark, text]) => {
    const line = `  ${mark} ${text}`
    return mark === "-" ? palette.expected(line) : mark === "+" ? palette.actual(line) : line
  })
  return [
    ...readable(aligned(places(expected, actual), palette)).map((line) => `  ${line}`),
    "",
    `  ${palette.expected("- expected")}  ${palette.actual("+ actual")}`,
    ...lines
  ].join("\n")
}
