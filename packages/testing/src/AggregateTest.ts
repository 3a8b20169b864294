/**
 * Tests of an aggregate's rules as pure functions: given its past, when a command comes, then these events, this state
 * or this refusal. There is no runtime, no clock and no I/O, and no expectation can be left out: a rule without one does
 * not compile.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Fx from "@composable-ts/core/Fx"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import { accompanying, among, inline, RuleBroken, same } from "./internal/rule.ts"

type Tag = { readonly _tag: string }

/** An event as a program stored it, perhaps in an older version: `{ type: "OrderPlaced.v1", data: … }`. */
export interface StoredEvent {
  readonly type: string
  readonly data: Schema.Json
}

/** Where a rule starts: the state that past events lead to. Without any, the aggregate's initial state. */
export interface Given<out S, out E> {
  /** The past, oldest first: events, or stored events of any declared version. */
  readonly given?: ReadonlyArray<E | StoredEvent>
  /** The state that the past starts from. Default: the aggregate's initial state. */
  readonly givenState?: S
}

/** What happens: a command, or several, one after the other, of which all but the last must be accepted. */
export interface When<out C> {
  readonly when: C | NonEmptyReadonlyArray<C>
  /**
   * What accompanies the commands, for rules that look at it. Default: time 0, and the ids `command-1`, `command-2` and
   * so on, each command its own correlation and cause.
   */
  readonly meta?: Partial<Meta>
}

/** Accepted: all events that the commands appended, in order. Empty when they had nothing to record. */
export interface ThenEvents<out E> {
  readonly thenEvents: ReadonlyArray<E>
}

/** The state in the end. */
export interface ThenState<out S> {
  readonly thenState: S
}

/** What else was to be done, by all commands and as reactions to their events. Leaving both out claims: nothing. */
export type ThenEffects =
  /** All of it. */
  | { readonly thenEffects?: Fx.AnyFx; readonly thenAmongEffects?: never }
  /** These are among it, in whatever group; of the rest nothing is said. */
  | { readonly thenAmongEffects: NonEmptyReadonlyArray<Fx.AnyFx>; readonly thenEffects?: never }

/** What {@link ThenEffects} may say, where nothing may be said of it. */
interface NoEffects {
  readonly thenEffects?: never
  readonly thenAmongEffects?: never
}

/** The last command was refused, for this reason; the state is what it was. */
export interface ThenRefused<out R> {
  readonly thenRefused: R
}

/** Declares an expectation's keys impossible where it would have no meaning. */
type Never<Expectation> = { readonly [K in keyof Expectation]?: never }

/** What a command leads to. */
export type Decision<S, C, E, R> =
  & Given<S, E>
  & When<C>
  & (
    | (ThenEvents<E> & ThenEffects & Partial<ThenState<S>> & Never<ThenRefused<R>>)
    | (ThenState<S> & ThenEffects & Never<ThenEvents<E>> & Never<ThenRefused<R>>)
    | (ThenRefused<R> & Never<ThenEvents<E>> & Never<ThenState<S>> & NoEffects)
  )

/** What past events lead to, with no command. */
export type Replay<S, C, E, R> =
  & Given<S, E>
  & ThenState<S>
  & Never<When<C>>
  & Never<ThenEvents<E>>
  & NoEffects
  & Never<ThenRefused<R>>

/** A rule of an aggregate, as an example. */
export type Rule<S, C, E, R> = Decision<S, C, E, R> | Replay<S, C, E, R>

export { RuleBroken } from "./internal/rule.ts"

/**
 * Checks that an aggregate does what a rule says. Throws {@link RuleBroken} when it does not; the message names what
 * differs.
 *
 * Values are compared by structure. An accepted command's events must be storable as declared.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as AggregateTest from "@composable-ts/testing/AggregateTest"
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
 * AggregateTest.check(door, { when: Door.Open(), thenEvents: [Door.Opened()], thenState: { open: true } })
 * AggregateTest.check(door, { given: [Door.Opened()], when: Door.Open(), thenRefused: { _tag: "AlreadyOpen" } })
 * AggregateTest.check(door, { given: [{ type: "Opened.v1", data: {} }], thenState: { open: true } })
 * ```
 */
export const check = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  rule: NoInfer<Rule<S, C, E, R>>
): void => {
  try {
    verify(aggregate, rule)
  } catch (error) {
    // The trace starts at the rule, so that a runner points at the line to look at.
    if (error instanceof RuleBroken) Error.captureStackTrace(error, check)
    throw error
  }
}

const verify = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  rule: Rule<S, C, E, R>
): void => {
  const state = replay(aggregate, rule)
  if (rule.when === undefined) return same("the state", rule.thenState, state)
  const commands: NonEmptyReadonlyArray<C> = "_tag" in rule.when ? [rule.when] : rule.when
  const run = decideAll(aggregate, state, commands, rule.meta)
  if ("thenRefused" in rule && rule.thenRefused !== undefined) return refused(rule.thenRefused, run)
  if (run.refusal !== undefined) {
    const expected = rule.thenEvents === undefined ? { state: rule.thenState } : { events: rule.thenEvents }
    throw new RuleBroken(
      `Expected ${run.command} to be accepted, but it was refused: ${inline(run.refusal.reason)}`,
      expected,
      { refused: run.refusal.reason }
    )
  }
  if (rule.thenEvents !== undefined) same(`the events of ${run.command}`, rule.thenEvents, run.events)
  if ("thenState" in rule) same(`the state after ${run.command}`, rule.thenState, run.state)
  if (rule.thenAmongEffects === undefined) {
    return same(`what else ${run.command} has done`, rule.thenEffects ?? Fx.none, run.effects)
  }
  among(rule.thenAmongEffects, run.effects, run.command)
}

/** The state that the past leads to. */
const replay = <S, C extends Tag, E extends Tag, R, N>(
  { actions, category, evolve, initial }: Aggregate.Aggregate<S, C, E, R, N>,
  rule: Given<S, E>
): S => {
  const from = "givenState" in rule ? rule.givenState as S : initial
  return (rule.given ?? []).reduce<S>((state, past, index) => {
    if ("_tag" in past) return evolve(state, past)
    const decoded = actions.decode({
      streamId: `${category}-given`,
      version: index,
      globalPosition: BigInt(index + 1),
      type: past.type,
      data: past.data,
      eventId: `event-${index + 1}`,
      commandId: "given",
      correlationId: "given",
      causationId: "given",
      recordedAt: 0,
      metadata: {}
    })
    if (Result.isFailure(decoded)) {
      throw new RuleBroken(`The given event ${index + 1} cannot be read. ${decoded.failure.message}`, undefined, past)
    }
    return evolve(state, decoded.success)
  }, from)
}

/** What became of the commands. */
interface Run<S, E, R> {
  /** The last command's name. */
  readonly command: string
  readonly events: ReadonlyArray<E>
  readonly state: S
  readonly effects: Fx.AnyFx
  readonly refusal: Fx.Reject<R> | undefined
}

const decideAll = <S, C extends Tag, E extends Tag, R, N>(
  aggregate: Aggregate.Aggregate<S, C, E, R, N>,
  from: S,
  commands: NonEmptyReadonlyArray<C>,
  meta: Partial<Meta> = {}
): Run<S, E, R> => {
  const events: Array<E> = []
  let effects: Fx.AnyFx = Fx.none
  let state = from
  for (const [index, command] of commands.entries()) {
    const { refusal, ...next } = Aggregate.step(aggregate, state, command, accompanying(`command-${index + 1}`, meta))
    if (refusal !== undefined) {
      if (index === commands.length - 1) return { command: command._tag, events, state, effects, refusal }
      throw new RuleBroken(
        `Only the last of ${commands.length} commands may be refused, but number ${index + 1}, ${command._tag}, was: ` +
          inline(refusal.reason),
        undefined,
        { refused: refusal.reason }
      )
    }
    for (const event of next.events) {
      const encoded = aggregate.actions.encode(event)
      if (Result.isFailure(encoded)) {
        throw new RuleBroken(
          `${command._tag} decided what cannot be stored. ${encoded.failure.message}`,
          undefined,
          event
        )
      }
    }
    events.push(...next.events)
    effects = Fx.all(effects, next.effects)
    state = next.state
  }
  return { command: commands.at(-1)!._tag, events, state, effects, refusal: undefined }
}

const refused = <S, E, R>(expected: R, { command, events, refusal }: Run<S, E, R>): void => {
  if (refusal !== undefined) return same(`the reason for refusing ${command}`, expected, refusal.reason)
  throw new RuleBroken(
    `Expected ${command} to be refused with ${inline(expected)}, but it was accepted ` +
      (events.length === 0 ? "with nothing to record" : `and appended ${inline(events)}`),
    { refused: expected },
    { events }
  )
}
