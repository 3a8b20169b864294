/**
 * What each customer has ordered: a read model of counters, written a batch at a time. A customer's orders count as soon as
 * they are placed, and no more once they are cancelled.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Array, Effect, Order as Ordering } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { format } from "../domain/Decimal.ts"
import * as Money from "../domain/Money.ts"
import { Order, totals } from "../domain/Order.ts"

/** What a batch of events adds to a customer's row. */
interface Change {
  orders: number
  cancelled: number
  revenue: Money.Money
}

/** Adds to the rows of some customers, in the order of their ids: two that add at the same time must not deadlock. */
const add = (changes: Array.NonEmptyReadonlyArray<readonly [customer: string, Change]>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql`INSERT INTO order_processing.customer_totals AS t ${
      sql.insert(
        Array.map(Array.sortWith(changes, ([customer]) => customer, Ordering.String), ([customer_id, change]) => ({
          customer_id,
          orders: change.orders,
          cancelled: change.cancelled,
          revenue: format(change.revenue)
        }))
      )
    } ON CONFLICT (customer_id) DO UPDATE SET orders = t.orders + EXCLUDED.orders,
        cancelled = t.cancelled + EXCLUDED.cancelled, revenue = t.revenue + EXCLUDED.revenue`)

/** Keeps the customers' totals. What a cancelled order was worth is looked up in a table that the projection keeps. */
export const customerTotals = Projection.defineBatch(Order, {
  name: "customer-totals",
  version: 1,
  setUp: Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE SCHEMA IF NOT EXISTS order_processing`
    yield* sql`
      CREATE TABLE order_processing.customer_totals (
        customer_id text PRIMARY KEY,
        orders      bigint NOT NULL,
        cancelled   bigint NOT NULL,
        revenue     numeric NOT NULL
      )`
    yield* sql`
      CREATE TABLE order_processing.customer_orders (
        order_id    text PRIMARY KEY,
        customer_id text NOT NULL,
        revenue     numeric NOT NULL
      )`
  }),
  events: ["OrderPlaced", "OrderCancelled"],
  handle: (batch) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const changes = new Map<string, Change>()
      const change = (customer: string): Change => {
        const known = changes.get(customer) ?? { orders: 0, cancelled: 0, revenue: Money.zero }
        changes.set(customer, known)
        return known
      }
      const placed = batch.flatMap(({ event }) => event._tag === "OrderPlaced" ? [event] : [])
      const cancelled = batch.flatMap(({ event }) => event._tag === "OrderCancelled" ? [event.orderId] : [])
      for (const order of placed) {
        const row = change(order.customer.id)
        row.orders++
        row.revenue = Money.sum([row.revenue, totals(order).afterDiscounts])
      }
      const added = [...changes]
      if (Array.isReadonlyArrayNonEmpty(added)) yield* add(added)
      if (Array.isReadonlyArrayNonEmpty(placed)) {
        yield* sql`INSERT INTO order_processing.customer_orders ${
          sql.insert(Array.map(placed, (order) => ({
            order_id: order.orderId,
            customer_id: order.customer.id,
            revenue: format(totals(order).afterDiscounts)
          })))
        }`
      }
      if (cancelled.length > 0) {
        yield* sql`
          UPDATE order_processing.customer_totals AS t
          SET cancelled = t.cancelled + lost.orders, revenue = t.revenue - lost.revenue
          FROM (
            SELECT customer_id, count(*) AS orders, sum(revenue) AS revenue
            FROM order_processing.customer_orders WHERE ${sql.in("order_id", cancelled)} GROUP BY customer_id
          ) AS lost
          WHERE lost.customer_id = t.customer_id`
      }
    })
})
