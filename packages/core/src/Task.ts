/**
 * A task is a side effect with a name: charging a card, sending a mail. It is declared once, with schemas for what it is
 * given and what comes of it, so that a reducer can ask for it as data ({@link Fx.perform}) and a test can answer it
 * without running anything. What really happens is its handler's business, which a Layer provides.
 *
 * A {@link Source} is a task's sibling that yields any number of values: the positions of a courier, the lines of a file.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"

/** A schema that needs no services to decode or encode. */
type Pure<A> = Schema.Codec<A, unknown>

/** The declaration of a task: `I` its input, `S` its success, `F` its expected failure. */
export interface Task<out Name extends string, in out I, in out S, in out F> {
  readonly name: Name
  readonly input: Pure<I>
  readonly success: Pure<S>
  readonly failure: Pure<F>
}

/** Any task; `any` stands for every type but `never`, so one that never fails is named beside. */
// eslint-disable-next-line typescript/no-explicit-any -- a bound that every task must fit, whatever it is about
export type AnyTask = Task<string, any, any, any> | Task<string, any, any, never>

/** What a task is given. */
export type InputOf<T extends AnyTask> = T extends Task<string, infer I, infer _S, infer _F> ? I : never
/** What a task yields when it succeeds. */
export type SuccessOf<T extends AnyTask> = T extends Task<string, infer _I, infer S, infer _F> ? S : never
/** What a task yields when it fails as expected. */
export type FailureOf<T extends AnyTask> = T extends Task<string, infer _I, infer _S, infer F> ? F : never

/** The service that performs a task. It stands in an effect's requirements until {@link layer} provides it. */
export interface Handler<out Name extends string> {
  readonly _tag: "@composable-ts/core/Task/Handler"
  readonly name: Name
}

/** The services that perform some tasks. */
export type HandlerOf<T extends AnyTask> = T extends AnyTask ? Handler<T["name"]> : never

/** Performs a task. */
export type Perform<T extends AnyTask> = (input: InputOf<T>) => Effect.Effect<SuccessOf<T>, FailureOf<T>>

/**
 * Declares a task.
 *
 * @example
 * ```ts
 * import * as Task from "@composable-ts/core/Task"
 * import * as Schema from "effect/Schema"
 *
 * const ChargeCard = Task.define("ChargeCard", {
 *   input: Schema.Struct({ cents: Schema.Int }),
 *   success: Schema.Struct({ receipt: Schema.String }),
 *   failure: Schema.TaggedStruct("Declined", {})
 * })
 *
 * ChargeCard.name // => "ChargeCard"
 * ```
 */
export const define = <const Name extends string, I, S, F>(
  name: Name,
  schemas: { readonly input: Pure<I>; readonly success: Pure<S>; readonly failure: Pure<F> }
): Task<Name, I, S, F> => ({ name, ...schemas })

/** The name under which a context holds the handler of a task of this name. */
export const handlerKey = (name: string): string => `@composable-ts/core/Task/${name}`

/** The key under which a task's handler is found. */
export const handler = <T extends AnyTask>(task: T): Context.Service<HandlerOf<T>, Perform<T>> =>
  Context.Service<HandlerOf<T>, Perform<T>>(handlerKey(task.name))

/** Provides a task's handler. What the handler needs is taken from the layer's own context. */
export const layer = <T extends AnyTask, R>(
  task: T,
  perform: (input: InputOf<T>) => Effect.Effect<SuccessOf<T>, FailureOf<T>, R>
): Layer.Layer<HandlerOf<T>, never, R> =>
  Layer.effect(
    handler(task),
    Effect.map(Effect.context<R>(), (context): Perform<T> => (input) => Effect.provideContext(perform(input), context))
  )
