/**
 * Events are the facts that a feature stores. Each is declared with its version history, because a stored fact can never
 * be changed: when its shape must change, the next version says how every older one becomes it.
 *
 * In memory an event is a plain record tagged with its bare name; stored, it goes under its name and version,
 * `OrderPlaced.v2`.
 */
import type * as Schema from "effect/Schema"

/**
 * The fields of a command or an event: Effect Schemas that need no services to decode or encode. None may be called
 * `_tag`, which is the action's name.
 */
export interface Fields {
  readonly [field: PropertyKey]: Schema.Constraint & {
    readonly DecodingServices: never
    readonly EncodingServices: never
  }
  readonly _tag?: never
}

type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends { readonly "~type.optionality": "optional" } ? K : never
}[keyof F]

/** One record instead of an intersection of two, as it is shown in editors. */
type Merged<A> = { readonly [K in keyof A]: A[K] }

/**
 * The values of some {@link Fields}, all of them immutable. Otherwise what `Schema.Struct.Type` is, for two thirds of the
 * type checker's work on a feature.
 */
export type Payload<F extends Fields> = [OptionalKeys<F>] extends [never] ? { readonly [K in keyof F]: F[K]["Type"] }
  : Merged<
    & { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: F[K]["Type"] }
    & { readonly [K in OptionalKeys<F>]?: F[K]["Type"] }
  >

/** A former shape of an event, and the step that turns its payload into the next version's. */
export interface Older {
  readonly version: number
  readonly fields: Fields
  readonly upcast: (payload: never) => unknown
}

/** An event's declaration: the fields of its current version, and all older versions, oldest first. */
export interface Versioned<out F extends Fields> {
  readonly version: number
  readonly fields: F
  readonly older: ReadonlyArray<Older>
}

/** A {@link Versioned} event to which a further version can be added. */
export interface Latest<F extends Fields> extends Versioned<F> {
  /**
   * Declares the next version of the event, and how a payload of the version before becomes one of it. Stored events of
   * every older version are decoded and carried through the chain, so code only ever sees the newest shape.
   *
   * @example
   * ```ts
   * import * as Event from "@composable-ts/core/Event"
   * import * as Schema from "effect/Schema"
   *
   * const OrderPlaced = Event.v1({ total: Schema.Int })
   *   .next({ total: Schema.Int, currency: Schema.String }, (old) => ({ ...old, currency: "EUR" }))
   *
   * OrderPlaced.version // => 2
   * ```
   */
  readonly next: <const G extends Fields>(fields: G, upcast: (payload: Payload<F>) => Payload<G>) => Latest<G>
}

const make = <const F extends Fields>(version: number, fields: F, older: ReadonlyArray<Older>): Latest<F> => ({
  version,
  fields,
  older,
  next: (nextFields, upcast) => make(version + 1, nextFields, [...older, { version, fields, upcast }])
})

/** Declares an event by the fields of its first version. */
export const v1 = <const F extends Fields>(fields: F): Latest<F> => make(1, fields, [])
