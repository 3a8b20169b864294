/**
 * The audit: whether money and goods add up exactly, by the log alone and by what the payment provider says.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { Effect } from "effect"
import { payment } from "payment/Payment"
import { chargeKey } from "payment/PaymentTasks"
import * as Ledger from "providers/Ledger"
import type * as PaymentProvider from "providers/PaymentProvider"
import { checkout, type CheckoutState, isFinished } from "../domain/Checkout.ts"
import { availableOf, inventory, type InventoryState } from "../domain/Inventory.ts"
import { order, type OrderState } from "../domain/Order.ts"
import { total } from "../domain/OrderLine.ts"

/** What the log says. */
export interface Books {
  readonly checkouts: ReadonlyMap<string, CheckoutState>
  readonly orders: ReadonlyMap<string, OrderState>
  readonly warehouses: ReadonlyMap<string, InventoryState>
  /** What ever came into a warehouse. */
  readonly deliveries: ReadonlyArray<{ readonly warehouseId: string; readonly sku: string; readonly quantity: number }>
  /** Requests to the provider that were not answered in time. */
  readonly unanswered: number
  readonly events: number
}

/** What the provider says. */
export interface ProviderBooks {
  readonly ledger: Ledger.Book
  readonly charges: ReadonlyArray<typeof PaymentProvider.Charge.Type>
}

const pageSize = 1_000

/** Reads all of the log. */
export const read = Effect.gen(function*() {
  const store = yield* EventStore
  const checkouts = new Map<string, CheckoutState>()
  const orders = new Map<string, OrderState>()
  const warehouses = new Map<string, InventoryState>()
  const deliveries: Array<{ warehouseId: string; sku: string; quantity: number }> = []
  let unanswered = 0
  let count = 0
  let after = 0n
  while (true) {
    const { events, head } = yield* store.readAll({ after, limit: pageSize })
    for (const recorded of events) {
      const dash = recorded.streamId.indexOf("-")
      const id = recorded.streamId.slice(dash + 1)
      switch (recorded.streamId.slice(0, dash)) {
        case checkout.category: {
          const event = yield* Effect.fromResult(checkout.actions.decode(recorded))
          checkouts.set(id, checkout.evolve(checkouts.get(id) ?? checkout.initial, event))
          break
        }
        case order.category: {
          const event = yield* Effect.fromResult(order.actions.decode(recorded))
          orders.set(id, order.evolve(orders.get(id) ?? order.initial, event))
          break
        }
        case inventory.category: {
          const event = yield* Effect.fromResult(inventory.actions.decode(recorded))
          warehouses.set(id, inventory.evolve(warehouses.get(id) ?? inventory.initial, event))
          if (event._tag === "InventoryAdded") deliveries.push(event)
          break
        }
        case payment.category: {
          const { _tag } = yield* Effect.fromResult(payment.actions.decode(recorded))
          if (_tag === "PaymentUnanswered" || _tag === "RefundUnanswered") unanswered += 1
        }
      }
    }
    count += events.length
    after = events.at(-1)?.globalPosition ?? head
    if (after >= head) {
      return { checkouts, orders, warehouses, deliveries, unanswered, events: count } satisfies Books
    }
  }
})

const said = (items: ReadonlyArray<{ readonly sku: string; readonly quantity: number }>) =>
  items.map(({ quantity, sku }) => `${quantity} × ${sku}`).sort().join(", ") || "nothing"

const ofCheckouts = ({ checkouts, orders, warehouses }: Books, kept: ReadonlyMap<string, number>) =>
  [...checkouts].flatMap(([id, state]) => {
    if (!isFinished(state) || state.status === "New") return [`checkout ${id} is still ${state.status}`]
    const isCompleted = state.status === "Completed"
    const findings: Array<string> = []
    const due = isCompleted ? total(state.cart.lines) : 0
    const paid = kept.get(chargeKey(id)) ?? 0
    if (paid !== due) findings.push(`checkout ${id} is ${state.status}, and paid ${paid} instead of ${due}`)
    const was = orders.get(id)?.status ?? "New"
    const expected = isCompleted
      ? "Confirmed"
      : "failure" in state && state.failure._tag === "OrderRefused"
      ? "New"
      : "Cancelled"
    if (was !== expected) {
      findings.push(`checkout ${id} is ${state.status}, and its order ${was} instead of ${expected}`)
    }
    const reserved = warehouses.get(state.cart.warehouseId)?.reservations[id] ?? []
    const wanted = isCompleted ? state.cart.lines : []
    if (said(reserved) !== said(wanted)) {
      findings.push(`checkout ${id} is ${state.status}, with ${said(reserved)} reserved instead of ${said(wanted)}`)
    }
    return findings
  })

const ofStock = ({ deliveries, warehouses }: Books) =>
  [...warehouses].flatMap(([id, warehouse]) => {
    const skus = new Set(deliveries.filter(({ warehouseId }) => warehouseId === id).map(({ sku }) => sku))
    return [...skus].flatMap((sku) => {
      const sum = (items: ReadonlyArray<{ readonly sku: string; readonly quantity: number }>) =>
        items.reduce((sum, item) => item.sku === sku ? sum + item.quantity : sum, 0)
      const delivered = sum(deliveries.filter(({ warehouseId }) => warehouseId === id))
      const available = availableOf(warehouse, sku)
      const reserved = sum(Object.values(warehouse.reservations).flat())
      return available < 0 || available + reserved !== delivered
        ? [`of ${delivered} × ${sku} in ${id}, ${available} are available and ${reserved} reserved`]
        : []
    })
  })

/** What is not as it must be, in words. */
export const violations = (books: Books, { charges, ledger }: ProviderBooks): ReadonlyArray<string> => {
  const kept = new Map(charges.map(({ key, refunded, taken }) => [key, taken - refunded]))
  const known = new Set([...books.checkouts.keys()].map(chargeKey))
  const reservedForNobody = [...books.warehouses].flatMap(([id, { reservations }]) =>
    Object.keys(reservations).filter((checkoutId) => !books.checkouts.has(checkoutId))
      .map((checkoutId) => `${id} has a reservation for ${checkoutId}, of whom nobody has heard`)
  )
  return [
    ...ofCheckouts(books, kept),
    ...ofStock(books),
    ...reservedForNobody,
    ...charges.filter(({ key }) => !known.has(key)).map(({ key }) => `nobody asked for the charge ${key}`),
    ...Ledger.violations(ledger)
  ]
}
