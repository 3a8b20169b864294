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
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"

/** A schema that needs no services to decode or encode. */
type Pure<A> = Schema.Codec<A, unknown>

/** The declaration of a task: `I` its input, `S` its success, `F` its expected failure. */
export interface Task<out Name extends string, in out I, in out S, in out F> {
  readonly name: Name
  readonly input: Pure<I>
  readonly success: Pure<S>
  readonly failure: Pure<F>
  /** The input's version, from 1. */
  readonly version: number
  /** The input's former shapes, oldest first. */
  readonly older: ReadonlyArray<OlderInput>
  /** Whether a failure is tried again before it is the outcome, where effects are durable. Default: it is not. */
  readonly retry: Retry<F> | undefined
  /** When it starts, where effects are durable. */
  readonly start: Start
}

/** A former shape of a task's input, and the step that turns it into the next version's. */
export interface OlderInput {
  readonly version: number
  // eslint-disable-next-line typescript/no-explicit-any -- of whatever type it was then
  readonly input: Pure<any>
  readonly upcast: (input: never) => unknown
}

/**
 * When a durable task starts: behind the effects that its instance stored before it, which is the default, or whenever a
 * worker has room. What its instance wants done later waits for the start of the former, and not of the latter.
 */
export type Start = "in order" | "any time"

/** How a task is tried again. */
export interface Retry<in F> {
  /**
   * How long to wait after which attempt, and how often. It is asked anew after each attempt, with the number of attempts
   * alone, so it goes on across restarts; its input is the failure.
   */
  readonly schedule: Schedule.Schedule<unknown>
  /** The failures that are worth another attempt; any other is the outcome at once. Default: all are. */
  readonly while?: ((failure: F) => boolean) | undefined
}

/** What {@link define} takes. */
export interface Declaration<I, S, F> {
  readonly input: Pure<I>
  readonly success: Pure<S>
  readonly failure: Pure<F>
  /** Default: a failure is the outcome at once. Only where effects are durable. */
  readonly retry?: Retry<F> | undefined
  /** Default: `in order`. Only where effects are durable. */
  readonly start?: Start | undefined
}

/** A {@link Task} to whose input a further version can be added. */
export interface Latest<out Name extends string, in out I, in out S, in out F> extends Task<Name, I, S, F> {
  /**
   * Declares the next version of the input, and how one of the version before becomes one of it. What an older program has
   * stored is carried through the chain; what a newer one has stored is left to programs that know it.
   *
   * @example
   * ```ts
   * import * as Task from "@composable-ts/core/Task"
   * import * as Schema from "effect/Schema"
   *
   * const SendMail = Task.define("SendMail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })
   *   .next(Schema.Struct({ to: Schema.String, urgent: Schema.Boolean }), (to) => ({ to, urgent: false }))
   *
   * SendMail.version // => 2
   * ```
   */
  readonly next: <J>(input: Pure<J>, upcast: (input: I) => J) => Latest<Name, J, S, F>
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
  { failure, input, retry, start = "in order", success }: Declaration<I, S, F>
): Latest<Name, I, S, F> => latest({ name, input, success, failure, retry, start, version: 1, older: [] })

const latest = <Name extends string, I, S, F>(task: Task<Name, I, S, F>): Latest<Name, I, S, F> => ({
  ...task,
  next: <J>(input: Pure<J>, upcast: (input: I) => J) => {
    const { older, version } = task
    const former: OlderInput = { version, input: task.input, upcast }
    return latest<Name, J, S, F>({ ...task, input, version: version + 1, older: [...older, former] })
  }
})

/** Which attempt at a task a handler is making. */
export interface CurrentAttempt {
  /**
   * The same for all attempts at one effect, and for no other: what to send to whoever does the work, so that they can tell
   * a repetition.
   */
  readonly idempotencyKey: string
  /** From 1. */
  readonly number: number
}

/**
 * Which attempt the handler is making. Every store sets it; an effect that is not durable is attempted once, with a key
 * of its own.
 *
 * @example
 * ```ts
 * import * as Task from "@composable-ts/core/Task"
 * import { Effect, Schema } from "effect"
 *
 * const Charge = Task.define("Charge", { input: Schema.Int, success: Schema.String, failure: Schema.Never })
 *
 * export const charge = Task.layer(Charge, (cents) =>
 *   Effect.gen(function*() {
 *     const { idempotencyKey } = yield* Task.Attempt
 *     return `charge ${cents} once under ${idempotencyKey}`
 *   }))
 * ```
 */
export const Attempt: Context.Reference<CurrentAttempt> = Context.Reference("@composable-ts/core/Task/Attempt", {
  defaultValue: (): CurrentAttempt => ({ idempotencyKey: "outside of a store", number: 1 })
})

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
