/**
 * The handlers of a payment's tasks: they call the payment provider. A provider that gives no answer is a failure of the
 * task; one that does not take the request is a fault of the program, and a defect.
 */
import * as Task from "@composable-ts/core/Task"
import { Effect, Layer } from "effect"
import { PaymentClient } from "providers/PaymentClient"
import type { ProviderError } from "providers/ProviderError"
import { ChargeCard, RefundCharge } from "./PaymentTasks.ts"

const noAnswer = <A, R>(call: Effect.Effect<A, ProviderError, R>) =>
  Effect.catchTags(call, {
    ProviderUnavailable: ({ reason }) => Effect.fail({ _tag: "NoAnswer", reason } as const),
    ProviderRefused: (refused) => Effect.die(refused)
  })

/** The handlers, over the client of the context. */
export const layer = Layer.mergeAll(
  Task.layer(
    ChargeCard,
    ({ amount, idempotencyKey }) => noAnswer(PaymentClient.use((client) => client.charge(idempotencyKey, amount)))
  ),
  Task.layer(
    RefundCharge,
    ({ charge, idempotencyKey }) => noAnswer(PaymentClient.use((client) => client.refund(idempotencyKey, charge)))
  )
)
