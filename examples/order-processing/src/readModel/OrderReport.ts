/**
 * The report on all orders, from the read model. Cancelled orders are counted, but bring no revenue.
 */
import { Effect, Schema } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Money } from "../domain/Money.ts"

const revenue = { beforeDiscounts: Money, afterDiscounts: Money }

const Totals = Schema.Struct({
  orders: Schema.Int,
  placed: Schema.Int,
  shipped: Schema.Int,
  cancelled: Schema.Int,
  ...revenue
})
const CountryRevenue = Schema.Struct({ country: Schema.String, orders: Schema.Int, ...revenue })
const CategoryRevenue = Schema.Struct({ category: Schema.String, orders: Schema.Int, ...revenue })

/** How many orders there are and what they bring. Each amount is an exact sum, rounded to the cent. */
export const OrderReport = Schema.Struct({
  /** `placed` are those that are neither shipped nor cancelled. */
  ...Totals.fields,
  /** The highest revenue first. */
  byCountry: Schema.Array(CountryRevenue),
  /** The highest revenue first. An order counts in every category of its lines. */
  byCategory: Schema.Array(CategoryRevenue)
})

/** How many orders there are and what they bring. */
export type OrderReport = typeof OrderReport.Type

const decode = Schema.decodeUnknownEffect(OrderReport)

/** The queries must see one state of the read model, or their sums might disagree. */
const snapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

/** The report on all orders that the read model contains. */
export const reportOrders = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const revenue = (table: "order_summaries" | "order_lines") =>
    sql.literal(`
      round(coalesce(sum(${table}.before_discounts) FILTER (WHERE status <> 'Cancelled'), 0), 2) AS "beforeDiscounts",
      round(coalesce(sum(${table}.after_discounts) FILTER (WHERE status <> 'Cancelled'), 0), 2) AS "afterDiscounts"`)
  return yield* Effect.gen(function*() {
    const [totals] = yield* sql`
      SELECT count(*)::int AS orders,
        count(*) FILTER (WHERE status = 'Placed')::int AS placed,
        count(*) FILTER (WHERE status = 'Shipped')::int AS shipped,
        count(*) FILTER (WHERE status = 'Cancelled')::int AS cancelled,
        ${revenue("order_summaries")}
      FROM order_processing.order_summaries`
    const byCountry = yield* sql`
      SELECT country, count(*)::int AS orders, ${revenue("order_summaries")}
      FROM order_processing.order_summaries
      GROUP BY country ORDER BY "afterDiscounts" DESC, country`
    const byCategory = yield* sql`
      SELECT category, count(DISTINCT order_id)::int AS orders, ${revenue("order_lines")}
      FROM order_processing.order_lines JOIN order_processing.order_summaries USING (order_id)
      GROUP BY category ORDER BY "afterDiscounts" DESC, category`
    return yield* decode({ ...totals, byCountry, byCategory })
  }).pipe(sql.withTransaction, Effect.provideService(SqlClient.BeginTransaction, snapshot))
})
