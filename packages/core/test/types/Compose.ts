/**
 * What features made of features infer, and what they forbid. No type argument is written anywhere.
 */
import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { Effect, type HashMap, Schema, type Scope } from "effect"
import { a, type Equals, type Proof } from "./Proof.ts"

const Roll = Task.define("Roll", { input: Schema.Int, success: Schema.Int, failure: Schema.Never })
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })

type DiceAction = { readonly _tag: "Roll" } | { readonly _tag: "Rolled"; readonly eyes: number }
const unanswered = (eyes: number, action: DiceAction) =>
  action._tag === "Roll" ? Reducer.step(eyes, Fx.perform(Roll, 6)) : Reducer.step(action.eyes)
const dice = Reducer.withOutcomes(unanswered, {
  Roll: { success: (eyes) => ({ _tag: "Rolled", eyes }), failure: (never) => never }
})

type CounterAction = { readonly _tag: "Increment" }
const counter = (n: number, _action: CounterAction) =>
  n === 9 ? Reducer.step(n, Fx.reject({ _tag: "Full", at: 9 })) : Reducer.step(n + 1)

type Red = { readonly _tag: "Red"; readonly since: number }
type Green = { readonly _tag: "Green" }
const red = (state: Red, _action: { readonly _tag: "Wait" }) => Reducer.step({ ...state, since: state.since + 1 })
const green = (state: Green, _action: { readonly _tag: "Go" }) => Reducer.step(state)

const app = Compose.compose({
  dice,
  many: Compose.each(dice),
  dialog: Compose.optional(counter),
  light: Compose.caseOf({ Red: red, Green: green }),
  inner: Compose.compose({ left: counter, right: Compose.each(Compose.compose({ deep: dice })) })
})

interface AppState {
  readonly dice: number
  readonly many: HashMap.HashMap<string, number>
  readonly dialog: number | null
  readonly light: Red | Green
  readonly inner: {
    readonly left: number
    readonly right: HashMap.HashMap<string, { readonly deep: number }>
  }
}
type DeepAction = { readonly _tag: "deep"; readonly action: DiceAction }
type InnerAction =
  | { readonly _tag: "left"; readonly action: CounterAction }
  | { readonly _tag: "right"; readonly id: string; readonly action: DeepAction }
type AppAction =
  | { readonly _tag: "dice"; readonly action: DiceAction }
  | { readonly _tag: "many"; readonly id: string; readonly action: DiceAction }
  | { readonly _tag: "dialog"; readonly action: CounterAction }
  | { readonly _tag: "light"; readonly id: "Red"; readonly action: { readonly _tag: "Wait" } }
  | { readonly _tag: "light"; readonly id: "Green"; readonly action: { readonly _tag: "Go" } }
  | { readonly _tag: "inner"; readonly action: InnerAction }

/** Written out, whatever interfaces it is made of. */
type Plain<T> = T extends HashMap.HashMap<infer K, infer V> ? HashMap.HashMap<K, Plain<V>>
  : T extends object ? { readonly [K in keyof T]: Plain<T[K]> }
  : T

type State = Reducer.StateOf<typeof app>
type Action = Reducer.ActionOf<typeof app>
export type Inferred = [
  Proof<Equals<Plain<State>, Plain<AppState>>>,
  Proof<Equals<Plain<Action>, Plain<AppAction>>>,
  Proof<Equals<Fx.ReasonOf<Reducer.FxOf<typeof app>>, { readonly _tag: "Full"; readonly at: 9 }>>,
  Proof<Equals<Fx.TaskOf<Reducer.FxOf<typeof app>>, typeof Roll>>
]

/** A store of the whole infers just as much. */
const store = Store.make(app, { initial: a<AppState>() })
export type Stored = [
  Proof<Equals<Effect.Services<typeof store>, Scope.Scope | Task.Handler<"Roll">>>,
  Proof<
    Equals<Effect.Success<typeof store>, Store.Store<State, Action, { readonly _tag: "Full"; readonly at: 9 }>>
  >
]

export const program = Effect.gen(function*() {
  const running = yield* store
  yield* running.dispatch({ _tag: "inner", action: { _tag: "left", action: { _tag: "Increment" } } })
  const deep = { _tag: "deep", action: { _tag: "Roll" } } as const
  yield* running.dispatch({ _tag: "inner", action: { _tag: "right", id: "1", action: deep } })

  // @ts-expect-error -- another part's action
  running.dispatch({ _tag: "dice", action: { _tag: "Increment" } })
  // @ts-expect-error -- a part's action, not wrapped
  running.dispatch({ _tag: "Roll" })
  // @ts-expect-error -- one among many, but which?
  running.dispatch({ _tag: "many", action: { _tag: "Roll" } })
  // @ts-expect-error -- another case's action
  running.dispatch({ _tag: "light", id: "Red", action: { _tag: "Go" } })
  // @ts-expect-error -- no such case
  running.dispatch({ _tag: "light", id: "Amber", action: { _tag: "Wait" } })
  // @ts-expect-error -- no such part
  running.dispatch({ _tag: "dices", action: { _tag: "Roll" } })
  // @ts-expect-error -- too shallow by one
  running.dispatch({ _tag: "inner", action: { _tag: "right", id: "1", action: { _tag: "Roll" } } })
})

const { light: _light, ...withoutLight } = a<AppState>()
// @ts-expect-error -- the first state lacks a part
Store.make(app, { initial: withoutLight })
// @ts-expect-error -- a case that there is not
Store.make(app, { initial: { ...a<AppState>(), light: { _tag: "Amber" } } })
// @ts-expect-error -- no reducer
Compose.compose({ dice: 5 })
// @ts-expect-error -- many of what?
Compose.each({ dice })
// @ts-expect-error -- an optional collection is not a feature
Compose.optional(Compose.each(dice))

/** A task without outcomes is named, however deep it is asked for. */
const asking = (n: number, _action: CounterAction) => Reducer.step(n, Fx.perform(Mail, "hello"))
const deepest = Compose.compose({ a: Compose.compose({ b: Compose.each(asking) }), dice: unanswered })
// @ts-expect-error -- Mail and Roll have no outcomes
Store.make(deepest, { initial: a<Reducer.StateOf<typeof deepest>>() })
export type Named = Proof<Equals<Compose.Unanswered<typeof deepest>["name"], "Mail" | "Roll">>
export type Answered = Proof<Equals<Compose.Unanswered<typeof app>, never>>

/** Outcomes of the whole do not answer for a part: the part's actions are not the whole's. */
const toldAbove = Reducer.withOutcomes(Compose.compose({ dice: unanswered }), {
  Roll: { success: (eyes) => ({ _tag: "dice", action: { _tag: "Rolled", eyes } }), failure: (never) => never }
})
// @ts-expect-error -- the outcome of Roll is missing where it is asked for
Store.make(toldAbove, { initial: { dice: 1 } })

/** combine: every reducer's actions, one state, every reducer's effects. */
type Reset = { readonly _tag: "Reset" }
const whole = Compose.combine(
  app,
  (state: State, action: Action | Reset) =>
    action._tag === "Reset" ? Reducer.step(state, Fx.reject({ _tag: "Never" })) : Reducer.step(state)
)
const combined = Store.make(whole, { initial: a<AppState>() })
export type Combined = [
  Proof<Equals<Plain<Reducer.StateOf<typeof whole>>, Plain<AppState>>>,
  Proof<Equals<Plain<Reducer.ActionOf<typeof whole>>, Plain<AppAction | Reset>>>,
  Proof<Equals<Effect.Services<typeof combined>, Scope.Scope | Task.Handler<"Roll">>>
]
const both = Compose.combine(Compose.compose({ a: counter }), Compose.compose({ b: dice }))
export type Both = Proof<Equals<Plain<Reducer.StateOf<typeof both>>, { readonly a: number; readonly b: number }>>

/** onChange: the selector sees the state, the reaction the value. */
const watched = Compose.onChange(app, ({ dice, light }) => ({ dice, light }), (value, previous, state) => {
  type Given = [
    Proof<Equals<typeof value, { dice: number; light: Red | Green }>>,
    Proof<Equals<typeof previous, typeof value>>,
    Proof<Equals<typeof state, State>>
  ]
  return Fx.cancel("c") satisfies Given extends [true, true, true] ? Fx.Cancel : never
})
Store.make(watched, { initial: a<AppState>() })
export type Watched = [
  Proof<Equals<Reducer.StateOf<typeof watched>, State>>,
  Proof<Equals<Reducer.ActionOf<typeof watched>, Action>>
]
// @ts-expect-error -- reads what the state does not have
Compose.onChange(app, ({ sides }) => sides, () => Fx.none)
// @ts-expect-error -- a reaction is a description
Compose.onChange(app, ({ dice }) => dice, () => ({ _tag: "Roll" }))
const asked = Compose.onChange(counter, (n) => n, () => Fx.perform(Mail, "changed"))
// @ts-expect-error -- the reaction's task has no outcome
Store.make(asked, { initial: 1 })

// @ts-expect-error -- a case whose state has another tag would never be found
Compose.caseOf({ Rot: red })
// @ts-expect-error -- so would one whose state has none
Compose.caseOf({ Red: counter })
const misled = (n: number, _action: CounterAction) => Reducer.step(n, Fx.send({ _tag: "Roll" }))
// @ts-expect-error -- a part sends another part's action
Store.make(Compose.compose({ misled, dice }), { initial: { misled: 1, dice: 1 } })
