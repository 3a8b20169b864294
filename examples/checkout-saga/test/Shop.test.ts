/**
 * A whole shop, with a payment provider that is not to be relied on: however checkouts interleave, crash and repeat
 * themselves, each is completed, paid and reserved for, or has failed and left nothing behind.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ModelProvider, Weather } from "payment/ModelProvider"
import { payment, type PaymentEvent } from "payment/Payment"
import { chargeKey } from "payment/PaymentTasks"
import * as World from "simulation/World"
import {
  Checkout,
  checkout,
  type CheckoutEvent,
  type CheckoutState,
  hears,
  isFinished
} from "../src/domain/Checkout.ts"
import { Inventory, inventory, type InventoryEvent, type InventoryState, type Item } from "../src/domain/Inventory.ts"
import { order, type OrderEvent, type OrderState } from "../src/domain/Order.ts"

const carts = Schema.Array(Schema.Struct({
  checkoutId: Schema.Literals(["c1", "c2", "c3", "c4", "c5"]),
  customerId: Schema.Literal("ada"),
  warehouseId: Schema.Literal("main"),
  lines: Schema.Array(Schema.Struct({
    sku: Schema.Literals(["tea", "cup"]),
    quantity: Schema.Literals([1, 2, 3]),
    unitPrice: Schema.Literals([100, 300])
  })).check(Schema.isMinLength(1), Schema.isMaxLength(2))
})).check(Schema.isMinLength(1), Schema.isMaxLength(6))

const choices = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })))
  .check(Schema.isMaxLength(80))

const heardBy = (event: OrderEvent | PaymentEvent | InventoryEvent): ReadonlyArray<World.Addressed> => {
  const command = hears(event)
  return command === undefined ? [] : [{ category: checkout.category, id: command.checkoutId, command }]
}

/** Follows the states of instances by their events. */
const following = <S, E>(aggregate: { readonly initial: S; readonly evolve: (state: S, event: E) => S }) => {
  const states = new Map<string, S>()
  const record = (id: string, event: E) => {
    states.set(id, aggregate.evolve(states.get(id) ?? aggregate.initial, event))
  }
  return { states, record }
}

const stock = { tea: 3, cup: 4 }

const shop = (weather: ReadonlyArray<Weather>) => {
  const provider = new ModelProvider(800, weather)
  const checkouts = following<CheckoutState, CheckoutEvent>(checkout)
  const orders = following<OrderState, OrderEvent>(order)
  const warehouses = following<InventoryState, InventoryEvent>(inventory)
  const world = new World.World({
    members: [
      World.member(checkout, (event) => {
        checkouts.record(event.checkoutId, event)
        return []
      }),
      World.member(order, (event) => {
        orders.record(event.orderId, event)
        return heardBy(event)
      }),
      World.member(payment, heardBy),
      World.member(inventory, (event) => {
        warehouses.record(event.warehouseId, event)
        return heardBy(event)
      })
    ],
    perform: provider.perform,
    check: () => {
      const available = warehouses.states.get("main")?.available ?? {}
      if (Object.values(available).some((pieces) => pieces < 0)) throw new Error("more was reserved than there is")
    }
  })
  for (const [sku, quantity] of Object.entries(stock)) {
    const command = Inventory.AddInventory({ warehouseId: "main", sku, quantity })
    world.send({ category: inventory.category, id: "main", command })
  }
  world.settle()
  const buy = (cart: (typeof carts.Type)[number]) =>
    world.send({ category: checkout.category, id: cart.checkoutId, command: Checkout.InitiateCheckout(cart) })
  return { world, provider, buy, checkouts: checkouts.states, orders: orders.states, warehouses: warehouses.states }
}

describe("checkouts that compete for stock, with a provider that is not to be relied on", () => {
  const ends = new Set<string>()

  it.prop(
    "end completed, paid and reserved for, or failed with nothing left behind",
    { carts, choices, weather: Schema.Array(Weather) },
    ({ carts, choices, weather }) => {
      const { buy, checkouts, orders, provider, warehouses, world } = shop(weather)
      carts.forEach(buy)
      world.happen(choices)
      world.settle()
      const left: Record<string, number> = { ...stock }
      for (const [id, state] of checkouts) {
        assert.isTrue(isFinished(state), JSON.stringify(state))
        const order = orders.get(id)
        const taken = provider.taken.get(chargeKey(id)) ?? 0
        const reserved: ReadonlyArray<Item> = warehouses.get("main")?.reservations[id] ?? []
        if (state.status === "Completed") {
          ends.add("Completed")
          assert.strictEqual(order?.status, "Confirmed")
          assert.strictEqual(taken, order?.status === "Confirmed" ? order.total : -1)
          assert.deepStrictEqual(reserved, state.cart.lines.map(({ quantity, sku }) => ({ sku, quantity })))
        } else {
          ends.add(state.status === "Failed" ? state.failure._tag : state.status)
          assert.strictEqual(order?.status, "Cancelled")
          assert.strictEqual(taken, 0)
          assert.deepStrictEqual(reserved, [])
        }
        for (const { quantity, sku } of reserved) left[sku] = (left[sku] ?? 0) - quantity
      }
      assert.deepStrictEqual(warehouses.get("main")?.available, left)
    },
    { arbitrary: { runs: 600 } }
  )

  it("come to every end there is", () => {
    assert.deepStrictEqual([...ends].sort(), [
      "Completed",
      "InsufficientInventory",
      "PaymentDeclined",
      "PaymentOverdue",
      "PaymentUncertain"
    ])
  })
})
