/**
 * Commands of which many are accepted: few products, small numbers, and now and then a fault.
 */
import { Arbitrary, Schema } from "effect"
import { Checkout } from "../src/domain/Checkout.ts"
import { Inventory } from "../src/domain/Inventory.ts"
import { Order } from "../src/domain/Order.ts"

const oneOf = <const A extends string | number>(...values: readonly [A, ...ReadonlyArray<A>]) =>
  Arbitrary.schema(Schema.Literals(values))

const skus = oneOf("tea", "cup")
const lines = Arbitrary.array(
  Arbitrary.all({ sku: skus, quantity: oneOf(1, 2, 3, 0), unitPrice: oneOf(100, 250, 0) }),
  { maxLength: 2 }
)
const ids = { checkoutId: oneOf("c1"), customerId: oneOf("ada"), warehouseId: oneOf("main") }

const item = Arbitrary.all({ sku: skus, quantity: oneOf(1, 2, 3) })
const items = Arbitrary.map(
  Arbitrary.all([item, Arbitrary.array(item, { maxLength: 1 })]),
  ([first, rest]) => [first, ...rest] as const
)
const reservationId = oneOf("r1", "r2", "r3")

/** By the names of the commands of an order. */
export const ofOrder = {
  PlaceOrder: Arbitrary.map(
    Arbitrary.all({ orderId: oneOf("o1"), customerId: ids.customerId, lines }),
    Order.PlaceOrder
  )
}

/** By the names of the commands of a warehouse. */
export const ofInventory = {
  AddInventory: Arbitrary.map(
    Arbitrary.all({ warehouseId: ids.warehouseId, sku: skus, quantity: oneOf(1, 2, 5, 0) }),
    Inventory.AddInventory
  ),
  ReserveInventory: Arbitrary.map(
    Arbitrary.all({ warehouseId: ids.warehouseId, reservationId, items }),
    Inventory.ReserveInventory
  ),
  ReleaseInventory: Arbitrary.map(
    Arbitrary.all({ warehouseId: ids.warehouseId, reservationId }),
    Inventory.ReleaseInventory
  )
}

/** By the names of the commands of a checkout. */
export const ofCheckout = {
  InitiateCheckout: Arbitrary.map(Arbitrary.all({ ...ids, lines }), Checkout.InitiateCheckout)
}
