/**
 * A source is a stream of values with a name: a courier's positions, the messages of a topic. It is a {@link Task} that
 * yields any number of values: declared with schemas, asked for as data ({@link Fx.subscribe}), provided by a Layer.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/** A schema that needs no services to decode or encode. */
type Pure<A> = Schema.Codec<A, unknown>

/** The declaration of a source: `I` its input, `A` its values, `F` its expected failure. */
export interface Source<out Name extends string, in out I, in out A, in out F> {
  readonly kind: "Source"
  readonly name: Name
  readonly input: Pure<I>
  readonly value: Pure<A>
  readonly failure: Pure<F>
}

/** Any source; `any` stands for every type but `never`, so one that never fails is named beside. */
// eslint-disable-next-line typescript/no-explicit-any -- a bound that every source must fit, whatever it is about
export type AnySource = Source<string, any, any, any> | Source<string, any, any, never>

/** What a source is given. */
export type InputOf<T extends AnySource> = T extends Source<string, infer I, infer _A, infer _F> ? I : never
/** What a source yields. */
export type ValueOf<T extends AnySource> = T extends Source<string, infer _I, infer A, infer _F> ? A : never
/** How a source fails as expected. */
export type FailureOf<T extends AnySource> = T extends Source<string, infer _I, infer _A, infer F> ? F : never

/** The service that opens a source. It stands in an effect's requirements until {@link layer} provides it. */
export interface Handler<out Name extends string> {
  readonly _tag: "@composable-ts/core/Source/Handler"
  readonly name: Name
}

/** The services that open some sources. */
export type HandlerOf<T extends AnySource> = T extends AnySource ? Handler<T["name"]> : never

/** Opens a source. */
export type Open<T extends AnySource> = (input: InputOf<T>) => Stream.Stream<ValueOf<T>, FailureOf<T>>

/**
 * Declares a source.
 *
 * @example
 * ```ts
 * import * as Source from "@composable-ts/core/Source"
 * import * as Schema from "effect/Schema"
 *
 * const Ticks = Source.define("Ticks", { input: Schema.Int, value: Schema.Int, failure: Schema.Never })
 *
 * Ticks.name // => "Ticks"
 * ```
 */
export const define = <const Name extends string, I, A, F>(
  name: Name,
  schemas: { readonly input: Pure<I>; readonly value: Pure<A>; readonly failure: Pure<F> }
): Source<Name, I, A, F> => ({ kind: "Source", name, ...schemas })

/** The name under which a context holds the handler of a source of this name. */
export const handlerKey = (name: string): string => `@composable-ts/core/Source/${name}`

/** The key under which a source's handler is found. */
export const handler = <T extends AnySource>(source: T): Context.Service<HandlerOf<T>, Open<T>> =>
  Context.Service<HandlerOf<T>, Open<T>>(handlerKey(source.name))

/** Provides a source's handler. What the handler needs is taken from the layer's own context. */
export const layer = <T extends AnySource, R>(
  source: T,
  open: (input: InputOf<T>) => Stream.Stream<ValueOf<T>, FailureOf<T>, R>
): Layer.Layer<HandlerOf<T>, never, R> =>
  Layer.effect(
    handler(source),
    Effect.map(Effect.context<R>(), (context): Open<T> => (input) => Stream.provideContext(open(input), context))
  )
