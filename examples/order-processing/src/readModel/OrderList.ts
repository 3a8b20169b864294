/**
 * The list of orders, from the read model.
 */
import { Effect, Schema } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Money } from "../domain/Money.ts"

/** How far an order has come. */
export const Status = Schema.Literals(["Placed", "Shipped", "Cancelled"])

/** How far an order has come. */
export type Status = typeof Status.Type

/** An order of the list. */
export const ListedOrder = Schema.Struct({
  orderId: Schema.String,
  status: Status,
  customerId: Schema.String,
  customerName: Schema.String,
  country: Schema.String,
  orderedOn: Schema.String,
  shippedOn: Schema.NullOr(Schema.String),
  lineCount: Schema.Int,
  beforeDiscounts: Money,
  afterDiscounts: Money
})

/** An order of the list. */
export type ListedOrder = typeof ListedOrder.Type

/** Some orders. */
export const ListedOrders = Schema.Array(ListedOrder)

/** Which orders to list. */
export interface Selection {
  readonly status?: Status | undefined
  /** How many at the most. Default: all. */
  readonly limit?: number | undefined
}

const decode = Schema.decodeUnknownEffect(ListedOrders)

/** Orders by day and number, oldest first. */
export const listOrders = ({ limit, status }: Selection = {}) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`
      SELECT order_id AS "orderId", status, customer_id AS "customerId", customer_name AS "customerName", country,
        ordered_on AS "orderedOn", shipped_on AS "shippedOn", line_count AS "lineCount",
        before_discounts AS "beforeDiscounts", after_discounts AS "afterDiscounts"
      FROM order_processing.order_summaries
      WHERE ${status === undefined ? sql`true` : sql`status = ${status}`}
      ORDER BY ordered_on, order_id
      LIMIT ${limit ?? null}`
    return yield* decode(rows)
  })
