/**
 * What a reducer infers, and what it forbids.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { type Effect, Schema, type Scope } from "effect"
import type { Equals, Proof } from "./Proof.ts"

const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.Struct({ receipt: Schema.String }),
  failure: Schema.TaggedStruct("Declined", {})
})
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })

type Action =
  | { readonly _tag: "Pay"; readonly cents: number }
  | { readonly _tag: "Paid"; readonly receipt: string }
  | { readonly _tag: "Failed" }
interface State {
  readonly receipt: string | null
}

const till = (state: State, action: Action) => {
  switch (action._tag) {
    case "Pay":
      return action.cents <= 0
        ? Reducer.step(state, Fx.reject({ _tag: "TooLittle", missing: 1 - action.cents }))
        : Reducer.step(state, Fx.perform(Charge, { cents: action.cents }))
    case "Paid":
      return Reducer.step({ receipt: action.receipt }, Fx.perform(Mail, action.receipt))
    case "Failed":
      return Reducer.step(state)
  }
}
const outcomes = {
  Charge: {
    success: ({ receipt }: { readonly receipt: string }): Action => ({ _tag: "Paid", receipt }),
    failure: (): Action => ({ _tag: "Failed" })
  },
  Mail: { success: (): Action => ({ _tag: "Failed" }), failure: (never: never) => never }
}

/** State, actions and effects come from the reducer; nothing but its parameters is annotated. */
export type Inferred = [
  Proof<Equals<Reducer.StateOf<typeof till>, State>>,
  Proof<Equals<Reducer.ActionOf<typeof till>, Action>>,
  Proof<
    Equals<Fx.ReasonOf<Reducer.FxOf<typeof till>>, { readonly _tag: "TooLittle"; readonly missing: number }>
  >,
  Proof<Equals<Fx.TaskOf<Reducer.FxOf<typeof till>>, typeof Charge | typeof Mail>>
]

/** An outcome sees what came back and what was asked, and gives an action of the reducer. */
const told = Reducer.withOutcomes(till, {
  Charge: {
    success: (value, input) => {
      type Given = [
        Proof<Equals<typeof value, { readonly receipt: string }>>,
        Proof<Equals<typeof input, { readonly cents: number }>>
      ]
      return { _tag: "Paid", receipt: value.receipt } satisfies Given extends [true, true] ? Action : never
    },
    failure: (error) => {
      type Given = Proof<Equals<typeof error, { readonly _tag: "Declined" }>>
      return { _tag: "Failed" } satisfies Given extends true ? Action : never
    }
  },
  Mail: { success: () => ({ _tag: "Failed" }), failure: (never) => never }
})
const store = Store.make(told, { initial: { receipt: null } })
export type Made = Proof<
  Equals<
    typeof store,
    Effect.Effect<
      Store.Store<State, Action, { readonly _tag: "TooLittle"; readonly missing: number }>,
      never,
      Scope.Scope | Task.Handler<"Charge"> | Task.Handler<"Mail">
    >
  >
>

/** It still is the reducer that it was. */
export type Same = Proof<Equals<Reducer.StateOf<typeof told>, State>>

// @ts-expect-error -- the outcome of Mail is missing
Reducer.withOutcomes(till, { Charge: outcomes.Charge })
// @ts-expect-error -- the outcome of a failure is missing
Reducer.withOutcomes(till, { ...outcomes, Charge: { success: outcomes.Charge.success } })
// @ts-expect-error -- the action is none of the reducer's
Reducer.withOutcomes(till, { ...outcomes, Charge: { ...outcomes.Charge, failure: () => ({ _tag: "Declined" }) } })
// @ts-expect-error -- the action lacks a field
Reducer.withOutcomes(till, { ...outcomes, Charge: { ...outcomes.Charge, success: () => ({ _tag: "Paid" }) } })
Reducer.withOutcomes(till, {
  ...outcomes,
  // @ts-expect-error -- reads what does not come back
  Charge: { success: ({ cents }) => ({ _tag: "Paid", receipt: String(cents) }), failure: () => ({ _tag: "Failed" }) }
})

// @ts-expect-error -- tasks without outcomes: the message names them
Store.make(till, { initial: { receipt: null } })
/** What the message says. */
type Refused = Parameters<typeof Store.make<typeof till>>[0]
export type Named = Proof<
  Equals<
    Refused extends { readonly "tasks without outcomes (Reducer.withOutcomes)": infer Names } ? Names : never,
    "Charge" | "Mail"
  >
>

// @ts-expect-error -- the first state is none of the reducer's
Store.make(told, { initial: { receipt: 5 } })
// @ts-expect-error -- a reducer has no say without a case for Failed
export const partial: Reducer.Reducer<State, Action> = (state, action) => {
  switch (action._tag) {
    case "Pay":
    case "Paid":
      return Reducer.step(state)
  }
}
// @ts-expect-error -- a reducer returns a state, and what to do; not a state alone
export const bare: Reducer.Reducer<State, Action> = (state) => state
// @ts-expect-error -- another state than its own
export const other: Reducer.Reducer<State, Action> = () => Reducer.step({ receipt: 5 })
export const mutating: Reducer.Reducer<State, Action> = (state) => {
  // @ts-expect-error -- a state is not changed, the next one is made
  state.receipt = "mine"
  return Reducer.step(state)
}

type Light = { readonly _tag: "Switch" }
const confused = (state: State, action: Action) =>
  action._tag === "Pay" ? Reducer.step(state, Fx.send({ _tag: "Switch" })) : Reducer.step(state)
// @ts-expect-error -- sends another feature's action
Store.make(confused, { initial: { receipt: null } })
const understanding = (state: State, action: Action | Light) =>
  action._tag === "Pay" ? Reducer.step(state, Fx.send({ _tag: "Switch" })) : Reducer.step(state)
Store.make(understanding, { initial: { receipt: null } })
