import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Order, order } from "../src/domain/Order.ts"
import { type LinesRefusal, type OrderLine, refusalOf } from "../src/domain/OrderLine.ts"
import { ofOrder } from "./ShopArbitraries.ts"

const orderId = "o1"
const tea: OrderLine = { sku: "tea", quantity: 2, unitPrice: 450 }
const cup: OrderLine = { sku: "cup", quantity: 1, unitPrice: 999 }
const request = { orderId, customerId: "ada", lines: [tea, cup] }
const placed = Order.OrderPlaced({ ...request, total: 1899 })
const confirmed = Order.OrderConfirmed({ orderId })
const cancelled = Order.OrderCancelled({ orderId, reason: "PaymentDeclined" })
const cancel = Order.CancelOrder({ orderId, reason: "PaymentDeclined" })

describe("an order", () => {
  it("is placed with its total, then confirmed or cancelled", () => {
    AggregateTest.check(order, {
      when: Order.PlaceOrder(request),
      thenEvents: [placed],
      thenState: { status: "Placed", total: 1899 }
    })
    AggregateTest.check(order, {
      given: [placed],
      when: Order.ConfirmOrder({ orderId }),
      thenEvents: [confirmed],
      thenState: { status: "Confirmed", total: 1899 }
    })
    AggregateTest.check(order, {
      given: [placed],
      when: cancel,
      thenEvents: [cancelled],
      thenState: { status: "Cancelled", total: 1899, reason: "PaymentDeclined" }
    })
  })

  it("says why it cannot be confirmed or cancelled", () => {
    for (const when of [Order.ConfirmOrder({ orderId }), cancel]) {
      AggregateTest.check(order, { when, thenRefused: { _tag: "NotPlaced", orderId } })
      AggregateTest.check(order, {
        given: [placed, confirmed],
        when,
        thenRefused: { _tag: "AlreadyConfirmed", orderId }
      })
      AggregateTest.check(order, {
        given: [placed, cancelled],
        when,
        thenRefused: { _tag: "AlreadyCancelled", orderId }
      })
    }
  })

  it("is placed once, and with lines that can be ordered", () => {
    AggregateTest.check(order, {
      given: [placed],
      when: Order.PlaceOrder(request),
      thenRefused: { _tag: "AlreadyPlaced", orderId }
    })
    AggregateTest.check(order, { when: Order.PlaceOrder({ ...request, lines: [] }), thenRefused: { _tag: "NoLines" } })
  })
})

it("the first thing that is wrong with lines is named", () => {
  const cases: ReadonlyArray<readonly [ReadonlyArray<OrderLine>, LinesRefusal | undefined]> = [
    [[tea, cup], undefined],
    [[], { _tag: "NoLines" }],
    [[tea, { ...cup, sku: "tea" }], { _tag: "SameProductTwice", sku: "tea" }],
    [[tea, { ...cup, quantity: 0 }], { _tag: "QuantityNotPositive", sku: "cup", quantity: 0 }],
    [[{ ...tea, unitPrice: -1 }], { _tag: "UnitPriceNotPositive", sku: "tea", unitPrice: -1 }],
    [[{ ...tea, quantity: 1_000_001, unitPrice: 1_000_000 }], { _tag: "TotalTooLarge" }],
    [[{ ...tea, quantity: 1_000_000, unitPrice: 1_000_000 }], undefined]
  ]
  for (const [lines, refusal] of cases) assert.deepStrictEqual(refusalOf(lines), refusal)
})

describe("the laws of every aggregate hold for an order", () => {
  it("replay", () => Laws.replayIsDeterministic(order))
  it("decisions", () => Laws.decideIsPure(order, { arbitraries: ofOrder }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Order))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(order, { arbitraries: ofOrder }))
})

it("a confirmed or cancelled order stays as it is", () => {
  ModelTest.check(order, {
    arbitraries: ofOrder,
    invariants: {
      "what is final stays": (state, { before }) =>
        (before.status !== "Confirmed" && before.status !== "Cancelled") || state === before
    }
  })
})
