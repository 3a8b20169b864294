import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { allocations, during } from "../src/AllocationProfile.ts"

const frame = (functionName: string, url: string, lineNumber: number) => ({ functionName, url, lineNumber })

/** Allocates tens of megabytes, and keeps none of them. */
const squander = (): number => {
  let sum = 0
  for (let index = 0; index < 300_000; index++) sum += [index, sum, index, sum, index, sum].length
  return sum
}

const hold = (): ReadonlyArray<object> => Array.from({ length: 100_000 }, (_, index) => ({ index }))

describe("AllocationProfile", () => {
  it("adds up what a function allocated itself, over all places that it was called from", () => {
    const work = { callFrame: frame("work", "file:///repo/packages/core/src/Store.ts", 9), selfSize: 300, children: [] }
    const head = {
      callFrame: frame("(root)", "", -1),
      selfSize: 0,
      children: [
        work,
        {
          callFrame: frame("parse", "file:///repo/node_modules/.pnpm/pg@8/node_modules/pg/lib/parser.js", 0),
          selfSize: 200,
          children: [work]
        }
      ]
    }
    assert.deepStrictEqual(allocations({ head }, "/repo"), [
      { name: "work", place: "packages/core/src/Store.ts:10", bytes: 600, share: 6 / 8 },
      { name: "parse", place: "pg/lib/parser.js:1", bytes: 200, share: 2 / 8 }
    ])
  })

  it.live("finds the function that allocates, also where nothing of it is left", () =>
    Effect.gen(function*() {
      const [held, profile] = yield* during(Effect.sync(() => [squander(), hold()] as const))
      assert.isAbove(held[0], 0)
      const found = allocations(profile, join(import.meta.dirname, "../.."))
      const names = found.slice(0, 6).map(({ name }) => name)
      assert.isTrue(names.some((name) => name === "squander"), names.join(", "))
      assert.match(found.find(({ name }) => name === "squander")?.place ?? "", /AllocationProfile\.test\.ts:\d+$/)
    }))
})
