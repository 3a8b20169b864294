/**
 * The audit of the chaos script finds what is wrong.
 */
import { assert, describe, it } from "@effect/vitest"
import { chargeKey } from "payment/PaymentTasks"
import * as Audit from "../src/chaos/Audit.ts"
import type { Cart } from "../src/domain/Checkout.ts"

const cart: Cart = {
  checkoutId: "c1",
  customerId: "ada",
  warehouseId: "north",
  lines: [{ sku: "tea", quantity: 2, unitPrice: 450 }]
}
const key = chargeKey("c1")

const books: Audit.Books = {
  checkouts: new Map([["c1", { status: "Completed", cart }]]),
  orders: new Map([["c1", { status: "Confirmed", total: 900 }]]),
  warehouses: new Map([["north", { available: { tea: 3 }, reservations: { c1: [{ sku: "tea", quantity: 2 }] } }]]),
  deliveries: [{ warehouseId: "north", sku: "tea", quantity: 5 }],
  unanswered: 0,
  events: 0
}
const provider: Audit.ProviderBooks = {
  ledger: { entries: [{ key, operation: "charges", calls: 2, done: 1 }], withoutKey: 0, keyReused: 0 },
  charges: [{ key, taken: 900, refunded: 0 }]
}

const found = (changed: Partial<Audit.Books & Audit.ProviderBooks>): string =>
  Audit.violations({ ...books, ...changed }, { ...provider, ...changed }).join("; ")

describe("the audit of checkouts", () => {
  it("finds nothing where all agrees", () => {
    assert.strictEqual(found({}), "")
  })

  it("finds a checkout that is not finished", () => {
    assert.include(found({ checkouts: new Map([["c1", { status: "ReservingInventory", cart }]]) }), "still Reserving")
  })

  it("finds money that was taken twice, or not at all, or given back", () => {
    assert.include(found({ charges: [{ key, taken: 1800, refunded: 0 }] }), "paid 1800 instead of 900")
    assert.include(found({ charges: [] }), "paid 0 instead of 900")
    assert.include(found({ charges: [{ key, taken: 900, refunded: 900 }] }), "paid 0 instead of 900")
  })

  it("finds a failed checkout that kept what it took", () => {
    const failed = { status: "Failed", cart, failure: { _tag: "PaymentUncertain" } } as const
    const all = found({ checkouts: new Map([["c1", failed]]) })
    assert.include(all, "paid 900 instead of 0")
    assert.include(all, "its order Confirmed instead of Cancelled")
    assert.include(all, "2 × tea reserved instead of nothing")
  })

  it("finds goods that were lost, or reserved twice, or for nobody", () => {
    const north = (available: number, ...who: ReadonlyArray<string>) =>
      new Map([["north", {
        available: { tea: available },
        reservations: Object.fromEntries(who.map((id) => [id, [{ sku: "tea", quantity: 2 }] as const]))
      }]])
    assert.include(found({ warehouses: north(2, "c1") }), "of 5 × tea in north, 2 are available and 2 reserved")
    assert.include(found({ warehouses: north(1, "c1", "c2") }), "reservation for c2, of whom nobody has heard")
    assert.include(found({ warehouses: north(5) }), "with nothing reserved instead of 2 × tea")
  })

  it("finds charges that nobody asked for, that were made twice, and calls without a key", () => {
    assert.include(
      found({ charges: [...provider.charges, { key: "charge:c9", taken: 1, refunded: 1 }] }),
      "nobody asked for the charge charge:c9"
    )
    const entries = [{ key, operation: "charges", calls: 2, done: 2 }]
    assert.include(found({ ledger: { entries, withoutKey: 0, keyReused: 0 } }), "was done 2 times")
    assert.include(found({ ledger: { ...provider.ledger, withoutKey: 1 } }), "1 calls had no key")
  })
})
