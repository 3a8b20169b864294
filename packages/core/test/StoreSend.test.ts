import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Store from "@composable-ts/core/Store"
import type { Problem } from "@composable-ts/core/StoreError"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"

type Count = { readonly _tag: "Add"; readonly n: number } | { readonly _tag: "Twice" }

const counter = (count: number, action: Count) => {
  switch (action._tag) {
    case "Add":
      if (action.n === 13) throw new Error("unlucky")
      return action.n < 0 ? [count, Fx.reject({ _tag: "Negative" })] as const : [count + action.n, Fx.none] as const
    case "Twice":
      return [count, Fx.all(Fx.send({ _tag: "Add", n: count }), Fx.send({ _tag: "Add", n: 1 }))] as const
  }
}

const add = (n: number): Count => ({ _tag: "Add", n })

describe("Store.send", () => {
  it.effect("reduces at once, with all that it sends on", () =>
    Effect.gen(function*() {
      const store = yield* Store.make(counter, { initial: 1 })
      store.send(add(2))
      store.send({ _tag: "Twice" })
      assert.strictEqual(yield* store.state, 7)
    }))

  it.effect("waits for the turn under way, and keeps the order", () =>
    Effect.gen(function*() {
      const seen: Array<number> = []
      const store = yield* Store.make(
        (count: number, action: Count) => {
          if (action._tag === "Twice") {
            // A reducer must not: it is how to be in the middle of a turn.
            store.send(add(10))
            return [count, Fx.send(add(1))] as const
          }
          seen.push(action.n)
          return [count + action.n, Fx.none] as const
        },
        { initial: 0 }
      )
      store.send({ _tag: "Twice" })
      assert.deepStrictEqual(seen, [10, 1])
      assert.strictEqual(yield* store.state, 11)
    }))

  it.effect("has refusals, defects and a closed store among the problems, and the store goes on", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const store = yield* Scope.provide(Store.make(counter, { initial: 1 }), scope)
      const problems = yield* Stream.runCollect(store.problems()).pipe(Effect.forkChild({ startImmediately: true }))
      store.send(add(-1))
      store.send(add(13))
      store.send(add(4))
      assert.strictEqual(yield* store.state, 5)
      yield* Scope.close(scope, Exit.void)
      const tags = (yield* Fiber.join(problems)).map((problem: Problem) => problem._tag)
      assert.deepStrictEqual(tags, ["RejectedUnheard", "ReducerDefect"])
      store.send(add(1))
      assert.strictEqual(yield* store.state, 5)
    }))

  it.effect("goes to the part through the store of a part", () =>
    Effect.gen(function*() {
      const store = yield* Store.make(Compose.compose({ left: counter, right: counter }), {
        initial: { left: 0, right: 0 }
      })
      Store.scope(store, "right").send(add(3))
      assert.deepStrictEqual(yield* store.state, { left: 0, right: 3 })
    }))
})
