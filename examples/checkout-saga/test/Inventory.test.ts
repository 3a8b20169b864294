import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { availableOf, Inventory, inventory } from "../src/domain/Inventory.ts"
import { ofInventory } from "./ShopArbitraries.ts"

const warehouseId = "main"
const added = (sku: string, quantity: number) => Inventory.InventoryAdded({ warehouseId, sku, quantity })
const items = [{ sku: "tea", quantity: 2 }, { sku: "cup", quantity: 1 }] as const
const reservation = { warehouseId, reservationId: "r1", items }
const reserved = Inventory.InventoryReserved(reservation)
const release = Inventory.ReleaseInventory({ warehouseId, reservationId: "r1" })

describe("a warehouse", () => {
  it("takes stock in", () => {
    AggregateTest.check(inventory, {
      given: [added("tea", 1)],
      when: Inventory.AddInventory({ warehouseId, sku: "tea", quantity: 2 }),
      thenEvents: [added("tea", 2)],
      thenState: { available: { tea: 3 }, reservations: {} }
    })
    for (const quantity of [0, -1, 1_000_000_000]) {
      AggregateTest.check(inventory, {
        given: [added("tea", 1)],
        when: Inventory.AddInventory({ warehouseId, sku: "tea", quantity }),
        thenRefused: { _tag: "QuantityOutOfRange", sku: "tea", quantity }
      })
    }
  })

  it("reserves all that is asked for, to the last piece, and releases it", () => {
    AggregateTest.check(inventory, {
      given: [added("tea", 2), added("cup", 3)],
      when: Inventory.ReserveInventory(reservation),
      thenEvents: [reserved],
      thenState: { available: { tea: 0, cup: 2 }, reservations: { r1: items } }
    })
    AggregateTest.check(inventory, {
      given: [added("tea", 2), added("cup", 3), reserved],
      when: release,
      thenEvents: [Inventory.InventoryReleased(reservation)],
      thenState: { available: { tea: 2, cup: 3 }, reservations: {} }
    })
  })

  it("reserves nothing when anything is missing, and says what", () => {
    AggregateTest.check(inventory, {
      given: [added("tea", 1), added("cup", 3)],
      when: Inventory.ReserveInventory(reservation),
      thenEvents: [Inventory.InsufficientInventory({
        warehouseId,
        reservationId: "r1",
        missing: [{ sku: "tea", requested: 2, available: 1 }]
      })],
      thenState: { available: { tea: 1, cup: 3 }, reservations: {} }
    })
    AggregateTest.check(inventory, {
      when: Inventory.ReserveInventory(reservation),
      thenEvents: [Inventory.InsufficientInventory({
        warehouseId,
        reservationId: "r1",
        missing: [{ sku: "tea", requested: 2, available: 0 }, { sku: "cup", requested: 1, available: 0 }]
      })]
    })
  })

  it("knows products with the names of an object's members", () => {
    AggregateTest.check(inventory, {
      given: [added("constructor", 1)],
      when: Inventory.ReserveInventory({ ...reservation, items: [{ sku: "constructor", quantity: 1 }] }),
      thenState: { available: { constructor: 0 }, reservations: { r1: [{ sku: "constructor", quantity: 1 }] } }
    })
    assert.strictEqual(availableOf(inventory.initial, "toString"), 0)
  })

  it("refuses a second reservation, a product named twice, and a release of nothing", () => {
    AggregateTest.check(inventory, {
      given: [added("tea", 9), added("cup", 9), reserved],
      when: Inventory.ReserveInventory(reservation),
      thenRefused: { _tag: "AlreadyReserved", reservationId: "r1" }
    })
    AggregateTest.check(inventory, {
      given: [added("tea", 9)],
      when: Inventory.ReserveInventory({ ...reservation, items: [items[0], items[0]] }),
      thenRefused: { _tag: "SameProductTwice", sku: "tea" }
    })
    AggregateTest.check(inventory, { when: release, thenRefused: { _tag: "NotReserved", reservationId: "r1" } })
  })
})

describe("the laws of every aggregate hold for a warehouse", () => {
  it("replay", () => Laws.replayIsDeterministic(inventory))
  it("decisions", () => Laws.decideIsPure(inventory, { arbitraries: ofInventory }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Inventory))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(inventory, { arbitraries: ofInventory }))
})

it("whatever is asked of a warehouse, pieces are neither lost nor made", () => {
  const reservedOf = (state: typeof inventory.initial, wanted: string) =>
    Object.values(state.reservations).flat().reduce(
      (sum, { quantity, sku }) => sku === wanted ? sum + quantity : sum,
      0
    )
  const pieces = (state: typeof inventory.initial, sku: string) => availableOf(state, sku) + reservedOf(state, sku)
  ModelTest.check(inventory, {
    arbitraries: ofInventory,
    invariants: {
      "nothing is promised twice": (state) => Object.values(state.available).every((available) => available >= 0),
      "only what comes in adds to what is there": (state, { before, events: [event] }) =>
        ["tea", "cup"].every((sku) =>
          pieces(state, sku) - pieces(before, sku) ===
            (event?._tag === "InventoryAdded" && event.sku === sku ? event.quantity : 0)
        ),
      "a reservation is all or nothing": (state, { command, events: [event] }) =>
        event?._tag !== "InventoryReserved" || command._tag !== "ReserveInventory" ||
        state.reservations[command.reservationId] === command.items
    }
  })
})
