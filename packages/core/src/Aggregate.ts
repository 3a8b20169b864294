/**
 * An aggregate is an event-sourced unit: it decides commands on its state, its state follows from its events alone, and
 * what else is to happen because of an event is its reaction.
 */
import type * as Result from "effect/Result"
import type * as Action from "./Action.ts"
import * as Fx from "./Fx.ts"
import { decisionOf } from "./internal/decision.ts"
import type { AnswersTo, AnyOutcomes, AskedOf, Outcomes, Reducer } from "./Reducer.ts"
import { checked, type Policy } from "./Snapshot.ts"
import type { SnapshotStore } from "./SnapshotStore.ts"
import type { AnySource } from "./Source.ts"
import * as StreamId from "./StreamId.ts"
import type { AnyTask } from "./Task.ts"

/**
 * `S` its state, `C` its commands, `E` its events, `R` the reasons for which it refuses a command, `N` what its effects
 * need: handlers of their tasks, a scope to go on in.
 */
export interface Aggregate<S, C extends Tag, E extends Tag, R, out N = never> {
  readonly actions: Action.Vocabulary<C, E>
  /** The first part of its streams' ids. */
  readonly category: string
  readonly initial: S
  readonly decide: (state: S, command: C, meta: Action.Meta) => Fx.Fx<E, R, C, AnyTask, AnySource>
  readonly evolve: (state: S, event: E) => S
  readonly react: (state: S, event: E, meta: Action.Meta) => Fx.Fx<never, never, C, AnyTask, AnySource>
  /** The commands that report what tasks and sources come to, by their names. */
  readonly outcomes: AnyOutcomes
  /** When the state of its instances is kept, so that loading need not replay the whole stream. */
  readonly snapshot: Policy<S> | undefined
  /** Decide, evolve and react as one reducer: commands leave the state alone, events change it and have reactions. */
  readonly reduce: Reducer<S, C | E, Fx.Fx<E, R, C, AnyTask, AnySource>>
  /** Only types. */
  readonly "~needs"?: N
  readonly "~commands"?: C
}

type Tag = { readonly _tag: string }

/** An aggregate's state. */
export type StateOf<A> = A extends Aggregate<infer S, infer _C, infer _E, infer _R, infer _N> ? S : never

/** The rules of an aggregate, as {@link define} takes them. */
export interface Rules<S, C, E, F extends Fx.AnyFx, N extends S, G extends Fx.AnyFx, O, P> {
  /** The first part of its streams' ids. Default: the vocabulary's name with a small first letter. */
  readonly category?: string
  /** The state before any event. */
  readonly initial: S
  /** What a command leads to: events to append, a refusal, or nothing. Never a new state. */
  readonly decide: (state: NoInfer<S>, command: C, meta: Action.Meta) => F
  /** The state after an event. It serves replay and live alike, so it must be total and depend on nothing else. */
  readonly evolve: (state: NoInfer<S>, event: E) => N
  /**
   * What else is to happen because of an event, once it is stored. `state` is the state after it. Only what is live
   * reacts: a replay never does.
   */
  readonly react?: (state: NoInfer<S>, event: E, meta: Action.Meta) => G
  /** The command that reports each task's outcome. Stands behind `decide` and `react`, whose tasks it answers. */
  readonly outcomes?: AnswersTo<AskedOf<F | G>, C, O> & Partial<Outcomes<AskedOf<F | G>, C>>
  /** When the state of the instances is kept, so that loading need not replay the whole stream. Default: never. */
  readonly snapshot?: P
}

/** Nobody can provide this: it stands among an aggregate's needs when a task has no outcomes, to name that task. */
export interface OutcomesMissing<out Task extends string> {
  readonly _tag: "@composable-ts/core/Aggregate/OutcomesMissing"
  readonly task: Task
}
type SnapshotNeed<P> = P extends undefined ? never : SnapshotStore
type Missing<Task extends string> = [Task] extends [never] ? never : OutcomesMissing<Task>

/**
 * Defines an aggregate by its rules. Throws a `RangeError` when its snapshot policy cannot be followed.
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
export const define = <
  C extends Tag,
  E extends Tag,
  S,
  F extends Fx.Fx<E, Tag, C, AnyTask, AnySource>,
  const N extends S,
  G extends Fx.Fx<never, never, C, AnyTask, AnySource> = Fx.None,
  O = {},
  P extends Policy<S> | undefined = undefined
>(
  actions: Action.Vocabulary<C, E>,
  rules: Rules<S, C, E, F, N, G, O, P>
): Aggregate<
  S,
  C,
  E,
  Fx.ReasonOf<F>,
  Fx.NeedsOf<F | G> | Missing<Exclude<AskedOf<F | G>["name"], keyof O>> | SnapshotNeed<P>
> => {
  const { category, evolve, initial, outcomes, react = () => Fx.none, snapshot } = rules
  // F is what decide returns, so its reasons are R by definition; the compiler cannot carry that through a conditional.
  const decide = rules.decide as Aggregate<S, C, E, Fx.ReasonOf<F>>["decide"]
  return {
    actions,
    category: category ?? actions.name.charAt(0).toLowerCase() + actions.name.slice(1),
    initial,
    decide,
    evolve,
    react,
    outcomes: outcomes ?? {},
    snapshot: checked(snapshot),
    reduce: (state, action, meta) => {
      if (!actions.isEvent(action)) return [state, decide(state, action, meta)]
      const next = evolve(state, action)
      return [next, react(next, action, meta)]
    }
  }
}

/** What a command comes to, before anything of it is stored. */
export interface Step<out S, out E, out R> {
  /** Why the command is refused; then there is nothing else. */
  readonly refusal: Fx.Reject<R> | undefined
  /** What is to be stored. */
  readonly events: ReadonlyArray<E>
  /** The state behind the events. */
  readonly state: S
  /** What else is to be done once the events are stored: by the decision, and as reactions to them. */
  readonly effects: Fx.AnyFx
  /** What of that the decision itself wants, whatever becomes of its events. */
  readonly besides: Fx.AnyFx
}

/** A state behind more events, and the reactions to them. Pure. */
export const evolve = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate<S, C, E, R, N>,
  state: S,
  events: ReadonlyArray<E>,
  meta: Action.Meta
): Step<S, E, R> => {
  let next = state
  let effects: Fx.AnyFx = Fx.none
  for (const event of events) {
    next = definition.evolve(next, event)
    const reaction = definition.react(next, event, meta)
    if (reaction._tag !== "None") effects = Fx.all(effects, reaction)
  }
  return { refusal: undefined, events, state: next, effects, besides: Fx.none }
}

/** Decides a command, evolves a state behind the events that it leads to, and collects the reactions. Pure. */
export const step = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate<S, C, E, R, N>,
  state: S,
  command: C,
  meta: Action.Meta
): Step<S, E, R> => {
  const { events, refusal, rest } = decisionOf<E, R>(definition.decide(state, command, meta))
  if (refusal !== undefined) return { refusal, events: [], state, effects: Fx.none, besides: Fx.none }
  const next = evolve(definition, state, events, meta)
  return rest._tag === "None" ? next : { ...next, effects: Fx.all(rest, next.effects), besides: rest }
}

/** The stream of one of the aggregate's instances. */
export const streamId = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate<S, C, E, R, N>,
  id: string
): Result.Result<StreamId.StreamId, StreamId.InvalidStreamId> => StreamId.make(aggregate.category, id)
