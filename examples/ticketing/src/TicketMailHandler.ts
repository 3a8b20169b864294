/**
 * The handler that mails tickets: it looks up where the customer lives, and calls the mail provider.
 */
import * as Task from "@composable-ts/core/Task"
import { Effect } from "effect"
import { MailClient } from "providers/MailClient"
import { MailTickets } from "./domain/TicketMail.ts"

/** The handler, over the client of the context. `addressOf` finds a customer's address. */
export const layer = (addressOf: (customerId: string) => string) =>
  Task.layer(
    MailTickets,
    ({ customerId, idempotencyKey, seats, sectionId, showId }) =>
      MailClient.use((client) =>
        client.send(idempotencyKey, {
          to: addressOf(customerId),
          subject: `Your tickets for ${showId}`,
          text: `${sectionId}: ${seats.length === 1 ? "seat" : "seats"} ${seats.join(", ")}`
        })
      ).pipe(
        Effect.catchTags({
          ProviderUnavailable: ({ reason }) => Effect.fail({ _tag: "NoAnswer", reason } as const),
          ProviderRefused: (refused) => Effect.die(refused)
        })
      )
  )
