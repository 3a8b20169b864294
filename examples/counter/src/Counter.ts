/**
 * A counter: its actions, and what each makes of the state. Nothing is stored, so there are no events, and the state is a
 * number.
 */
import * as Action from "@composable-ts/core/Action"
import * as Reducer from "@composable-ts/core/Reducer"

/** The vocabulary: what a counter understands. */
export const Counter = Action.define("Counter", {
  commands: { Increment: {}, Decrement: {}, Reset: {} },
  events: {}
})

export type CounterAction = Action.CommandOf<typeof Counter>

/** The count after an action. There is nothing else to do. */
export const counter = (count: number, action: CounterAction) =>
  Counter.match(action, {
    Increment: () => Reducer.step(count + 1),
    Decrement: () => Reducer.step(count - 1),
    Reset: () => Reducer.step(0)
  })
