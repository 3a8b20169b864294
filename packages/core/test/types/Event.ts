/**
 * What a chain of versions infers, and what it forbids.
 */
import * as Event from "@composable-ts/core/Event"
import { Context, Effect, Schema, SchemaTransformation } from "effect"
import type { Equals, Flat, Proof } from "./Proof.ts"

const first = Event.v1({ total: Schema.Int })

/** An upcaster gets the payload of the version before it. */
const third = first
  .next({ total: Schema.Int, currency: Schema.String }, (old) => {
    type Old = Proof<Equals<Flat<typeof old>, { readonly total: number }>>
    return { ...old, currency: "EUR" } satisfies { currency: string } & (Old extends true ? {} : never)
  })
  .next({ cents: Schema.BigInt }, (old) => {
    type Old = Proof<Equals<Flat<typeof old>, { readonly total: number; readonly currency: string }>>
    return { cents: BigInt(old.total) } satisfies { cents: bigint } & (Old extends true ? {} : never)
  })
export type Newest = Proof<Equals<Flat<Event.Payload<typeof third.fields>>, { readonly cents: bigint }>>

const fields = {
  id: Schema.String.pipe(Schema.brand("Id")),
  note: Schema.optionalKey(Schema.String),
  tip: Schema.optional(Schema.Int),
  rate: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(1))),
  lines: Schema.Array(Schema.Struct({ sku: Schema.String, gift: Schema.optionalKey(Schema.Boolean) }))
}
/** The values of fields are what a struct of them has, but for what a struct would let be written. */
export type Values = [
  Proof<Equals<Event.Payload<typeof fields>, Schema.Struct.Type<typeof fields>>>,
  Proof<Equals<Event.Payload<{ a: Schema.Int }>, { readonly a: number }>>,
  Proof<Equals<Event.Payload<{ a: Schema.optionalKey<Schema.Int> }>, { readonly a?: number }>>,
  Proof<Equals<Event.Payload<{}>, {}>>,
  Proof<
    Equals<
      Event.Payload<{ a: Schema.mutableKey<Schema.Int>; b: Schema.String }>,
      { readonly a: number; readonly b: string }
    >
  >
]

const second = { total: Schema.Int, currency: Schema.String }

// @ts-expect-error -- the step from version 1 to 2 is missing
first.next(second)
// @ts-expect-error -- the upcaster forgets a field
first.next(second, (old) => old)
// @ts-expect-error -- the upcaster gives a field another type
first.next(second, (old) => ({ ...old, currency: 978 }))
// @ts-expect-error -- the upcaster reads a field that the version before did not have
first.next(second, (old) => ({ ...old, currency: old.currency }))
// @ts-expect-error -- the upcaster takes another payload than the version before
first.next(second, (old: { readonly sum: number }) => ({ total: old.sum, currency: "EUR" }))
// @ts-expect-error -- a version is declared by fields, not by a number
Event.v1(2)

class Rates extends Context.Service<Rates, { readonly euro: number }>()("Rates") {}

const InEuro = Schema.Number.pipe(Schema.decodeTo(
  Schema.Number,
  SchemaTransformation.transformEffect({
    decode: (n: number) => Effect.map(Rates, ({ euro }) => n * euro),
    encode: (n: number) => Effect.map(Rates, ({ euro }) => n / euro)
  })
))
// @ts-expect-error -- a field that needs a service to decode: events are decoded wherever they are read
Event.v1({ price: InEuro })
