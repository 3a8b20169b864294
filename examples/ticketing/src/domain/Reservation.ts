/**
 * A reservation: a saga, which is an aggregate that hears of what happens to seats and to a payment.
 *
 * Initiated ──seats reserved──▶ PaymentPending ──paid──▶ Completed. Without enough seats it is SoldOut; without a payment
 * PaymentFailed; after five minutes Expired; when the customer changes their mind Cancelled. Seats that were reserved go
 * back in each of these, and so does money that was taken, or may have been.
 *
 * Whoever reserved seats for it may be slow: seats that come after the end go straight back.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { Amount } from "payment/Money"
import { Payment, payment, type PaymentEvent } from "payment/Payment"
import { Inventory, inventory, type InventoryEvent, Quantity, Seats } from "./Inventory.ts"
import { Code, inventoryId } from "./Section.ts"
import { TicketMail, ticketMail } from "./TicketMail.ts"

/** The reservation's number, which its payment shares. */
export const ReservationId = Schema.NonEmptyString

const reservationId = ReservationId
const request = {
  reservationId,
  showId: Code,
  sectionId: Code,
  customerId: Schema.NonEmptyString
}
const allocation = { reservationId, seats: Seats, amount: Amount }

/** The vocabulary. All commands but the first two are what the reservation hears, and what its timer says. */
export const Reservation = Action.define("Reservation", {
  commands: {
    InitiateReservation: { ...request, quantity: Schema.Int },
    CancelReservation: { reservationId },
    RecordSeats: { reservationId, seats: Seats, price: Amount },
    RecordShortage: { reservationId, available: Schema.Int },
    RecordPayment: { reservationId },
    RecordDecline: { reservationId, reason: Schema.String },
    RecordUncertainPayment: { reservationId },
    ExpireReservation: { reservationId }
  },
  events: {
    /** `expiresAt` in milliseconds since the Unix epoch. */
    ReservationInitiated: Event.v1({ ...request, quantity: Quantity, expiresAt: Schema.Int }),
    SeatsAllocated: Event.v1(allocation),
    ReservationCompleted: Event.v1(allocation),
    ReservationSoldOut: Event.v1({ reservationId, available: Schema.Int }),
    PaymentRefused: Event.v1({ reservationId, reason: Schema.String }),
    PaymentDoubted: Event.v1({ reservationId }),
    ReservationExpired: Event.v1({ reservationId }),
    ReservationCancelled: Event.v1({ reservationId }),
    LateSeatsReturned: Event.v1({ reservationId }),
    LateShortageNoted: Event.v1({ reservationId })
  }
})

export type ReservationCommand = Action.CommandOf<typeof Reservation>
export type ReservationEvent = Action.EventOf<typeof Reservation>

/** Who wants how many seats where. */
export interface Request {
  readonly reservationId: string
  readonly showId: string
  readonly sectionId: string
  readonly customerId: string
  readonly quantity: number
  readonly expiresAt: number
}

/** The ends at which nothing is bought. */
export type Ending = "SoldOut" | "PaymentFailed" | "Expired" | "Cancelled"

/** How far a reservation has come. The amount is in minor units. */
export type ReservationState =
  | { readonly status: "New" }
  | { readonly status: "Initiated"; readonly request: Request }
  | {
    readonly status: "PaymentPending" | "Completed"
    readonly request: Request
    readonly seats: Seats
    readonly amount: number
  }
  /** `awaitsSeats`: they were asked for, and nobody has answered yet. */
  | { readonly status: Ending; readonly request: Request; readonly awaitsSeats: boolean }

/** Why a reservation refuses a command. */
export type ReservationRefusal =
  | {
    readonly _tag: "AlreadyInitiated" | "NotInitiated" | "AlreadyCompleted" | "AlreadyEnded"
    readonly reservationId: string
  }
  | { readonly _tag: "QuantityOutOfRange"; readonly quantity: number }

/** How long seats are held for a payment, in milliseconds, unless told otherwise: five minutes. */
export const hold = 300_000

type Decision = Fx.Decision<ReservationEvent, ReservationRefusal>
type Of<Tag extends ReservationCommand["_tag"]> = Extract<ReservationCommand, { readonly _tag: Tag }>

const isQuantity = Schema.is(Quantity)
const isAmount = Schema.is(Amount)

const initiate = (
  state: ReservationState,
  { _tag, ...asked }: Of<"InitiateReservation">,
  expiresAt: number
): Decision => {
  const { quantity, reservationId } = asked
  if (state.status !== "New") return Fx.reject({ _tag: "AlreadyInitiated", reservationId })
  if (!isQuantity(quantity)) return Fx.reject({ _tag: "QuantityOutOfRange", quantity })
  return Fx.append(Reservation.ReservationInitiated({ ...asked, expiresAt }))
}

const cancel = ({ status }: ReservationState, reservationId: string): Decision => {
  switch (status) {
    case "Initiated":
    case "PaymentPending":
      return Fx.append(Reservation.ReservationCancelled({ reservationId }))
    case "New":
      return Fx.reject({ _tag: "NotInitiated", reservationId })
    case "Completed":
      return Fx.reject({ _tag: "AlreadyCompleted", reservationId })
    default:
      return Fx.reject({ _tag: "AlreadyEnded", reservationId })
  }
}

/** Whether it has ended before anybody answered that seats are reserved, or that there are too few. */
const awaitsSeats = (state: ReservationState): boolean => "awaitsSeats" in state && state.awaitsSeats

const allocate = (state: ReservationState, { price, reservationId, seats }: Of<"RecordSeats">): Decision => {
  if (state.status === "Initiated") {
    const amount = price * seats.length
    return isAmount(amount)
      ? Fx.append(Reservation.SeatsAllocated({ reservationId, seats, amount }))
      : Fx.append(
        Reservation.ReservationCancelled({ reservationId }),
        Reservation.LateSeatsReturned({ reservationId })
      )
  }
  return awaitsSeats(state) ? Fx.append(Reservation.LateSeatsReturned({ reservationId })) : Fx.none
}

/** What is heard counts while the reservation waits for it. */
const heard = (state: ReservationState, awaited: ReservationState["status"], event: ReservationEvent): Decision =>
  state.status === awaited ? Fx.append(event) : Fx.none

const expire = ({ status }: ReservationState, reservationId: string): Decision =>
  status === "Initiated" || status === "PaymentPending"
    ? Fx.append(Reservation.ReservationExpired({ reservationId }))
    : Fx.none

const ended = (state: ReservationState, status: Ending, event: ReservationEvent["_tag"]): ReservationState =>
  state.status === "New" ? state : {
    status,
    request: state.request,
    awaitsSeats: state.status === "Initiated" && event !== "ReservationSoldOut"
  }

const answered = (state: ReservationState): ReservationState =>
  "awaitsSeats" in state ? { ...state, awaitsSeats: false } : state

const seatsOf = ({ sectionId, showId }: Request) => inventoryId(showId, sectionId)

const toSeats = (
  request: Request,
  command: typeof Inventory.ConfirmReservation | typeof Inventory.ReleaseReservation
) =>
  Fx.dispatch(
    inventory,
    seatsOf(request),
    command({ inventoryId: seatsOf(request), reservationId: request.reservationId })
  )

const mail = ({ customerId, reservationId, sectionId, showId }: Request, seats: Seats) =>
  Fx.dispatch(
    ticketMail,
    reservationId,
    TicketMail.SendTickets({ reservationId, customerId, showId, sectionId, seats })
  )

const refund = (paymentId: string) => Fx.dispatch(payment, paymentId, Payment.RefundPayment({ paymentId }))

/** The aggregate, with seats held for so many milliseconds. */
export const reservationHeldFor = (hold: number) =>
  Aggregate.define(Reservation, {
    initial: { status: "New" } as ReservationState,
    decide: (state, command, { time }): Decision =>
      Reservation.match(command, {
        InitiateReservation: (command) => initiate(state, command, time + hold),
        CancelReservation: ({ reservationId }) => cancel(state, reservationId),
        RecordSeats: (command) => allocate(state, command),
        RecordShortage: ({ available, reservationId }) =>
          awaitsSeats(state)
            ? Fx.append(Reservation.LateShortageNoted({ reservationId }))
            : heard(state, "Initiated", Reservation.ReservationSoldOut({ reservationId, available })),
        RecordPayment: ({ reservationId }) =>
          state.status === "PaymentPending"
            ? Fx.append(
              Reservation.ReservationCompleted({ reservationId, seats: state.seats, amount: state.amount })
            )
            : Fx.none,
        RecordDecline: ({ reason, reservationId }) =>
          heard(state, "PaymentPending", Reservation.PaymentRefused({ reservationId, reason })),
        RecordUncertainPayment: ({ reservationId }) =>
          heard(state, "PaymentPending", Reservation.PaymentDoubted({ reservationId })),
        ExpireReservation: ({ reservationId }) => expire(state, reservationId)
      }),
    evolve: (state, event): ReservationState =>
      Reservation.match(event, {
        ReservationInitiated: ({ _tag, ...request }) => ({ status: "Initiated", request }),
        SeatsAllocated: ({ amount, seats }) =>
          state.status === "New" ? state : { status: "PaymentPending", request: state.request, seats, amount },
        ReservationCompleted: ({ amount, seats }) =>
          state.status === "New" ? state : { status: "Completed", request: state.request, seats, amount },
        ReservationSoldOut: ({ _tag }) => ended(state, "SoldOut", _tag),
        PaymentRefused: ({ _tag }) => ended(state, "PaymentFailed", _tag),
        PaymentDoubted: ({ _tag }) => ended(state, "PaymentFailed", _tag),
        ReservationExpired: ({ _tag }) => ended(state, "Expired", _tag),
        ReservationCancelled: ({ _tag }) => ended(state, "Cancelled", _tag),
        LateSeatsReturned: () => answered(state),
        LateShortageNoted: () => answered(state)
      }),
    react: (state, event, { time }) => {
      if (state.status === "New") return Fx.none
      const { request } = state
      const { reservationId } = request
      const release = toSeats(request, Inventory.ReleaseReservation)
      switch (event._tag) {
        case "ReservationInitiated":
          return Fx.all(
            Fx.delay("expiry", event.expiresAt - time, Reservation.ExpireReservation({ reservationId })),
            Fx.dispatch(
              inventory,
              seatsOf(request),
              Inventory.ReserveSeats({ inventoryId: seatsOf(request), reservationId, quantity: request.quantity })
            )
          )
        case "SeatsAllocated":
          return Fx.dispatch(
            payment,
            reservationId,
            Payment.ProcessPayment({ paymentId: reservationId, amount: event.amount })
          )
        case "ReservationCompleted":
          return Fx.all(Fx.cancel("expiry"), toSeats(request, Inventory.ConfirmReservation), mail(request, event.seats))
        case "ReservationSoldOut":
          return Fx.cancel("expiry")
        case "PaymentRefused":
          return Fx.all(Fx.cancel("expiry"), release)
        case "PaymentDoubted":
          return Fx.all(Fx.cancel("expiry"), release, refund(reservationId))
        case "ReservationExpired":
        case "ReservationCancelled":
          return Fx.all(Fx.cancel("expiry"), awaitsSeats(state) ? Fx.none : Fx.all(release, refund(reservationId)))
        case "LateSeatsReturned":
          return release
        case "LateShortageNoted":
          return Fx.none
      }
    }
  })

/** The aggregate: a reservation that has seats held, a payment made, and then the seats sold. */
export const reservation = reservationHeldFor(hold)

/** Whether nothing more will happen to it. */
export const isFinished = (state: ReservationState): boolean =>
  state.status === "Completed" || ("awaitsSeats" in state && !state.awaitsSeats)

/** What an event of seats or of a payment means to the reservation that it is about; nothing when to none. */
export const hears = (event: InventoryEvent | PaymentEvent): ReservationCommand | undefined => {
  switch (event._tag) {
    case "SeatsReserved":
      return Reservation.RecordSeats({ reservationId: event.reservationId, seats: event.seats, price: event.price })
    case "InsufficientInventory":
      return Reservation.RecordShortage({ reservationId: event.reservationId, available: event.available })
    case "PaymentCaptured":
      return Reservation.RecordPayment({ reservationId: event.paymentId })
    case "PaymentDeclined":
      return Reservation.RecordDecline({ reservationId: event.paymentId, reason: event.reason })
    case "PaymentUncertain":
      return Reservation.RecordUncertainPayment({ reservationId: event.paymentId })
    default:
      return undefined
  }
}
