/**
 * The read model: a row for each order with its totals, and one for each of its lines. It is what lists and reports are
 * read from, and it can be rebuilt from the log at any time.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Array, Effect } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { format } from "../domain/Decimal.ts"
import { Order, totals } from "../domain/Order.ts"
import { afterDiscount, beforeDiscount } from "../domain/OrderLine.ts"

const setUp = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE SCHEMA IF NOT EXISTS order_processing`
  yield* sql`
    CREATE TABLE order_processing.order_summaries (
      order_id         text PRIMARY KEY,
      customer_id      text NOT NULL,
      customer_name    text NOT NULL,
      country          text NOT NULL,
      status           text NOT NULL,
      line_count       integer NOT NULL,
      before_discounts numeric NOT NULL,
      after_discounts  numeric NOT NULL,
      ordered_on       date NOT NULL,
      required_on      date NOT NULL,
      shipper          text NOT NULL,
      shipped_on       date,
      cancelled_for    text
    )`
  yield* sql`
    CREATE TABLE order_processing.order_lines (
      order_id         text NOT NULL,
      line_number      integer NOT NULL,
      product_id       text NOT NULL,
      product_name     text NOT NULL,
      category         text NOT NULL,
      quantity         bigint NOT NULL,
      before_discounts numeric NOT NULL,
      after_discounts  numeric NOT NULL,
      PRIMARY KEY (order_id, line_number)
    )`
})

/** Only the projection writes to these tables, in the log's order: an order without a summary is a fault of the program. */
const mustBeFound = (orderId: string, rows: ReadonlyArray<unknown>) =>
  rows.length > 0 ? Effect.void : Effect.die(new Error(`Order ${orderId} has no summary to update`))

/** Keeps the summaries up to date with the events of orders. */
export const orderSummary = Projection.define(Order, {
  name: "order-summary",
  version: 1,
  setUp,
  on: {
    OrderPlaced: (placed) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const total = totals(placed)
        yield* sql`INSERT INTO order_processing.order_summaries ${
          sql.insert({
            order_id: placed.orderId,
            customer_id: placed.customer.id,
            customer_name: placed.customer.name,
            country: placed.shipTo.country,
            status: "Placed",
            line_count: placed.lines.length,
            before_discounts: format(total.beforeDiscounts),
            after_discounts: format(total.afterDiscounts),
            ordered_on: placed.orderedOn,
            required_on: placed.requiredOn,
            shipper: placed.shipper
          })
        }`
        yield* sql`INSERT INTO order_processing.order_lines ${
          sql.insert(Array.map(placed.lines, (line, index) => ({
            order_id: placed.orderId,
            line_number: index + 1,
            product_id: line.productId,
            product_name: line.productName,
            category: line.category,
            quantity: line.quantity,
            before_discounts: format(beforeDiscount(line)),
            after_discounts: format(afterDiscount(line))
          })))
        }`
      }),
    OrderShipped: ({ orderId, shippedOn, shipper }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const updated = yield* sql`
          UPDATE order_processing.order_summaries
          SET status = 'Shipped', shipped_on = ${shippedOn}, shipper = ${shipper}
          WHERE order_id = ${orderId} RETURNING order_id`
        yield* mustBeFound(orderId, updated)
      }),
    OrderCancelled: ({ orderId, reason }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const updated = yield* sql`
          UPDATE order_processing.order_summaries SET status = 'Cancelled', cancelled_for = ${reason}
          WHERE order_id = ${orderId} RETURNING order_id`
        yield* mustBeFound(orderId, updated)
      })
  }
})
