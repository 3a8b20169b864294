/**
 * Tests of a reducer's rules as pure functions: given a state, when an action comes, then this state and these effects,
 * or this refusal. There is no runtime, no clock and no I/O. What a rule leaves out it claims not to happen: the state
 * stays, and nothing is to be done. A rule that says nothing at all does not compile.
 *
 * For an aggregate there is `AggregateTest`, for what takes several steps and answers `Scenario`.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Fx from "@composable-ts/core/Fx"
import type { ActionOf, AnyReducer, FxOf, StateOf } from "@composable-ts/core/Reducer"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { accompanying, among, inline, RuleBroken, same } from "./internal/rule.ts"
import { tagOf } from "./internal/scenario/words.ts"

export { RuleBroken } from "./internal/rule.ts"

/** Where a rule starts, and what happens. */
export interface When<out S, out A> {
  /** The state before. */
  readonly given: S
  /** An action, or several, one after the other, of which all but the last must be accepted. */
  readonly when: A | NonEmptyReadonlyArray<A>
  /**
   * What accompanies the actions, for rules that look at it. Default: time 0, and the ids `action-1`, `action-2` and so
   * on, each action its own correlation and cause.
   */
  readonly meta?: Partial<Meta>
}

/** What is to be done by all actions together: all of it, or some of it with nothing said of the rest. */
type ThenEffects =
  | { readonly thenEffects: Fx.AnyFx; readonly thenAmongEffects?: never }
  | { readonly thenAmongEffects: NonEmptyReadonlyArray<Fx.AnyFx>; readonly thenEffects?: never }

/** Nothing more is said. */
type Nothing<Name extends string> = { readonly [K in Name]?: never }

/** What the actions come to. */
type Then<S, R> =
  | ({ readonly thenState: S } & (ThenEffects | Nothing<"thenEffects" | "thenAmongEffects">) & Nothing<"thenRefused">)
  | (ThenEffects & Nothing<"thenState" | "thenRefused">)
  /** The last action is refused, for this reason; the state is what it was, and nothing is done. */
  | ({ readonly thenRefused: R } & Nothing<"thenState" | "thenEffects" | "thenAmongEffects">)

/** A rule of a reducer, as an example. `R` the reasons for which it refuses. */
export type Rule<S, A, R> = When<S, A> & Then<S, R>

/**
 * Checks that a reducer does what a rule says. Throws {@link RuleBroken} when it does not; the message names what
 * differs. Values are compared by structure.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Reducer from "@composable-ts/core/Reducer"
 * import * as ReducerTest from "@composable-ts/testing/ReducerTest"
 *
 * const egg = (minutes: number, action: { readonly _tag: "Boil"; readonly minutes: number } | { readonly _tag: "Done" }) => {
 *   if (action._tag === "Done") return Reducer.step(0)
 *   if (minutes > 0) return Reducer.step(minutes, Fx.reject({ _tag: "AlreadyBoiling" }))
 *   return Reducer.step(action.minutes, Fx.delay("egg", action.minutes * 60_000, { _tag: "Done" }))
 * }
 * const boil = { _tag: "Boil", minutes: 4 } as const
 * const timer = Fx.delay("egg", 240_000, { _tag: "Done" })
 *
 * ReducerTest.check(egg, { given: 0, when: boil, thenState: 4, thenEffects: timer })
 * ReducerTest.check(egg, { given: 0, when: [boil, boil], thenRefused: { _tag: "AlreadyBoiling" } })
 * ```
 */
export const check = <R extends AnyReducer>(
  reducer: R,
  rule: NoInfer<Rule<StateOf<R>, ActionOf<R>, Fx.ReasonOf<FxOf<R>>>>
): void => {
  try {
    verify(reducer, rule)
  } catch (error) {
    // The trace starts at the rule, so that a runner points at the line to look at.
    if (error instanceof RuleBroken) Error.captureStackTrace(error, check)
    throw error
  }
}

const verify = (reducer: AnyReducer, rule: Rule<unknown, unknown, unknown>): void => {
  const actions: ReadonlyArray<unknown> = Array.isArray(rule.when) ? rule.when : [rule.when]
  const { action, effects, refusal, state } = reduceAll(reducer, rule.given, actions, rule.meta)
  if ("thenRefused" in rule && rule.thenRefused !== undefined) {
    if (refusal !== undefined) return same(`the reason for refusing ${action}`, rule.thenRefused, refusal.reason)
    const instead = effects._tag === "None" ? "" : ` and had this done:\n${Fx.render(effects)}`
    throw new RuleBroken(
      `Expected ${action} to be refused with ${inline(rule.thenRefused)}, but it was accepted${instead}`,
      { refused: rule.thenRefused },
      { state, effects }
    )
  }
  if (refusal !== undefined) {
    throw new RuleBroken(
      `Expected ${action} to be accepted, but it was refused: ${inline(refusal.reason)}`,
      { state: rule.thenState, effects: rule.thenEffects },
      { refused: refusal.reason }
    )
  }
  same(`the state after ${action}`, "thenState" in rule ? rule.thenState : rule.given, state)
  if (rule.thenAmongEffects !== undefined) return among(rule.thenAmongEffects, effects, action)
  same(`what ${action} has done`, rule.thenEffects ?? Fx.none, effects)
}

/** What became of the actions. */
interface Run {
  /** The last action's name. */
  readonly action: string
  readonly state: unknown
  readonly effects: Fx.AnyFx
  readonly refusal: Fx.Reject<unknown> | undefined
}

const reduceAll = (
  reducer: AnyReducer,
  from: unknown,
  actions: ReadonlyArray<unknown>,
  meta: Partial<Meta> | undefined
): Run => {
  let state = from
  let effects: Fx.AnyFx = Fx.none
  for (const [index, action] of actions.entries()) {
    const [next, fx] = reducer(state, action, accompanying(`action-${index + 1}`, meta))
    const refusal = Fx.refusalOf(fx)
    if (refusal === undefined) {
      state = next
      effects = Fx.all(effects, fx)
    } else if (index === actions.length - 1) {
      return { action: tagOf(action), state, effects, refusal }
    } else {
      throw new RuleBroken(
        `Only the last of ${actions.length} actions may be refused, but number ${index + 1}, ${tagOf(action)}, was: ` +
          inline(refusal.reason),
        undefined,
        { refused: refusal.reason }
      )
    }
  }
  return { action: tagOf(actions.at(-1)), state, effects, refusal: undefined }
}
