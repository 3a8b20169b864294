import * as Store from "@composable-ts/core/Store"
import * as ReducerTest from "@composable-ts/testing/ReducerTest"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { Counter, counter } from "../src/Counter.ts"

describe("the rules of a counter", () => {
  it("counts up and down, also below zero, and starts again", () => {
    ReducerTest.check(counter, { given: 0, when: Counter.Increment(), thenState: 1 })
    ReducerTest.check(counter, { given: 0, when: Counter.Decrement(), thenState: -1 })
    ReducerTest.check(counter, { given: 42, when: Counter.Reset(), thenState: 0 })
    ReducerTest.check(counter, {
      given: 5,
      when: [Counter.Increment(), Counter.Increment(), Counter.Decrement()],
      thenState: 6
    })
  })

  it.prop(
    "each increment is undone by a decrement",
    [Schema.Int.check(Schema.isBetween({ minimum: -1_000_000, maximum: 1_000_000 }))],
    ([count]) =>
      ReducerTest.check(counter, { given: count, when: [Counter.Increment(), Counter.Decrement()], thenState: count })
  )
})

describe("a counter that runs", () => {
  it.effect("yields the state right after each action", () =>
    Effect.gen(function*() {
      const store = yield* Store.make(counter, { initial: 0 })
      assert.strictEqual(yield* store.dispatch(Counter.Increment()), 1)
      assert.strictEqual(yield* store.dispatch(Counter.Increment()), 2)
      assert.strictEqual(yield* store.dispatch(Counter.Decrement()), 1)
      assert.strictEqual(yield* store.dispatch(Counter.Reset()), 0)
    }))

  it.effect("loses none of the actions that come at the same time", () =>
    Effect.gen(function*() {
      const store = yield* Store.make(counter, { initial: 0 })
      yield* Effect.forEach(Array.from({ length: 500 }), () => store.dispatch(Counter.Increment()), {
        concurrency: "unbounded"
      })
      assert.strictEqual(yield* store.state, 500)
    }))

  it.effect("lets others follow it", () =>
    Effect.gen(function*() {
      const store = yield* Store.make(counter, { initial: 7 })
      const seen = store.changes().pipe(Stream.take(3), Stream.runCollect)
      const act = Effect.andThen(store.dispatch(Counter.Increment()), store.dispatch(Counter.Increment()))
      const [states] = yield* Effect.all([seen, act], { concurrency: "unbounded" })
      assert.deepStrictEqual(states, [7, 8, 9])
    }))
})

it("the program tells what it does", async () => {
  const main = new URL("../src/main.ts", import.meta.url).pathname
  const { stderr, stdout } = await promisify(execFile)(process.execPath, [main])
  assert.strictEqual(stderr, "")
  assert.deepStrictEqual(stdout.trim().split("\n"), [
    "The counter starts at 0.",
    "Increment → 1",
    "Increment → 2",
    "Increment → 3",
    "Decrement → 2",
    "1000 increments at once → 1002: none is lost, for actions are reduced one at a time.",
    "Reset     → 0"
  ])
})
