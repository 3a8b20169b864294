/**
 * A store that keeps nothing: a small record, and actions that change it. Each contestant is written as its users would
 * write it, makes its actions by its own constructors, and owes nobody more than the state.
 */
import * as Action from "@composable-ts/core/Action"
import * as Fx from "@composable-ts/core/Fx"
import * as Store from "@composable-ts/core/Store"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Experiment, Outcome } from "../Contest.ts"
import * as Peer from "../Peer.ts"
import { amountAt, faultOf, initial, type Takings } from "../Tally.ts"
import { rate } from "../Timing.ts"

const id = "store.dispatch"
const fiberId = "store.dispatch.fiber"

const Till = Action.define("Till", { commands: { Sell: { amount: Schema.Int } }, events: {} })

const till = (state: Takings, action: Action.CommandOf<typeof Till>) => {
  switch (action._tag) {
    case "Sell":
      return [{
        ...state,
        sales: state.sales + 1,
        total: state.total + action.amount,
        largest: Math.max(state.largest, action.amount)
      }, Fx.none] as const
  }
}

/** How many to dispatch between two looks at the clock. */
const block = 1_000

const outcome = (takings: Takings, count: number, start: number, row = id): Outcome => {
  const { perSecond } = rate(count, start)
  return { figures: { [row]: perSecond }, fault: faultOf(takings, count) }
}

/** The least that it can cost: the same reducer in a loop, with nobody who could know of it. */
const loop = (milliseconds: number): Outcome => {
  let takings: Takings = initial
  let count = 0
  const start = performance.now()
  while (performance.now() - start < milliseconds) {
    for (let i = 0; i < block; i++) takings = till(takings, { _tag: "Sell", amount: amountAt(count++) })[0]
  }
  return outcome(takings, count, start)
}

/** Actions sent by a plain function, as the peers' are. */
const sends = (milliseconds: number): Effect.Effect<Outcome, Error> =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* Store.make(till, { initial })
    let count = 0
    const start = performance.now()
    while (performance.now() - start < milliseconds) {
      for (let i = 0; i < block; i++) store.send(Till.Sell({ amount: amountAt(count++) }))
    }
    return outcome(yield* store.state, count, start)
  }))

/** One fiber that waits for the outcome of each action, as a program's does. */
const dispatches = (milliseconds: number): Effect.Effect<Outcome, Error> =>
  Effect.scoped(Effect.gen(function*() {
    const store = yield* Store.make(till, { initial })
    let count = 0
    const start = performance.now()
    while (performance.now() - start < milliseconds) {
      for (let i = 0; i < block; i++) yield* store.dispatch(Till.Sell({ amount: amountAt(count++) }))
    }
    return outcome(yield* store.state, count, start, fiberId)
  }))

const dispatch: Experiment = {
  measures: [{
    id,
    unit: "actions/s",
    better: "higher",
    about: "Actions sent to a store that keeps nothing. The floor calls the same reducer in a loop."
  }],
  open: ({ milliseconds }) =>
    Effect.map(
      Peer.openAll(["redux", "@reduxjs/toolkit", "@reduxjs/toolkit, listening", "xstate"], id, { milliseconds }),
      (peers) => ({
        floor: () => Effect.sync(() => loop(milliseconds)),
        ours: () => sends(milliseconds),
        peers
      })
    )
}

const dispatchInFiber: Experiment = {
  measures: [{
    id: fiberId,
    unit: "actions/s",
    better: "higher",
    about: "The same store, by a fiber that waits for the outcome of each action."
  }],
  open: ({ milliseconds }) => Effect.succeed({ ours: () => dispatches(milliseconds) })
}

export const experiments: ReadonlyArray<Experiment> = [dispatch, dispatchInFiber]
