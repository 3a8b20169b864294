/**
 * A line of an order: so many pieces of one product at a price, less a discount.
 */
import { BigDecimal, Schema } from "effect"
import { Decimal } from "./Decimal.ts"
import * as Money from "./Money.ts"
import { Text } from "./Text.ts"

/** A line of an order. */
export const OrderLine = Schema.Struct({
  productId: Text,
  productName: Text,
  category: Text,
  unitPrice: Money.Money,
  quantity: Schema.Int,
  /** A fraction of the price: `0.15` is 15 %. */
  discount: Decimal
})

/** A line of an order. */
export type OrderLine = typeof OrderLine.Type

const one = BigDecimal.fromBigInt(1n)

/** What the line would cost without its discount. */
export const beforeDiscount = ({ quantity, unitPrice }: OrderLine): Money.Money =>
  BigDecimal.multiply(unitPrice, BigDecimal.fromBigInt(BigInt(quantity)))

/** What the line costs: unit price × quantity × (1 − discount), exact. */
export const afterDiscount = (line: OrderLine): Money.Money =>
  BigDecimal.multiply(beforeDiscount(line), BigDecimal.subtract(one, line.discount))
