/**
 * Whether two values differ, and where, a line for each place: `[0].total: expected 5, got 6`.
 */
import * as Equal from "effect/Equal"
import * as Formatter from "effect/Formatter"

/** Enough to see the mistake; a value that differs in more places is better read as a whole. */
const mostLines = 12

type Members = Readonly<Record<PropertyKey, unknown>>

export const isRecord = (value: unknown): value is Members => {
  if (typeof value !== "object" || value === null || Equal.isEqual(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null || Array.isArray(value)
}

/**
 * Equality by structure. Effect's own remembers the hash of every value and the result for every pair, which is slow for
 * values that are seen once, and wrong for one that was changed since: so it decides only on what is no plain record.
 */
export const equal = (one: unknown, other: unknown): boolean => {
  if (one === other) return true
  if (!isRecord(one) || !isRecord(other) || Array.isArray(one) !== Array.isArray(other)) return Equal.equals(one, other)
  const keys = Reflect.ownKeys(one)
  return keys.length === Reflect.ownKeys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && equal(one[key], other[key]))
}

/** Two values of one kind are compared member by member; of two different events nothing but the names is worth saying. */
const alike = (expected: unknown, actual: unknown): readonly [Members, Members] | undefined =>
  isRecord(expected) && isRecord(actual) && Array.isArray(expected) === Array.isArray(actual) &&
    expected["_tag"] === actual["_tag"]
    ? [expected, actual]
    : undefined

const isIdentifier = /^[A-Za-z_$][\w$]*$/

const step = (parent: Members, key: string): string =>
  Array.isArray(parent) ? `[${key}]` : isIdentifier.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`

const member = (parent: Members, key: string): string =>
  Object.hasOwn(parent, key) ? Formatter.format(parent[key]) : "nothing"

/** A place in which two values differ; its path is empty where all that can be said is that they do. */
export interface Difference {
  readonly path: string
  readonly expected: string
  readonly actual: string
}

/** The places in which the actual value differs from the expected one, outermost first. */
export const places = (expected: unknown, actual: unknown): ReadonlyArray<Difference> => {
  const found: Array<Difference> = []
  const compare = (path: string, expected: Members, actual: Members): void => {
    for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
      const here = path + step(expected, key)
      const both = Object.hasOwn(expected, key) && Object.hasOwn(actual, key)
      if (both && equal(expected[key], actual[key])) continue
      const parts = both ? alike(expected[key], actual[key]) : undefined
      if (parts === undefined) {
        found.push({ path: here.replace(/^\./, ""), expected: member(expected, key), actual: member(actual, key) })
      } else {
        compare(here, ...parts)
      }
    }
  }
  const parts = alike(expected, actual)
  if (parts !== undefined) compare("", ...parts)
  // Values that are no plain records say themselves how they compare; where is not to be seen from outside.
  if (found.length === 0) {
    found.push({ path: "", expected: Formatter.format(expected), actual: Formatter.format(actual) })
  }
  return found
}

/** As many of the lines as one can read. */
export const readable = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.length <= mostLines ? lines : [...lines.slice(0, mostLines), `and ${lines.length - mostLines} more places`]

/** The same in words, a line for each place. */
export const differences = (expected: unknown, actual: unknown): ReadonlyArray<string> =>
  readable(
    places(expected, actual).map(({ actual, expected, path }) =>
      `${path === "" ? "" : `${path}: `}expected ${expected}, got ${actual}`
    )
  )
