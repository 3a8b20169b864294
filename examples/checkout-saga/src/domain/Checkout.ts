/**
 * A checkout: a saga, which is an aggregate that hears of what happens to an order, a payment and a warehouse.
 *
 * PlacingOrder ▶ ProcessingPayment ▶ ReservingInventory ▶ Completed. What goes wrong on the way is compensated: the steps
 * that were taken are undone in reverse, one after the other, and then the checkout has Failed. A payment that was declined
 * needs no undoing. One that is in doubt, or takes too long, does.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Array as Arr, Schema } from "effect"
import { Payment, payment, type PaymentEvent } from "payment/Payment"
import { Inventory, inventory, type InventoryEvent, type Item, Missing } from "./Inventory.ts"
import { Order, order, type OrderEvent } from "./Order.ts"
import { type LinesRefusal, OrderLine, refusalOf, total } from "./OrderLine.ts"

/** The checkout's number, which its order, its payment and its reservation share. */
export const CheckoutId = Schema.NonEmptyString

const checkoutId = CheckoutId
const cart = {
  checkoutId,
  customerId: Schema.NonEmptyString,
  warehouseId: Schema.NonEmptyString,
  lines: Schema.Array(OrderLine)
}

/** Why a checkout failed. */
export const Failure = Schema.TaggedUnion({
  OrderRefused: { reason: Schema.String },
  PaymentDeclined: { reason: Schema.String },
  PaymentUncertain: {},
  PaymentOverdue: {},
  InsufficientInventory: { missing: Schema.Array(Missing) }
})

/** Why a checkout failed. */
export type Failure = typeof Failure.Type

/** A step that was taken and has to be undone. */
export const Step = Schema.Literals(["Payment", "Order"])

/** A step that was taken and has to be undone. */
export type Step = typeof Step.Type

/** The vocabulary. All commands but the first are what the checkout hears, and what its timer says. */
export const Checkout = Action.define("Checkout", {
  commands: {
    InitiateCheckout: cart,
    RecordOrder: { checkoutId },
    RecordOrderRefusal: { checkoutId, reason: Schema.String },
    RecordPayment: { checkoutId },
    RecordDecline: { checkoutId, reason: Schema.String },
    RecordUncertainPayment: { checkoutId },
    GiveUpPayment: { checkoutId },
    RecordReservation: { checkoutId },
    RecordShortage: { checkoutId, missing: Schema.Array(Missing) },
    RecordRefund: { checkoutId },
    RecordCancellation: { checkoutId }
  },
  events: {
    CheckoutInitiated: Event.v1(cart),
    OrderAccepted: Event.v1({ checkoutId }),
    PaymentAccepted: Event.v1({ checkoutId }),
    CheckoutCompleted: Event.v1({ checkoutId }),
    CompensationStarted: Event.v1({ checkoutId, failure: Failure, steps: Schema.NonEmptyArray(Step) }),
    StepUndone: Event.v1({ checkoutId, step: Step }),
    CheckoutFailed: Event.v1({ checkoutId, failure: Failure })
  }
})

export type CheckoutCommand = Action.CommandOf<typeof Checkout>
export type CheckoutEvent = Action.EventOf<typeof Checkout>

const Cart = Schema.Struct(cart)

/** Who buys what, from which warehouse. */
export type Cart = typeof Cart.Type

/** How far a checkout has come. `left` are the steps still to be undone, the next one first. */
export type CheckoutState =
  | { readonly status: "New" }
  | {
    readonly status: "PlacingOrder" | "ProcessingPayment" | "ReservingInventory" | "Completed"
    readonly cart: Cart
  }
  | {
    readonly status: "Compensating"
    readonly cart: Cart
    readonly failure: Failure
    readonly left: ReadonlyArray<Step>
  }
  | { readonly status: "Failed"; readonly cart: Cart; readonly failure: Failure }

/** Why a checkout is not even begun. */
export type CheckoutRefusal =
  | LinesRefusal
  | { readonly _tag: "AlreadyInitiated"; readonly checkoutId: string }

/** How long a payment may take, in milliseconds, before the checkout gives it up. */
export const paymentDeadline = 120_000

type Decision = Fx.Decision<CheckoutEvent, CheckoutRefusal>
type Of<Tag extends CheckoutCommand["_tag"]> = Extract<CheckoutCommand, { readonly _tag: Tag }>
type Status = CheckoutState["status"]

const initiate = (state: CheckoutState, { _tag, ...cart }: Of<"InitiateCheckout">): Decision => {
  if (state.status !== "New") return Fx.reject({ _tag: "AlreadyInitiated", checkoutId: cart.checkoutId })
  const refusal = refusalOf(cart.lines)
  return refusal === undefined ? Fx.append(Checkout.CheckoutInitiated(cart)) : Fx.reject(refusal)
}

/** What is heard counts while the checkout waits for it. */
const heard = (state: CheckoutState, awaited: Status, event: CheckoutEvent): Decision =>
  state.status === awaited ? Fx.append(event) : Fx.none

const compensate = (checkoutId: string, failure: Failure, ...steps: readonly [Step, ...ReadonlyArray<Step>]) =>
  Checkout.CompensationStarted({ checkoutId, failure, steps })

const undone = (state: CheckoutState, checkoutId: string, step: Step): Decision => {
  if (state.status !== "Compensating" || state.left[0] !== step) return Fx.none
  const event = Checkout.StepUndone({ checkoutId, step })
  return state.left.length > 1
    ? Fx.append(event)
    : Fx.append(event, Checkout.CheckoutFailed({ checkoutId, failure: state.failure }))
}

const advanced = (
  state: CheckoutState,
  status: "ProcessingPayment" | "ReservingInventory" | "Completed"
): CheckoutState => state.status === "New" ? state : { status, cart: state.cart }

/** What undoes a step. */
const undo = (step: Step, { checkoutId }: Cart, failure: Failure) =>
  step === "Payment"
    ? Fx.dispatch(payment, checkoutId, Payment.RefundPayment({ paymentId: checkoutId }))
    : Fx.dispatch(order, checkoutId, Order.CancelOrder({ orderId: checkoutId, reason: failure._tag }))

const undoNext = (state: CheckoutState) => {
  const step = state.status === "Compensating" ? state.left[0] : undefined
  return state.status === "Compensating" && step !== undefined ? undo(step, state.cart, state.failure) : Fx.none
}

const reserve = ({ checkoutId, lines, warehouseId }: Cart) => {
  const items = lines.map(({ quantity, sku }): Item => ({ sku, quantity }))
  return Arr.isReadonlyArrayNonEmpty(items)
    ? Fx.dispatch(
      inventory,
      warehouseId,
      Inventory.ReserveInventory({ warehouseId, reservationId: checkoutId, items })
    )
    : Fx.none
}

/** The aggregate: a checkout that has an order placed, a payment made and inventory reserved. */
export const checkout = Aggregate.define(Checkout, {
  initial: { status: "New" } as CheckoutState,
  decide: (state, command): Decision =>
    Checkout.match(command, {
      InitiateCheckout: (command) => initiate(state, command),
      RecordOrder: ({ checkoutId }) => heard(state, "PlacingOrder", Checkout.OrderAccepted({ checkoutId })),
      RecordOrderRefusal: ({ checkoutId, reason }) =>
        heard(
          state,
          "PlacingOrder",
          Checkout.CheckoutFailed({ checkoutId, failure: { _tag: "OrderRefused", reason } })
        ),
      RecordPayment: ({ checkoutId }) => heard(state, "ProcessingPayment", Checkout.PaymentAccepted({ checkoutId })),
      RecordDecline: ({ checkoutId, reason }) =>
        heard(state, "ProcessingPayment", compensate(checkoutId, { _tag: "PaymentDeclined", reason }, "Order")),
      RecordUncertainPayment: ({ checkoutId }) =>
        heard(
          state,
          "ProcessingPayment",
          compensate(checkoutId, { _tag: "PaymentUncertain" }, "Payment", "Order")
        ),
      GiveUpPayment: ({ checkoutId }) =>
        heard(state, "ProcessingPayment", compensate(checkoutId, { _tag: "PaymentOverdue" }, "Payment", "Order")),
      RecordReservation: ({ checkoutId }) =>
        heard(state, "ReservingInventory", Checkout.CheckoutCompleted({ checkoutId })),
      RecordShortage: ({ checkoutId, missing }) =>
        heard(
          state,
          "ReservingInventory",
          compensate(checkoutId, { _tag: "InsufficientInventory", missing }, "Payment", "Order")
        ),
      RecordRefund: ({ checkoutId }) => undone(state, checkoutId, "Payment"),
      RecordCancellation: ({ checkoutId }) => undone(state, checkoutId, "Order")
    }),
  evolve: (state, event): CheckoutState =>
    Checkout.match(event, {
      CheckoutInitiated: ({ _tag, ...cart }) => ({ status: "PlacingOrder", cart }),
      OrderAccepted: () => advanced(state, "ProcessingPayment"),
      PaymentAccepted: () => advanced(state, "ReservingInventory"),
      CheckoutCompleted: () => advanced(state, "Completed"),
      CompensationStarted: ({ failure, steps }) =>
        state.status === "New" ? state : { status: "Compensating", cart: state.cart, failure, left: steps },
      StepUndone: () => state.status === "Compensating" ? { ...state, left: state.left.slice(1) } : state,
      CheckoutFailed: ({ failure }) => state.status === "New" ? state : { status: "Failed", cart: state.cart, failure }
    }),
  react: (state, event) => {
    if (state.status === "New") return Fx.none
    const { checkoutId, customerId, lines } = state.cart
    switch (event._tag) {
      case "CheckoutInitiated":
        return Fx.dispatch(order, checkoutId, Order.PlaceOrder({ orderId: checkoutId, customerId, lines }))
      case "OrderAccepted":
        return Fx.all(
          Fx.delay("payment", paymentDeadline, Checkout.GiveUpPayment({ checkoutId })),
          Fx.dispatch(payment, checkoutId, Payment.ProcessPayment({ paymentId: checkoutId, amount: total(lines) }))
        )
      case "PaymentAccepted":
        return Fx.all(Fx.cancel("payment"), reserve(state.cart))
      case "CheckoutCompleted":
        return Fx.dispatch(order, checkoutId, Order.ConfirmOrder({ orderId: checkoutId }))
      case "CompensationStarted":
        return Fx.all(Fx.cancel("payment"), undoNext(state))
      case "StepUndone":
        return undoNext(state)
      case "CheckoutFailed":
        return Fx.none
    }
  }
})

/** Whether nothing more will happen to it. */
export const isFinished = ({ status }: CheckoutState): boolean => status === "Completed" || status === "Failed"

/** What an event of an order, a payment or a warehouse means to the checkout that it is about; nothing when to none. */
export const hears = (event: OrderEvent | PaymentEvent | InventoryEvent): CheckoutCommand | undefined => {
  switch (event._tag) {
    case "OrderPlaced":
      return Checkout.RecordOrder({ checkoutId: event.orderId })
    case "OrderCancelled":
      return Checkout.RecordCancellation({ checkoutId: event.orderId })
    case "PaymentCaptured":
      return Checkout.RecordPayment({ checkoutId: event.paymentId })
    case "PaymentDeclined":
      return Checkout.RecordDecline({ checkoutId: event.paymentId, reason: event.reason })
    case "PaymentUncertain":
      return Checkout.RecordUncertainPayment({ checkoutId: event.paymentId })
    case "PaymentRefunded":
      return Checkout.RecordRefund({ checkoutId: event.paymentId })
    case "InventoryReserved":
      return Checkout.RecordReservation({ checkoutId: event.reservationId })
    case "InsufficientInventory":
      return Checkout.RecordShortage({ checkoutId: event.reservationId, missing: event.missing })
    default:
      return undefined
  }
}
