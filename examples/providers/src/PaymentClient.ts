/**
 * The client of a payment provider.
 */
import { Context, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import * as Call from "./Call.ts"
import {
  type ChargeAnswer,
  ChargeAnswer as ChargeAnswerSchema,
  ChargeRequest,
  type RefundAnswer,
  RefundAnswer as RefundAnswerSchema,
  RefundRequest
} from "./PaymentProvider.ts"
import type { ProviderError } from "./ProviderError.ts"

/** Charges and refunds, each under an idempotency key. */
export class PaymentClient extends Context.Service<PaymentClient, {
  /** Charges a card with an amount in minor units. That it was declined is an answer. */
  readonly charge: (key: string, amount: number) => Effect.Effect<ChargeAnswer, ProviderError>
  /** Undoes the charge with this key, or voids it where it has not arrived. */
  readonly refund: (key: string, charge: string) => Effect.Effect<RefundAnswer, ProviderError>
}>()("providers/PaymentClient") {
  /** Calls the provider at a base URL. */
  static readonly layer = (target: Call.Target): Layer.Layer<PaymentClient, never, HttpClient.HttpClient> =>
    Layer.effect(
      PaymentClient,
      Effect.map(HttpClient.HttpClient, (client) => {
        const charge = Call.call(target, "/charges", { request: ChargeRequest, answer: ChargeAnswerSchema })
        const refund = Call.call(target, "/refunds", { request: RefundRequest, answer: RefundAnswerSchema })
        const withClient = Effect.provideService(HttpClient.HttpClient, client)
        return {
          charge: (key, amount) => withClient(charge(key, { amount })),
          refund: (key, of) => withClient(refund(key, { charge: of }))
        }
      })
    )
}
