/**
 * Partial comparison: what is not mentioned does not matter.
 */
import type * as Fx from "@composable-ts/core/Fx"
import * as Equal from "effect/Equal"
import { equal } from "../differences.ts"

type Members = Readonly<Record<PropertyKey, unknown>>

const isPlain = (value: unknown): value is Members => {
  if (typeof value !== "object" || value === null || Array.isArray(value) || Equal.isEqual(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Of a value only what an expectation mentions: the named fields of records, each element of arrays. */
export const mentioned = (expected: unknown, actual: unknown): unknown => {
  if (Array.isArray(expected) && Array.isArray(actual)) {
    return actual.map((element, index) => index < expected.length ? mentioned(expected[index], element) : element)
  }
  if (!isPlain(expected) || !isPlain(actual)) return actual
  return Object.fromEntries(
    Reflect.ownKeys(expected).filter((key) => Object.hasOwn(actual, key)).map((key) => [
      key,
      mentioned(expected[key], actual[key])
    ])
  )
}

const apart = (fx: Fx.AnyFx): ReadonlyArray<Fx.AnyFx> =>
  fx._tag === "None" ? [] : fx._tag === "Parallel" && fx.concurrency === null ? fx.fx : [fx]

/** The expected effects that are not among the actual ones; each actual one stands for one expected. */
export const missing = (expected: Fx.AnyFx, actual: Fx.AnyFx): ReadonlyArray<Fx.AnyFx> => {
  const left = [...apart(actual)]
  return apart(expected).filter((fx) => {
    const index = left.findIndex((other) => equal(fx, other))
    if (index >= 0) left.splice(index, 1)
    return index < 0
  })
}
