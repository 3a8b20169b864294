/**
 * The stock of a warehouse: what is on hand, and what is reserved for whom. All of a reservation is there, or none.
 *
 * That there is not enough is an event, under the id of the command: whoever asked has given up then, so the same command
 * must not succeed later, when stock has come in.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"

const warehouseId = Schema.NonEmptyString
const reservationId = Schema.NonEmptyString
const Quantity = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000_000 }))

/** Some pieces of a product. */
export const Item = Schema.Struct({ sku: Schema.NonEmptyString, quantity: Quantity })

/** Some pieces of a product. */
export type Item = typeof Item.Type

/** What there is too little of. */
export const Missing = Schema.Struct({ sku: Schema.String, requested: Schema.Int, available: Schema.Int })

/** What there is too little of. */
export type Missing = typeof Missing.Type

const reservation = { warehouseId, reservationId, items: Schema.NonEmptyArray(Item) }

/** The vocabulary: what can be asked of a warehouse, and what can have happened in it. */
export const Inventory = Action.define("Inventory", {
  commands: {
    AddInventory: { warehouseId, sku: Schema.NonEmptyString, quantity: Schema.Int },
    ReserveInventory: reservation,
    ReleaseInventory: { warehouseId, reservationId }
  },
  events: {
    InventoryAdded: Event.v1({ warehouseId, ...Item.fields }),
    InventoryReserved: Event.v1(reservation),
    InsufficientInventory: Event.v1({ warehouseId, reservationId, missing: Schema.NonEmptyArray(Missing) }),
    InventoryReleased: Event.v1(reservation)
  }
})

export type InventoryCommand = Action.CommandOf<typeof Inventory>
export type InventoryEvent = Action.EventOf<typeof Inventory>

type Items = readonly [Item, ...ReadonlyArray<Item>]

/** What is available by product, that is neither sold nor reserved; and what is reserved, by reservation. */
export interface InventoryState {
  readonly available: Readonly<Record<string, number>>
  readonly reservations: Readonly<Record<string, Items>>
}

/** Why a warehouse refuses a command. */
export type InventoryRefusal =
  | { readonly _tag: "QuantityOutOfRange"; readonly sku: string; readonly quantity: number }
  | { readonly _tag: "AlreadyReserved"; readonly reservationId: string }
  | { readonly _tag: "NotReserved"; readonly reservationId: string }
  | { readonly _tag: "SameProductTwice"; readonly sku: string }

type Decision = Fx.Decision<InventoryEvent, InventoryRefusal>
type Of<Tag extends InventoryCommand["_tag"]> = Extract<InventoryCommand, { readonly _tag: Tag }>

const isQuantity = Schema.is(Quantity)
const own = <A>(record: Readonly<Record<string, A>>, key: string): A | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined

/** How many pieces are available. */
export const availableOf = ({ available }: InventoryState, sku: string): number => own(available, sku) ?? 0

const add = (state: InventoryState, { _tag, ...added }: Of<"AddInventory">): Decision => {
  const { quantity, sku } = added
  return isQuantity(quantity) && isQuantity(availableOf(state, sku) + quantity)
    ? Fx.append(Inventory.InventoryAdded(added))
    : Fx.reject({ _tag: "QuantityOutOfRange", sku, quantity })
}

const reserve = (state: InventoryState, { _tag, ...asked }: Of<"ReserveInventory">): Decision => {
  const { items, reservationId, warehouseId } = asked
  if (own(state.reservations, reservationId) !== undefined) {
    return Fx.reject({ _tag: "AlreadyReserved", reservationId })
  }
  const twice = items.find(({ sku }, index) => items.findIndex((item) => item.sku === sku) !== index)
  if (twice !== undefined) return Fx.reject({ _tag: "SameProductTwice", sku: twice.sku })
  const [first, ...rest] = items.flatMap(({ quantity: requested, sku }): ReadonlyArray<Missing> => {
    const available = availableOf(state, sku)
    return requested > available ? [{ sku, requested, available }] : []
  })
  return Fx.append(
    first === undefined
      ? Inventory.InventoryReserved(asked)
      : Inventory.InsufficientInventory({ warehouseId, reservationId, missing: [first, ...rest] })
  )
}

const release = (
  { reservations }: InventoryState,
  { reservationId, warehouseId }: Of<"ReleaseInventory">
): Decision => {
  const items = own(reservations, reservationId)
  return items === undefined
    ? Fx.reject({ _tag: "NotReserved", reservationId })
    : Fx.append(Inventory.InventoryReleased({ warehouseId, reservationId, items }))
}

const stocked = (state: InventoryState, items: ReadonlyArray<Item>, sign: 1 | -1): InventoryState["available"] => ({
  ...state.available,
  ...Object.fromEntries(items.map(({ quantity, sku }) => [sku, availableOf(state, sku) + sign * quantity]))
})

const without = (reservations: InventoryState["reservations"], reservationId: string) =>
  Object.fromEntries(Object.entries(reservations).filter(([id]) => id !== reservationId))

/** The aggregate: a warehouse that decides its commands by the rules above. */
export const inventory = Aggregate.define(Inventory, {
  initial: { available: {}, reservations: {} } as InventoryState,
  decide: (state, command): Decision =>
    Inventory.match(command, {
      AddInventory: (command) => add(state, command),
      ReserveInventory: (command) => reserve(state, command),
      ReleaseInventory: (command) => release(state, command)
    }),
  evolve: (state, event): InventoryState =>
    Inventory.match(event, {
      InventoryAdded: (item) => ({ ...state, available: stocked(state, [item], 1) }),
      InventoryReserved: ({ items, reservationId }) => ({
        available: stocked(state, items, -1),
        reservations: { ...state.reservations, [reservationId]: items }
      }),
      InsufficientInventory: () => state,
      InventoryReleased: ({ items, reservationId }) => ({
        available: stocked(state, items, 1),
        reservations: without(state.reservations, reservationId)
      })
    })
})
