import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { BigDecimal } from "effect"
import { Order, order, type OrderState } from "../src/domain/Order.ts"
import { arbitraries } from "./OrderArbitraries.ts"

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
