/**
 * An order: its commands and events, and the rules by which the former lead to the latter.
 *
 * New ──place──▶ Placed ──ship──▶ Shipped, or ──cancel──▶ Cancelled; the last two are final.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Array as Arr, BigDecimal, Schema } from "effect"
import { CalendarDate } from "./CalendarDate.ts"
import * as Money from "./Money.ts"
import { afterDiscount, beforeDiscount, OrderLine } from "./OrderLine.ts"
import type { OrderRefusal } from "./OrderRefusal.ts"
import { Text } from "./Text.ts"

/** The number of an order; its stream is `order-<number>`. */
export const OrderId = Text.check(Schema.isMaxLength(64))

/** Where an order goes. */
export const Address = Schema.Struct({
  name: Text,
  street: Text,
  city: Text,
  region: Schema.NullOr(Text),
  postalCode: Schema.NullOr(Text),
  country: Text
})

/** What was ordered, by whom, where to; an order that was placed has at least one line. */
const details = {
  orderId: OrderId,
  customer: Schema.Struct({ id: Text, name: Text }),
  orderedOn: CalendarDate,
  requiredOn: CalendarDate,
  /** The carrier that the customer asked for. */
  shipper: Text,
  freight: Money.Money,
  shipTo: Address,
  lines: Schema.NonEmptyArray(OrderLine)
}

/** Somebody may ask for an order without lines; that is then refused. */
const request = { ...details, lines: Schema.Array(OrderLine) }

const shipment = { orderId: OrderId, shipper: Schema.String, shippedOn: CalendarDate }
const cancellation = { orderId: OrderId, reason: Schema.String }

/** The vocabulary: what can be asked of an order, and what can have happened to it. */
export const Order = Action.define("Order", {
  commands: { PlaceOrder: request, ShipOrder: shipment, CancelOrder: cancellation },
  events: {
    OrderPlaced: Event.v1(details),
    OrderShipped: Event.v1(shipment),
    OrderCancelled: Event.v1(cancellation)
  }
})

export type OrderCommand = Action.CommandOf<typeof Order>
export type OrderEvent = Action.EventOf<typeof Order>

/** What was ordered, by whom, where to. */
export const OrderDetails = Schema.Struct(details)

/** What was ordered, by whom, where to. */
export type OrderDetails = typeof OrderDetails.Type

/** How far an order has come. */
export const OrderState = Schema.Union([
  Schema.Struct({ status: Schema.Literal("New") }),
  Schema.Struct({ status: Schema.Literal("Placed"), order: OrderDetails }),
  Schema.Struct({
    status: Schema.Literal("Shipped"),
    order: OrderDetails,
    shipper: Schema.String,
    shippedOn: CalendarDate
  }),
  Schema.Struct({ status: Schema.Literal("Cancelled"), order: OrderDetails, reason: Schema.String })
])

/** How far an order has come. */
export type OrderState = typeof OrderState.Type

type Decision = Fx.Decision<OrderEvent, OrderRefusal>
type Of<Tag extends OrderCommand["_tag"]> = Extract<OrderCommand, { readonly _tag: Tag }>

const one = BigDecimal.fromBigInt(1n)

const lineRefusal = (orderId: string, line: OrderLine): OrderRefusal | undefined => {
  const { discount, productId, quantity, unitPrice } = line
  if (quantity <= 0) return { _tag: "QuantityNotPositive", orderId, productId, quantity }
  if (!BigDecimal.isPositive(unitPrice)) return { _tag: "UnitPriceNotPositive", orderId, productId }
  if (!BigDecimal.between(discount, { minimum: Money.zero, maximum: one })) {
    return { _tag: "DiscountOutOfRange", orderId, productId }
  }
  return undefined
}

const place = (state: OrderState, { _tag, ...order }: Of<"PlaceOrder">): Decision => {
  const { lines, orderId } = order
  if (state.status !== "New") return Fx.reject({ _tag: "AlreadyPlaced", orderId })
  if (!Arr.isReadonlyArrayNonEmpty(lines)) return Fx.reject({ _tag: "NoLines", orderId })
  for (const line of lines) {
    const refusal = lineRefusal(orderId, line)
    if (refusal !== undefined) return Fx.reject(refusal)
  }
  return Fx.append(Order.OrderPlaced({ ...order, lines }))
}

/** Why an order of this status can be neither shipped nor cancelled. */
const unavailable = (state: Exclude<OrderState, { status: "Placed" }>, orderId: string): OrderRefusal => {
  switch (state.status) {
    case "New":
      return { _tag: "NotPlaced", orderId }
    case "Shipped":
      return { _tag: "AlreadyShipped", orderId, shippedOn: state.shippedOn }
    case "Cancelled":
      return { _tag: "AlreadyCancelled", orderId, reason: state.reason }
  }
}

const ship = (state: OrderState, { orderId, shippedOn, shipper }: Of<"ShipOrder">): Decision => {
  if (state.status !== "Placed") return Fx.reject(unavailable(state, orderId))
  const { orderedOn } = state.order
  if (shipper.trim() === "") return Fx.reject({ _tag: "ShipperMissing", orderId })
  if (shippedOn < orderedOn) return Fx.reject({ _tag: "ShippedBeforeOrdered", orderId, orderedOn, shippedOn })
  return Fx.append(Order.OrderShipped({ orderId, shipper, shippedOn }))
}

const cancel = (state: OrderState, { orderId, reason }: Of<"CancelOrder">): Decision => {
  if (state.status !== "Placed") return Fx.reject(unavailable(state, orderId))
  if (reason.trim() === "") return Fx.reject({ _tag: "ReasonMissing", orderId })
  return Fx.append(Order.OrderCancelled({ orderId, reason }))
}

/** The state after an event. The log holds only what was decided, so each event finds the state that led to it. */
const evolve = (state: OrderState, event: OrderEvent): OrderState =>
  Order.match(event, {
    OrderPlaced: ({ _tag, ...order }) => ({ status: "Placed", order }),
    OrderShipped: ({ shippedOn, shipper }) =>
      state.status === "Placed" ? { ...state, status: "Shipped", shipper, shippedOn } : state,
    OrderCancelled: ({ reason }) => state.status === "Placed" ? { ...state, status: "Cancelled", reason } : state
  })

/** The aggregate: an order that decides its commands by the rules above. */
export const order = Aggregate.define(Order, {
  initial: { status: "New" } as OrderState,
  decide: (state, command): Decision =>
    Order.match(command, {
      PlaceOrder: (command) => place(state, command),
      ShipOrder: (command) => ship(state, command),
      CancelOrder: (command) => cancel(state, command)
    }),
  evolve
})

/** What all lines cost, without and with their discounts. */
export const totals = ({ lines }: Pick<OrderDetails, "lines">) => ({
  beforeDiscounts: Money.sum(lines.map(beforeDiscount)),
  afterDiscounts: Money.sum(lines.map(afterDiscount))
})
