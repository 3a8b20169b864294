/**
 * Personal data as JSON: `{ "$personal": subject, "value": … }` on its way to and from the codecs, `"sealed"` in the
 * place of `"value"` in a store, and `"shredded": true` for ever after.
 */
import type * as Schema from "effect/Schema"

/** The member that tells personal data from all else; it names the subject. */
export const member = "$personal"

/** A value that is readable. */
export type Open = {
  readonly [member]: string
  readonly value: Schema.Json
}

/** A value under its subject's key. */
export type Sealed = {
  readonly [member]: string
  readonly sealed: string
}

/** What is left of a value. */
export type Gone = {
  readonly [member]: string
  readonly shredded: true
}

export const isObject = (json: Schema.Json): json is Schema.JsonObject =>
  typeof json === "object" && json !== null && !Array.isArray(json)

const has = (json: Schema.JsonObject, other: string, type: string): boolean =>
  typeof json[member] === "string" && Object.hasOwn(json, other) && Object.keys(json).length === 2 &&
  (type === "any" || typeof json[other] === type)

export const isOpen = (json: Schema.JsonObject): json is Open => has(json, "value", "any")
export const isSealed = (json: Schema.JsonObject): json is Sealed => has(json, "sealed", "string")

/**
 * What the codecs of personal data made. Anybody may write an object of the same shape, as a text or into a field that
 * takes any JSON; nobody else can put one in here.
 */
const made = new WeakSet<object>()

/** Whether a codec of personal data made this very object. */
export const isGenuine = (json: object): boolean => made.has(json)

/** Remembers what a codec of personal data makes. */
export const marked = <J extends Open | Gone>(json: J): J => {
  made.add(json)
  return json
}

/** The way to a value in a JSON value, from the outside in. */
export type Path = ReadonlyArray<string | number>

interface Steps {
  readonly before: Steps | undefined
  readonly step: string | number
}

const pathOf = (steps: Steps | undefined): Path => {
  const path: Array<string | number> = []
  for (let at = steps; at !== undefined; at = at.before) path.unshift(at.step)
  return path
}

/** Calls back for every object that names a subject, and looks no further into it. */
export const findEach = (json: Schema.Json, found: (object: Schema.JsonObject, path: Path) => void): void =>
  walk(json, undefined, found)

const walk = (
  json: Schema.Json,
  steps: Steps | undefined,
  found: (object: Schema.JsonObject, path: Path) => void
): void => {
  if (typeof json !== "object" || json === null) return
  if (Array.isArray(json)) {
    for (let i = 0; i < json.length; i++) walkInto(json[i], i, steps, found)
  } else if (Object.hasOwn(json, member)) {
    found(json as Schema.JsonObject, pathOf(steps))
  } else {
    for (const key in json) walkInto((json as Schema.JsonObject)[key]!, key, steps, found)
  }
}

/** Most values are no objects, and need no steps. */
const walkInto = (
  json: Schema.Json,
  step: string | number,
  before: Steps | undefined,
  found: (object: Schema.JsonObject, path: Path) => void
): void => {
  if (typeof json === "object" && json !== null) walk(json, { before, step }, found)
}

/** The value, with other objects in the places of some. What holds none of them stays the same object. */
export const replaced = (json: Schema.Json, replacements: ReadonlyMap<object, Schema.Json>): Schema.Json => {
  if (typeof json !== "object" || json === null) return json
  const replacement = replacements.get(json)
  if (replacement !== undefined) return replacement
  if (Array.isArray(json)) {
    const elements = json.map((element) => replaced(element, replacements))
    return elements.some((element, i) => element !== json[i]) ? elements : json
  }
  // Put together from entries, a member called __proto__ stays a member.
  const entries = Object.entries(json)
  const changed = entries.map(([key, value]) => [key, replaced(value, replacements)] as const)
  return changed.some(([, value], i) => value !== entries[i]![1]) ? Object.fromEntries(changed) : json
}
