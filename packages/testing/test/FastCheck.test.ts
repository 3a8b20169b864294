import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Result, Schema } from "effect"
import * as fc from "fast-check"
import * as FastCheck from "../src/FastCheck.ts"
import * as ModelTest from "../src/ModelTest.ts"

const from = <A>(values: fc.Arbitrary<A>) => FastCheck.arbitrary((draw) => fc.sample(values, draw))

describe("an arbitrary of fast-check", () => {
  it.effect("makes its values, many different ones, the same for the same seed", () =>
    Effect.gen(function*() {
      const even = from(fc.integer({ min: 0, max: 1_000 }).map((n) => n * 2))
      const values = yield* Arbitrary.sampleEffect(even, { count: 100, seed: 1 })
      for (const n of values) assert.isTrue(n % 2 === 0 && n >= 0 && n <= 2_000, String(n))
      assert.isAbove(new Set(values).size, 50)
      assert.deepStrictEqual(yield* Arbitrary.sampleEffect(even, { count: 100, seed: 1 }), values)
    }))

  it.effect("is shrunk by its own rules: to the smallest, and to nothing that it would not make", () =>
    Effect.gen(function*() {
      const lists = from(fc.array(fc.integer({ min: 5, max: 100_000 }).map((n) => ({ n })), { minLength: 2 }))
      const result = yield* Arbitrary.checkEffect(lists, (list) => list.every(({ n }) => n < 1_234), { seed: 3 })
      assert.strictEqual(result._tag, "Falsified")
      if (result._tag !== "Falsified") return
      const { replay, shrunkInput } = result
      assert.deepStrictEqual(shrunkInput.map(({ n }) => n).toSorted((a, b) => a - b), [5, 1_234])
      const again = yield* Arbitrary.checkEffect(lists, (list) => list.every(({ n }) => n < 1_234), { replay })
      assert.deepStrictEqual(again._tag === "Falsified" && again.shrunkInput, shrunkInput)
    }))

  it("gives a model its commands, and a broken invariant a short history", () => {
    const Purse = Action.define("Purse", {
      commands: { Put: { coins: Schema.Int } },
      events: { Filled: Event.v1({ coins: Schema.Int }) }
    })
    const purse = Aggregate.define(Purse, {
      initial: 0,
      decide: (_state, { coins }) => Fx.append(Purse.Filled({ coins })),
      evolve: (state: number, { coins }) => state + coins
    })
    const arbitraries = { Put: from(fc.record({ coins: fc.integer({ min: 1, max: 500 }) }).map(Purse.Put)) }
    const check = () =>
      ModelTest.check(purse, {
        arbitraries,
        invariants: { "a step is small": (state, { before }) => state - before < 100 }
      })
    const broken = Result.try({ try: check, catch: (error) => error as ModelTest.InvariantBroken })
    assert.deepStrictEqual(Result.isFailure(broken) && broken.failure.history, [Purse.Put({ coins: 100 })])
    assert.include(Result.isFailure(broken) ? broken.failure.test : "", "when: Purse.Put({ coins: 100 })")
  })

  it.effect("passes on what its own code throws", () =>
    Effect.gen(function*() {
      const strict = from(
        fc.integer({ min: 0, max: 100 }).map((n) => {
          if (n < 3) throw new RangeError("too small")
          return n
        })
      )
      const defect = yield* Effect.flip(Effect.catchDefect(Arbitrary.checkEffect(strict, () => false), Effect.fail))
      assert.instanceOf(defect, RangeError)
    }))
})
