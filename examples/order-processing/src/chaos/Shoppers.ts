/**
 * Shoppers: they place orders without end, and most of these are shipped or cancelled.
 */
import { BigDecimal, Effect, Schema } from "effect"
import { Order, OrderDetails } from "../domain/Order.ts"
import { Orders } from "../Orders.ts"

/** Numbers from 0 to below 1, always the same for one seed: mulberry32, by Tommy Ettinger, in the public domain. */
export const randomFrom = (seed: number): () => number => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const decode = Schema.decodeUnknownSync(OrderDetails)

const orderOf = (orderId: string, random: () => number): typeof OrderDetails.Type => {
  const below = (limit: number) => Math.floor(random() * limit)
  const customer = `customer ${below(40)}`
  const lines = Array.from({ length: 1 + below(4) }, () => {
    const product = below(25)
    return {
      productId: `product ${product}`,
      productName: `Product ${product}`,
      category: `category ${product % 5}`,
      unitPrice: BigDecimal.format(BigDecimal.make(BigInt(1 + below(9_999)), 2)),
      quantity: 1 + below(9),
      discount: ["0", "0.05", "0.125"][below(3)]!
    }
  })
  return decode({
    orderId,
    customer: { id: customer, name: customer },
    orderedOn: "2026-01-15",
    requiredOn: "2026-02-15",
    shipper: "Overland",
    freight: "4.5",
    shipTo: { name: customer, street: "1 Quay", city: "Port", region: null, postalCode: null, country: "Norway" },
    lines
  })
}

/** Places one order, and then has it shipped, cancelled, or left as it is. Says how many commands that took. */
const shop = (orderId: string, random: () => number) =>
  Effect.gen(function*() {
    yield* Orders.dispatch(Order.PlaceOrder(orderOf(orderId, random)), { commandId: `place ${orderId}` })
    const luck = random()
    if (luck < 0.6) {
      yield* Orders.dispatch(Order.ShipOrder({ orderId, shipper: "Overland", shippedOn: "2026-01-20" }))
      return 2
    }
    if (luck < 0.8) {
      yield* Orders.dispatch(Order.CancelOrder({ orderId, reason: "changed my mind" }))
      return 2
    }
    return 1
  })

/** Shops again and again until it is interrupted, with a short breath between two orders. */
export const shopper = (nr: number, seed: number, sent: (commands: number) => void) =>
  Effect.gen(function*() {
    const random = randomFrom(seed * 1_000 + nr)
    for (let count = 0;; count++) {
      sent(yield* Effect.uninterruptible(shop(`${nr}-${count}`, random)))
      yield* Effect.sleep(Math.floor(random() * 20))
    }
  })
