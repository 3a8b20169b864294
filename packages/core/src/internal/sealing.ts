/**
 * Personal data in JSON bodies, sealed and opened: all bodies of an append or a page at once, with one look-up of keys.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { SealBroken, type SubjectKeysError } from "../PersonalError.ts"
import type { Opener, Service } from "../SubjectKeys.ts"
import * as Wire from "./personalJson.ts"

/** An object of personal data, and where it was found. */
export interface Found<O extends Wire.Open | Wire.Sealed> {
  /** Of which body. */
  readonly at: number
  readonly path: Wire.Path
  readonly object: O
}

/** The subjects of what was found. */
export const subjectsOf = (found: ReadonlyArray<Found<Wire.Open | Wire.Sealed>>): ReadonlySet<string> =>
  new Set(found.map(({ object }) => object[Wire.member]))

/** Where personal data stands, but for its path and its subject. */
export type Place = ReadonlyArray<string | number>

const bound = (place: Place, path: Wire.Path, subject: string): string =>
  JSON.stringify(["composable-ts personal", ...place, path, subject])

/** What is left of a value once its subject's key is gone. */
export const gone = (object: Wire.Open | Wire.Sealed): Wire.Gone =>
  Wire.marked({ [Wire.member]: object[Wire.member], shredded: true })

const said = (path: Wire.Path): string => `at ${JSON.stringify(path)} `

/** All values to be sealed in these bodies, or the reason for which none of them can be stored. */
export const find = (bodies: ReadonlyArray<Schema.Json>): Result.Result<ReadonlyArray<Found<Wire.Open>>, string> => {
  const found: Array<Found<Wire.Open>> = []
  let issue: string | undefined
  try {
    bodies.forEach((body, index) =>
      Wire.findEach(body, (object, path) => {
        if (!Wire.isGenuine(object)) {
          issue ??=
            `${said(path)}stands an object with a member "${Wire.member}" that no Personal.schema made: the name ` +
            "is reserved. Declare the field by Personal.schema, or rename the member"
          return
        }
        if (!Wire.isOpen(object)) return
        found.push({ at: index, path, object })
        Wire.findEach(object.value, (_, inner) => {
          issue ??= `${said(path)}personal data holds a member "${Wire.member}" in turn, ` +
            `${said(inner)}of it: give each its own field`
        })
      })
    )
  } catch (defect) {
    if (!(defect instanceof RangeError)) throw defect
    issue = "a body is nested too deeply"
  }
  return issue === undefined ? Result.succeed(found) : Result.fail(issue)
}

/** Where what was found belongs, and what becomes of it when its subject was shredded. */
export interface SealOptions {
  readonly placeOf: (at: number) => Place
  readonly whenShredded: (found: Found<Wire.Open>) => Schema.Json
}

type Replacements = ReadonlyMap<object, Schema.Json>

/** What to put in the place of what was found. */
export const seal = (
  openers: ReadonlyMap<string, Opener>,
  found: ReadonlyArray<Found<Wire.Open>>,
  { placeOf, whenShredded }: SealOptions
): Effect.Effect<Replacements> => {
  const sealed = found.map((one): Schema.Json | Promise<Schema.Json> => {
    const { at, object, path } = one
    const subject = object[Wire.member]
    const opener = openers.get(subject)!
    if (opener === "shredded") return whenShredded(one)
    const text = opener.seal(JSON.stringify(object.value), bound(placeOf(at), path, subject), String(at))
    const wrap = (sealed: string): Schema.Json => ({ [Wire.member]: subject, sealed })
    return typeof text === "string" ? wrap(text) : text.then(wrap)
  })
  return Effect.map(settled(sealed), (all) => new Map(found.map(({ object }, i) => [object, all[i]!])))
}

/** The bodies with what is to be in the place of what was found. */
export const put = (bodies: ReadonlyArray<Schema.Json>, replacements: Replacements): ReadonlyArray<Schema.Json> =>
  bodies.map((body) => Wire.replaced(body, replacements))

/** What stands at a path of a body that is there in the store; nothing, `null`. */
export const at = (body: Schema.Json, path: Wire.Path): Schema.Json => {
  let json: Schema.Json | undefined = body
  for (const step of path) {
    json = typeof json === "object" && json !== null ? (json as Schema.JsonObject)[step] : undefined
  }
  return json ?? null
}

/** All at once, where any of them is promised. */
const settled = <A>(all: ReadonlyArray<A | Promise<A>>): Effect.Effect<ReadonlyArray<A>> =>
  all.some((one) => one instanceof Promise)
    ? Effect.promise(() => Promise.all(all))
    : Effect.succeed(all as ReadonlyArray<A>)

/** Why a page cannot be read. */
export type OpenError = SealBroken | SubjectKeysError

/** What the bodies of a page belong to. */
export interface OpenOptions<T> {
  readonly bodyOf: (record: T) => Schema.Json
  readonly placeOf: (record: T) => Place
  /** The record in words, for an error. */
  readonly shown: (record: T) => string
}

/** The bodies of a page with all values open that can be opened; nothing, when there is nothing personal in it. */
export const open = <T>(
  keys: Service,
  page: ReadonlyArray<T>,
  { bodyOf, placeOf, shown }: OpenOptions<T>
): Effect.Effect<ReadonlyArray<Schema.Json> | undefined, OpenError> => {
  const found: Array<Found<Wire.Open | Wire.Sealed>> = []
  for (let at = 0; at < page.length; at++) {
    Wire.findEach(bodyOf(page[at]!), (object, path) => {
      // What was stored before there was a key for it is readable, but it is its subject's, too.
      if (Wire.isSealed(object) || Wire.isOpen(object)) found.push({ at, path, object })
    })
  }
  if (found.length === 0) return Effect.undefined
  return Effect.gen(function*() {
    const openers = yield* keys.opening(subjectsOf(found))
    const opened = yield* settled(found.map(({ at, object, path }): Opened | Promise<Opened> => {
      const subject = object[Wire.member]
      const opener = openers.get(subject)
      if (opener === "shredded") return gone(object)
      if (!Wire.isSealed(object)) return object
      if (opener === undefined) return "no key"
      const text = opener.open(object.sealed, bound(placeOf(page[at]!), path, subject))
      return text instanceof Promise ? text.then((text) => parsed(subject, text)) : parsed(subject, text)
    }))
    const replacements = new Map<object, Schema.Json>()
    for (const [i, { at, object, path }] of found.entries()) {
      const value = opened[i]!
      if (typeof value === "string") {
        const subject = object[Wire.member]
        return yield* new SealBroken({ where: shown(page[at]!), path, subject, reason: value })
      }
      replacements.set(object, value)
    }
    return put(page.map(bodyOf), replacements)
  })
}

/** The object to put in the place of a sealed one, or why there is none. */
type Opened = Schema.JsonObject | SealBroken["reason"]

const parsed = (subject: string, text: string | undefined): Opened =>
  text === undefined ? "does not open" : Wire.marked({ [Wire.member]: subject, value: JSON.parse(text) })
