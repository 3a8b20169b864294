import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import * as Scenario from "@composable-ts/testing/Scenario"
import { assert, describe, it } from "@effect/vitest"
import { chargeAttempts, pauseBefore, Payment, payment, type PaymentEvent } from "../src/Payment.ts"
import { ChargeCard, RefundCharge } from "../src/PaymentTasks.ts"

const paymentId = "p1"
const at = { paymentId }
const amount = 1899
const process = Payment.ProcessPayment({ paymentId, amount })
const requested = Payment.PaymentRequested({ paymentId, amount })
const captured = Payment.PaymentCaptured({ paymentId, chargeId: "ch_1" })
const declined = Payment.PaymentDeclined({ paymentId, reason: "no funds" })
const uncertain = Payment.PaymentUncertain(at)
const refundRequested = Payment.RefundRequested(at)
const refunded = Payment.PaymentRefunded(at)

const chargeInput = { idempotencyKey: "charge:p1", amount }
const refundInput = { idempotencyKey: "refund:p1", charge: "charge:p1" }
const charge = Fx.perform(ChargeCard, chargeInput)
const refund = Fx.perform(RefundCharge, refundInput)
const silence = { failure: { _tag: "NoAnswer", reason: "timed out" } } as const
const processing = (attempt: number) => ({ status: "Processing", amount, attempt }) as const

describe("a payment", () => {
  it("charges the card, and is captured", () => {
    Scenario.run(payment, {}, (story) => {
      story.send(process, { events: [requested], state: processing(1), fx: charge })
      story.answer(ChargeCard, chargeInput, { success: { _tag: "Charged", chargeId: "ch_1" } })
      story.receive(Payment.RecordCharge({ paymentId, chargeId: "ch_1" }), {
        events: [captured],
        state: { status: "Captured" }
      })
    })
  })

  it("may be declined, which is an answer like another", () => {
    Scenario.run(payment, { given: [requested] }, (story) => {
      story.send(Payment.RecordDecline({ paymentId, reason: "no funds" }), {
        events: [declined],
        state: { status: "Declined" }
      })
    })
  })

  it("sends the same request again when there is no answer, later each time, and then is uncertain", () => {
    Scenario.run(payment, {}, (story) => {
      story.send(process, { events: [requested], state: processing(1), fx: charge })
      for (let attempt = 1; attempt < chargeAttempts; attempt++) {
        const next = { paymentId, attempt: attempt + 1 }
        story.answer(ChargeCard, chargeInput, silence)
        story.receive(Payment.RecordNoAnswer({ paymentId, reason: "timed out" }), {
          events: [Payment.PaymentUnanswered({ paymentId, attempt, reason: "timed out" })],
          fx: Fx.delay("retry", pauseBefore(attempt + 1), Payment.RetryCharge(next))
        })
        story.advance(pauseBefore(attempt + 1))
        story.receive(Payment.RetryCharge(next), {
          events: [Payment.PaymentRetried(next)],
          state: processing(attempt + 1),
          fx: charge
        })
      }
      story.answer(ChargeCard, chargeInput, silence)
      story.receive(Payment.RecordNoAnswer({ paymentId, reason: "timed out" }), {
        events: [Payment.PaymentUnanswered({ paymentId, attempt: chargeAttempts, reason: "timed out" }), uncertain],
        state: { status: "Uncertain" }
      })
    })
  })

  it("is refunded whatever became of it, even before it was begun", () => {
    const pasts: ReadonlyArray<ReadonlyArray<PaymentEvent>> = [
      [],
      [requested],
      [requested, captured],
      [requested, declined],
      [requested, uncertain]
    ]
    for (const given of pasts) {
      AggregateTest.check(payment, {
        given,
        when: Payment.RefundPayment(at),
        thenEvents: [refundRequested],
        thenState: { status: "Refunding", attempt: 1 },
        thenEffects: Fx.all(Fx.cancel("retry"), refund)
      })
    }
  })

  it("tries a refund until it succeeds", () => {
    Scenario.run(payment, { given: [requested, captured, refundRequested] }, (story) => {
      story.send(Payment.RecordNoRefund({ paymentId, reason: "timed out" }), {
        events: [Payment.RefundUnanswered({ paymentId, attempt: 1, reason: "timed out" })],
        fx: Fx.delay("retry", 1000, Payment.RetryRefund({ paymentId, attempt: 2 }))
      })
      story.advance(1000)
      story.receive(Payment.RetryRefund({ paymentId, attempt: 2 }), {
        events: [Payment.RefundRetried({ paymentId, attempt: 2 })],
        state: { status: "Refunding", attempt: 2 },
        fx: refund
      })
      story.answer(RefundCharge, refundInput, silence)
      story.receive(Payment.RecordNoRefund({ paymentId, reason: "timed out" }), {
        events: [Payment.RefundUnanswered({ paymentId, attempt: 2, reason: "timed out" })],
        fx: Fx.delay("retry", 2000, Payment.RetryRefund({ paymentId, attempt: 3 }))
      })
      story.advance(2000)
      story.receive(Payment.RetryRefund({ paymentId, attempt: 3 }), {
        events: [Payment.RefundRetried({ paymentId, attempt: 3 })],
        state: { status: "Refunding", attempt: 3 },
        fx: refund
      })
      story.answer(RefundCharge, refundInput, { success: { _tag: "Refunded" } })
      story.receive(Payment.RecordRefund(at), { events: [refunded], state: { status: "Refunded" } })
    })
  })

  it("waits longer each time, ten seconds at the most", () => {
    assert.deepStrictEqual([2, 3, 4, 20].map(pauseBefore), [1000, 2000, 4000, 10_000])
  })

  it("does not listen to what it does not wait for", () => {
    const pasts: Readonly<Record<string, ReadonlyArray<PaymentEvent>>> = {
      Idle: [],
      Processing: [requested],
      Captured: [requested, captured],
      Declined: [requested, declined],
      Uncertain: [requested, uncertain],
      Refunding: [requested, refundRequested],
      Refunded: [requested, refundRequested, refunded]
    }
    const awaited: ReadonlyArray<readonly [Parameters<typeof payment.decide>[1], ReadonlyArray<string>]> = [
      [process, ["Idle"]],
      [Payment.RecordCharge({ paymentId, chargeId: "ch_1" }), ["Processing"]],
      [Payment.RecordDecline({ paymentId, reason: "no" }), ["Processing"]],
      [Payment.RecordNoAnswer({ paymentId, reason: "no" }), ["Processing"]],
      [Payment.RetryCharge({ paymentId, attempt: 2 }), ["Processing"]],
      [Payment.RetryCharge({ paymentId, attempt: 3 }), []],
      [Payment.RefundPayment(at), ["Idle", "Processing", "Captured", "Declined", "Uncertain"]],
      [Payment.RecordRefund(at), ["Refunding"]],
      [Payment.RecordNoRefund({ paymentId, reason: "no" }), ["Refunding"]],
      [Payment.RetryRefund({ paymentId, attempt: 2 }), ["Refunding"]],
      [Payment.RetryRefund({ paymentId, attempt: 3 }), []]
    ]
    for (const [when, statuses] of awaited) {
      for (const [status, given] of Object.entries(pasts)) {
        if (statuses.includes(status)) {
          const state = given.reduce(payment.evolve, payment.initial)
          assert.strictEqual(payment.decide(state, when, meta)._tag, "Append", `${when._tag} while ${status}`)
        } else AggregateTest.check(payment, { given, when, thenEvents: [] })
      }
    }
  })
})

const meta = { id: "m", time: 0, correlationId: "m", causationId: "m" }

describe("the laws of every aggregate hold for a payment", () => {
  it("replay", () => Laws.replayIsDeterministic(payment))
  it("decisions", () => Laws.decideIsPure(payment))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Payment))
})

it("whatever a payment hears, it charges at most as often as it may, and never after a refund", () => {
  const asked = (effects: Fx.AnyFx, task: string): boolean =>
    effects._tag === "Perform" ? effects.task === task : "fx" in effects && effects.fx.some((fx) => asked(fx, task))
  ModelTest.check(payment, {
    neverAccepted: [],
    invariants: {
      "a charge is asked for while processing": (state, { effects }) =>
        !asked(effects, ChargeCard.name) || (state.status === "Processing" && state.attempt <= chargeAttempts),
      "a refund is asked for while refunding": (state, { effects }) =>
        !asked(effects, RefundCharge.name) || state.status === "Refunding",
      "after a refund there is no way back": (state, { before }) =>
        before.status !== "Refunding" || state.status === "Refunding" || state.status === "Refunded",
      "a refunded payment stays as it is": (state, { before }) => before.status !== "Refunded" || state === before
    }
  })
})
