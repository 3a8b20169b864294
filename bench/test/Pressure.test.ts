import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Pressure from "../src/Pressure.ts"

const busyFor = (milliseconds: number): void => {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

describe("Pressure", () => {
  it.live("sees a loop that is blocked by work which never yields", () =>
    Effect.gen(function*() {
      const [result, { elapsed, loopDelayP99 }] = yield* Pressure.during(Effect.sync(() => {
        busyFor(60)
        return "done"
      }))
      assert.strictEqual(result, "done")
      assert.isAtLeast(elapsed, 60)
      assert.isAtLeast(loopDelayP99, 40)
    }))

  it.live("sees garbage being collected", () =>
    Effect.gen(function*() {
      const [, { collecting, elapsed }] = yield* Pressure.during(Effect.sync(() => {
        const kept: Array<ReadonlyArray<number>> = []
        for (let i = 0; i < 300_000; i++) kept.push([i, i + 1, i + 2])
        return kept.length
      }))
      assert.isAbove(collecting, 0)
      assert.isAtMost(collecting, elapsed)
    }))
})
