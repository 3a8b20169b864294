/**
 * A story's simulation and the live store agree, whatever a reducer wants done and however the world answers.
 */
import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import { it } from "@effect/vitest"
import { Effect, HashMap, type Scope } from "effect"
import { holdsForAll } from "../src/internal/property.ts"
import { machineOf } from "../src/internal/scenario/Machine.ts"
import { agree, type Subject } from "./likeStore/Agreement.ts"
import { scripts } from "./likeStore/Script.ts"
import { type Action, type Asked, type Feed, handlersOf, Naming, type Work } from "./likeStore/World.ts"

type WantedHere = Fx.Nested<
  | Fx.None
  | Fx.Reject<{ readonly _tag: "No" }>
  | Fx.Send<Action>
  | Fx.Perform<typeof Work>
  | Fx.Subscribe<typeof Feed>
  | Fx.Publish
  | Fx.Run<Action, never>
  | Fx.Delay<Action>
  | Fx.Throttle<Action>
  | Fx.Cancel
  | Fx.CancelAll
>

const part = Reducer.withOutcomes(
  (
    state: ReadonlyArray<string> | null,
    action: Action,
    { time }
  ): Reducer.Step<ReadonlyArray<string> | null, WantedHere> =>
    action._tag === "Close"
      ? [null, Fx.none]
      : [[...state ?? [], `${action.name}@${time}`], action.fx as WantedHere],
  {
    Work: { success: (_: null, input: Asked) => input.next, failure: (_: null, input: Asked) => input.otherwise },
    Feed: {
      value: (_: null, input: Asked) => input.next,
      failure: (_: null, input: Asked) => input.otherwise,
      end: (input: Asked) => input.otherwise
    }
  }
)
const whole = Compose.compose({
  left: part,
  right: part,
  many: Compose.each(part),
  some: Compose.optional(part)
})
const wholeInitial: Reducer.StateOf<typeof whole> = {
  left: [],
  right: [],
  many: HashMap.make(["1", [] as ReadonlyArray<string> | null], ["2", [] as ReadonlyArray<string> | null]),
  some: []
}
const places = [
  (action: Action) => ({ _tag: "left" as const, action }),
  (action: Action) => ({ _tag: "right" as const, action }),
  (action: Action) => ({ _tag: "many" as const, id: "1", action }),
  (action: Action) => ({ _tag: "many" as const, id: "2", action }),
  (action: Action) => ({ _tag: "some" as const, action })
]
type Wrapped = Reducer.ActionOf<typeof whole>
const sketch = ({ action, ...place }: Wrapped, time: number): string =>
  `${JSON.stringify(place)} ${action._tag === "Do" ? action.name : "close"} @${time}`

const subjectOf = (
  reducer: typeof whole,
  initial: typeof wholeInitial,
  wrap: (part: number, action: Action) => Wrapped,
  told: (action: unknown) => Wrapped
): Subject<Scope.Scope> => ({
  machine: machineOf(reducer),
  initial,
  live: (naming) =>
    Effect.gen(function*() {
      const reduced: Array<string> = []
      const telling: typeof whole = Object.assign(
        (state: never, action: never, meta: never) => {
          reduced.push(sketch(told(action), (meta as { readonly time: number }).time))
          return reducer(state, action, meta)
        },
        reducer
      )
      const store = yield* Effect.provide(Store.make(telling, { initial, deadline: 0 }), handlersOf(naming))
      return {
        send: (action) => store.dispatch(action as Wrapped),
        state: store.state,
        problems: store.problems({ capacity: 10_000 }),
        reduced
      }
    }),
  asks: (naming, part, plan) => wrap(part, naming.action(plan)),
  closes: wrap(4, { _tag: "Close" }),
  sketch: (action, time) => sketch(told(action), time),
  standing: ""
})

const alone = subjectOf(
  part as never as typeof whole,
  [] as never as typeof wholeInitial,
  (_part, action) => action as never as Wrapped,
  (action) => ({ _tag: "left", action: action as Action })
)
const composed = subjectOf(
  whole,
  wholeInitial,
  (part, action) => places[part]!(action),
  (action) => action as Wrapped
)

const runs = Number(process.env["AGREEMENT_RUNS"] ?? 500)

it.effect("a reducer", () =>
  holdsForAll(scripts("reducer"), (steps) => Effect.scoped(agree(alone, steps, new Naming())), runs))
it.effect("a composed feature", () =>
  holdsForAll(scripts("reducer"), (steps) => Effect.scoped(agree(composed, steps, new Naming())), runs))
