/**
 * The shop at work: checkouts, orders, payments and a warehouse whose effects are stored with their events, the saga that
 * tells checkouts what happened, and the workers that carry out what they want done. Any number of processes may run it on
 * one database.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as Saga from "@composable-ts/projections/Saga"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Effect, Layer, type Redacted } from "effect"
import { payment } from "payment/Payment"
import { ChargeCard, RefundCharge } from "payment/PaymentTasks"
import {
  Checkout,
  checkout,
  type CheckoutCommand,
  type CheckoutEvent,
  type CheckoutRefusal,
  type CheckoutState
} from "./domain/Checkout.ts"
import {
  inventory,
  type InventoryCommand,
  type InventoryEvent,
  type InventoryRefusal,
  type InventoryState
} from "./domain/Inventory.ts"
import { order } from "./domain/Order.ts"

/** Orders want nothing done. */
export const durableOrder = DurableAggregate.make(order)

/** Nor does a warehouse. */
export const durableInventory = DurableAggregate.make(inventory)

/** Payments ask the provider. */
export const durablePayment = DurableAggregate.make(payment, { tasks: [ChargeCard, RefundCharge] })

/** Checkouts dispatch to all three. An order that is refused ends a checkout; other refusals are dead letters. */
export const durableCheckout = DurableAggregate.make(checkout, {
  targets: [
    DurableAggregate.target(
      order,
      ({ command, id, reason }): CheckoutCommand =>
        command._tag === "CancelOrder" && reason._tag === "AlreadyCancelled"
          ? Checkout.RecordCancellation({ checkoutId: id })
          : Checkout.RecordOrderRefusal({ checkoutId: id, reason: reason._tag })
    ),
    DurableAggregate.target(payment),
    DurableAggregate.target(inventory)
  ]
})

const ofOrder = ({ orderId }: { readonly orderId: string }) => orderId
const ofPayment = ({ paymentId }: { readonly paymentId: string }) => paymentId
const ofReservation = ({ reservationId }: { readonly reservationId: string }) => reservationId

/** What a checkout hears of the others. */
export const checkouts = Saga.define(durableCheckout, {
  inputs: [
    Saga.on(order, "OrderPlaced", {
      correlate: ofOrder,
      toCommand: ({ orderId }) => Checkout.RecordOrder({ checkoutId: orderId })
    }),
    Saga.on(order, "OrderCancelled", {
      correlate: ofOrder,
      toCommand: ({ orderId }) => Checkout.RecordCancellation({ checkoutId: orderId })
    }),
    Saga.on(payment, "PaymentCaptured", {
      correlate: ofPayment,
      toCommand: ({ paymentId }) => Checkout.RecordPayment({ checkoutId: paymentId })
    }),
    Saga.on(payment, "PaymentDeclined", {
      correlate: ofPayment,
      toCommand: ({ paymentId, reason }) => Checkout.RecordDecline({ checkoutId: paymentId, reason })
    }),
    Saga.on(payment, "PaymentUncertain", {
      correlate: ofPayment,
      toCommand: ({ paymentId }) => Checkout.RecordUncertainPayment({ checkoutId: paymentId })
    }),
    Saga.on(payment, "PaymentRefunded", {
      correlate: ofPayment,
      toCommand: ({ paymentId }) => Checkout.RecordRefund({ checkoutId: paymentId })
    }),
    Saga.on(inventory, "InventoryReserved", {
      correlate: ofReservation,
      toCommand: ({ reservationId }) => Checkout.RecordReservation({ checkoutId: reservationId })
    }),
    Saga.on(inventory, "InsufficientInventory", {
      correlate: ofReservation,
      toCommand: ({ missing, reservationId }) => Checkout.RecordShortage({ checkoutId: reservationId, missing })
    })
  ],
  ends: ["CheckoutCompleted", "CheckoutFailed"]
})

/** All checkouts. */
export class Checkouts extends Context.Service<
  Checkouts,
  AggregateStore.AggregateStore<CheckoutState, CheckoutCommand, CheckoutEvent, CheckoutRefusal>
>()("checkout-saga/Checkouts") {
  static readonly layer = Layer.effect(Checkouts, AggregateStore.makeDurable(durableCheckout))
}

/** All warehouses. */
export class Warehouses extends Context.Service<
  Warehouses,
  AggregateStore.AggregateStore<InventoryState, InventoryCommand, InventoryEvent, InventoryRefusal>
>()("checkout-saga/Warehouses") {
  static readonly layer = Layer.effect(Warehouses, AggregateStore.makeDurable(durableInventory))
}

/** The shop on a PostgreSQL. */
export const layerOn = (url: Redacted.Redacted) =>
  Layer.mergeAll(Checkouts.layer, Warehouses.layer).pipe(
    Layer.provideMerge(Layer.merge(PostgresEventStore.layer(), PostgresOutbox.layer())),
    Layer.provideMerge(PgClient.layer({ url, applicationName: "checkout-saga" }))
  )

const dispatchers = Layer.mergeAll(
  AggregateStore.layerDurable(durableOrder),
  AggregateStore.layerDurable(durablePayment),
  AggregateStore.layerDurable(durableInventory),
  AggregateStore.layerDurable(durableCheckout)
)

/** Runs the saga and the workers, until interrupted or until one of them fails. Handlers of payments come from the context. */
export const run = (options?: EffectWorker.Options) =>
  Effect.raceFirst(
    Saga.run(checkouts),
    Effect.provide(
      EffectWorker.run([durableCheckout, durableOrder, durablePayment, durableInventory], options),
      dispatchers
    )
  )
