/**
 * Values of which only a part is said.
 */
import { equal } from "./differences.ts"

type Members = Readonly<Record<string, unknown>>

const isPlain = (value: unknown): value is Members => {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Whether a value has all that is said of it. */
export const isLike = (said: unknown, value: unknown): boolean => {
  if (Array.isArray(said)) {
    return Array.isArray(value) && said.length === value.length && said.every((part, i) => isLike(part, value[i]))
  }
  if (!isPlain(said)) return equal(said, value)
  // An error's members are its own too, so a problem can be told by some of them.
  if (typeof value !== "object" || value === null) return false
  return Object.keys(said).every((key) => key in value && isLike(said[key], (value as Members)[key]))
}

/** As much of a value as is said of it, for showing where the two differ. */
export const likeOf = (said: unknown, value: unknown): unknown => {
  if (Array.isArray(said) && Array.isArray(value)) {
    return value.map((part, i) => i in said ? likeOf(said[i], part) : part)
  }
  if (!isPlain(said) || typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.keys(said).filter((key) => key in value).map((key) => [key, likeOf(said[key], (value as Members)[key])])
  )
}
