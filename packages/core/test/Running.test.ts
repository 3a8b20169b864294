import type { Meta } from "@composable-ts/core/Action"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Context from "effect/Context"
import { TestClock } from "effect/testing"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Running } from "../src/internal/Running.ts"

type Action = { readonly _tag: "Wind" } | { readonly _tag: "Ring" }

/** When an id was made, in milliseconds since the Unix epoch. */
const timeOf = (id: string): number => Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)

describe("what accompanies an action", () => {
  it.effect("is of the action's time, also when it is looked at later", () =>
    Effect.gen(function*() {
      const alarm = (state: Meta | null, action: Action, meta: Meta) =>
        action._tag === "Wind"
          ? Reducer.step(state, Fx.delay("bell", 3_600_000, { _tag: "Ring" }))
          : Reducer.step<Meta | null>(meta)
      yield* TestClock.setTime(5_000)
      const store = yield* Store.make(alarm, { initial: null as Meta | null })
      yield* store.dispatch({ _tag: "Wind" })
      yield* TestClock.adjust("1 hour")
      const meta = yield* store.state
      assert.strictEqual(meta?.time, 3_605_000)
      assert.strictEqual(timeOf(meta!.id), 3_605_000)
      assert.strictEqual(timeOf(meta!.causationId), 5_000)
      assert.strictEqual(meta!.correlationId, meta!.causationId)
    }).pipe(Effect.scoped))
})

describe("the memory of a store", () => {
  /** Asks V8, whose functions are there only for code that is compiled after the flag. */
  const ofV8 = <F>(flag: string, code: string): F => {
    setFlagsFromString(flag)
    return runInNewContext(code) as F
  }
  const collect = ofV8<() => void>("--expose-gc", "gc")
  const isFast = ofV8<(of: object) => boolean>("--allow-natives-syntax", "(of) => %HasFastProperties(of)")

  /**
   * V8 settles how large instances of a class are at the seventh, by those that are alive. With none alive, all fields of
   * later ones live outside of them, where only so many private ones are quick to reach.
   */
  const makeAndForget = (make: () => object): ReadonlyArray<boolean> => {
    // In a function of its own, whose frame is gone before the collection, and with it the last that knew the instance.
    const isNextFast = () => isFast(make())
    return Array.from({ length: 10 }, () => {
      const fast = isNextFast()
      collect()
      return fast
    })
  }

  it("is as quick to reach in the tenth store, all before which are gone, as in the first", () => {
    const fast = makeAndForget(() =>
      new Running((count: number) => Reducer.step(count + 1), 0, Context.empty(), Date.now)
    )
    assert.deepStrictEqual(fast, fast.map(() => true))
  })

  it("would not be with more private fields", () => {
    const fields = Array.from({ length: 16 }, (_, index) => `#field${index} = 0`).join("; ")
    const Large = runInNewContext(`(class { ${fields} })`) as new() => object
    const fast = makeAndForget(() => new Large())
    assert.isTrue(fast[0])
    assert.isFalse(fast.at(-1))
  })
})
