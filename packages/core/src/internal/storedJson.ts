/**
 * What a store in memory keeps of a value, so that it behaves like one that writes JSON to a disk.
 */
import type * as Schema from "effect/Schema"

/**
 * What JSON makes of a value, frozen, so that nobody can change what was stored. Throws when JSON cannot write it.
 *
 * What an encoder makes is plain, and a plain value is copied in a quarter of the time that it takes to write and read
 * its text. Whatever JSON treats in ways of its own goes the long way.
 */
export const storedJson = <J extends Schema.Json>(value: J): J => {
  const copy = copyOf(value, deepest)
  return (copy === unusual ? freeze(JSON.parse(JSON.stringify(value))) : copy) as J
}

/** Beyond, a value may well contain itself. */
const deepest = 100

const unusual = Symbol()

/** A frozen copy of a plain value; `unusual`, if JSON might make anything else of it. */
const copyOf = (value: unknown, depth: number): unknown => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      // JSON knows no negative zero.
      return Number.isFinite(value) ? value + 0 : unusual
    case "object":
      if (value === null) return null
      if (depth === 0 || "toJSON" in value) return unusual
      return Array.isArray(value) ? copyOfArray(value, depth) : copyOfRecord(value, depth)
    default:
      return unusual
  }
}

const copyOfArray = (elements: ReadonlyArray<unknown>, depth: number): unknown => {
  const copies: Array<unknown> = []
  for (let i = 0; i < elements.length; i++) {
    const copy = copyOf(elements[i], depth - 1)
    if (copy === unusual) return unusual
    copies.push(copy)
  }
  return Object.freeze(copies)
}

const copyOfRecord = (record: object, depth: number): unknown => {
  const prototype = Object.getPrototypeOf(record)
  if (prototype !== Object.prototype && prototype !== null) return unusual
  const copies: Record<string, unknown> = {}
  for (const key in record) {
    if (!Object.hasOwn(record, key)) continue
    const copy = copyOf((record as Readonly<Record<string, unknown>>)[key], depth - 1)
    // Assigned, a member of that name would become the prototype.
    if (copy === unusual || key === "__proto__") return unusual
    copies[key] = copy
  }
  return Object.freeze(copies)
}

const freeze = <J extends Schema.Json>(value: J): J => {
  if (typeof value === "object" && value !== null) {
    for (const member of Object.values(value)) freeze(member)
    Object.freeze(value)
  }
  return value
}
