import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, BigDecimal, Schema } from "effect"
import { Order, order, type OrderState } from "../src/domain/Order.ts"

const between = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const texts = Arbitrary.map(between(1, 99), (n) => `text ${n}`)
const hundredths = (from: number, to: number) => Arbitrary.map(between(from, to), (n) => BigDecimal.make(BigInt(n), 2))
/** Few days, so that one is often before, on or after another. */
const days = Arbitrary.map(between(1, 5), (day) => `1996-07-0${day}`)

type Decimals = Arbitrary.Arbitrary<BigDecimal.BigDecimal>

const lines = (unitPrice: Decimals, discount: Decimals, quantity: Arbitrary.Arbitrary<number>) =>
  Arbitrary.all({
    productId: texts,
    productName: texts,
    category: texts,
    unitPrice,
    quantity,
    discount
  })

const details = {
  orderId: texts,
  customer: Arbitrary.all({ id: texts, name: texts }),
  orderedOn: days,
  requiredOn: days,
  shipper: texts,
  freight: hundredths(0, 10_000),
  shipTo: Arbitrary.all({
    name: texts,
    street: texts,
    city: texts,
    region: Arbitrary.schema(Schema.Null),
    postalCode: texts,
    country: texts
  })
}
const shipments = Arbitrary.all({ orderId: details.orderId, shipper: Arbitrary.schema(Schema.String), shippedOn: days })

const good = lines(hundredths(1, 1000), hundredths(0, 100), between(1, 20))
/** Now and then a price or a quantity of nothing, or a discount that is none. */
const asked = lines(hundredths(0, 1000), hundredths(-2, 102), between(0, 20))

const arbitraries = {
  PlaceOrder: Arbitrary.map(
    Arbitrary.all({ ...details, lines: Arbitrary.array(asked, { maxLength: 3 }) }),
    Order.PlaceOrder
  ),
  ShipOrder: Arbitrary.map(shipments, Order.ShipOrder),
  OrderPlaced: Arbitrary.map(
    Arbitrary.all({
      ...details,
      lines: Arbitrary.map(
        Arbitrary.all([
          good,
          Arbitrary.array(good)
        ]),
        ([first, rest]) => [first, ...rest] as const
      )
    }),
    Order.OrderPlaced
  ),
  OrderShipped: Arbitrary.map(shipments, Order.OrderShipped)
}

describe("the laws of every aggregate hold for an order", () => {
  it("replay", () => Laws.replayIsDeterministic(order, { arbitraries }))
  it("decisions", () => Laws.decideIsPure(order, { arbitraries }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Order, { arbitraries }))
  it("older versions", () => Laws.upcastersTotal(Order, { arbitraries }))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(order, { arbitraries }))
})

const none = BigDecimal.make(0n, 0)
const all = BigDecimal.make(1n, 0)

const isFinal = ({ status }: OrderState): boolean => status === "Shipped" || status === "Cancelled"

describe("whatever is asked of an order", () => {
  it("is true to what was ordered", () => {
    const coverage = ModelTest.check(order, {
      arbitraries,
      invariants: {
        "a shipped or cancelled order stays as it is": (state, { before }) => !isFinal(before) || state === before,
        "nothing more is accepted of an order that is shipped or cancelled": (_state, { before, refusal }) =>
          !isFinal(before) || refusal !== undefined,
        "a refusal changes nothing": (state, { before, refusal }) => refusal === undefined || state === before,
        "an accepted command is recorded by one event": (_state, { events, refusal }) =>
          events.length === (refusal === undefined ? 1 : 0),
        "what was ordered never changes": (state, { before }) =>
          before.status === "New" || (state.status !== "New" && state.order === before.order),
        "each line of an order is of some pieces at some price, with a discount from none to all of it": (state) =>
          state.status === "New" ||
          state.order.lines.every(({ discount, quantity, unitPrice }) =>
            quantity > 0 && BigDecimal.isPositive(unitPrice) &&
            BigDecimal.between(discount, { minimum: none, maximum: all })
          ),
        "each line that was asked for is recorded": (_state, { command, events: [event] }) =>
          command._tag !== "PlaceOrder" || event?._tag !== "OrderPlaced" || event.lines.length === command.lines.length,
        "nothing is shipped before it was ordered": (state) =>
          state.status !== "Shipped" || state.shippedOn >= state.order.orderedOn,
        "an order is shipped by somebody, and cancelled for a reason": (state) =>
          (state.status !== "Shipped" || state.shipper.trim() !== "") &&
          (state.status !== "Cancelled" || state.reason.trim() !== "")
      }
    })
    // Enough of everything that the invariants are about: refusals come from every status.
    for (const [name, { accepted, refused }] of Object.entries(coverage)) {
      assert.isAbove(accepted, 20, `accepted ${name}`)
      assert.isAbove(refused, 20, `refused ${name}`)
    }
  })
})
