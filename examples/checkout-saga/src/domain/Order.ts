/**
 * An order of a shop: New ──place──▶ Placed ──confirm──▶ Confirmed, or ──cancel──▶ Cancelled.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { Amount } from "payment/Money"
import { type LinesRefusal, OrderLine, refusalOf, total } from "./OrderLine.ts"

/** The order's number; its stream is `order-<number>`. */
export const OrderId = Schema.NonEmptyString

const orderId = OrderId
const request = { orderId, customerId: Schema.NonEmptyString, lines: Schema.Array(OrderLine) }

/** The vocabulary: what can be asked of an order, and what can have happened to it. */
export const Order = Action.define("Order", {
  commands: {
    PlaceOrder: request,
    ConfirmOrder: { orderId },
    CancelOrder: { orderId, reason: Schema.String }
  },
  events: {
    OrderPlaced: Event.v1({ ...request, total: Amount }),
    OrderConfirmed: Event.v1({ orderId }),
    OrderCancelled: Event.v1({ orderId, reason: Schema.String })
  }
})

export type OrderCommand = Action.CommandOf<typeof Order>
export type OrderEvent = Action.EventOf<typeof Order>

/** How far an order has come. */
export type OrderState =
  | { readonly status: "New" }
  | { readonly status: "Placed" | "Confirmed"; readonly total: number }
  | { readonly status: "Cancelled"; readonly total: number; readonly reason: string }

/** Why an order refuses a command. */
export type OrderRefusal =
  | LinesRefusal
  | { readonly _tag: "AlreadyPlaced" | "NotPlaced" | "AlreadyConfirmed" | "AlreadyCancelled"; readonly orderId: string }

type Decision = Fx.Decision<OrderEvent, OrderRefusal>
type Of<Tag extends OrderCommand["_tag"]> = Extract<OrderCommand, { readonly _tag: Tag }>

const place = (state: OrderState, { _tag, ...order }: Of<"PlaceOrder">): Decision => {
  if (state.status !== "New") return Fx.reject({ _tag: "AlreadyPlaced", orderId: order.orderId })
  const refusal = refusalOf(order.lines)
  if (refusal !== undefined) return Fx.reject(refusal)
  return Fx.append(Order.OrderPlaced({ ...order, total: total(order.lines) }))
}

const onPlaced = (state: OrderState, orderId: string, event: OrderEvent): Decision => {
  switch (state.status) {
    case "Placed":
      return Fx.append(event)
    case "New":
      return Fx.reject({ _tag: "NotPlaced", orderId })
    case "Confirmed":
      return Fx.reject({ _tag: "AlreadyConfirmed", orderId })
    case "Cancelled":
      return Fx.reject({ _tag: "AlreadyCancelled", orderId })
  }
}

/** The aggregate: an order that decides its commands by the rules above. */
export const order = Aggregate.define(Order, {
  initial: { status: "New" } as OrderState,
  decide: (state, command): Decision =>
    Order.match(command, {
      PlaceOrder: (command) => place(state, command),
      ConfirmOrder: ({ orderId }) => onPlaced(state, orderId, Order.OrderConfirmed({ orderId })),
      CancelOrder: ({ orderId, reason }) => onPlaced(state, orderId, Order.OrderCancelled({ orderId, reason }))
    }),
  evolve: (state, event): OrderState =>
    Order.match(event, {
      OrderPlaced: ({ total }) => ({ status: "Placed", total }),
      OrderConfirmed: () => state.status === "Placed" ? { ...state, status: "Confirmed" } : state,
      OrderCancelled: ({ reason }) => state.status === "Placed" ? { ...state, status: "Cancelled", reason } : state
    })
})
