import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { during, selfTimes } from "../src/CpuProfile.ts"

const node = (id: number, functionName: string, url: string, lineNumber: number) => ({
  id,
  callFrame: { functionName, scriptId: "1", url, lineNumber, columnNumber: 0 }
})

const spin = (): number => {
  let sum = 0
  const end = performance.now() + 100
  while (performance.now() < end) sum += Math.sqrt(sum + 1)
  return sum
}

describe("CpuProfile", () => {
  it("adds up what a function took itself, over all places that it was called from, without idle time", () => {
    const times = selfTimes({
      nodes: [
        node(1, "work", "file:///repo/packages/core/src/Store.ts", 9),
        node(2, "(idle)", "", -1),
        node(3, "parse", "file:///repo/node_modules/.pnpm/pg@8/node_modules/pg/lib/parser.js", 0),
        node(4, "work", "file:///repo/packages/core/src/Store.ts", 9),
        node(5, "(garbage collector)", "", -1)
      ],
      samples: [1, 2, 3, 4, 5, 1],
      timeDeltas: [7, 3_000, 9_000, 1_000, 3_000, 1_000]
    }, "/repo")
    assert.deepStrictEqual(times, [
      { name: "work", place: "packages/core/src/Store.ts:10", milliseconds: 6, share: 6 / 8 },
      { name: "parse", place: "pg/lib/parser.js:1", milliseconds: 1, share: 1 / 8 },
      { name: "(garbage collector)", place: "", milliseconds: 1, share: 1 / 8 }
    ])
  })

  it.live("finds the function that is at work", () =>
    Effect.gen(function*() {
      const [sum, profile] = yield* during(Effect.sync(spin))
      assert.isAbove(sum, 0)
      const found = selfTimes(profile, join(import.meta.dirname, "../..")).find(({ name }) => name === "spin")
      assert.match(found?.place ?? "", /CpuProfile\.test\.ts:\d+$/)
      assert.isAbove(found?.milliseconds ?? 0, 0)
    }))
})
