import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const meta = { id: "1", time: 0, correlationId: "1", causationId: "1" }
const Roll = Task.define("Roll", { input: Schema.Int, success: Schema.Int, failure: Schema.Never })
type Action = { readonly _tag: "Roll" } | { readonly _tag: "Rolled"; readonly eyes: number }
const dice = (eyes: number, action: Action, { time }: typeof meta) =>
  action._tag === "Roll" ? Reducer.step(eyes, Fx.perform(Roll, time)) : Reducer.step(action.eyes)
const outcomes = {
  Roll: { success: (eyes: number): Action => ({ _tag: "Rolled", eyes }), failure: (never: never) => never }
}

describe("step", () => {
  it("is the state, and what to do: nothing, when left out", () => {
    const state = { n: 1 }
    const [same, nothing] = Reducer.step(state)
    assert.strictEqual<unknown>(same, state)
    assert.strictEqual<unknown>(nothing, Fx.none)
    const fx = Fx.cancel("c")
    assert.strictEqual<unknown>(Reducer.step(state, fx)[1], fx)
  })
})

describe("withOutcomes", () => {
  it("changes nothing of what the reducer does", () => {
    const told = Reducer.withOutcomes(dice, outcomes)
    for (const action of [{ _tag: "Roll" }, { _tag: "Rolled", eyes: 5 }] as const) {
      assert.deepStrictEqual(told(1, action, { ...meta, time: 7 }), dice(1, action, { ...meta, time: 7 }))
    }
  })

  it("carries the outcomes, and leaves the reducer it was given alone", () => {
    const told = Reducer.withOutcomes(dice, outcomes)
    assert.strictEqual<unknown>(told.outcomes.Roll, outcomes.Roll)
    assert.notProperty(dice, "outcomes")
    const other = { Roll: { ...outcomes.Roll, success: (): Action => ({ _tag: "Roll" }) } }
    assert.strictEqual<unknown>(Reducer.withOutcomes(told, other).outcomes.Roll, other.Roll)
    assert.strictEqual<unknown>(told.outcomes.Roll, outcomes.Roll)
  })

  it("keeps what else the reducer carries", () => {
    const carrying = Object.assign((n: number, _action: Action) => Reducer.step(n, Fx.perform(Roll, n)), { named: "d" })
    assert.strictEqual<unknown>(Reducer.withOutcomes(carrying, outcomes).named, "d")
  })
})
