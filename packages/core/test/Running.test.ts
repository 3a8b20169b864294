import type { Meta } from "@composable-ts/core/Action"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"

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
