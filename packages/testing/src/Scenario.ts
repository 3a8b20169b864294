/**
 * Tests of a feature as a story: what is sent, what comes back, how requests end, how time passes. Nothing runs: a task
 * waits until the story answers it, a timer until the story advances the time. So a story takes microseconds and cannot
 * flake, and still everything is reduced, started, cancelled and put in order as a live store would.
 *
 * A story is exhaustive. Leaving out `state` claims that it stays as it was, leaving out `fx` that nothing is to be done,
 * and at its end nothing may be left: no action unreceived, no request unanswered, no timer or subscription running.
 */
import type { Aggregate } from "@composable-ts/core/Aggregate"
import type * as Fx from "@composable-ts/core/Fx"
import type { Current } from "@composable-ts/core/History"
import type { ActionOf, AnyReducer, FxOf, StateOf } from "@composable-ts/core/Reducer"
import type * as Source from "@composable-ts/core/Source"
import type * as Task from "@composable-ts/core/Task"
import type * as Duration from "effect/Duration"
import type { Which } from "./internal/scenario/Deed.ts"
import { type AnyAggregate, machineOf } from "./internal/scenario/Machine.ts"
import type { Move, One } from "./internal/scenario/Move.ts"
import { Simulation } from "./internal/scenario/Simulation.ts"
import { StoryBroken } from "./internal/scenario/StoryBroken.ts"
import { Teller } from "./internal/scenario/Teller.ts"

export { type Move, type One, StoryBroken, type Which }

type Tag = { readonly _tag: string }

/** A feature as a story sees it: its state, what is sent to it, what comes back, and what it may want done. */
export interface Feature {
  readonly state: unknown
  readonly action: unknown
  readonly event: unknown
  readonly reason: unknown
  readonly fx: Fx.AnyFx
  readonly task: Task.AnyTask
  readonly source: Source.AnySource
}

/** A composed feature cancels what a part has under way when that part goes, whatever the parts themselves ask for. */
type ClaimableFx<F> = Fx.Nested<Fx.LeafOf<F> | Fx.None | Fx.CancelAll>

interface OfReducer<R extends AnyReducer> {
  readonly state: StateOf<R>
  readonly action: ActionOf<R>
  readonly event: never
  readonly reason: Fx.ReasonOf<FxOf<R>>
  readonly fx: ClaimableFx<FxOf<R>>
  readonly task: Fx.TaskOf<FxOf<R>>
  readonly source: Fx.SourceOf<FxOf<R>>
}

// eslint-disable-next-line typescript/no-explicit-any -- an aggregate's type keeps only the names of what it asks for
type NamedTask<N> = N extends Task.Handler<infer K> ? Task.Task<K, any, any, any> | Task.Task<K, any, any, never>
  : never
type NamedSource<N> = N extends Source.Handler<infer K>
  // eslint-disable-next-line typescript/no-explicit-any -- as for tasks
  ? Source.Source<K, any, any, any> | Source.Source<K, any, any, never>
  : never

interface OfAggregate<S, C, E, R, N> {
  readonly state: S
  readonly action: C
  readonly event: E
  readonly reason: R
  readonly fx: Fx.Fx<never, never, C, Task.AnyTask, Source.AnySource>
  readonly task: NamedTask<N>
  readonly source: NamedSource<N>
}

/** What a reducer or an aggregate is to a story. */
export type FeatureOf<X> = X extends AnyReducer ? OfReducer<X>
  : X extends Aggregate<infer S, infer C, infer E, infer R, infer N> ? OfAggregate<S, C, E, R, N>
  : never

/** Declares keys impossible. */
type Without<K extends string> = { readonly [P in K]?: never }

type EventClaim<F extends Feature> = [F["event"]] extends [never] ? Without<"events">
  : { readonly events?: ReadonlyArray<F["event"]> }

/** What an action comes to: the state that it becomes, what is to be done, the events of an aggregate; or a refusal. */
export type Claim<F extends Feature> =
  | ({ readonly state?: F["state"]; readonly fx?: F["fx"] } & EventClaim<F> & Without<"rejected">)
  | RefusalClaim<F["reason"]>

type RefusalClaim<R> = [R] extends [never] ? never : { readonly rejected: R } & Without<"state" | "fx" | "events">

/** Some of a value: fields of records may be left out, at any depth. */
export type Some<T> = T extends ReadonlyArray<infer E> ? ReadonlyArray<Some<E>>
  : T extends Iterable<unknown> ? T
  : T extends object ? { readonly [K in keyof T]?: Some<T[K]> }
  : T

type SomeEvents<F extends Feature> = [F["event"]] extends [never] ? Without<"events">
  : { readonly events?: ReadonlyArray<Some<F["event"]>> }

/**
 * Some of what an action comes to. What is left out is not claimed. The state is given in part, or as a predicate, which
 * is called once; `fx` names effects that must be among those to be done.
 */
export type PartialClaim<F extends Feature> =
  | (
    & { readonly state?: Some<F["state"]> | ((state: F["state"]) => boolean); readonly fx?: F["fx"] }
    & SomeEvents<F>
    & Without<"rejected">
  )
  | RefusalClaim<Some<F["reason"]>>

/** How a task ended. */
export type Ending<T extends Task.AnyTask> =
  | { readonly success: Task.SuccessOf<T>; readonly failure?: never }
  | FailedEnding<Task.FailureOf<T>>

type FailedEnding<E> = [E] extends [never] ? never : { readonly failure: E; readonly success?: never }

/** A request's input, or a predicate of it. */
export type Input<T extends Task.AnyTask> = Task.InputOf<T> | ((input: Task.InputOf<T>) => boolean)

type Failing<F extends Feature> = F["source"] extends infer U
  ? U extends Source.AnySource ? [Source.FailureOf<U>] extends [never] ? never : U : never
  : never

interface Loadable<S> {
  readonly category: string
  readonly initial: S
}

/** Makes the moves that {@link Story.interleavings} puts in order, and that {@link Story.explore} may make. */
export interface May<F extends Feature> {
  readonly send: (action: F["action"]) => Move
  /** The request ends in one of the ways given. */
  readonly answer: <T extends F["task"]>(
    task: T | One<T>,
    input: NoInfer<Input<T>>,
    ...endings: readonly [NoInfer<Ending<T>>, ...ReadonlyArray<NoInfer<Ending<T>>>]
  ) => Move
  readonly yields: <U extends F["source"]>(
    source: U | One<U>,
    ...values: readonly [NoInfer<Source.ValueOf<U>>, ...ReadonlyArray<NoInfer<Source.ValueOf<U>>>]
  ) => Move
  readonly ends: <U extends F["source"]>(source: U | One<U>) => Move
  readonly fails: <U extends Failing<F>>(source: U | One<U>, error: NoInfer<Source.FailureOf<U>>) => Move
  readonly loads: <S>(
    aggregate: Loadable<S> | One<Loadable<S>>,
    ...currents: readonly [NoInfer<Current<S>>, ...ReadonlyArray<NoInfer<Current<S>>>]
  ) => Move
  readonly ran: (action: F["action"], which?: Which) => Move
  readonly completes: (fx: F["fx"], which?: Which) => Move
  readonly breaks: (fx: F["fx"], which?: Which) => Move
  readonly advance: (duration: Duration.Input) => Move
}

/** What may happen, and what must hold whatever its order. */
export interface Interleaving<F extends Feature> {
  /** Every request under way, with the outcomes that it may have; and what else may happen meanwhile. */
  readonly answers: (may: May<F>) => ReadonlyArray<Move>
  /** Must hold after every action. */
  readonly invariant: (state: F["state"]) => boolean
  /** How many orders to run at most; more are an error. Default 10 000. */
  readonly maxOrders?: number
}

/** What to look for, and what may be done on the way. */
export interface Exploration<F extends Feature> {
  /** What may be sent, any number of times. */
  readonly actions: ReadonlyArray<F["action"]>
  /** What else may happen, whenever it can: requests ending, time passing. */
  readonly answers?: (may: May<F>) => ReadonlyArray<Move>
  readonly until: (state: F["state"]) => boolean
  /** How many steps to go at most; what feeds back is received on the way and does not count. */
  readonly maxSteps: number
  /** How many situations to look at, at most. Default 10 000. */
  readonly maxStates?: number
}

/** The shortest way to a state. */
export interface Way<out S> {
  readonly steps: number
  readonly state: S
  /** The way as code for a test: a line for each step, with all that it comes to. */
  readonly script: string
}

/** A story about a feature, with exact or partial claims. Each step throws {@link StoryBroken} when it is not true. */
export interface Story<F extends Feature, C> {
  /** The state now. */
  readonly state: F["state"]
  /** The time now, in milliseconds. */
  readonly now: number
  /** Sends an action from outside. */
  readonly send: (action: F["action"], claim?: C) => this
  /** Sends an action, and claims only what is mentioned. */
  readonly sendPartial: (action: F["action"], claim?: PartialClaim<F>) => this
  /** Receives the action that was fed back next: sent by an effect, a timer, or as the outcome of a request. */
  readonly receive: (action: F["action"], claim?: C) => this
  /** Receives the action that was fed back next, and claims only what is mentioned of it and of what it comes to. */
  readonly receivePartial: (action: Some<F["action"]>, claim?: PartialClaim<F>) => this
  /** A request ends. What it reports is fed back. */
  readonly answer: <T extends F["task"]>(
    task: T | One<T>,
    input: NoInfer<Input<T>>,
    ending: NoInfer<Ending<T>>
  ) => this
  /** A subscription yields values. Each is received before the next one comes. */
  readonly yields: <U extends F["source"]>(
    source: U | One<U>,
    ...values: readonly [NoInfer<Source.ValueOf<U>>, ...ReadonlyArray<NoInfer<Source.ValueOf<U>>>]
  ) => this
  /** A subscription ends, without a failure. */
  readonly ends: <U extends F["source"]>(source: U | One<U>) => this
  /** A subscription fails. */
  readonly fails: <U extends Failing<F>>(source: U | One<U>, error: NoInfer<Source.FailureOf<U>>) => this
  /** The state of another aggregate's instance is loaded. */
  readonly loads: <S>(aggregate: Loadable<S> | One<Loadable<S>>, current: NoInfer<Current<S>>) => this
  /** An effect of `Fx.run` yields its action. */
  readonly ran: (action: F["action"], which?: Which) => this
  /**
   * Within a group, a dispatch, a transaction, something published or a snapshot has come about, so that the group goes
   * on. On its own nothing depends on it, and it is enough to claim it.
   */
  readonly completes: (fx: F["fx"], which?: Which) => this
  /** Something under way goes wrong in a way that no action reports: a handler dies, a transaction fails. */
  readonly breaks: (fx: F["fx"], which?: Which) => this
  /** A sequence stopped, because a member failed; these were not begun. One that was cancelled stops without a word. */
  readonly stopped: (...left: readonly [F["fx"], ...ReadonlyArray<F["fx"]>]) => this
  /** Time passes. It stands still at each timer that is due until what the timer sends is received. */
  readonly advance: (duration: Duration.Input) => this
  /**
   * Follows every order in which the answers may come from here, receiving whatever is fed back, and checks an invariant
   * after every action. The story itself stays where it is, and need not answer the requests under way any more. Yields
   * the number of orders.
   */
  readonly interleavings: (interleaving: Interleaving<F>) => number
  /** Looks for the shortest way from here to a state. The story itself stays where it is. */
  readonly explore: (exploration: Exploration<F>) => Way<F["state"]>
}

interface Common {
  /** The time at the beginning, in milliseconds since the epoch. Default 0. */
  readonly time?: number
  /** Whether claims say only what matters, and not all there is. Default: all there is. */
  readonly partial?: boolean
}

/** Where a story of a reducer begins. */
export interface ReducerOptions<S> extends Common {
  readonly initial: S
}

/** Where a story of an aggregate begins: at its initial state, behind past events, or at a state. */
export interface AggregateOptions<S, E> extends Common {
  readonly initial?: S
  /** The past, oldest first. */
  readonly given?: ReadonlyArray<E>
}

type OptionsOf<X> = X extends AnyReducer ? ReducerOptions<StateOf<X>>
  : AggregateOptions<FeatureOf<X>["state"], FeatureOf<X>["event"]>

/** The story of a subject, its claims partial if the options say so. */
export type StoryOf<X, O> = FeatureOf<X> extends infer F extends Feature
  ? Story<F, O extends { readonly partial: true } ? PartialClaim<F> : Claim<F>>
  : never

/**
 * Tells a story about a reducer or an aggregate, and checks each step of it, and that nothing is left open at its end.
 * Throws {@link StoryBroken}; the trace leads to the step, or to the one that began what was left open.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Reducer from "@composable-ts/core/Reducer"
 * import * as Task from "@composable-ts/core/Task"
 * import * as Scenario from "@composable-ts/testing/Scenario"
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
 *
 * Scenario.run(dice, { initial: 0 }, (story) => {
 *   story.send({ _tag: "Roll" }, { fx: Fx.perform(RollDice, null) })
 *   story.answer(RollDice, null, { success: 5 })
 *   story.receive({ _tag: "Rolled", eyes: 5 }, { state: 5 })
 * })
 * ```
 */
export const run = <const X extends AnyReducer | AnyAggregate, const O extends OptionsOf<X>>(
  subject: X,
  options: O & OptionsOf<X>,
  tell: (story: StoryOf<X, O>) => StoryOf<X, O> | void
): void => {
  const given: Common & { readonly initial?: unknown; readonly given?: ReadonlyArray<Tag> } = options
  const simulation = new Simulation(machineOf(subject), beginning(subject, given), given.time ?? 0)
  const teller = new Teller(machineOf(subject), simulation, given.partial === true ? "partial" : "exact")
  const told: unknown = tell(teller as unknown as StoryOf<X, O>)
  if (told instanceof Promise) throw asynchronous(run)
  teller.finish()
}

const beginning = (
  subject: AnyReducer | AnyAggregate,
  options: { readonly initial?: unknown; readonly given?: ReadonlyArray<Tag> }
): unknown => {
  if (typeof subject === "function") return options.initial
  const initial: unknown = "initial" in options ? options.initial : subject.initial
  return (options.given ?? []).reduce<unknown>((state, event) => subject.evolve(state, event), initial)
}

const asynchronous = (method: (...given: never) => unknown): StoryBroken => {
  const broken = new StoryBroken({
    happened: "The story is asynchronous, so its end came before its steps.",
    because: "the function given to Scenario.run is async.",
    wayOut: "take `async` and `await` away: nothing in a story waits for anything."
  })
  Error.captureStackTrace(broken, method)
  return broken
}

/**
 * Says which one is meant when several requests or subscriptions of one declaration are under way.
 *
 * @example
 * ```ts
 * import * as Task from "@composable-ts/core/Task"
 * import * as Scenario from "@composable-ts/testing/Scenario"
 * import * as Schema from "effect/Schema"
 *
 * const Charge = Task.define("Charge", { input: Schema.Int, success: Schema.Null, failure: Schema.Never })
 *
 * Scenario.one(Charge, { id: "second" }).which // => { id: "second" }
 * ```
 */
export const one = <D extends object>(declaration: D, which: Which): One<D> => ({ _tag: "One", declaration, which })
