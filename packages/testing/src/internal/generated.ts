/**
 * Commands and events that fit the schemas of a vocabulary.
 */
import type { Vocabulary } from "@composable-ts/core/Action"
import type { Fields, Older } from "@composable-ts/core/Event"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

type Tag = { readonly _tag: string }

/**
 * Where values come from when those of the schema will not do: an arbitrary for a command or an event by its name, or for
 * the payload of an older version by its stored name, `OrderPlaced.v1`.
 */
export type Arbitraries<A extends Tag> =
  & { readonly [Name in A["_tag"]]?: Arbitrary.Arbitrary<Extract<A, { readonly _tag: Name }>> }
  & { readonly [older: `${string}.v${number}`]: Arbitrary.Arbitrary<object> }

/** Arbitraries by name, whoever gave them. */
export type Given = Readonly<Record<string, Arbitrary.Arbitrary<unknown> | undefined>>

/** The schema of a record of fields. */
export const structOf = (fields: Fields): Schema.Codec<object, unknown> =>
  Schema.Struct(fields) as Schema.Constraint as Schema.Codec<object, unknown>

const notGenerated = (name: string, why: string): Error =>
  new Error(
    `No ${name} can be generated from its schema: ${why}. Say where they come from: { arbitraries: { ${
      /^\w+$/.test(name) ? name : JSON.stringify(name)
    }: … } }, with the constructors of effect/Arbitrary.`
  )

const ofFields = (name: string, fields: Fields, given: Given, dress: (payload: object) => unknown) => {
  const own = given[name]
  if (own !== undefined) return own
  // Effect's empty struct stands for every value but null and undefined.
  if (Reflect.ownKeys(fields).length === 0) return Arbitrary.Constant(dress({}))
  const payloads = Result.try({
    try: () => Arbitrary.schema(structOf(fields)),
    catch: (cause) => notGenerated(name, cause instanceof Error ? cause.message : String(cause))
  })
  if (Result.isFailure(payloads)) throw payloads.failure
  return Arbitrary.map(withoutDiscards(name, payloads.success), dress)
}

/** The values that the runner makes of a schema at a size, throwing away so many of those that miss its checks. */
const sample = (values: Arbitrary.Arbitrary<object>, size: number, maxDiscards: number) =>
  Effect.runSync(Effect.result(Arbitrary.sampleEffect(values, { count: 32, seed: 0, size, maxDiscards })))

/**
 * Values of a schema with a condition of its own are made and thrown away until one meets it. A long history would seldom
 * come about, and the tests would be of short ones only: so its members are then chosen among some made beforehand, the
 * simple ones first. Such a value is shrunk to a simpler one of those, not in itself.
 */
const withoutDiscards = (name: string, values: Arbitrary.Arbitrary<object>): Arbitrary.Arbitrary<object> => {
  if ([1, 10].every((size) => Result.isSuccess(sample(values, size, 0)))) return values
  const large = sample(values, 10, 2000)
  if (Result.isFailure(large)) {
    const { discards, generated } = large.failure
    throw notGenerated(name, `of ${discards + generated} attempts only ${generated} met its checks`)
  }
  const pool = [1, 3].flatMap((size) => Result.getOrElse(sample(values, size, 2000), () => [])).concat(large.success)
  return Arbitrary.map(Arbitrary.schema(Schema.Literals([...pool.keys()])), (index) => pool[index]!)
}

const tagged = (name: string) => (payload: object) => ({ _tag: name, ...payload })

const anyOf = <A>(byName: ReadonlyMap<string, Arbitrary.Arbitrary<unknown>>): Arbitrary.Arbitrary<A> | undefined => {
  const names = [...byName.keys()]
  return names.length === 0 ? undefined : Arbitrary.flatMap(
    Arbitrary.schema(Schema.Literals(names)),
    // The arbitraries are of the vocabulary's own actions, each of its name.
    (name) => byName.get(name) as Arbitrary.Arbitrary<A>
  )
}

const allOf = (declared: Readonly<Record<string, Fields>>, given: Given) =>
  new Map(Object.entries(declared).map(([name, fields]) => [name, ofFields(name, fields, given, tagged(name))]))

/** Any command of the vocabulary; nothing when it has none. */
export const commands = <C extends Tag, E extends Tag>({ declaration }: Vocabulary<C, E>, given: Given) =>
  anyOf<C>(allOf(declaration.commands, given))

/** Any event of the vocabulary, in its current version; nothing when it has none. */
export const events = <C extends Tag, E extends Tag>({ declaration }: Vocabulary<C, E>, given: Given) =>
  anyOf<E>(allOf(
    Object.fromEntries(
      Object.entries<{ readonly fields: Fields }>(declaration.events).map(([tag, { fields }]) => [
        tag,
        fields
      ])
    ),
    given
  ))

/** The payload of an older version of an event, and its stored name. */
export interface OlderPayload {
  readonly type: string
  readonly payload: object
  readonly schema: Schema.Codec<object, unknown>
}

/** Any payload of any older version of an event; nothing when there are only first versions. */
export const olderPayloads = <C extends Tag, E extends Tag>({ declaration }: Vocabulary<C, E>, given: Given) => {
  const declared = Object.entries<{ readonly older: ReadonlyArray<Older> }>(declaration.events)
  return anyOf<OlderPayload>(
    new Map(declared.flatMap(([tag, { older }]) =>
      older.map(({ fields, version }) => {
        const type = `${tag}.v${version}`
        const schema = Schema.toCodecJson(structOf(fields))
        const payloads = ofFields(type, fields, given, (payload) => payload) as Arbitrary.Arbitrary<object>
        return [type, Arbitrary.map(payloads, (payload): OlderPayload => ({ type, payload, schema }))] as const
      })
    ))
  )
}
