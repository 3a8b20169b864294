/**
 * `orders show ORDER`: an order, its state rebuilt from its events, now or at a moment of the past.
 */
import type { Current, Moment } from "@composable-ts/core/History"
import { Console, Effect, Option, Record, Schema } from "effect"
import { CliError, Command, Flag } from "effect/cli"
import { format } from "../domain/Decimal.ts"
import { OrderState, totals } from "../domain/Order.ts"
import { afterDiscount } from "../domain/OrderLine.ts"
import { Orders } from "../Orders.ts"
import { onOrders } from "./DataFolder.ts"
import { NothingToShow } from "./Failure.ts"
import * as Instant from "./Instant.ts"
import { orderArgument } from "./OrderArgument.ts"
import { cents, isoTime, jsonFlag, printJson } from "./Output.ts"
import * as Table from "./Table.ts"

const atVersion = Flag.Int("at-version").pipe(
  Flag.withMetavar("N"),
  Flag.withDescription("The order as its event of this version left it; 0 is the first"),
  Flag.filter((version) => version >= 0, (version) => `Expected a version from 0 on, got ${version}`),
  Flag.optional
)

const atTime = Flag.String("at").pipe(
  Flag.withMetavar("TIME"),
  Flag.withDescription("The order as it was at this time by the log, in ISO 8601; UTC unless it says otherwise"),
  Flag.mapTryCatch(Instant.parse, (error) => error instanceof Error ? error.message : String(error)),
  Flag.optional
)

export const ShowCommand = Command.make(
  "show",
  {
    orderId: orderArgument,
    atVersion,
    atTime,
    json: jsonFlag
  },
  Effect.fn(function*({ atTime, atVersion, json, orderId }) {
    const moment: Moment | undefined = Option.getOrUndefined(Option.orElse(
      Option.map(atVersion, (version) => ({ version })),
      () => Option.map(atTime, (time) => ({ time }))
    ))
    const current = yield* onOrders(stateOf(orderId, moment))
    yield* json ? printJson(toJson(orderId, current)) : Console.log(toText(orderId, current))
  })
).pipe(
  Command.withDescription("Show an order, rebuilt from its events: now, at a version, or at a time"),
  Command.validate(({ atTime, atVersion }) =>
    Option.isSome(atTime) && Option.isSome(atVersion)
      ? Effect.fail(
        new CliError.ValidationError({
          message: "--at-version and --at each name a moment: give one of them, not both"
        })
      )
      : Effect.void
  )
)

/** The order's state at the moment, or else now; fails when there was none. */
const stateOf = (orderId: string, moment: Moment | undefined) =>
  Effect.gen(function*() {
    const orders = yield* Orders
    const last = yield* orders.state(orderId)
    if (last.version < 0) return yield* new NothingToShow({ message: `There is no order ${orderId}.` })
    if (moment === undefined) return last
    if ("version" in moment && moment.version > last.version) {
      return yield* new NothingToShow({ message: `Order ${orderId} has come to version ${last.version} so far.` })
    }
    const then = yield* orders.stateAt(orderId, moment)
    if ("time" in moment && then.version < 0) {
      return yield* new NothingToShow({ message: `There was no order ${orderId} yet at ${isoTime(moment.time)}.` })
    }
    return then
  })

const encodeState = Schema.encodeSync(OrderState)

const toJson = (orderId: string, { state, version }: Current<OrderState>) => ({
  orderId,
  version,
  ...encodeState(state),
  ...(state.status === "New" ? {} : Record.map(totals(state.order), (amount) => format(amount)))
})

/** For people to read. */
export const toText = (orderId: string, { state, version }: Current<OrderState>): string => {
  if (state.status === "New") return `Order ${orderId} is new.`
  const { customer, freight, lines, orderedOn, requiredOn, shipTo, shipper } = state.order
  const { afterDiscounts, beforeDiscounts } = totals(state.order)
  const { city, country, name, postalCode, region, street } = shipTo
  const place = [name, street, [postalCode, city].filter(Boolean).join(" "), region, country].filter(Boolean).join(", ")
  const summary = Table.pairs([
    ["Order", `${orderId}, version ${version}`],
    ["Status", statusText(state)],
    ["Customer", `${customer.name} (${customer.id})`],
    ["Ordered", `${orderedOn}, required ${requiredOn}, by ${shipper}`],
    ["Ship to", place],
    ["Freight", cents(freight)],
    ["Before discounts", cents(beforeDiscounts)],
    ["After discounts", cents(afterDiscounts)]
  ])
  const table = Table.render([
    { title: "PRODUCT", cell: (line) => line.productName },
    { title: "CATEGORY", cell: (line) => line.category },
    { title: "UNIT PRICE", cell: (line) => format(line.unitPrice), align: "right" },
    { title: "QUANTITY", cell: (line) => String(line.quantity), align: "right" },
    { title: "DISCOUNT", cell: (line) => format(line.discount), align: "right" },
    { title: "TOTAL", cell: (line) => cents(afterDiscount(line)), align: "right" }
  ], lines)
  return `${summary}\n\n${table}`
}

const statusText = (state: Exclude<OrderState, { readonly status: "New" }>): string => {
  switch (state.status) {
    case "Placed":
      return "Placed"
    case "Shipped":
      return `Shipped on ${state.shippedOn} by ${state.shipper}`
    case "Cancelled":
      return `Cancelled: ${state.reason}`
  }
}
