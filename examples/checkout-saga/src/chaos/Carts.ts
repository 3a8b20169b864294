/**
 * Customers: what they buy, where, and what there is in stock.
 */
import { Effect, Random } from "effect"
import type { Cart } from "../domain/Checkout.ts"
import type { Item } from "../domain/Inventory.ts"

/** Cards are declined beyond this, in minor units. */
export const limit = 100_000

const warehouses: readonly [string, ...ReadonlyArray<string>] = ["north", "south", "east", "west"]
const products = ["tea", "coffee", "cocoa"]

const cart = (index: number) =>
  Effect.gen(function*() {
    const isDear = (yield* Random.nextIntBetween(1, 10)) === 1
    const first = yield* Random.nextIntBetween(0, products.length - 1)
    const many = yield* Random.nextIntBetween(1, products.length)
    const lines = yield* Effect.forEach(Array.from({ length: many }, (_, n) => n), (n) =>
      Effect.gen(function*() {
        return {
          sku: products[(first + n) % products.length]!,
          quantity: yield* Random.nextIntBetween(1, 3),
          unitPrice: isDear ? limit + 1 : yield* Random.nextIntBetween(100, 5_000)
        }
      }))
    return {
      checkoutId: `c${index}`,
      customerId: `customer ${yield* Random.nextIntBetween(1, 200)}`,
      warehouseId: yield* Random.choice(warehouses),
      lines
    }
  })

/** What so many customers buy, the same for the same seed. One in ten cannot pay for it. */
export const carts = (count: number, seed: number): Effect.Effect<ReadonlyArray<Cart>> =>
  Random.withSeed(Effect.forEach(Array.from({ length: count }, (_, index) => index), cart), seed)

/** What is in stock: of each product, in each warehouse, two thirds of what is asked for. */
export const stock = (carts: ReadonlyArray<Cart>): ReadonlyArray<Item & { readonly warehouseId: string }> =>
  warehouses.flatMap((warehouseId) =>
    products.map((sku) => {
      const asked = carts.filter((cart) => cart.warehouseId === warehouseId).flatMap(({ lines }) => lines)
        .reduce((sum, line) => line.sku === sku ? sum + line.quantity : sum, 0)
      return { warehouseId, sku, quantity: Math.max(1, Math.floor(asked * 2 / 3)) }
    })
  )
