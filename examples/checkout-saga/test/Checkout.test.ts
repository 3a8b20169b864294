import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import * as Scenario from "@composable-ts/testing/Scenario"
import { assert, describe, it } from "@effect/vitest"
import { Payment, payment } from "payment/Payment"
import {
  Checkout,
  checkout,
  type CheckoutCommand,
  type CheckoutEvent,
  type Failure,
  hears,
  isFinished,
  paymentDeadline,
  type Step
} from "../src/domain/Checkout.ts"
import { Inventory, inventory } from "../src/domain/Inventory.ts"
import { Order, order } from "../src/domain/Order.ts"
import { ofCheckout } from "./ShopArbitraries.ts"

const checkoutId = "c1"
const at = { checkoutId }
const lines = [{ sku: "tea", quantity: 2, unitPrice: 450 }, { sku: "cup", quantity: 1, unitPrice: 999 }]
const cart = { checkoutId, customerId: "ada", warehouseId: "main", lines }

const initiated = Checkout.CheckoutInitiated(cart)
const orderAccepted = Checkout.OrderAccepted(at)
const paymentAccepted = Checkout.PaymentAccepted(at)
const completed = Checkout.CheckoutCompleted(at)
const missing = [{ sku: "tea", requested: 2, available: 1 }]

const place = Fx.dispatch(order, "c1", Order.PlaceOrder({ orderId: "c1", customerId: "ada", lines }))
const pay = Fx.dispatch(payment, "c1", Payment.ProcessPayment({ paymentId: "c1", amount: 1899 }))
const deadline = Fx.delay("payment", paymentDeadline, Checkout.GiveUpPayment(at))
const reserve = Fx.dispatch(
  inventory,
  "main",
  Inventory.ReserveInventory({
    warehouseId: "main",
    reservationId: "c1",
    items: [{ sku: "tea", quantity: 2 }, { sku: "cup", quantity: 1 }]
  })
)
const confirm = Fx.dispatch(order, "c1", Order.ConfirmOrder({ orderId: "c1" }))
const refund = Fx.dispatch(payment, "c1", Payment.RefundPayment({ paymentId: "c1" }))
const cancel = ({ _tag }: Failure) => Fx.dispatch(order, "c1", Order.CancelOrder({ orderId: "c1", reason: _tag }))
const undoing = (failure: Failure, ...left: ReadonlyArray<Step>) =>
  ({ status: "Compensating", cart, failure, left }) as const
const undone = (step: Step) => Checkout.StepUndone({ checkoutId, step })
const failed = (failure: Failure) => Checkout.CheckoutFailed({ checkoutId, failure })

describe("a checkout", () => {
  it("places an order, takes the money, reserves the goods, and confirms the order", () => {
    Scenario.run(checkout, {}, (story) => {
      story.send(Checkout.InitiateCheckout(cart), {
        events: [initiated],
        state: { status: "PlacingOrder", cart },
        fx: place
      })
      story.send(Checkout.RecordOrder(at), {
        events: [orderAccepted],
        state: { status: "ProcessingPayment", cart },
        fx: Fx.all(deadline, pay)
      })
      story.send(Checkout.RecordPayment(at), {
        events: [paymentAccepted],
        state: { status: "ReservingInventory", cart },
        fx: Fx.all(Fx.cancel("payment"), reserve)
      })
      story.send(Checkout.RecordReservation(at), {
        events: [completed],
        state: { status: "Completed", cart },
        fx: confirm
      })
    })
  })

  it("cancels the order when the payment is declined", () => {
    const failure: Failure = { _tag: "PaymentDeclined", reason: "no funds" }
    Scenario.run(checkout, { given: [initiated, orderAccepted] }, (story) => {
      story.send(Checkout.RecordDecline({ checkoutId, reason: "no funds" }), {
        events: [Checkout.CompensationStarted({ checkoutId, failure, steps: ["Order"] })],
        state: undoing(failure, "Order"),
        fx: Fx.all(Fx.cancel("payment"), cancel(failure))
      })
      story.send(Checkout.RecordCancellation(at), {
        events: [undone("Order"), failed(failure)],
        state: { status: "Failed", cart, failure }
      })
    })
  })

  const undoneInReverse = (given: ReadonlyArray<CheckoutEvent>, when: CheckoutCommand, failure: Failure) =>
    Scenario.run(checkout, { given }, (story) => {
      story.send(when, {
        events: [Checkout.CompensationStarted({ checkoutId, failure, steps: ["Payment", "Order"] })],
        state: undoing(failure, "Payment", "Order"),
        fx: Fx.all(Fx.cancel("payment"), refund)
      })
      story.send(Checkout.RecordCancellation(at), { events: [] })
      story.send(Checkout.RecordRefund(at), {
        events: [undone("Payment")],
        state: undoing(failure, "Order"),
        fx: cancel(failure)
      })
      story.send(Checkout.RecordCancellation(at), {
        events: [undone("Order"), failed(failure)],
        state: { status: "Failed", cart, failure }
      })
    })

  it("refunds, then cancels, when there is too little in stock", () => {
    undoneInReverse(
      [initiated, orderAccepted, paymentAccepted],
      Checkout.RecordShortage({ checkoutId, missing }),
      { _tag: "InsufficientInventory", missing }
    )
  })

  it("refunds, then cancels, when nobody knows whether the card was charged", () => {
    undoneInReverse([initiated, orderAccepted], Checkout.RecordUncertainPayment(at), { _tag: "PaymentUncertain" })
  })

  it("refunds, then cancels, when the payment takes too long", () => {
    undoneInReverse([initiated, orderAccepted], Checkout.GiveUpPayment(at), { _tag: "PaymentOverdue" })
    Scenario.run(checkout, { given: [initiated] }, (story) => {
      story.send(Checkout.RecordOrder(at), {
        events: [orderAccepted],
        state: { status: "ProcessingPayment", cart },
        fx: Fx.all(deadline, pay)
      })
      story.advance(paymentDeadline - 1)
      story.advance(1)
      story.receivePartial({ _tag: "GiveUpPayment" }, { state: { status: "Compensating" } })
    })
  })

  it("fails with nothing to undo when the order is refused", () => {
    const failure: Failure = { _tag: "OrderRefused", reason: "AlreadyPlaced" }
    AggregateTest.check(checkout, {
      given: [initiated],
      when: Checkout.RecordOrderRefusal({ checkoutId, reason: "AlreadyPlaced" }),
      thenEvents: [failed(failure)],
      thenState: { status: "Failed", cart, failure }
    })
  })

  it("is begun once, with lines that can be ordered", () => {
    AggregateTest.check(checkout, {
      given: [initiated],
      when: Checkout.InitiateCheckout(cart),
      thenRefused: { _tag: "AlreadyInitiated", checkoutId }
    })
    AggregateTest.check(checkout, {
      when: Checkout.InitiateCheckout({ ...cart, lines: [] }),
      thenRefused: { _tag: "NoLines" }
    })
  })

  const failure: Failure = { _tag: "PaymentUncertain" }
  const compensating = [
    initiated,
    orderAccepted,
    Checkout.CompensationStarted({ checkoutId, failure, steps: ["Payment", "Order"] })
  ]
  const pasts: Readonly<Record<string, ReadonlyArray<CheckoutEvent>>> = {
    New: [],
    PlacingOrder: [initiated],
    ProcessingPayment: [initiated, orderAccepted],
    ReservingInventory: [initiated, orderAccepted, paymentAccepted],
    Completed: [initiated, orderAccepted, paymentAccepted, completed],
    Refunding: compensating,
    Cancelling: [...compensating, undone("Payment")],
    Failed: [...compensating, undone("Payment"), undone("Order"), failed(failure)]
  }
  const awaited: ReadonlyArray<readonly [CheckoutCommand, string]> = [
    [Checkout.RecordOrder(at), "PlacingOrder"],
    [Checkout.RecordOrderRefusal({ checkoutId, reason: "no" }), "PlacingOrder"],
    [Checkout.RecordPayment(at), "ProcessingPayment"],
    [Checkout.RecordDecline({ checkoutId, reason: "no" }), "ProcessingPayment"],
    [Checkout.RecordUncertainPayment(at), "ProcessingPayment"],
    [Checkout.GiveUpPayment(at), "ProcessingPayment"],
    [Checkout.RecordReservation(at), "ReservingInventory"],
    [Checkout.RecordShortage({ checkoutId, missing }), "ReservingInventory"],
    [Checkout.RecordRefund(at), "Refunding"],
    [Checkout.RecordCancellation(at), "Cancelling"]
  ]

  it("does not listen to what it does not wait for", () => {
    for (const [when, status] of awaited) {
      for (const [name, given] of Object.entries(pasts)) {
        if (name !== status) AggregateTest.check(checkout, { given, when, thenEvents: [] })
      }
    }
  })

  it("is finished when it was completed or has failed", () => {
    for (const [name, given] of Object.entries(pasts)) {
      const state = given.reduce(checkout.evolve, checkout.initial)
      assert.strictEqual(isFinished(state), name === "Completed" || name === "Failed", name)
    }
  })
})

it("hears what concerns it", () => {
  const reservation = { warehouseId: "main", reservationId: "c1", items: [{ sku: "tea", quantity: 1 }] } as const
  const paymentId = "c1"
  const heard = [
    Order.OrderPlaced({ orderId: "c1", customerId: "ada", lines, total: 1899 }),
    Order.OrderCancelled({ orderId: "c1", reason: "no" }),
    Payment.PaymentCaptured({ paymentId, chargeId: "ch_1" }),
    Payment.PaymentDeclined({ paymentId, reason: "no" }),
    Payment.PaymentUncertain({ paymentId }),
    Payment.PaymentRefunded({ paymentId }),
    Inventory.InventoryReserved(reservation),
    Inventory.InsufficientInventory({
      warehouseId: "main",
      reservationId: "c1",
      missing: [{ sku: "tea", requested: 2, available: 1 }]
    })
  ].map(hears)
  assert.deepStrictEqual(heard, [
    Checkout.RecordOrder(at),
    Checkout.RecordCancellation(at),
    Checkout.RecordPayment(at),
    Checkout.RecordDecline({ checkoutId, reason: "no" }),
    Checkout.RecordUncertainPayment(at),
    Checkout.RecordRefund(at),
    Checkout.RecordReservation(at),
    Checkout.RecordShortage({ checkoutId, missing })
  ])
  for (
    const event of [
      Order.OrderConfirmed({ orderId: "c1" }),
      Payment.PaymentRequested({ paymentId, amount: 1 }),
      Payment.RefundRequested({ paymentId }),
      Inventory.InventoryAdded({ warehouseId: "main", sku: "tea", quantity: 1 }),
      Inventory.InventoryReleased(reservation)
    ]
  ) assert.isUndefined(hears(event))
})

describe("the laws of every aggregate hold for a checkout", () => {
  it("replay", () => Laws.replayIsDeterministic(checkout))
  it("decisions", () => Laws.decideIsPure(checkout, { arbitraries: ofCheckout }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Checkout))
})

it("whatever a checkout hears, what is finished stays finished", () => {
  ModelTest.check(checkout, {
    arbitraries: ofCheckout,
    runs: 600,
    invariants: {
      "finished is finished": (state, { before, effects }) =>
        !isFinished(before) || (state === before && effects._tag === "None"),
      "a checkout never goes back from compensating": (state, { before }) =>
        before.status !== "Compensating" || state.status === "Compensating" || state.status === "Failed"
    }
  })
})
