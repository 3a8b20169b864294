/**
 * The mail with a reservation's tickets: New ──send──▶ Due ──▶ Sent, or NotSent when the address does not exist or the
 * provider has not answered for long.
 *
 * The task tries again by its own schedule, under one idempotency key, so the mail is sent once. Events hold the
 * customer's number and no address: whoever carries the task out looks that up.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Task from "@composable-ts/core/Task"
import { Schedule, Schema } from "effect"
import { Seats } from "./Inventory.ts"
import { Code } from "./Section.ts"

const reservationId = Schema.NonEmptyString
const tickets = { reservationId, customerId: Schema.NonEmptyString, showId: Code, sectionId: Code, seats: Seats }

/** Mails tickets to a customer. That the mail bounced is an answer, not a failure. */
export const MailTickets = Task.define("MailTickets", {
  input: Schema.Struct({ idempotencyKey: Schema.NonEmptyString, ...tickets }),
  success: Schema.TaggedUnion({ Sent: { messageId: Schema.String }, Bounced: { reason: Schema.String } }),
  failure: Schema.TaggedStruct("NoAnswer", { reason: Schema.String }),
  retry: {
    schedule: Schedule.min([Schedule.exponential("500 millis"), Schedule.spaced("1 minute")]).pipe(
      Schedule.upTo({ times: 20 })
    )
  }
})

/** The key under which a reservation's tickets are mailed. */
export const mailKey = (reservationId: string): string => `tickets:${reservationId}`

/** The vocabulary. Commands that record are what the task comes to. */
export const TicketMail = Action.define("TicketMail", {
  commands: {
    SendTickets: tickets,
    RecordSent: { reservationId, messageId: Schema.String },
    RecordNotSent: { reservationId, reason: Schema.String }
  },
  events: {
    TicketsDue: Event.v1(tickets),
    TicketsSent: Event.v1({ reservationId, messageId: Schema.String }),
    TicketsNotSent: Event.v1({ reservationId, reason: Schema.String })
  }
})

export type TicketMailCommand = Action.CommandOf<typeof TicketMail>
export type TicketMailEvent = Action.EventOf<typeof TicketMail>

/** How far the mail has come. */
export interface TicketMailState {
  readonly status: "New" | "Due" | "Sent" | "NotSent"
}

const onlyWhen = (holds: boolean, event: TicketMailEvent) => holds ? Fx.append(event) : Fx.none

/** The aggregate: a mail that is sent once. What it did not wait for changes nothing. */
export const ticketMail = Aggregate.define(TicketMail, {
  initial: { status: "New" } as TicketMailState,
  decide: ({ status }, command) =>
    TicketMail.match(command, {
      SendTickets: ({ _tag, ...tickets }) => onlyWhen(status === "New", TicketMail.TicketsDue(tickets)),
      RecordSent: ({ _tag, ...sent }) => onlyWhen(status === "Due", TicketMail.TicketsSent(sent)),
      RecordNotSent: ({ _tag, ...failed }) => onlyWhen(status === "Due", TicketMail.TicketsNotSent(failed))
    }),
  evolve: (_state, event): TicketMailState =>
    TicketMail.match(event, {
      TicketsDue: () => ({ status: "Due" }),
      TicketsSent: () => ({ status: "Sent" }),
      TicketsNotSent: () => ({ status: "NotSent" })
    }),
  react: (_state, event) => {
    if (event._tag !== "TicketsDue") return Fx.none
    const { _tag, ...tickets } = event
    return Fx.perform(MailTickets, { idempotencyKey: mailKey(event.reservationId), ...tickets })
  },
  outcomes: {
    MailTickets: {
      success: (answer, { reservationId }) =>
        answer._tag === "Sent"
          ? TicketMail.RecordSent({ reservationId, messageId: answer.messageId })
          : TicketMail.RecordNotSent({ reservationId, reason: answer.reason }),
      failure: ({ reason }, { reservationId }) => TicketMail.RecordNotSent({ reservationId, reason })
    }
  }
})
