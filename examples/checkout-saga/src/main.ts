/**
 * The tour: a small shop on a temporary PostgreSQL, with a payment provider that often fails. It leaves nothing behind.
 * `pnpm checkout`
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Console, Effect, Layer } from "effect"
import * as PaymentHandlers from "payment/PaymentHandlers"
import * as Endpoint from "providers/Endpoint"
import * as Fault from "providers/Fault"
import { PaymentClient } from "providers/PaymentClient"
import * as PaymentProvider from "providers/PaymentProvider"
import { Checkouts, layerOn, run, Warehouses } from "./Checkouts.ts"
import { Checkout, type CheckoutState, isFinished } from "./domain/Checkout.ts"
import { Inventory } from "./domain/Inventory.ts"

const warehouseId = "main"

const bought = (checkoutId: string, sku: string, quantity: number, unitPrice: number) =>
  Effect.gen(function*() {
    const checkouts = yield* Checkouts
    const lines = [{ sku, quantity, unitPrice }]
    yield* checkouts.dispatch(
      checkoutId,
      Checkout.InitiateCheckout({ checkoutId, customerId: "ada", warehouseId, lines })
    )
    const { state } = yield* Effect.repeat(
      Effect.delay(checkouts.state(checkoutId), "10 millis"),
      { until: ({ state }) => isFinished(state) }
    )
    yield* Console.log(`${checkoutId}: ${quantity} × ${sku}: ${outcomeOf(state)}`)
  })

const outcomeOf = (state: CheckoutState): string =>
  "failure" in state ? `${state.status}: ${state.failure._tag}` : state.status

const tour = Effect.gen(function*() {
  const warehouses = yield* Warehouses
  yield* warehouses.dispatch(warehouseId, Inventory.AddInventory({ warehouseId, sku: "tea", quantity: 3 }))
  yield* bought("c1", "tea", 2, 450)
  yield* bought("c2", "tea", 2, 450)
  yield* bought("c3", "tea", 1, 9_999_999)
  yield* bought("c4", "tea", 1, 450)
})

const provider = Endpoint.start(
  PaymentProvider.layer(0, { script: Fault.unreliable(11, 0.2, 500), keys: "honoured", limit: 100_000 })
)

const handlers = Layer.unwrap(Effect.map(provider, (url) =>
  PaymentHandlers.layer.pipe(
    Layer.provide(PaymentClient.layer({ url, timeout: "300 millis" })),
    Layer.provide(NodeHttpClient.layerNodeHttp)
  )))

const inTemporaryDatabase = Layer.unwrap(Effect.map(TestDatabase.make, layerOn))

await Effect.runPromise(
  Effect.scoped(Effect.provide(Effect.raceFirst(tour, run()), Layer.merge(handlers, inTemporaryDatabase)))
)
