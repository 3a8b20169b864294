import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { available, Inventory, inventory, type InventoryState } from "../src/domain/Inventory.ts"
import { ofInventory } from "./TicketArbitraries.ts"

const inventoryId = "s1:stalls"
const initialized = (capacity: number) => Inventory.InventoryInitialized({ inventoryId, capacity, price: 4500 })
const of = (reservationId: string) => ({ inventoryId, reservationId })
const reserve = (reservationId: string, quantity: number) => Inventory.ReserveSeats({ ...of(reservationId), quantity })
const reserved = (reservationId: string, ...seats: readonly [number, ...ReadonlyArray<number>]) =>
  Inventory.SeatsReserved({ ...of(reservationId), seats, price: 4500 })
const confirmed = Inventory.SeatsConfirmed({ ...of("r1"), seats: [1, 2] })
const released = Inventory.SeatsReleased({ ...of("r1"), seats: [1, 2] })
const open = { status: "Open", capacity: 3, price: 4500, reserved: {}, sold: {} } as const

describe("a section's seats", () => {
  it("are reserved from the front, then sold", () => {
    AggregateTest.check(inventory, {
      given: [initialized(3)],
      when: reserve("r1", 2),
      thenEvents: [reserved("r1", 1, 2)],
      thenState: { ...open, reserved: { r1: [1, 2] } }
    })
    AggregateTest.check(inventory, {
      given: [initialized(3), reserved("r1", 1, 2)],
      when: Inventory.ConfirmReservation(of("r1")),
      thenEvents: [confirmed],
      thenState: { ...open, sold: { r1: [1, 2] } }
    })
  })

  it("are there again for others when they were released", () => {
    AggregateTest.check(inventory, {
      given: [initialized(3), reserved("r1", 1, 2)],
      when: [Inventory.ReleaseReservation(of("r1")), reserve("r2", 3)],
      thenEvents: [released, reserved("r2", 1, 2, 3)],
      thenState: { ...open, reserved: { r2: [1, 2, 3] } }
    })
  })

  it("run out, which is recorded", () => {
    AggregateTest.check(inventory, {
      given: [initialized(3), reserved("r1", 1, 2)],
      when: reserve("r2", 2),
      thenEvents: [Inventory.InsufficientInventory({ ...of("r2"), requested: 2, available: 1 })],
      thenState: { ...open, reserved: { r1: [1, 2] } }
    })
  })

  it("are not there before sales open and after they closed", () => {
    for (const given of [[], [initialized(3), Inventory.InventoryClosed({ inventoryId })]]) {
      AggregateTest.check(inventory, {
        given,
        when: reserve("r1", 1),
        thenEvents: [Inventory.InsufficientInventory({ ...of("r1"), requested: 1, available: 0 })]
      })
    }
    AggregateTest.check(inventory, {
      given: [initialized(3), reserved("r1", 1, 2), Inventory.InventoryClosed({ inventoryId })],
      when: Inventory.ConfirmReservation(of("r1")),
      thenEvents: [confirmed]
    })
  })

  it("are initialised once, closed while open, reserved once for each, confirmed or released while reserved", () => {
    AggregateTest.check(inventory, {
      given: [initialized(3)],
      when: Inventory.InitializeInventory({ inventoryId, capacity: 9, price: 1 }),
      thenRefused: { _tag: "AlreadyInitialized", inventoryId }
    })
    AggregateTest.check(inventory, {
      when: Inventory.CloseInventory({ inventoryId }),
      thenRefused: { _tag: "NotOpen", inventoryId }
    })
    for (const given of [[reserved("r1", 1, 2)], [reserved("r1", 1, 2), confirmed]]) {
      AggregateTest.check(inventory, {
        given: [initialized(3), ...given],
        when: reserve("r1", 1),
        thenRefused: { _tag: "AlreadyReserved", reservationId: "r1" }
      })
    }
    for (const given of [[], [reserved("r1", 1, 2), confirmed], [reserved("r1", 1, 2), released]]) {
      for (const when of [Inventory.ConfirmReservation(of("r1")), Inventory.ReleaseReservation(of("r1"))]) {
        AggregateTest.check(inventory, {
          given: [initialized(3), ...given],
          when,
          thenRefused: { _tag: "NotReserved", reservationId: "r1" }
        })
      }
    }
  })
})

describe("the laws of every aggregate hold for seats", () => {
  it("replay", () => Laws.replayIsDeterministic(inventory))
  it("decisions", () => Laws.decideIsPure(inventory, { arbitraries: ofInventory }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Inventory))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(inventory, { arbitraries: ofInventory }))
})

it("whatever is asked of seats, each belongs to one reservation at most", () => {
  const taken = ({ reserved, sold }: InventoryState) => [...Object.values(reserved), ...Object.values(sold)].flat()
  ModelTest.check(inventory, {
    arbitraries: ofInventory,
    runs: 600,
    invariants: {
      "no seat twice": (state) => new Set(taken(state)).size === taken(state).length,
      "no seat that is not there": (state) => taken(state).every((seat) => seat >= 1 && seat <= state.capacity),
      "seats are available, or they are not": (state) =>
        available(state).length + taken(state).length === state.capacity,
      "what is sold stays sold": (state, { before }) =>
        Object.entries(before.sold).every(([id, seats]) => state.sold[id] === seats)
    }
  })
})

it.effect("the last seat, wanted by fifty at once, goes to exactly one", () =>
  Effect.gen(function*() {
    const seats = yield* Store.aggregate(inventory)
    yield* seats.dispatch(inventoryId, Inventory.InitializeInventory({ inventoryId, capacity: 1, price: 4500 }))
    const outcomes = yield* Effect.forEach(
      Array.from({ length: 50 }, (_, index) => `r${index}`),
      (id) => seats.dispatch(inventoryId, reserve(id, 1)),
      { concurrency: "unbounded" }
    )
    const tags = outcomes.flatMap(({ events }) => events.map(({ _tag }) => _tag))
    assert.strictEqual(tags.filter((tag) => tag === "SeatsReserved").length, 1)
    assert.strictEqual(tags.filter((tag) => tag === "InsufficientInventory").length, 49)
  }).pipe(Effect.provide(MemoryEventStore.layer)))
