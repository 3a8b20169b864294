/**
 * A reducer is the only place where decisions and state changes live. It is pure and total: everything it wants done it
 * returns as data.
 */
import type { Meta } from "./Action.ts"
import * as Fx from "./Fx.ts"
import type * as Source from "./Source.ts"
import type { AnyTask, FailureOf, InputOf, SuccessOf } from "./Task.ts"

/** The next state, and what to do. */
export type Step<S, F extends Fx.AnyFx = Fx.None> = readonly [state: S, effects: F]

/** `S` the state, `A` the actions it understands, `F` what it may want done. */
export type Reducer<in out S, in A, out F extends Fx.AnyFx = Fx.None> = (state: S, action: A, meta: Meta) => Step<S, F>

/** Any reducer. */
// eslint-disable-next-line typescript/no-explicit-any -- a bound that every reducer must fit, whatever its state
export type AnyReducer = (state: any, action: any, meta: Meta) => readonly [any, Fx.AnyFx]

/** A reducer's state. */
export type StateOf<R extends AnyReducer> = Parameters<R>[0]
/** A reducer's actions. */
export type ActionOf<R extends AnyReducer> = Parameters<R>[1]
/** What a reducer may want done. */
export type FxOf<R extends AnyReducer> = ReturnType<R>[1]

/** The action that reports how a task ended. The request is at hand, so what comes back need not repeat it. */
export interface Outcome<T extends AnyTask, A> {
  readonly success: (value: SuccessOf<T>, input: InputOf<T>) => A
  readonly failure: (error: FailureOf<T>, input: InputOf<T>) => A
}

/** The actions that report what a source yields, and how it ended. */
export interface Yields<U extends Source.AnySource, A> {
  readonly value: (value: Source.ValueOf<U>, input: Source.InputOf<U>) => A
  readonly failure: (error: Source.FailureOf<U>, input: Source.InputOf<U>) => A
  /** Its end without a failure. Nothing, when left out. */
  readonly end?: (input: Source.InputOf<U>) => A
}

/** A task, or a source: what a reducer may ask for by name. */
export type Asked = AnyTask | Source.AnySource

/** The tasks and sources that a description asks for. */
export type AskedOf<F> = Fx.TaskOf<F> | Fx.SourceOf<F>

type Answer<T extends Asked, A> = T extends Source.AnySource ? Yields<T, A> : T extends AnyTask ? Outcome<T, A> : never

/** An {@link Outcome} for every task, {@link Yields} for every source, by name. */
export type Outcomes<T extends Asked, A> = {
  readonly [Name in T["name"]]: Answer<Extract<T, { readonly name: Name }>, A>
}

type TaskNamed<T, Name> = Extract<T, AnyTask & { readonly name: Name }>
type SourceNamed<T, Name> = Extract<T, Source.AnySource & { readonly name: Name }>
type FailureNamed<T, Name> = FailureOf<TaskNamed<T, Name>> | Source.FailureOf<SourceNamed<T, Name>>
type InputNamed<T, Name> = InputOf<TaskNamed<T, Name>> | Source.InputOf<SourceNamed<T, Name>>

/**
 * {@link Outcomes} for those of the names in `O`, written so that the compiler types the parameters of an answer by its
 * name alone: where the tasks themselves are inferred from the same object, it knows them only when it comes to them.
 */
export type AnswersTo<T extends Asked, A, O> = {
  readonly [Name in keyof O]: {
    readonly success?: (value: SuccessOf<TaskNamed<T, Name>>, input: InputNamed<T, Name>) => A
    readonly value?: (value: Source.ValueOf<SourceNamed<T, Name>>, input: InputNamed<T, Name>) => A
    readonly failure?: (error: FailureNamed<T, Name>, input: InputNamed<T, Name>) => A
    readonly end?: (input: InputNamed<T, Name>) => A
  }
}

/** A reducer that says what the outcomes of its tasks mean to it. */
export interface WithOutcomes<T extends Asked> {
  readonly outcomes: AnyOutcomes
  readonly "~asked"?: T
}

/** Outcomes of whatever tasks and sources, by name. */
export type AnyOutcomes = Readonly<Record<string, Outcome<AnyTask, unknown> | Yields<Source.AnySource, unknown>>>

/**
 * Says which action reports each task's outcome.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Reducer from "@composable-ts/core/Reducer"
 * import * as Task from "@composable-ts/core/Task"
 * import * as Schema from "effect/Schema"
 *
 * const RollDice = Task.define("RollDice", { input: Schema.Null, success: Schema.Int, failure: Schema.Never })
 * type Action = { readonly _tag: "Roll" } | { readonly _tag: "Rolled"; readonly eyes: number }
 *
 * const dice = Reducer.withOutcomes(
 *   (eyes: number, action: Action) =>
 *     action._tag === "Roll" ? Reducer.step(eyes, Fx.perform(RollDice, null)) : Reducer.step(action.eyes),
 *   { RollDice: { success: (eyes) => ({ _tag: "Rolled", eyes }), failure: (never) => never } }
 * )
 * ```
 */
export const withOutcomes = <R extends AnyReducer, const O extends Outcomes<AskedOf<FxOf<R>>, ActionOf<R>>>(
  reducer: R,
  outcomes: O
): R & WithOutcomes<AskedOf<FxOf<R>>> => {
  const copy: AnyReducer = (state, action, meta) => reducer(state, action, meta)
  return Object.assign(copy as R, reducer, { outcomes })
}

/** A reducer whose store tells of every action. */
export interface Instrumented {
  readonly instrumented: string
}

/**
 * Has every action of the reducer told of, under the feature's name: a debug line in the log with the places of the state
 * that changed and the effects, a span, a count of actions and the time that reducing took. The reducer stays pure: the
 * store that runs it tells.
 */
export const instrument = <R extends AnyReducer>(reducer: R, feature: string): R & Instrumented => {
  const copy: AnyReducer = (state, action, meta) => reducer(state, action, meta)
  return Object.assign(copy as R, reducer, { instrumented: feature })
}

/** The next state, and what to do; nothing, when left out. */
export const step: {
  <const S>(state: S): Step<S>
  <const S, F extends Fx.AnyFx>(state: S, effects: F): Step<S, F>
} = <S>(state: S, effects: Fx.AnyFx = Fx.none): Step<S, never> => [state, effects as never]
