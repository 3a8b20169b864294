/**
 * An aggregate is an event-sourced unit: it decides commands on its state, and its state follows from its events alone.
 */
import type * as Result from "effect/Result"
import type * as Action from "./Action.ts"
import * as Fx from "./Fx.ts"
import type { Reducer } from "./Reducer.ts"
import * as StreamId from "./StreamId.ts"

/** `S` its state, `C` its commands, `E` its events, `R` the reasons for which it refuses a command. */
export interface Aggregate<S, C extends Tag, E extends Tag, R> {
  readonly actions: Action.Vocabulary<C, E>
  /** The first part of its streams' ids. */
  readonly category: string
  readonly initial: S
  readonly decide: (state: S, command: C, meta: Action.Meta) => Fx.Decision<E, R>
  readonly evolve: (state: S, event: E) => S
  /** Decide and evolve as one reducer: commands leave the state alone, events change it and do nothing else. */
  readonly reduce: Reducer<S, C | E, Fx.Decision<E, R>>
}

type Tag = { readonly _tag: string }

/** An aggregate's state. */
export type StateOf<A> = A extends Aggregate<infer S, infer _C, infer _E, infer _R> ? S : never

/** The rules of an aggregate, as {@link define} takes them. */
export interface Rules<S, C, E, F extends Fx.AnyFx, N extends S> {
  /** The first part of its streams' ids. Default: the vocabulary's name with a small first letter. */
  readonly category?: string
  /** The state before any event. */
  readonly initial: S
  /** What a command leads to: events to append, a refusal, or nothing. Never a new state. */
  readonly decide: (state: NoInfer<S>, command: C, meta: Action.Meta) => F
  /** The state after an event. It serves replay and live alike, so it must be total and depend on nothing else. */
  readonly evolve: (state: NoInfer<S>, event: E) => N
}

/**
 * Defines an aggregate by its rules.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 *
 * const Door = Action.define("Door", {
 *   commands: { Open: {} },
 *   events: { Opened: Event.v1({}) }
 * })
 *
 * const door = Aggregate.define(Door, {
 *   initial: { open: false },
 *   decide: (state, _command) => state.open ? Fx.reject({ _tag: "AlreadyOpen" }) : Fx.append(Door.Opened()),
 *   evolve: (_state, _event) => ({ open: true })
 * })
 *
 * door.evolve(door.initial, Door.Opened()) // => { open: true }
 * ```
 */
export const define = <C extends Tag, E extends Tag, S, F extends Fx.Decision<E, Tag>, const N extends S>(
  actions: Action.Vocabulary<C, E>,
  rules: Rules<S, C, E, F, N>
): Aggregate<S, C, E, Fx.ReasonOf<F>> => {
  const { category, evolve, initial } = rules
  // F is what decide returns, so its reasons are R by definition; the compiler cannot carry that through a conditional.
  const decide = rules.decide as Aggregate<S, C, E, Fx.ReasonOf<F>>["decide"]
  return {
    actions,
    category: category ?? actions.name.charAt(0).toLowerCase() + actions.name.slice(1),
    initial,
    decide,
    evolve,
    reduce: (state, action, meta) =>
      actions.isEvent(action) ? [evolve(state, action), Fx.none] : [state, decide(state, action, meta)]
  }
}

/** The stream of one of the aggregate's instances. */
export const streamId = <S, C extends Tag, E extends Tag, R>(
  aggregate: Aggregate<S, C, E, R>,
  id: string
): Result.Result<StreamId.StreamId, StreamId.InvalidStreamId> => StreamId.make(aggregate.category, id)
