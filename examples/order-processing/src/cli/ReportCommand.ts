/**
 * `orders report`: how many orders there are and what they bring, from the read model.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Console, Effect, Schema } from "effect"
import { Command } from "effect/cli"
import { OrderReport, reportOrders } from "../readModel/OrderReport.ts"
import { orderSummary } from "../readModel/OrderSummary.ts"
import { onOrders } from "./DataFolder.ts"
import { cents, jsonFlag, printJson } from "./Output.ts"
import * as Table from "./Table.ts"

const encode = Schema.encodeSync(OrderReport)

export const ReportCommand = Command.make(
  "report",
  { json: jsonFlag },
  Effect.fn(function*({ json }) {
    const report = yield* onOrders(Effect.andThen(Projection.catchUp(orderSummary), reportOrders))
    yield* json ? printJson(encode(report)) : Console.log(toText(report))
  })
).pipe(Command.withDescription("Report orders and revenue, in all, by country and by category"))

/** The report for people to read. */
export const toText = (report: OrderReport): string => {
  const totals = Table.pairs([
    ["Orders", String(report.orders)],
    ["Shipped", String(report.shipped)],
    ["To be shipped", String(report.placed)],
    ["Cancelled", String(report.cancelled)],
    ["Revenue before discounts", cents(report.beforeDiscounts)],
    ["Revenue after discounts", cents(report.afterDiscounts)]
  ])
  const byCountry = revenueBy("COUNTRY", ({ country }) => country, report.byCountry)
  const byCategory = revenueBy("CATEGORY", ({ category }) => category, report.byCategory)
  return `${totals}\n\n${byCountry}\n\n${byCategory}`
}

type Revenue = Pick<OrderReport, "orders" | "beforeDiscounts" | "afterDiscounts">

const revenueBy = <Row extends Revenue>(title: string, name: (row: Row) => string, rows: ReadonlyArray<Row>): string =>
  Table.render([
    { title, cell: name },
    { title: "ORDERS", cell: ({ orders }) => String(orders), align: "right" },
    { title: "BEFORE DISCOUNTS", cell: ({ beforeDiscounts }) => cents(beforeDiscounts), align: "right" },
    { title: "AFTER DISCOUNTS", cell: ({ afterDiscounts }) => cents(afterDiscounts), align: "right" }
  ], rows)
