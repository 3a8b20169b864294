/**
 * `orders list`: the orders, from the read model.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Console, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { type ListedOrder, ListedOrders, listOrders } from "../readModel/OrderList.ts"
import { orderSummary } from "../readModel/OrderSummary.ts"
import { onOrders } from "./DataFolder.ts"
import { cents, jsonFlag, printJson } from "./Output.ts"
import * as Table from "./Table.ts"

const status = Flag.ChoiceWithValue("status", [
  ["placed", "Placed"],
  ["shipped", "Shipped"],
  ["cancelled", "Cancelled"]
]).pipe(Flag.withDescription("Only orders of this status"), Flag.optional)

const limit = Flag.Int("limit").pipe(
  Flag.withMetavar("N"),
  Flag.withDescription("At most so many orders, the oldest first; all when left out"),
  Flag.filter((limit) => limit >= 0, (limit) => `Expected a limit from 0 on, got ${limit}`),
  Flag.optional
)

const encode = Schema.encodeSync(ListedOrders)

export const ListCommand = Command.make(
  "list",
  { status, limit, json: jsonFlag },
  Effect.fn(function*({ json, limit, status }) {
    const selection = { status: Option.getOrUndefined(status), limit: Option.getOrUndefined(limit) }
    const orders = yield* onOrders(Effect.andThen(Projection.catchUp(orderSummary), listOrders(selection)))
    yield* json ? printJson(encode(orders)) : Console.log(orders.length === 0 ? "There are no orders." : toText(orders))
  })
).pipe(Command.withDescription("List orders, by day and number"))

const toText = (orders: ReadonlyArray<ListedOrder>): string =>
  Table.render([
    { title: "ORDER", cell: (order) => order.orderId },
    { title: "STATUS", cell: (order) => order.status },
    { title: "ORDERED", cell: (order) => order.orderedOn },
    { title: "SHIPPED", cell: (order) => order.shippedOn ?? "" },
    { title: "CUSTOMER", cell: (order) => order.customerName },
    { title: "COUNTRY", cell: (order) => order.country },
    { title: "LINES", cell: (order) => String(order.lineCount), align: "right" },
    { title: "TOTAL", cell: (order) => cents(order.afterDiscounts), align: "right" }
  ], orders)
