/**
 * A payment provider as a local HTTP server. It charges cards and refunds charges, once for each idempotency key.
 *
 * `POST /charges` takes `{ amount }`, `POST /refunds` takes `{ charge }`, the key of the charge to undo. A refund that
 * comes before its charge voids it: the charge is declined when it arrives. `GET /ledger` and `GET /charges` are for tests.
 */
import { Effect, Schema } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as Endpoint from "./Endpoint.ts"

/** What a charge is asked for with. The amount is in minor units. */
export const ChargeRequest = Schema.Struct({ amount: Schema.Int.check(Schema.isGreaterThan(0)) })

/** What became of a charge. */
export const ChargeAnswer = Schema.TaggedUnion({
  Charged: { chargeId: Schema.String },
  Declined: { reason: Schema.String }
})

/** What became of a charge. */
export type ChargeAnswer = typeof ChargeAnswer.Type

/** What a refund is asked for with: the idempotency key of the charge. */
export const RefundRequest = Schema.Struct({ charge: Schema.NonEmptyString })

/** What became of a refund. */
export const RefundAnswer = Schema.TaggedUnion({ Refunded: {}, NothingCharged: {} })

/** What became of a refund. */
export type RefundAnswer = typeof RefundAnswer.Type

/** What was taken from a card, and what of it was given back, in minor units. */
export const Charge = Schema.Struct({ key: Schema.String, taken: Schema.Int, refunded: Schema.Int })

/** Every charge that was made. */
export const Charges = Schema.Array(Charge)

/** How the provider behaves. */
export interface Options extends Endpoint.Behaviour {
  /** A card is declined beyond this, in minor units. */
  readonly limit: number
}

/** The provider's server; port 0 is any that is free. */
export const layer = (port: number, options: Options) => {
  const shared = Endpoint.share(options)
  const charges = new Map<string, { taken: number; refunded: number }>()
  const voided = new Set<string>()

  const charge = (key: string, { amount }: typeof ChargeRequest.Type): ChargeAnswer => {
    if (voided.has(key)) return { _tag: "Declined", reason: "the charge was voided before it arrived" }
    if (amount > options.limit) return { _tag: "Declined", reason: "insufficient funds" }
    const known = charges.get(key)
    charges.set(key, { taken: (known?.taken ?? 0) + amount, refunded: known?.refunded ?? 0 })
    return { _tag: "Charged", chargeId: `ch_${key}` }
  }

  const refund = (_key: string, { charge: key }: typeof RefundRequest.Type): RefundAnswer => {
    voided.add(key)
    const charge = charges.get(key)
    if (charge === undefined) return { _tag: "NothingCharged" }
    charge.refunded = charge.taken
    return { _tag: "Refunded" }
  }

  return Endpoint.serve(
    port,
    HttpRouter.addAll([
      Endpoint.post(shared, "/charges", { request: ChargeRequest, answer: ChargeAnswer }, charge),
      Endpoint.post(shared, "/refunds", { request: RefundRequest, answer: RefundAnswer }, refund),
      HttpRouter.route(
        "GET",
        "/charges",
        Effect.sync(() =>
          HttpServerResponse.jsonUnsafe([...charges].map(([key, { refunded, taken }]) => ({ key, taken, refunded })))
        )
      ),
      Endpoint.book(shared)
    ])
  )
}
