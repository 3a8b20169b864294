/**
 * The tour: a small box office on a temporary PostgreSQL, with a payment and a mail provider that often fail. It leaves
 * nothing behind. `pnpm ticketing`
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { Clock, Console, Effect, Layer } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as PaymentHandlers from "payment/PaymentHandlers"
import * as Endpoint from "providers/Endpoint"
import * as Fault from "providers/Fault"
import { MailClient } from "providers/MailClient"
import * as MailProvider from "providers/MailProvider"
import { PaymentClient } from "providers/PaymentClient"
import * as PaymentProvider from "providers/PaymentProvider"
import { available } from "./domain/Inventory.ts"
import { isFinished, Reservation } from "./domain/Reservation.ts"
import { inventoryId } from "./domain/Section.ts"
import { Show } from "./domain/Show.ts"
import { Reservations, Sections, Shows, ticketing } from "./Ticketing.ts"
import * as TicketMailHandler from "./TicketMailHandler.ts"

const showId = "hamlet"
const stalls = { sectionId: "stalls", capacity: 3, price: 4_500 }
const boxes = { sectionId: "boxes", capacity: 2, price: 150_000 }

const onSale = Effect.gen(function*() {
  const shows = yield* Shows
  const sections = yield* Sections
  const startsAt = (yield* Clock.currentTimeMillis) + 30 * 24 * 3_600_000
  const details = { showId, name: "Hamlet", venue: "Globe", startsAt, sections: [stalls, boxes] }
  yield* shows.dispatch(showId, Show.CreateShow(details))
  yield* shows.dispatch(showId, Show.PublishShow({ showId }))
  yield* shows.dispatch(showId, Show.OpenSales({ showId }))
  for (const { sectionId } of details.sections) {
    yield* Effect.repeat(
      Effect.delay(sections.state(inventoryId(showId, sectionId)), "10 millis"),
      { until: ({ state }) => state.status === "Open" }
    )
  }
})

const reserved = (reservationId: string, sectionId: string, quantity: number) =>
  Effect.gen(function*() {
    const reservations = yield* Reservations
    const asked = { reservationId, showId, sectionId, customerId: reservationId, quantity }
    yield* reservations.dispatch(reservationId, Reservation.InitiateReservation(asked))
    const { state } = yield* Effect.repeat(
      Effect.delay(reservations.state(reservationId), "10 millis"),
      { until: ({ state }) => isFinished(state) }
    )
    const seats = state.status === "Completed" ? `: ${state.seats.join(", ")}` : ""
    yield* Console.log(`${reservationId}: ${quantity} in the ${sectionId}: ${state.status}${seats}`)
  })

const tour = (mailbox: string) =>
  Effect.gen(function*() {
    yield* onSale
    yield* reserved("ada", "stalls", 2)
    // Two want the last seat.
    yield* Effect.all([reserved("bob", "stalls", 1), reserved("carol", "stalls", 1)], { concurrency: 2 })
    // Too dear for the card: the seats go back.
    yield* reserved("dave", "boxes", 2)
    const sections = yield* Sections
    for (const { sectionId } of [stalls, boxes]) {
      const { state } = yield* sections.state(inventoryId(showId, sectionId))
      yield* Console.log(`${available(state).length} of ${state.capacity} left in the ${sectionId}`)
    }
    const mails = yield* Effect.repeat(
      Effect.delay(
        Effect.flatMap(HttpClient.get(`${mailbox}/messages`), HttpClientResponse.schemaBodyJson(MailProvider.Messages)),
        "50 millis"
      ),
      { until: (mails) => mails.length === 2 }
    )
    for (const { subject, text, to } of mails) yield* Console.log(`To ${to}: ${subject}, ${text}`)
  })

const box = ticketing()
const script = (seed: number) => Fault.unreliable(seed, 0.2, 500)

const program = Effect.gen(function*() {
  const payments = yield* Endpoint.start(
    PaymentProvider.layer(0, { script: script(3), keys: "honoured", limit: 100_000 })
  )
  const mailbox = yield* Endpoint.start(MailProvider.layer(0, { script: script(4), keys: "honoured" }))
  const handlers = Layer.merge(
    PaymentHandlers.layer.pipe(Layer.provide(PaymentClient.layer({ url: payments, timeout: "300 millis" }))),
    TicketMailHandler.layer((customerId) => `${customerId}@example.org`).pipe(
      Layer.provide(MailClient.layer({ url: mailbox, timeout: "300 millis" }))
    )
  )
  const database = yield* TestDatabase.make
  return yield* Effect.provide(
    Effect.raceFirst(tour(mailbox), box.run()),
    Layer.merge(handlers, box.layerOn(database))
  )
})

await Effect.runPromise(Effect.scoped(Effect.provide(program, NodeHttpClient.layerNodeHttp)))
