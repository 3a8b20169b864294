/**
 * The box office at work: shows, sections, reservations, payments and mails whose effects are stored with their events, the
 * saga that tells reservations what happened, and the workers that carry out what they want done. Any number of processes
 * may run it on one database.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as Saga from "@composable-ts/projections/Saga"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Effect, Layer, type Redacted } from "effect"
import { payment } from "payment/Payment"
import { ChargeCard, RefundCharge } from "payment/PaymentTasks"
import {
  inventory,
  type InventoryCommand,
  type InventoryEvent,
  type InventoryRefusal,
  type InventoryState
} from "./domain/Inventory.ts"
import {
  hold as fiveMinutes,
  Reservation,
  type ReservationCommand,
  type ReservationEvent,
  reservationHeldFor,
  type ReservationRefusal,
  type ReservationState
} from "./domain/Reservation.ts"
import { show, type ShowCommand, type ShowEvent, type ShowRefusal, type ShowState } from "./domain/Show.ts"
import { MailTickets, ticketMail } from "./domain/TicketMail.ts"

/** The seats of a section want nothing done. */
export const durableInventory = DurableAggregate.make(inventory)

/** Shows open and close their sections. */
export const durableShow = DurableAggregate.make(show, { targets: [DurableAggregate.target(inventory)] })

/** Payments ask the payment provider. */
export const durablePayment = DurableAggregate.make(payment, { tasks: [ChargeCard, RefundCharge] })

/** Mails ask the mail provider. */
export const durableTicketMail = DurableAggregate.make(ticketMail, { tasks: [MailTickets] })

/** All shows. */
export class Shows extends Context.Service<
  Shows,
  AggregateStore.AggregateStore<ShowState, ShowCommand, ShowEvent, ShowRefusal>
>()("ticketing/Shows") {
  static readonly layer = Layer.effect(Shows, AggregateStore.makeDurable(durableShow))
}

/** The seats of all sections. */
export class Sections extends Context.Service<
  Sections,
  AggregateStore.AggregateStore<InventoryState, InventoryCommand, InventoryEvent, InventoryRefusal>
>()("ticketing/Sections") {
  static readonly layer = Layer.effect(Sections, AggregateStore.makeDurable(durableInventory))
}

/** All reservations. */
export class Reservations extends Context.Service<
  Reservations,
  AggregateStore.AggregateStore<ReservationState, ReservationCommand, ReservationEvent, ReservationRefusal>
>()("ticketing/Reservations") {}

const ofReservation = ({ reservationId }: { readonly reservationId: string }) => reservationId
const ofPayment = ({ paymentId }: { readonly paymentId: string }) => paymentId

/** The box office that holds seats for so many milliseconds, five minutes unless told otherwise. */
export const ticketing = ({ hold = fiveMinutes }: { readonly hold?: number } = {}) => {
  const reservation = reservationHeldFor(hold)

  const durableReservation = DurableAggregate.make(reservation, {
    targets: [
      DurableAggregate.target(inventory),
      DurableAggregate.target(payment),
      DurableAggregate.target(ticketMail)
    ]
  })

  const reservations = Saga.define(durableReservation, {
    inputs: [
      Saga.on(inventory, "SeatsReserved", {
        correlate: ofReservation,
        toCommand: ({ price, reservationId, seats }) => Reservation.RecordSeats({ reservationId, seats, price })
      }),
      Saga.on(inventory, "InsufficientInventory", {
        correlate: ofReservation,
        toCommand: ({ available, reservationId }) => Reservation.RecordShortage({ reservationId, available })
      }),
      Saga.on(payment, "PaymentCaptured", {
        correlate: ofPayment,
        toCommand: ({ paymentId }) => Reservation.RecordPayment({ reservationId: paymentId })
      }),
      Saga.on(payment, "PaymentDeclined", {
        correlate: ofPayment,
        toCommand: ({ paymentId, reason }) => Reservation.RecordDecline({ reservationId: paymentId, reason })
      }),
      Saga.on(payment, "PaymentUncertain", {
        correlate: ofPayment,
        toCommand: ({ paymentId }) => Reservation.RecordUncertainPayment({ reservationId: paymentId })
      })
    ],
    ends: [
      "ReservationCompleted",
      "ReservationSoldOut",
      "PaymentRefused",
      "PaymentDoubted",
      "ReservationExpired",
      "ReservationCancelled",
      "LateSeatsReturned",
      "LateShortageNoted"
    ]
  })

  const stores = Layer.mergeAll(
    Shows.layer,
    Sections.layer,
    Layer.effect(Reservations, AggregateStore.makeDurable(durableReservation))
  )

  const dispatchers = Layer.mergeAll(
    AggregateStore.layerDurable(durableShow),
    AggregateStore.layerDurable(durableInventory),
    AggregateStore.layerDurable(durablePayment),
    AggregateStore.layerDurable(durableTicketMail),
    AggregateStore.layerDurable(durableReservation)
  )

  const durables = [durableShow, durableInventory, durablePayment, durableTicketMail, durableReservation] as const

  return {
    /** What reservations hear, for a look at how they are doing. */
    reservations,
    /** The box office on a PostgreSQL. */
    layerOn: (url: Redacted.Redacted) =>
      stores.pipe(
        Layer.provideMerge(Layer.merge(PostgresEventStore.layer(), PostgresOutbox.layer())),
        Layer.provideMerge(PgClient.layer({ url, applicationName: "ticketing" }))
      ),
    /**
     * Runs the saga and the workers, until interrupted or until one of them fails. Handlers of payments and mails come from
     * the context.
     */
    run: (options?: EffectWorker.Options) =>
      Effect.raceFirst(Saga.run(reservations), Effect.provide(EffectWorker.run(durables, options), dispatchers))
  }
}
