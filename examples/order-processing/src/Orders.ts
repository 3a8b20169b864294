/**
 * The shop's orders, as a service: dispatch a command to one, or read its state and its history.
 */
import * as Store from "@composable-ts/core/Store"
import { Context, Effect, Layer } from "effect"
import { order, type OrderCommand, type OrderEvent, type OrderState } from "./domain/Order.ts"
import type { OrderRefusal } from "./domain/OrderRefusal.ts"

/** All orders, over the event store of the context. */
export class Orders extends Context.Service<
  Orders,
  Store.AggregateStore<OrderState, OrderCommand, OrderEvent, OrderRefusal>
>()("order-processing/Orders") {
  /** An order sees few commands, close together, so a thousand in memory are plenty. */
  static readonly layer = Layer.effect(Orders, Store.aggregate(order, { cacheCapacity: 1000 }))

  /** Sends a command to the order that it names. With a command id, sending it again changes nothing. */
  static readonly dispatch = (command: OrderCommand, options?: { readonly commandId: string }) =>
    Effect.flatMap(Orders, (orders) => orders.dispatch(command.orderId, command, options))
}
