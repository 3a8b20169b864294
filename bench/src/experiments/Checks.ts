/**
 * What a test of a rule costs: one given/when/then of an aggregate, and one of a reducer, that hold.
 */
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as ReducerTest from "@composable-ts/testing/ReducerTest"
import * as Effect from "effect/Effect"
import type { Experiment, Outcome } from "../Contest.ts"
import { eventAt, order, place, revise } from "../Order.ts"
import { stateAfter } from "../OrderContent.ts"
import { rate } from "../Timing.ts"

/** How many checks to make between two looks at the clock. */
const block = 1_000

/** Makes a check again and again; `broken` is one that must not hold, so that what is measured is a check at all. */
const checks = (id: string, milliseconds: number, check: () => void, broken: () => void): Outcome => {
  let count = 0
  const start = performance.now()
  while (performance.now() - start < milliseconds) {
    for (let i = 0; i < block; i++) check()
    count += block
  }
  const { perSecond } = rate(count, start)
  try {
    broken()
  } catch {
    return { figures: { [id]: perSecond }, fault: undefined }
  }
  return { figures: { [id]: perSecond }, fault: "a rule that does not hold passed" }
}

const experiment = (
  { about, id }: { readonly id: string; readonly about: string },
  check: () => void,
  broken: () => void
): Experiment => ({
  measures: [{ id, unit: "checks/s", better: "higher", about }],
  open: ({ milliseconds }) => Effect.succeed({ ours: () => Effect.sync(() => checks(id, milliseconds, check, broken)) })
})

const given = [eventAt("1", 0)]
const when = revise("1", 1)
const thenEvents = [eventAt("1", 1)]
const thenState = stateAfter("1", 2)

const ofAggregate = experiment(
  { id: "check.aggregate", about: "One given/when/then of an aggregate that holds." },
  () => AggregateTest.check(order, { given, when, thenEvents, thenState }),
  () => AggregateTest.check(order, { when: place("1"), thenEvents })
)

type Count = { readonly _tag: "Increment"; readonly by: number } | { readonly _tag: "Reset" }
const idle = Fx.debounce("idle", 60_000, { _tag: "Reset" })
const counter = (count: number, action: Count) =>
  action._tag === "Reset" ? Reducer.step(0) : Reducer.step(count + action.by, idle)
const increment = { _tag: "Increment", by: 2 } as const

const ofReducer = experiment(
  { id: "check.reducer", about: "One given/when/then of a reducer that holds." },
  () => ReducerTest.check(counter, { given: 1, when: increment, thenState: 3, thenEffects: idle }),
  () => ReducerTest.check(counter, { given: 1, when: increment, thenState: 3 })
)

/** Tests of rules, none of which starts anything. */
export const experiments: ReadonlyArray<Experiment> = [ofAggregate, ofReducer]
