/**
 * Why an order refuses a command. Reasons are plain records, so that a program can tell them apart and a test can
 * compare them; {@link explain} puts them in words.
 */
import { Schema } from "effect"

const orderId = Schema.String
const productId = Schema.String

/** Why an order refuses a command. */
export const OrderRefusal = Schema.TaggedUnion({
  AlreadyPlaced: { orderId },
  NoLines: { orderId },
  QuantityNotPositive: { orderId, productId, quantity: Schema.Int },
  UnitPriceNotPositive: { orderId, productId },
  DiscountOutOfRange: { orderId, productId },
  NotPlaced: { orderId },
  AlreadyShipped: { orderId, shippedOn: Schema.String },
  AlreadyCancelled: { orderId, reason: Schema.String },
  ShippedBeforeOrdered: { orderId, orderedOn: Schema.String, shippedOn: Schema.String },
  ShipperMissing: { orderId },
  ReasonMissing: { orderId }
})

/** Why an order refuses a command. */
export type OrderRefusal = typeof OrderRefusal.Type

/** Tells a refusal from everything else that can go wrong with a command. */
export const isOrderRefusal = Schema.is(OrderRefusal)

/** The refusal as a sentence without a full stop. */
export const explain = (refusal: OrderRefusal): string =>
  OrderRefusal.match(refusal, {
    AlreadyPlaced: ({ orderId }) => `order ${orderId} is already placed`,
    NoLines: ({ orderId }) => `order ${orderId} has no lines`,
    QuantityNotPositive: ({ orderId, productId, quantity }) =>
      `order ${orderId} asks for ${quantity} of product ${productId}: a quantity must be positive`,
    UnitPriceNotPositive: ({ orderId, productId }) =>
      `order ${orderId} has product ${productId} at a unit price that is not positive`,
    DiscountOutOfRange: ({ orderId, productId }) =>
      `order ${orderId} has product ${productId} at a discount that is not between 0 and 1`,
    NotPlaced: ({ orderId }) => `order ${orderId} was never placed`,
    AlreadyShipped: ({ orderId, shippedOn }) => `order ${orderId} is already shipped, on ${shippedOn}`,
    AlreadyCancelled: ({ orderId, reason }) => `order ${orderId} is cancelled: ${reason}`,
    ShippedBeforeOrdered: ({ orderId, orderedOn, shippedOn }) =>
      `order ${orderId} of ${orderedOn} cannot have been shipped before that, on ${shippedOn}`,
    ShipperMissing: ({ orderId }) => `order ${orderId} cannot be shipped without a shipper`,
    ReasonMissing: ({ orderId }) => `order ${orderId} cannot be cancelled without a reason`
  })
