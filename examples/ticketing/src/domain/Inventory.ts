/**
 * The seats of one section of a show. A seat is available, reserved for a while, or sold. Seats are given from the front.
 *
 * That there are too few is an event, under the id of the command: the reservation has ended then, so the same command
 * must not succeed later, when seats have come back.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { Section } from "./Section.ts"

/** The most seats of one reservation. */
export const mostSeats = 8

/** How many seats a reservation may ask for. */
export const Quantity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostSeats }))

/** Seats by number, from 1 on. */
export const Seats = Schema.NonEmptyArray(Schema.Int.check(Schema.isGreaterThan(0)))

/** Seats by number, from 1 on. */
export type Seats = typeof Seats.Type

const inventoryId = Schema.NonEmptyString
const reservationId = Schema.NonEmptyString
const { capacity, price } = Section.fields
const seats = { inventoryId, reservationId, seats: Seats }

/** The vocabulary: what can be asked of a section's seats, and what can have happened to them. */
export const Inventory = Action.define("Inventory", {
  commands: {
    InitializeInventory: { inventoryId, capacity, price },
    CloseInventory: { inventoryId },
    ReserveSeats: { inventoryId, reservationId, quantity: Quantity },
    ConfirmReservation: { inventoryId, reservationId },
    ReleaseReservation: { inventoryId, reservationId }
  },
  events: {
    InventoryInitialized: Event.v1({ inventoryId, capacity, price }),
    InventoryClosed: Event.v1({ inventoryId }),
    SeatsReserved: Event.v1({ ...seats, price }),
    InsufficientInventory: Event.v1({
      inventoryId,
      reservationId,
      requested: Schema.Int,
      available: Schema.Int
    }),
    SeatsConfirmed: Event.v1(seats),
    SeatsReleased: Event.v1(seats)
  }
})

export type InventoryCommand = Action.CommandOf<typeof Inventory>
export type InventoryEvent = Action.EventOf<typeof Inventory>

/** The seats of a section: those reserved and those sold, by reservation. All others are available. */
export interface InventoryState {
  /** `Closed` sells to nobody new; whoever has reserved may still pay. */
  readonly status: "None" | "Open" | "Closed"
  readonly capacity: number
  readonly price: number
  readonly reserved: Readonly<Record<string, Seats>>
  readonly sold: Readonly<Record<string, Seats>>
}

/** Why the seats' inventory refuses a command. */
export type InventoryRefusal =
  | { readonly _tag: "AlreadyInitialized" | "NotOpen"; readonly inventoryId: string }
  | { readonly _tag: "AlreadyReserved" | "NotReserved"; readonly reservationId: string }

type Decision = Fx.Decision<InventoryEvent, InventoryRefusal>
type Of<Tag extends InventoryCommand["_tag"]> = Extract<InventoryCommand, { readonly _tag: Tag }>

const own = (record: Readonly<Record<string, Seats>>, key: string): Seats | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined

const without = (record: Readonly<Record<string, Seats>>, key: string): Readonly<Record<string, Seats>> =>
  Object.fromEntries(Object.entries(record).filter(([id]) => id !== key))

/** The seats that are neither reserved nor sold, in order. */
export const available = ({ capacity, reserved, sold }: InventoryState): ReadonlyArray<number> => {
  const taken = new Set([...Object.values(reserved), ...Object.values(sold)].flat())
  return Array.from({ length: capacity }, (_, index) => index + 1).filter((seat) => !taken.has(seat))
}

const reserve = (state: InventoryState, { inventoryId, quantity, reservationId }: Of<"ReserveSeats">): Decision => {
  if (own(state.reserved, reservationId) !== undefined || own(state.sold, reservationId) !== undefined) {
    return Fx.reject({ _tag: "AlreadyReserved", reservationId })
  }
  const free = state.status === "Open" ? available(state) : []
  const [first, ...rest] = free.slice(0, quantity)
  return first === undefined || free.length < quantity
    ? Fx.append(
      Inventory.InsufficientInventory({ inventoryId, reservationId, requested: quantity, available: free.length })
    )
    : Fx.append(Inventory.SeatsReserved({ inventoryId, reservationId, seats: [first, ...rest], price: state.price }))
}

/** What happens to reserved seats. */
const onReserved = (
  { reserved }: InventoryState,
  { inventoryId, reservationId }: Of<"ConfirmReservation" | "ReleaseReservation">,
  event: typeof Inventory.SeatsConfirmed | typeof Inventory.SeatsReleased
): Decision => {
  const seats = own(reserved, reservationId)
  return seats === undefined
    ? Fx.reject({ _tag: "NotReserved", reservationId })
    : Fx.append(event({ inventoryId, reservationId, seats }))
}

/** The aggregate: the seats of a section, which decide commands by the rules above. */
export const inventory = Aggregate.define(Inventory, {
  initial: { status: "None", capacity: 0, price: 0, reserved: {}, sold: {} } as InventoryState,
  decide: (state, command): Decision =>
    Inventory.match(command, {
      InitializeInventory: ({ _tag, ...section }) =>
        state.status === "None"
          ? Fx.append(Inventory.InventoryInitialized(section))
          : Fx.reject({ _tag: "AlreadyInitialized", inventoryId: section.inventoryId }),
      CloseInventory: ({ inventoryId }) =>
        state.status === "Open"
          ? Fx.append(Inventory.InventoryClosed({ inventoryId }))
          : Fx.reject({ _tag: "NotOpen", inventoryId }),
      ReserveSeats: (command) => reserve(state, command),
      ConfirmReservation: (command) => onReserved(state, command, Inventory.SeatsConfirmed),
      ReleaseReservation: (command) => onReserved(state, command, Inventory.SeatsReleased)
    }),
  evolve: (state, event): InventoryState =>
    Inventory.match(event, {
      InventoryInitialized: ({ capacity, price }) => ({ ...state, status: "Open", capacity, price }),
      InventoryClosed: () => ({ ...state, status: "Closed" }),
      SeatsReserved: ({ reservationId, seats }) => ({
        ...state,
        reserved: { ...state.reserved, [reservationId]: seats }
      }),
      InsufficientInventory: () => state,
      SeatsConfirmed: ({ reservationId, seats }) => ({
        ...state,
        reserved: without(state.reserved, reservationId),
        sold: { ...state.sold, [reservationId]: seats }
      }),
      SeatsReleased: ({ reservationId }) => ({ ...state, reserved: without(state.reserved, reservationId) })
    })
})
