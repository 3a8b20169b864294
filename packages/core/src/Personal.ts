/**
 * Personal data inside events and states: a value that belongs to a person, the *subject*, and may have to be erased from
 * a log that is never changed. What a field declared by {@link schema} holds is encrypted under the subject's own key, if
 * the stores are those of {@link PersonalData}; once that key is shredded, nobody can read it again, and the field holds
 * a marked absence. Code sees both: a reducer that forgets the absence does not compile.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Wire from "./internal/personalJson.ts"

/** A personal value, or what is left of it. */
export type Personal<A> = Present<A> | Shredded

/** A value, and whose it is. */
export interface Present<out A> {
  readonly _tag: "Present"
  readonly subject: string
  readonly value: A
}

/** There was a value, and it was erased: the subject's key is gone. */
export interface Shredded {
  readonly _tag: "Shredded"
  readonly subject: string
}

/**
 * A personal value of a subject.
 *
 * The subject's id stays readable for ever, so it must not be personal itself: a random id, no address and no name. It
 * is a text of 1 to 255 characters that PostgreSQL can store.
 */
export const present = <A>(subject: string, value: A): Present<A> => ({ _tag: "Present", subject, value })

/** The marked absence of a subject's value: for tests, and for states that forget by themselves. */
export const shredded = (subject: string): Shredded => ({ _tag: "Shredded", subject })

/** Whether the value is there. */
export const isPresent = <A>(personal: Personal<A>): personal is Present<A> => personal._tag === "Present"

/** Calls one function for a value that is there, the other for its absence. */
export const match = <A, B, C>(
  personal: Personal<A>,
  cases: { readonly Present: (value: A, subject: string) => B; readonly Shredded: (subject: string) => C }
): B | C =>
  personal._tag === "Present"
    ? cases.Present(personal.value, personal.subject)
    : cases.Shredded(personal.subject)

/** The value, or something to show in its place. */
export const getOrElse = <A, B>(personal: Personal<A>, otherwise: (subject: string) => B): A | B =>
  personal._tag === "Present" ? personal.value : otherwise(personal.subject)

/** The same subject's value, changed; an absence stays one. */
export const map = <A, B>(personal: Personal<A>, change: (value: A) => B): Personal<B> =>
  personal._tag === "Present" ? present(personal.subject, change(personal.value)) : personal

/** The largest subject id, in characters. */
export const maxSubjectLength = 255

const wellFormed = /^[^\0\p{Surrogate}]+$/u

const Subject = Schema.String.check(
  Schema.makeFilter((subject: string) =>
    (subject.length <= maxSubjectLength && wellFormed.test(subject)) ||
    `a subject's id is a text of 1 to ${maxSubjectLength} characters, without NUL or halves of surrogate pairs`
  )
)

const sealed = new SchemaIssue.InvalidValue({ message: "it is sealed: read it through the stores of PersonalData" })

/** What can be personal: a schema that needs no services. */
export type Value = Schema.Constraint & { readonly DecodingServices: never; readonly EncodingServices: never }

/**
 * The field of an event or a state that holds personal data.
 *
 * Its JSON has a shape that nothing else may have: an object with a member `$personal`, the subject. A store of
 * {@link PersonalData} refuses any other object with such a member, so that no text of a user's passes for one. Personal
 * data may stand in arrays, records and optional fields, and not inside other personal data.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Personal from "@composable-ts/core/Personal"
 * import * as Schema from "effect/Schema"
 *
 * const Customer = Action.define("Customer", {
 *   commands: {},
 *   events: { Registered: Event.v1({ email: Personal.schema(Schema.String) }) }
 * })
 *
 * const { email } = Customer.Registered({ email: Personal.present("p-7", "zoe@example.com") })
 * Personal.getOrElse(email, () => "(erased)") // => "zoe@example.com"
 * ```
 */
export const schema = <const V extends Value>(value: V): Schema.Codec<Personal<V["Type"]>, Schema.Json> => {
  const kept = value as Schema.Constraint as Schema.Codec<V["Type"], unknown>
  const form = Schema.Union([
    Schema.Struct({ [Wire.member]: Subject, value: Schema.toCodecJson(kept) }),
    Schema.Struct({ [Wire.member]: Subject, shredded: Schema.Literal(true) })
  ])
  const personal = Schema.Union([
    Schema.TaggedStruct("Present", { subject: Subject, value: Schema.toType(kept) }),
    Schema.TaggedStruct("Shredded", { subject: Subject })
  ])
  return Schema.Json.pipe(
    Schema.decodeTo(form, {
      // Without the key, sealed data is a riddle: better to say at once what is amiss.
      decode: SchemaGetter.transformEffect((json: Schema.Json) =>
        Wire.isObject(json) && Wire.isSealed(json) ? Effect.fail(sealed) : Effect.succeed(json as typeof form.Encoded)
      ),
      encode: SchemaGetter.transform((json: typeof form.Encoded): Schema.Json => Wire.marked(json))
    }),
    Schema.decodeTo(personal, {
      decode: SchemaGetter.transform((json) =>
        "shredded" in json ? shredded(json[Wire.member]) : present(json[Wire.member], json.value)
      ),
      encode: SchemaGetter.transform((personal) =>
        personal._tag === "Shredded"
          ? { [Wire.member]: personal.subject, shredded: true as const }
          : { [Wire.member]: personal.subject, value: personal.value }
      )
    })
  ) as Schema.Constraint as Schema.Codec<Personal<V["Type"]>, Schema.Json>
}
