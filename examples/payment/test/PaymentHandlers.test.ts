/**
 * A payment with its real handlers and a real provider, in a live store: what the provider does is what the payment learns.
 */
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Endpoint from "providers/Endpoint"
import * as Fault from "providers/Fault"
import { PaymentClient } from "providers/PaymentClient"
import * as PaymentProvider from "providers/PaymentProvider"
import { Payment, payment } from "../src/Payment.ts"
import * as PaymentHandlers from "../src/PaymentHandlers.ts"

const withProvider = (script: Partial<Fault.Script>) =>
  Layer.unwrap(Effect.map(
    Endpoint.start(
      PaymentProvider.layer(0, { script: { ...Fault.reliable, ...script }, keys: "honoured", limit: 1000 })
    ),
    (url) =>
      PaymentHandlers.layer.pipe(
        Layer.provide(PaymentClient.layer({ url, timeout: "2 seconds" })),
        Layer.provide(NodeHttpClient.layerNodeHttp),
        Layer.provideMerge(MemoryEventStore.layer)
      )
  ))

const process = (amount: number) => Payment.ProcessPayment({ paymentId: "p1", amount })

it.live("a payment is captured, and refunded", () =>
  Effect.gen(function*() {
    const payments = yield* Store.aggregate(payment)
    yield* payments.dispatch("p1", process(1000))
    yield* payments.idle
    assert.strictEqual((yield* payments.state("p1")).state.status, "Captured")
    yield* payments.dispatch("p1", Payment.RefundPayment({ paymentId: "p1" }))
    yield* payments.idle
    assert.strictEqual((yield* payments.state("p1")).state.status, "Refunded")
  }).pipe(Effect.provide(withProvider({}))))

it.live("a payment is declined", () =>
  Effect.gen(function*() {
    const payments = yield* Store.aggregate(payment)
    yield* payments.dispatch("p1", process(1001))
    yield* payments.idle
    assert.strictEqual((yield* payments.state("p1")).state.status, "Declined")
  }).pipe(Effect.provide(withProvider({}))))

it.live("a payment whose provider fails waits to try again", () =>
  Effect.gen(function*() {
    const payments = yield* Store.aggregate(payment, { deadline: "0 millis" })
    yield* payments.dispatch("p1", process(5))
    yield* Effect.repeat(payments.state("p1"), { until: ({ version }) => version >= 1 })
    const events = yield* payments.stateAt("p1", { version: 1 })
    assert.deepStrictEqual(events.state, { status: "Processing", amount: 5, attempt: 1 })
  }).pipe(Effect.provide(withProvider({ unavailable: 1 }))))
