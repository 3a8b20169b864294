/**
 * Shoppers: they place orders without end, and most of these are shipped or cancelled.
 */
import { BigDecimal, Effect, Random, Schema } from "effect"
import { Order, OrderDetails } from "../domain/Order.ts"
import { Orders } from "../Orders.ts"

const decode = Schema.decodeUnknownSync(OrderDetails)

const orderLine = Effect.gen(function*() {
  const product = yield* Random.nextIntBetween(0, 25)
  const cents = yield* Random.nextIntBetween(1, 10_000)
  return {
    productId: `product ${product}`,
    productName: `Product ${product}`,
    category: `category ${product % 5}`,
    unitPrice: BigDecimal.format(BigDecimal.make(BigInt(cents), 2)),
    quantity: yield* Random.nextIntBetween(1, 10),
    discount: yield* Random.choice(["0", "0.05", "0.125"] as const)
  }
})

const orderOf = (orderId: string) =>
  Effect.gen(function*() {
    const customer = `customer ${yield* Random.nextIntBetween(0, 40)}`
    const lines = yield* Effect.replicateEffect(orderLine, yield* Random.nextIntBetween(1, 5))
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
  })

/** Places one order, and then has it shipped, cancelled, or left as it is. Says how many commands that took. */
const shop = (orderId: string) =>
  Effect.gen(function*() {
    yield* Orders.dispatch(Order.PlaceOrder(yield* orderOf(orderId)), { commandId: `place ${orderId}` })
    const luck = yield* Random.next
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
    for (let count = 0;; count++) {
      sent(yield* Effect.uninterruptible(shop(`${nr}-${count}`)))
      yield* Effect.sleep(yield* Random.nextIntBetween(0, 20))
    }
  }).pipe(Random.withSeed(seed * 1_000 + nr))
