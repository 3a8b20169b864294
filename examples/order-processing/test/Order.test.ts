import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import { assert, describe, it } from "@effect/vitest"
import { BigDecimal, Result, Schema } from "effect"
import { Order, order, OrderDetails, OrderState, totals } from "../src/domain/Order.ts"
import type { OrderLine } from "../src/domain/OrderLine.ts"

const decimal = BigDecimal.fromStringUnsafe

const cheese: OrderLine = {
  productId: "11",
  productName: "Queso Cabrales",
  category: "Dairy Products",
  unitPrice: decimal("14.00"),
  quantity: 12,
  discount: decimal("0.15")
}

const details: OrderDetails = {
  orderId: "10248",
  customer: { id: "VINET", name: "Vins et alcools Chevalier" },
  orderedOn: "1996-07-04",
  requiredOn: "1996-08-01",
  shipper: "Federal Shipping",
  freight: decimal("32.38"),
  shipTo: {
    name: "Vins et alcools Chevalier",
    street: "59 rue de l'Abbaye",
    city: "Reims",
    region: null,
    postalCode: "51100",
    country: "France"
  },
  lines: [cheese]
}

const orderId = details.orderId
const ship = Order.ShipOrder({ orderId, shipper: "Federal Shipping", shippedOn: "1996-07-16" })
const cancel = Order.CancelOrder({ orderId, reason: "found it cheaper" })
const placed = Order.OrderPlaced(details)
const shipped = Order.OrderShipped({ orderId, shipper: "Federal Shipping", shippedOn: "1996-07-16" })
const cancelled = Order.OrderCancelled({ orderId, reason: "found it cheaper" })

/** The command to place the order with this line beside the good one. */
const placeWith = (line: Partial<OrderLine>) =>
  Order.PlaceOrder({ ...details, lines: [cheese, { ...cheese, ...line }] })

describe("placing an order", () => {
  it("places a new one", () => {
    AggregateTest.check(order, {
      when: Order.PlaceOrder(details),
      thenEvents: [placed],
      thenState: { status: "Placed", order: details }
    })
  })

  it("keeps every line, in order", () => {
    const lines = [cheese, { ...cheese, productId: "42", quantity: 1 }] as const
    AggregateTest.check(order, {
      when: Order.PlaceOrder({ ...details, lines }),
      thenEvents: [Order.OrderPlaced({ ...details, lines })],
      thenState: { status: "Placed", order: { ...details, lines } }
    })
  })

  it("names the first fault of the first line that has any", () => {
    const faulty = { ...cheese, productId: "42", quantity: 0, unitPrice: decimal("0"), discount: decimal("2") }
    const refusedFor = { orderId, productId: "42" }
    AggregateTest.check(order, {
      when: Order.PlaceOrder({ ...details, lines: [faulty, { ...faulty, productId: "43" }, cheese] }),
      thenRefused: { _tag: "QuantityNotPositive", ...refusedFor, quantity: 0 }
    })
    AggregateTest.check(order, {
      when: Order.PlaceOrder({ ...details, lines: [{ ...faulty, quantity: 1 }] }),
      thenRefused: { _tag: "UnitPriceNotPositive", ...refusedFor }
    })
  })

  it("refuses one that is placed, shipped or cancelled", () => {
    for (const given of [[placed], [placed, shipped], [placed, cancelled]]) {
      AggregateTest.check(order, {
        given,
        when: Order.PlaceOrder(details),
        thenRefused: { _tag: "AlreadyPlaced", orderId }
      })
    }
  })

  it("refuses one without lines", () => {
    AggregateTest.check(order, {
      when: Order.PlaceOrder({ ...details, lines: [] }),
      thenRefused: { _tag: "NoLines", orderId }
    })
  })

  it("refuses a quantity that is not positive", () => {
    for (const quantity of [0, -3]) {
      AggregateTest.check(order, {
        when: placeWith({ quantity }),
        thenRefused: { _tag: "QuantityNotPositive", orderId, productId: "11", quantity }
      })
    }
  })

  it("refuses a unit price that is not positive", () => {
    for (const unitPrice of ["0.00", "-0.01"]) {
      AggregateTest.check(order, {
        when: placeWith({ unitPrice: decimal(unitPrice) }),
        thenRefused: { _tag: "UnitPriceNotPositive", orderId, productId: "11" }
      })
    }
  })

  it("takes discounts from 0 to 1 and refuses others", () => {
    for (const discount of ["0", "0.05", "1.00"]) {
      const line = { ...cheese, discount: decimal(discount) }
      const discounted: OrderDetails = { ...details, lines: [line] }
      AggregateTest.check(order, { when: Order.PlaceOrder(discounted), thenEvents: [Order.OrderPlaced(discounted)] })
    }
    for (const discount of ["-0.01", "1.01"]) {
      AggregateTest.check(order, {
        when: placeWith({ discount: decimal(discount) }),
        thenRefused: { _tag: "DiscountOutOfRange", orderId, productId: "11" }
      })
    }
  })
})

describe("shipping an order", () => {
  it("ships a placed one", () => {
    AggregateTest.check(order, {
      given: [placed],
      when: ship,
      thenEvents: [shipped],
      thenState: { status: "Shipped", order: details, shipper: "Federal Shipping", shippedOn: "1996-07-16" }
    })
  })

  it("may be shipped by another carrier than asked for", () => {
    const other = { orderId, shipper: "Speedy Express", shippedOn: "1996-07-16" }
    AggregateTest.check(order, {
      given: [placed],
      when: Order.ShipOrder(other),
      thenEvents: [Order.OrderShipped(other)],
      thenState: { status: "Shipped", order: details, shipper: "Speedy Express", shippedOn: "1996-07-16" }
    })
  })

  it("refuses one that was never placed", () => {
    AggregateTest.check(order, { when: ship, thenRefused: { _tag: "NotPlaced", orderId } })
  })

  it("refuses to ship twice", () => {
    AggregateTest.check(order, {
      given: [placed, shipped],
      when: ship,
      thenRefused: { _tag: "AlreadyShipped", orderId, shippedOn: "1996-07-16" }
    })
  })

  it("refuses a cancelled one", () => {
    AggregateTest.check(order, {
      given: [placed, cancelled],
      when: ship,
      thenRefused: { _tag: "AlreadyCancelled", orderId, reason: "found it cheaper" }
    })
  })

  it("ships on the day of the order, but not before", () => {
    const on = (shippedOn: string) => Order.ShipOrder({ orderId, shipper: "Federal Shipping", shippedOn })
    AggregateTest.check(order, {
      given: [placed],
      when: on("1996-07-04"),
      thenEvents: [Order.OrderShipped({ orderId, shipper: "Federal Shipping", shippedOn: "1996-07-04" })]
    })
    AggregateTest.check(order, {
      given: [placed],
      when: on("1996-07-03"),
      thenRefused: { _tag: "ShippedBeforeOrdered", orderId, orderedOn: "1996-07-04", shippedOn: "1996-07-03" }
    })
  })

  it("refuses a blank shipper", () => {
    AggregateTest.check(order, {
      given: [placed],
      when: Order.ShipOrder({ orderId, shipper: "  ", shippedOn: "1996-07-16" }),
      thenRefused: { _tag: "ShipperMissing", orderId }
    })
  })

  it("misses the shipper before it looks at the day", () => {
    AggregateTest.check(order, {
      given: [placed],
      when: Order.ShipOrder({ orderId, shipper: "", shippedOn: "1996-07-03" }),
      thenRefused: { _tag: "ShipperMissing", orderId }
    })
  })
})

describe("cancelling an order", () => {
  it("cancels a placed one", () => {
    AggregateTest.check(order, {
      given: [placed],
      when: cancel,
      thenEvents: [cancelled],
      thenState: { status: "Cancelled", order: details, reason: "found it cheaper" }
    })
  })

  it("refuses one that was never placed, is shipped, or is cancelled", () => {
    AggregateTest.check(order, { when: cancel, thenRefused: { _tag: "NotPlaced", orderId } })
    AggregateTest.check(order, {
      given: [placed, shipped],
      when: cancel,
      thenRefused: { _tag: "AlreadyShipped", orderId, shippedOn: "1996-07-16" }
    })
    AggregateTest.check(order, {
      given: [placed],
      when: [cancel, cancel],
      thenRefused: { _tag: "AlreadyCancelled", orderId, reason: "found it cheaper" }
    })
  })

  it("refuses a blank reason", () => {
    AggregateTest.check(order, {
      given: [placed],
      when: Order.CancelOrder({ orderId, reason: " " }),
      thenRefused: { _tag: "ReasonMissing", orderId }
    })
  })
})

describe("an event that finds another state than it was decided on", () => {
  it("leaves the state as it is", () => {
    for (const event of [shipped, cancelled]) {
      AggregateTest.check(order, { given: [event], thenState: { status: "New" } })
    }
    AggregateTest.check(order, {
      given: [placed, shipped, cancelled],
      thenState: { status: "Shipped", order: details, shipper: "Federal Shipping", shippedOn: "1996-07-16" }
    })
    AggregateTest.check(order, {
      given: [placed, cancelled, shipped],
      thenState: { status: "Cancelled", order: details, reason: "found it cheaper" }
    })
  })
})

describe("the totals", () => {
  it("are of all lines, without and with their discounts", () => {
    const { afterDiscounts, beforeDiscounts } = totals({
      lines: [cheese, { ...cheese, quantity: 1, discount: decimal("0") }]
    })
    assert.strictEqual(BigDecimal.format(beforeDiscounts), "182")
    assert.strictEqual(BigDecimal.format(afterDiscounts), "156.8")
  })
})

describe("the state", () => {
  const encode = Schema.encodeUnknownSync(OrderState)
  const order = Schema.encodeSync(OrderDetails)(details)
  const shipment = { shipper: "Federal Shipping", shippedOn: "1996-07-16" }

  it("can be written as JSON in every status", () => {
    assert.deepStrictEqual<unknown>(encode({ status: "New" }), { status: "New" })
    assert.deepStrictEqual<unknown>(encode({ status: "Placed", order: details }), { status: "Placed", order })
    assert.deepStrictEqual<unknown>(encode({ status: "Shipped", order: details, ...shipment }), {
      status: "Shipped",
      order,
      ...shipment
    })
    assert.deepStrictEqual<unknown>(encode({ status: "Cancelled", order: details, reason: "too dear" }), {
      status: "Cancelled",
      order,
      reason: "too dear"
    })
  })

  it("has what belongs to its status", () => {
    for (const status of ["Placed", "Shipped", "Cancelled", "Lost"]) {
      assert.throws(() => encode({ status }), Error, undefined, status)
    }
  })
})

describe("the stored form", () => {
  it("has an address and a customer, each complete", () => {
    for (
      const incomplete of [
        { ...placed, customer: { id: "VINET" } },
        { ...placed, customer: { ...details.customer, name: "" } },
        { ...placed, shipTo: { ...details.shipTo, city: "" } },
        { ...placed, shipTo: { ...details.shipTo, country: undefined } }
      ]
    ) {
      assert.isTrue(Result.isFailure(Order.encode(incomplete as typeof placed)))
    }
  })

  it("of a placed order has at least one line", () => {
    // @ts-expect-error -- the type says so, too
    assert.isTrue(Result.isFailure(Order.encode({ ...placed, lines: [] })))
  })

  it("keeps money as decimal strings, so an event of the log reads like this", () => {
    AggregateTest.check(order, {
      given: [
        {
          type: "OrderPlaced.v1",
          data: {
            orderId: "10248",
            customer: { id: "VINET", name: "Vins et alcools Chevalier" },
            orderedOn: "1996-07-04",
            requiredOn: "1996-08-01",
            shipper: "Federal Shipping",
            freight: "32.38",
            shipTo: {
              name: "Vins et alcools Chevalier",
              street: "59 rue de l'Abbaye",
              city: "Reims",
              region: null,
              postalCode: "51100",
              country: "France"
            },
            lines: [{
              productId: "11",
              productName: "Queso Cabrales",
              category: "Dairy Products",
              unitPrice: "14.00",
              quantity: 12,
              discount: "0.15"
            }]
          }
        },
        { type: "OrderCancelled.v1", data: { orderId: "10248", reason: "found it cheaper" } }
      ],
      thenState: { status: "Cancelled", order: details, reason: "found it cheaper" }
    })
  })
})
