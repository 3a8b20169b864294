/**
 * What a payment asks of the payment provider. Each request carries an idempotency key that follows from the payment, so
 * that however often it is sent, by whichever worker, the provider does it once.
 */
import * as Task from "@composable-ts/core/Task"
import { Schema } from "effect"
import { Amount } from "./Money.ts"

const idempotencyKey = Schema.NonEmptyString

/** The provider did not answer, or not in a way that tells what became of the request: it may have been carried out. */
export const NoAnswer = Schema.TaggedStruct("NoAnswer", { reason: Schema.String })

/** Charges a card. That the card was declined is an answer, not a failure. */
export const ChargeCard = Task.define("ChargeCard", {
  input: Schema.Struct({ idempotencyKey, amount: Amount }),
  success: Schema.TaggedUnion({
    Charged: { chargeId: Schema.String },
    Declined: { reason: Schema.String }
  }),
  failure: NoAnswer
})

/**
 * Undoes a charge, named by its idempotency key: gives the money back, or sees to it that none is taken when the charge
 * arrives after all.
 */
export const RefundCharge = Task.define("RefundCharge", {
  input: Schema.Struct({ idempotencyKey, charge: Schema.NonEmptyString }),
  success: Schema.TaggedUnion({ Refunded: {}, NothingCharged: {} }),
  failure: NoAnswer
})

/** The key under which a payment is charged. */
export const chargeKey = (paymentId: string): string => `charge:${paymentId}`

/** The key under which a payment is refunded. */
export const refundKey = (paymentId: string): string => `refund:${paymentId}`
