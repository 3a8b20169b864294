/**
 * A line of an order: some pieces of one product at one price.
 */
import { Schema } from "effect"
import { isAmount } from "payment/Money"

/** What was asked for. The unit price is in minor units. */
export const OrderLine = Schema.Struct({
  sku: Schema.NonEmptyString,
  quantity: Schema.Int,
  unitPrice: Schema.Int
})

/** What was asked for. The unit price is in minor units. */
export type OrderLine = typeof OrderLine.Type

/** What the lines cost, in minor units. */
export const total = (lines: ReadonlyArray<OrderLine>): number =>
  lines.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0)

/** What is wrong with the lines of an order. */
export const LinesRefusal = Schema.TaggedUnion({
  NoLines: {},
  SameProductTwice: { sku: Schema.String },
  QuantityNotPositive: { sku: Schema.String, quantity: Schema.Int },
  UnitPriceNotPositive: { sku: Schema.String, unitPrice: Schema.Int },
  TotalTooLarge: {}
})

/** What is wrong with the lines of an order. */
export type LinesRefusal = typeof LinesRefusal.Type

/** The first thing that is wrong with the lines; nothing when they can be ordered. */
export const refusalOf = (lines: ReadonlyArray<OrderLine>): LinesRefusal | undefined => {
  if (lines.length === 0) return { _tag: "NoLines" }
  const seen = new Set<string>()
  for (const { quantity, sku, unitPrice } of lines) {
    if (seen.has(sku)) return { _tag: "SameProductTwice", sku }
    if (quantity < 1) return { _tag: "QuantityNotPositive", sku, quantity }
    if (unitPrice < 1) return { _tag: "UnitPriceNotPositive", sku, unitPrice }
    seen.add(sku)
  }
  return isAmount(total(lines)) ? undefined : { _tag: "TotalTooLarge" }
}
