import { assert, describe, it } from "@effect/vitest"
import { amountAt, faultOf, initial } from "../src/Tally.ts"

describe("Tally", () => {
  it("knows what any number of sales comes to", () => {
    const amounts = Array.from({ length: 50 }, (_, index) => amountAt(index))
    for (const sales of amounts.keys()) {
      const made = amounts.slice(0, sales)
      const total = made.reduce((sum, amount) => sum + amount, 0)
      assert.isUndefined(faultOf({ ...initial, sales, total, largest: Math.max(0, ...made) }, sales))
    }
  })

  it("finds a sale that was missed, repeated or miscounted", () => {
    const takings = { currency: "EUR", sales: 9, total: 31, largest: 7 }
    assert.isUndefined(faultOf(takings, 9))
    assert.include(faultOf(takings, 8), "8 sales came to")
    assert.isString(faultOf({ ...takings, sales: 10 }, 9))
    assert.isString(faultOf({ ...takings, total: 32 }, 9))
    assert.isString(faultOf({ ...takings, largest: 6 }, 9))
    assert.isString(faultOf({ ...takings, currency: "" }, 9))
  })
})
