/**
 * Checkouts end to end on a real PostgreSQL: two shops with connections of their own work on one database, one of them goes
 * away half-way, the provider fails in every way it knows, and in the end its ledger agrees with every checkout.
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as PaymentHandlers from "payment/PaymentHandlers"
import { chargeKey } from "payment/PaymentTasks"
import * as Endpoint from "providers/Endpoint"
import * as Fault from "providers/Fault"
import * as Ledger from "providers/Ledger"
import { PaymentClient } from "providers/PaymentClient"
import * as PaymentProvider from "providers/PaymentProvider"
import { Checkouts, layerOn, run, Warehouses } from "../src/Checkouts.ts"
import { Checkout, isFinished } from "../src/domain/Checkout.ts"
import { Inventory } from "../src/domain/Inventory.ts"

/** Set higher for a longer run. */
const count = Number(process.env["CHECKOUTS"] ?? 20)

const warehouseId = "main"
const limit = 100_000

/** Every fifth is too expensive for the card. */
const carts = Array.from({ length: count }, (_, index) => ({
  checkoutId: `c${index}`,
  customerId: "ada",
  warehouseId,
  lines: [{ sku: "tea", quantity: 1, unitPrice: index % 5 === 4 ? limit + 1 : 450 + index }]
}))

/** There is enough for half of those that can be paid. */
const stock = Math.floor(count * 0.4)

it.live("checkouts finish, and the provider's ledger agrees with them", () =>
  Effect.gen(function*() {
    const database = yield* TestDatabase.make
    const provider = yield* Endpoint.start(
      PaymentProvider.layer(0, { script: Fault.unreliable(5, 0.2, 300), keys: "honoured", limit })
    )
    const handlers = PaymentHandlers.layer.pipe(
      Layer.provide(PaymentClient.layer({ url: provider, timeout: "200 millis" }))
    )
    const elsewhere = Effect.provide(run(), Layer.merge(handlers, layerOn(database)))
    yield* Effect.gen(function*() {
      const checkouts = yield* Checkouts
      const warehouses = yield* Warehouses
      yield* warehouses.dispatch(warehouseId, Inventory.AddInventory({ warehouseId, sku: "tea", quantity: stock }))
      const first = yield* Effect.forkChild(elsewhere)
      const second = yield* Effect.forkChild(elsewhere)
      yield* Effect.forEach(carts, (cart) => checkouts.dispatch(cart.checkoutId, Checkout.InitiateCheckout(cart)), {
        concurrency: 8
      })
      yield* Fiber.interrupt(first)
      const states = yield* Effect.forEach(carts, ({ checkoutId }) =>
        Effect.repeat(
          Effect.delay(checkouts.state(checkoutId), "10 millis"),
          { until: ({ state }) => isFinished(state) }
        ), { concurrency: 8 })
      const charges = yield* Effect.flatMap(
        HttpClient.get(`${provider}/charges`),
        HttpClientResponse.schemaBodyJson(PaymentProvider.Charges)
      )
      const book = yield* Effect.flatMap(
        HttpClient.get(`${provider}/ledger`),
        HttpClientResponse.schemaBodyJson(Ledger.Book)
      )
      assert.deepStrictEqual(Ledger.violations(book), [])
      const kept = new Map(charges.map(({ key, refunded, taken }) => [key, taken - refunded]))
      const { reservations } = (yield* warehouses.state(warehouseId)).state
      for (const [index, { state }] of states.entries()) {
        const { checkoutId, lines } = carts[index]!
        const isCompleted = state.status === "Completed"
        assert.strictEqual(kept.get(chargeKey(checkoutId)) ?? 0, isCompleted ? lines[0]!.unitPrice : 0, checkoutId)
        assert.strictEqual(reservations[checkoutId] !== undefined, isCompleted, checkoutId)
      }
      const ends = new Set(states.map(({ state }) => "failure" in state ? state.failure._tag : state.status))
      assert.includeMembers([...ends], ["Completed", "InsufficientInventory", "PaymentDeclined"])
      yield* Fiber.interrupt(second)
    }).pipe(Effect.provide(layerOn(database)))
  }).pipe(Effect.provide(NodeHttpClient.layerNodeHttp)), 90_000)
