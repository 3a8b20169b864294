/**
 * The audit: what the read models should hold, by a fold of the log, and where they differ.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { BigDecimal, Effect } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Order, type OrderEvent } from "../domain/Order.ts"
import { totals } from "../domain/Order.ts"

/** Rows by their keys, each as one line of text, so that they compare exactly. */
type Table = Map<string, string>

const pageSize = 5_000

/** Every event of the orders, in the order of the log. */
const allEvents = Effect.gen(function*() {
  const store = yield* EventStore
  const events: Array<OrderEvent> = []
  let after = 0n
  while (true) {
    const page = yield* store.readAll({ after, limit: pageSize })
    for (const recorded of page.events) events.push(yield* Effect.fromResult(Order.decode(recorded)))
    if (page.position >= page.head) return events
    after = page.position
  }
})

const text = (...values: ReadonlyArray<unknown>): string => values.join(" | ")

/** An amount without the zeros at its end, however it was made. */
const amount = (value: BigDecimal.BigDecimal): string => BigDecimal.format(BigDecimal.normalize(value))

interface Placed {
  readonly event: Extract<OrderEvent, { readonly _tag: "OrderPlaced" }>
  status: "Placed" | "Shipped" | "Cancelled"
}

/** What the three read models should hold. */
const expectedTables = (events: ReadonlyArray<OrderEvent>) => {
  const orders = new Map<string, Placed>()
  for (const event of events) {
    if (event._tag === "OrderPlaced") orders.set(event.orderId, { event, status: "Placed" })
    else orders.get(event.orderId)!.status = event._tag === "OrderShipped" ? "Shipped" : "Cancelled"
  }
  const summaries: Table = new Map()
  const customers = new Map<string, { orders: number; cancelled: number; revenue: BigDecimal.BigDecimal }>()
  const products = new Map<string, { ordered: number; shipped: number }>()
  for (const [orderId, { event, status }] of orders) {
    const { afterDiscounts, beforeDiscounts } = totals(event)
    summaries.set(
      orderId,
      text(event.customer.id, status, event.lines.length, amount(beforeDiscounts), amount(afterDiscounts))
    )
    const customer = customers.get(event.customer.id) ??
      { orders: 0, cancelled: 0, revenue: BigDecimal.fromBigInt(0n) }
    customer.orders++
    if (status === "Cancelled") customer.cancelled++
    else customer.revenue = BigDecimal.sum(customer.revenue, afterDiscounts)
    customers.set(event.customer.id, customer)
    for (const { productId, quantity } of event.lines) {
      const product = products.get(productId) ?? { ordered: 0, shipped: 0 }
      product.ordered += quantity
      if (status === "Shipped") product.shipped += quantity
      products.set(productId, product)
    }
  }
  return {
    order_summaries: summaries,
    customer_totals: new Map(
      [...customers].map(([id, { cancelled, orders, revenue }]) => [id, text(orders, cancelled, amount(revenue))])
    ),
    product_sales: new Map([...products].map(([id, { ordered, shipped }]) => [id, text(ordered, shipped)]))
  }
}

const columns = {
  order_summaries: [
    "order_id",
    "customer_id",
    "status",
    "line_count",
    "trim_scale(before_discounts)",
    "trim_scale(after_discounts)"
  ],
  customer_totals: ["customer_id", "orders", "cancelled", "trim_scale(revenue)"],
  product_sales: ["product_id", "ordered", "shipped"]
} as const

type Name = keyof typeof columns

const storedTable = (name: Name) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [key, ...values] = columns[name]
    const rows = yield* sql.unsafe<{ readonly key: string; readonly row: string }>(
      `SELECT ${key} AS key, concat_ws(' | ', ${values.join(", ")}) AS row FROM order_processing.${name}`
    )
    return new Map(rows.map(({ key, row }) => [key, row]))
  })

const differencesOf = (name: Name, expected: Table, stored: Table): ReadonlyArray<string> =>
  [...new Set([...expected.keys(), ...stored.keys()])].sort().flatMap((key) => {
    const [should, is] = [expected.get(key), stored.get(key)]
    return should === is ? [] : [`${name} ${key}: ${is ?? "missing"}, but the log says ${should ?? "nothing"}`]
  })

/** What the audit found. */
export interface Findings {
  readonly events: number
  readonly rows: number
  /** A sentence for each row that is missing, too many, or not what a fold of the log gives. */
  readonly differences: ReadonlyArray<string>
}

/** Compares every row of the read models, which must have caught up, with a fold of the whole log. */
export const audit = Effect.gen(function*() {
  const events = yield* allEvents
  const expected = expectedTables(events)
  const names = Object.keys(expected) as Array<Name>
  let rows = 0
  const differences: Array<string> = []
  for (const name of names) {
    const stored = yield* storedTable(name)
    rows += stored.size
    differences.push(...differencesOf(name, expected[name], stored))
  }
  return { events: events.length, rows, differences } satisfies Findings
})
