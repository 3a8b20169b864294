import { assert, describe, it } from "@effect/vitest"
import { BigDecimal } from "effect"
import { cents } from "../src/cli/Output.ts"
import * as Table from "../src/cli/Table.ts"

describe("Output", () => {
  it("rounds to the cent only to show, half a cent away from zero", () => {
    for (
      const [exact, shown] of [
        ["1265793.0395", "1265793.04"],
        ["0.005", "0.01"],
        ["0.0049999", "0.00"],
        ["-0.005", "-0.01"],
        ["234507.285", "234507.29"],
        ["14", "14.00"]
      ] as const
    ) {
      assert.strictEqual(cents(BigDecimal.fromStringUnsafe(exact)), shown)
    }
  })

  it("aligns columns by what a person sees", () => {
    const table = Table.render([
      { title: "CITY", cell: ([city]) => city },
      { title: "ORDERS", cell: ([, orders]) => orders, align: "right" }
    ], [["Malmö", "3"], ["São Paulo", "1200000"]] as const)
    assert.strictEqual(table, "CITY        ORDERS\nMalmö            3\nSão Paulo  1200000")
  })
})
