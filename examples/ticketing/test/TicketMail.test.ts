import * as Fx from "@composable-ts/core/Fx"
import * as Scenario from "@composable-ts/testing/Scenario"
import { describe, it } from "@effect/vitest"
import { mailKey, MailTickets, TicketMail, ticketMail } from "../src/domain/TicketMail.ts"

const reservationId = "r1"
const tickets = { reservationId, customerId: "ada", showId: "s1", sectionId: "stalls", seats: [4, 5] } as const
const input = { idempotencyKey: mailKey(reservationId), ...tickets }
const due = TicketMail.TicketsDue(tickets)
const sent = TicketMail.TicketsSent({ reservationId, messageId: "m1" })

describe("the mail with tickets", () => {
  it("is sent under a key of its own", () => {
    Scenario.run(ticketMail, {}, (story) => {
      story.send(TicketMail.SendTickets(tickets), {
        events: [due],
        state: { status: "Due" },
        fx: Fx.perform(MailTickets, input)
      })
      story.answer(MailTickets, input, { success: { _tag: "Sent", messageId: "m1" } })
      story.receive(TicketMail.RecordSent({ reservationId, messageId: "m1" }), {
        events: [sent],
        state: { status: "Sent" },
        fx: Fx.none
      })
    })
  })

  it("is asked for once, and what it did not wait for changes nothing", () => {
    Scenario.run(ticketMail, { given: [due, sent] }, (story) => {
      for (
        const command of [
          TicketMail.SendTickets(tickets),
          TicketMail.RecordSent({ reservationId, messageId: "m2" }),
          TicketMail.RecordNotSent({ reservationId, reason: "late" })
        ]
      ) story.send(command, { events: [], state: { status: "Sent" }, fx: Fx.none })
    })
  })

  it("is not sent to an address that does not exist, nor while nobody answers", () => {
    const endings = [
      { success: { _tag: "Bounced", reason: "why" } },
      { failure: { _tag: "NoAnswer", reason: "why" } }
    ] as const
    for (const ending of endings) {
      Scenario.run(ticketMail, {}, (story) => {
        story.sendPartial(TicketMail.SendTickets(tickets))
        story.answer(MailTickets, input, ending)
        story.receive(TicketMail.RecordNotSent({ reservationId, reason: "why" }), {
          events: [TicketMail.TicketsNotSent({ reservationId, reason: "why" })],
          state: { status: "NotSent" },
          fx: Fx.none
        })
      })
    }
  })
})
