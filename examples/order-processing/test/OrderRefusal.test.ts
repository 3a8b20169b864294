import { assert, describe, it } from "@effect/vitest"
import { explain, isOrderRefusal, type OrderRefusal } from "../src/domain/OrderRefusal.ts"

const orderId = "10248"
const productId = "11"

const sentences: ReadonlyArray<readonly [refusal: OrderRefusal, sentence: string]> = [
  [{ _tag: "AlreadyPlaced", orderId }, "order 10248 is already placed"],
  [{ _tag: "NoLines", orderId }, "order 10248 has no lines"],
  [
    { _tag: "QuantityNotPositive", orderId, productId, quantity: -3 },
    "order 10248 asks for -3 of product 11: a quantity must be positive"
  ],
  [
    { _tag: "UnitPriceNotPositive", orderId, productId },
    "order 10248 has product 11 at a unit price that is not positive"
  ],
  [
    { _tag: "DiscountOutOfRange", orderId, productId },
    "order 10248 has product 11 at a discount that is not between 0 and 1"
  ],
  [{ _tag: "NotPlaced", orderId }, "order 10248 was never placed"],
  [{ _tag: "AlreadyShipped", orderId, shippedOn: "1996-07-16" }, "order 10248 is already shipped, on 1996-07-16"],
  [{ _tag: "AlreadyCancelled", orderId, reason: "too dear" }, "order 10248 is cancelled: too dear"],
  [
    { _tag: "ShippedBeforeOrdered", orderId, orderedOn: "1996-07-04", shippedOn: "1996-07-03" },
    "order 10248 of 1996-07-04 cannot have been shipped before that, on 1996-07-03"
  ],
  [{ _tag: "ShipperMissing", orderId }, "order 10248 cannot be shipped without a shipper"],
  [{ _tag: "ReasonMissing", orderId }, "order 10248 cannot be cancelled without a reason"]
]

describe("a refusal", () => {
  for (const [refusal, sentence] of sentences) {
    it(`${refusal._tag}: ${sentence}`, () => {
      assert.strictEqual(explain(refusal), sentence)
      assert.isTrue(isOrderRefusal(refusal))
    })
  }

  it("is told from other errors, and from one that lacks a detail", () => {
    for (const [{ _tag }] of sentences) assert.isFalse(isOrderRefusal({ _tag }), _tag)
    for (const [refusal] of sentences) {
      for (const key of Object.keys(refusal)) {
        const { [key as "_tag"]: _, ...rest } = refusal
        assert.isFalse(isOrderRefusal(rest), `${refusal._tag} without ${key}`)
      }
    }
    for (const other of [new Error("no"), { _tag: "VersionConflict" }, null, "NotPlaced"]) {
      assert.isFalse(isOrderRefusal(other))
    }
  })
})
