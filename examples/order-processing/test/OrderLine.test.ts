import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Schema } from "effect"
import { afterDiscount, beforeDiscount, type OrderLine } from "../src/domain/OrderLine.ts"

const line = (unitPrice: string, quantity: number, discount: string): OrderLine => ({
  productId: "11",
  productName: "Queso Cabrales",
  category: "Dairy Products",
  unitPrice: BigDecimal.fromStringUnsafe(unitPrice),
  quantity,
  discount: BigDecimal.fromStringUnsafe(discount)
})

describe("OrderLine", () => {
  it("costs unit price × quantity × (1 − discount), to the last digit", () => {
    assert.strictEqual(BigDecimal.format(beforeDiscount(line("42.40", 35, "0.15"))), "1484")
    assert.strictEqual(BigDecimal.format(afterDiscount(line("42.40", 35, "0.15"))), "1261.4")
    assert.strictEqual(BigDecimal.format(afterDiscount(line("0.01", 1, "0.05"))), "0.0095")
    assert.strictEqual(BigDecimal.format(afterDiscount(line("19.99", 3, "1"))), "0")
  })

  it("is exact where binary floats are not", () => {
    // 1.1 × 3 is 3.3000000000000003 in binary floating point, and 9007199254740993 is not a float at all.
    assert.strictEqual(BigDecimal.format(beforeDiscount(line("1.10", 3, "0"))), "3.3")
    assert.strictEqual(BigDecimal.format(beforeDiscount(line("9007199254740993", 1, "0"))), "9007199254740993")
  })

  it.prop(
    "agrees with integer arithmetic in cents and hundredths",
    [
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000_000 })),
      Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 100_000 })),
      Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
    ],
    ([cents, quantity, percent]) => {
      const priced: OrderLine = {
        ...line("0", quantity, "0"),
        unitPrice: BigDecimal.make(BigInt(cents), 2),
        discount: BigDecimal.make(BigInt(percent), 2)
      }
      const expected = BigDecimal.make(BigInt(cents) * BigInt(quantity) * BigInt(100 - percent), 4)
      assert.isTrue(BigDecimal.equals(afterDiscount(priced), expected))
    }
  )
})
