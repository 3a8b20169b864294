/**
 * Whether two values are the same JSON, in whatever order the members of their objects stand.
 */
import type * as Schema from "effect/Schema"

type Container = ReadonlyArray<Schema.Json> | Schema.JsonObject

const isArray = (value: Container): value is ReadonlyArray<Schema.Json> => Array.isArray(value)

/** Both values must be what JSON makes of them: a negative zero, for instance, is none of its numbers. */
export const sameJson = (one: Schema.Json, other: Schema.Json): boolean => {
  if (one === other) return true
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false
  if (isArray(one)) {
    return isArray(other) && one.length === other.length && one.every((element, i) => sameJson(element, other[i]!))
  }
  if (isArray(other)) return false
  const keys = Object.keys(one)
  return keys.length === Object.keys(other).length &&
    keys.every((key) => Object.hasOwn(other, key) && sameJson(one[key]!, other[key]!))
}
