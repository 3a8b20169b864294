/**
 * A payment: Idle ──process──▶ Processing ──▶ Captured, Declined or Uncertain; ──refund──▶ Refunding ──▶ Refunded.
 *
 * A provider that does not answer leaves the payment in doubt: the card may have been charged. So the same request is
 * sent again, under the same idempotency key, and when that has failed often enough the payment is Uncertain, which is
 * undone as if it had been charged. A refund is tried until it succeeds.
 *
 * A refund may come at any time, even before the payment: whoever asked for both may be heard in another order.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { Amount } from "./Money.ts"
import { ChargeCard, chargeKey, RefundCharge, refundKey } from "./PaymentTasks.ts"

/** The payment's number; its stream is `payment-<number>`. */
export const PaymentId = Schema.NonEmptyString

const paymentId = PaymentId
const attempt = Schema.Int.check(Schema.isGreaterThan(0))

/** The vocabulary. Commands that record or retry are what tasks and timers come to. */
export const Payment = Action.define("Payment", {
  commands: {
    ProcessPayment: { paymentId, amount: Amount },
    RecordCharge: { paymentId, chargeId: Schema.String },
    RecordDecline: { paymentId, reason: Schema.String },
    RecordNoAnswer: { paymentId, reason: Schema.String },
    RetryCharge: { paymentId, attempt },
    RefundPayment: { paymentId },
    RecordRefund: { paymentId },
    RecordNoRefund: { paymentId, reason: Schema.String },
    RetryRefund: { paymentId, attempt }
  },
  events: {
    PaymentRequested: Event.v1({ paymentId, amount: Amount }),
    PaymentCaptured: Event.v1({ paymentId, chargeId: Schema.String }),
    PaymentDeclined: Event.v1({ paymentId, reason: Schema.String }),
    PaymentUnanswered: Event.v1({ paymentId, attempt, reason: Schema.String }),
    PaymentRetried: Event.v1({ paymentId, attempt }),
    PaymentUncertain: Event.v1({ paymentId }),
    RefundRequested: Event.v1({ paymentId }),
    RefundUnanswered: Event.v1({ paymentId, attempt, reason: Schema.String }),
    RefundRetried: Event.v1({ paymentId, attempt }),
    PaymentRefunded: Event.v1({ paymentId })
  }
})

export type PaymentCommand = Action.CommandOf<typeof Payment>
export type PaymentEvent = Action.EventOf<typeof Payment>

/** How far a payment has come. `attempt` is the one under way, or the one that waits to be made again. */
export type PaymentState =
  | { readonly status: "Idle" | "Captured" | "Declined" | "Uncertain" | "Refunded" }
  | { readonly status: "Processing"; readonly amount: number; readonly attempt: number }
  | { readonly status: "Refunding"; readonly attempt: number }

/** How often a charge is tried before the payment is uncertain. */
export const chargeAttempts = 3

/** How long to wait before an attempt, in milliseconds: 1 s, 2 s, 4 s and so on, ten seconds at the most. */
export const pauseBefore = (attempt: number): number => Math.min(1000 * 2 ** (attempt - 2), 10_000)

const onlyWhen = (holds: boolean, ...events: readonly [PaymentEvent, ...ReadonlyArray<PaymentEvent>]) =>
  holds ? Fx.append(...events) : Fx.none

const unanswered = (state: PaymentState, paymentId: string, reason: string) => {
  if (state.status !== "Processing") return Fx.none
  const { attempt } = state
  const unanswered = Payment.PaymentUnanswered({ paymentId, attempt, reason })
  return attempt < chargeAttempts
    ? Fx.append(unanswered)
    : Fx.append(unanswered, Payment.PaymentUncertain({ paymentId }))
}

const charge = (paymentId: string, amount: number) =>
  Fx.perform(ChargeCard, { idempotencyKey: chargeKey(paymentId), amount })

const refund = (paymentId: string) =>
  Fx.perform(RefundCharge, { idempotencyKey: refundKey(paymentId), charge: chargeKey(paymentId) })

const paymentOf = (key: string): string => key.slice(key.indexOf(":") + 1)

/** The aggregate: a payment that decides its commands by the rules above. What it did not wait for changes nothing. */
export const payment = Aggregate.define(Payment, {
  initial: { status: "Idle" } as PaymentState,
  decide: (state, command) =>
    Payment.match(command, {
      ProcessPayment: ({ amount, paymentId }) =>
        onlyWhen(state.status === "Idle", Payment.PaymentRequested({ paymentId, amount })),
      RecordCharge: ({ chargeId, paymentId }) =>
        onlyWhen(state.status === "Processing", Payment.PaymentCaptured({ paymentId, chargeId })),
      RecordDecline: ({ paymentId, reason }) =>
        onlyWhen(state.status === "Processing", Payment.PaymentDeclined({ paymentId, reason })),
      RecordNoAnswer: ({ paymentId, reason }) => unanswered(state, paymentId, reason),
      RetryCharge: ({ attempt, paymentId }) =>
        onlyWhen(
          state.status === "Processing" && attempt === state.attempt + 1,
          Payment.PaymentRetried({ paymentId, attempt })
        ),
      RefundPayment: ({ paymentId }) =>
        onlyWhen(
          state.status !== "Refunding" && state.status !== "Refunded",
          Payment.RefundRequested({ paymentId })
        ),
      RecordRefund: ({ paymentId }) => onlyWhen(state.status === "Refunding", Payment.PaymentRefunded({ paymentId })),
      RecordNoRefund: ({ paymentId, reason }) =>
        state.status === "Refunding"
          ? Fx.append(Payment.RefundUnanswered({ paymentId, attempt: state.attempt, reason }))
          : Fx.none,
      RetryRefund: ({ attempt, paymentId }) =>
        onlyWhen(
          state.status === "Refunding" && attempt === state.attempt + 1,
          Payment.RefundRetried({ paymentId, attempt })
        )
    }),
  evolve: (state, event): PaymentState =>
    Payment.match(event, {
      PaymentRequested: ({ amount }) => ({ status: "Processing", amount, attempt: 1 }),
      PaymentCaptured: () => ({ status: "Captured" }),
      PaymentDeclined: () => ({ status: "Declined" }),
      PaymentUnanswered: () => state,
      PaymentRetried: ({ attempt }) => state.status === "Processing" ? { ...state, attempt } : state,
      PaymentUncertain: () => ({ status: "Uncertain" }),
      RefundRequested: () => ({ status: "Refunding", attempt: 1 }),
      RefundUnanswered: () => state,
      RefundRetried: ({ attempt }) => ({ status: "Refunding", attempt }),
      PaymentRefunded: () => ({ status: "Refunded" })
    }),
  react: (state, event) => {
    const { paymentId } = event
    switch (event._tag) {
      case "PaymentRequested":
      case "PaymentRetried":
        return state.status === "Processing" ? charge(paymentId, state.amount) : Fx.none
      case "PaymentUnanswered": {
        const attempt = event.attempt + 1
        return attempt > chargeAttempts
          ? Fx.none
          : Fx.delay("retry", pauseBefore(attempt), Payment.RetryCharge({ paymentId, attempt }))
      }
      case "RefundRequested":
        return Fx.all(Fx.cancel("retry"), refund(paymentId))
      case "RefundRetried":
        return refund(paymentId)
      case "RefundUnanswered": {
        const attempt = event.attempt + 1
        return Fx.delay("retry", pauseBefore(attempt), Payment.RetryRefund({ paymentId, attempt }))
      }
      default:
        return Fx.none
    }
  },
  outcomes: {
    ChargeCard: {
      success: (answer, { idempotencyKey }) =>
        answer._tag === "Charged"
          ? Payment.RecordCharge({ paymentId: paymentOf(idempotencyKey), chargeId: answer.chargeId })
          : Payment.RecordDecline({ paymentId: paymentOf(idempotencyKey), reason: answer.reason }),
      failure: ({ reason }, { idempotencyKey }) =>
        Payment.RecordNoAnswer({ paymentId: paymentOf(idempotencyKey), reason })
    },
    RefundCharge: {
      success: (_, { idempotencyKey }) => Payment.RecordRefund({ paymentId: paymentOf(idempotencyKey) }),
      failure: ({ reason }, { idempotencyKey }) =>
        Payment.RecordNoRefund({ paymentId: paymentOf(idempotencyKey), reason })
    }
  }
})
