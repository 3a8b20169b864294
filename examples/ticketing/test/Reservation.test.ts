import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import * as Scenario from "@composable-ts/testing/Scenario"
import { assert, describe, it } from "@effect/vitest"
import { Payment, payment } from "payment/Payment"
import { Inventory, inventory } from "../src/domain/Inventory.ts"
import {
  hears,
  hold,
  isFinished,
  Reservation,
  reservation,
  type ReservationCommand,
  type ReservationEvent
} from "../src/domain/Reservation.ts"
import { TicketMail, ticketMail } from "../src/domain/TicketMail.ts"
import { ofReservations } from "./TicketArbitraries.ts"

const reservationId = "r1"
const at = { reservationId }
const asked = { reservationId, showId: "s1", sectionId: "stalls", customerId: "ada", quantity: 2 }
const request = { ...asked, expiresAt: hold }
const seats = [4, 5] as const
const bought = { seats, amount: 9000 }
const initiated = Reservation.ReservationInitiated(request)
const allocated = Reservation.SeatsAllocated({ reservationId, ...bought })
const completed = Reservation.ReservationCompleted({ reservationId, ...bought })
const expired = Reservation.ReservationExpired(at)

const inventoryId = "s1:stalls"
const toSeats = (command: Parameters<typeof inventory.decide>[1]) => Fx.dispatch(inventory, inventoryId, command)
const reserve = toSeats(Inventory.ReserveSeats({ inventoryId, reservationId, quantity: 2 }))
const confirm = toSeats(Inventory.ConfirmReservation({ inventoryId, reservationId }))
const release = toSeats(Inventory.ReleaseReservation({ inventoryId, reservationId }))
const expiry = Fx.delay("expiry", hold, Reservation.ExpireReservation(at))
const noExpiry = Fx.cancel("expiry")
const pay = Fx.dispatch(payment, "r1", Payment.ProcessPayment({ paymentId: "r1", amount: 9000 }))
const mail = Fx.dispatch(
  ticketMail,
  "r1",
  TicketMail.SendTickets({ reservationId, customerId: "ada", showId: "s1", sectionId: "stalls", seats })
)
const refund = Fx.dispatch(payment, "r1", Payment.RefundPayment({ paymentId: "r1" }))
const nothingBought = (status: "SoldOut" | "PaymentFailed" | "Expired" | "Cancelled", awaitsSeats = false) =>
  ({ status, request, awaitsSeats }) as const

describe("a reservation", () => {
  it("has seats held, a payment made, and the seats sold", () => {
    Scenario.run(reservation, {}, (story) => {
      story.send(Reservation.InitiateReservation(asked), {
        events: [initiated],
        state: { status: "Initiated", request },
        fx: Fx.all(expiry, reserve)
      })
      story.send(Reservation.RecordSeats({ reservationId, seats, price: 4500 }), {
        events: [allocated],
        state: { status: "PaymentPending", request, ...bought },
        fx: pay
      })
      story.advance(hold - 1)
      story.send(Reservation.RecordPayment(at), {
        events: [completed],
        state: { status: "Completed", request, ...bought },
        fx: Fx.all(noExpiry, confirm, mail)
      })
      story.advance(hold)
    })
  })

  it("expires after five minutes: seats and money go back", () => {
    Scenario.run(reservation, { time: 1_000 }, (story) => {
      story.sendPartial(Reservation.InitiateReservation(asked), { state: { request: { expiresAt: 1_000 + 300_000 } } })
      story.sendPartial(Reservation.RecordSeats({ reservationId, seats, price: 4500 }))
      story.advance("5 minutes")
      story.receivePartial(Reservation.ExpireReservation(at), {
        events: [expired],
        state: { status: "Expired", awaitsSeats: false },
        fx: Fx.all(noExpiry, release, refund)
      })
      story.send(Reservation.RecordPayment(at), { events: [] })
    })
  })

  it("has nothing to give back when nobody had answered yet, until somebody does", () => {
    Scenario.run(reservation, { given: [initiated] }, (story) => {
      story.send(Reservation.ExpireReservation(at), {
        events: [expired],
        state: nothingBought("Expired", true),
        fx: noExpiry
      })
      story.send(Reservation.RecordSeats({ reservationId, seats, price: 4500 }), {
        events: [Reservation.LateSeatsReturned(at)],
        state: nothingBought("Expired"),
        fx: release
      })
      story.send(Reservation.RecordSeats({ reservationId, seats, price: 4500 }), { events: [] })
    })
    AggregateTest.check(reservation, {
      given: [initiated, expired],
      when: Reservation.RecordShortage({ reservationId, available: 0 }),
      thenEvents: [Reservation.LateShortageNoted(at)],
      thenState: nothingBought("Expired")
    })
  })

  it("is cancelled until it is completed", () => {
    const cancel = Reservation.CancelReservation(at)
    const cancelled = Reservation.ReservationCancelled(at)
    AggregateTest.check(reservation, {
      given: [initiated],
      when: cancel,
      thenEvents: [cancelled],
      thenState: nothingBought("Cancelled", true),
      thenEffects: noExpiry
    })
    AggregateTest.check(reservation, {
      given: [initiated, allocated],
      when: cancel,
      thenEvents: [cancelled],
      thenState: nothingBought("Cancelled"),
      thenEffects: Fx.all(noExpiry, release, refund)
    })
    AggregateTest.check(reservation, { when: cancel, thenRefused: { _tag: "NotInitiated", reservationId } })
    AggregateTest.check(reservation, {
      given: [initiated, allocated, completed],
      when: cancel,
      thenRefused: { _tag: "AlreadyCompleted", reservationId }
    })
    AggregateTest.check(reservation, {
      given: [initiated, cancelled],
      when: cancel,
      thenRefused: { _tag: "AlreadyEnded", reservationId }
    })
  })

  it("is sold out when there are too few seats", () => {
    AggregateTest.check(reservation, {
      given: [initiated],
      when: Reservation.RecordShortage({ reservationId, available: 1 }),
      thenEvents: [Reservation.ReservationSoldOut({ reservationId, available: 1 })],
      thenState: nothingBought("SoldOut"),
      thenEffects: noExpiry
    })
  })

  it("gives the seats back when the payment is declined, and the money, too, when it is in doubt", () => {
    AggregateTest.check(reservation, {
      given: [initiated, allocated],
      when: Reservation.RecordDecline({ reservationId, reason: "no" }),
      thenEvents: [Reservation.PaymentRefused({ reservationId, reason: "no" })],
      thenState: nothingBought("PaymentFailed"),
      thenEffects: Fx.all(noExpiry, release)
    })
    AggregateTest.check(reservation, {
      given: [initiated, allocated],
      when: Reservation.RecordUncertainPayment(at),
      thenEvents: [Reservation.PaymentDoubted(at)],
      thenState: nothingBought("PaymentFailed"),
      thenEffects: Fx.all(noExpiry, release, refund)
    })
  })

  it("is for one to eight seats that can be paid, and begun once", () => {
    for (const quantity of [0, 9, -1]) {
      AggregateTest.check(reservation, {
        when: Reservation.InitiateReservation({ ...asked, quantity }),
        thenRefused: { _tag: "QuantityOutOfRange", quantity }
      })
    }
    for (const quantity of [1, 8]) {
      AggregateTest.check(reservation, {
        when: Reservation.InitiateReservation({ ...asked, quantity }),
        thenState: { status: "Initiated", request: { ...request, quantity } },
        thenAmongEffects: [toSeats(Inventory.ReserveSeats({ inventoryId, reservationId, quantity }))]
      })
    }
    AggregateTest.check(reservation, {
      given: [initiated],
      when: Reservation.InitiateReservation(asked),
      thenRefused: { _tag: "AlreadyInitiated", reservationId }
    })
    AggregateTest.check(reservation, {
      given: [initiated],
      when: Reservation.RecordSeats({ reservationId, seats, price: 1_000_000_000_000 }),
      thenEvents: [Reservation.ReservationCancelled(at), Reservation.LateSeatsReturned(at)],
      thenState: nothingBought("Cancelled"),
      thenEffects: Fx.all(noExpiry, release)
    })
  })

  const pasts: Readonly<Record<string, ReadonlyArray<ReservationEvent>>> = {
    New: [],
    Initiated: [initiated],
    PaymentPending: [initiated, allocated],
    Completed: [initiated, allocated, completed],
    Expired: [initiated, allocated, expired],
    Waiting: [initiated, expired],
    SoldOut: [initiated, Reservation.ReservationSoldOut({ reservationId, available: 0 })],
    PaymentFailed: [initiated, allocated, Reservation.PaymentRefused({ reservationId, reason: "no" })],
    Cancelled: [initiated, allocated, Reservation.ReservationCancelled(at)]
  }
  const awaited: ReadonlyArray<readonly [ReservationCommand, ReadonlyArray<string>]> = [
    [Reservation.RecordSeats({ reservationId, seats, price: 4500 }), ["Initiated", "Waiting"]],
    [Reservation.RecordShortage({ reservationId, available: 0 }), ["Initiated", "Waiting"]],
    [Reservation.RecordPayment(at), ["PaymentPending"]],
    [Reservation.RecordDecline({ reservationId, reason: "no" }), ["PaymentPending"]],
    [Reservation.RecordUncertainPayment(at), ["PaymentPending"]],
    [Reservation.ExpireReservation(at), ["Initiated", "PaymentPending"]]
  ]

  it("does not listen to what it does not wait for", () => {
    for (const [when, statuses] of awaited) {
      for (const [status, given] of Object.entries(pasts)) {
        if (!statuses.includes(status)) AggregateTest.check(reservation, { given, when, thenEvents: [] })
      }
    }
  })

  it("is finished when it is completed, or has ended and owes no seats", () => {
    const unfinished = new Set(["New", "Initiated", "PaymentPending", "Waiting"])
    for (const [status, given] of Object.entries(pasts)) {
      const state = given.reduce(reservation.evolve, reservation.initial)
      assert.strictEqual(isFinished(state), !unfinished.has(status), status)
    }
  })
})

it("hears what concerns it", () => {
  const paymentId = "r1"
  assert.deepStrictEqual(
    [
      Inventory.SeatsReserved({ inventoryId, reservationId, seats, price: 4500 }),
      Inventory.InsufficientInventory({ inventoryId, reservationId, requested: 2, available: 1 }),
      Payment.PaymentCaptured({ paymentId, chargeId: "ch_1" }),
      Payment.PaymentDeclined({ paymentId, reason: "no" }),
      Payment.PaymentUncertain({ paymentId })
    ].map(hears),
    [
      Reservation.RecordSeats({ reservationId, seats, price: 4500 }),
      Reservation.RecordShortage({ reservationId, available: 1 }),
      Reservation.RecordPayment(at),
      Reservation.RecordDecline({ reservationId, reason: "no" }),
      Reservation.RecordUncertainPayment(at)
    ]
  )
  assert.isUndefined(hears(Inventory.SeatsReleased({ inventoryId, reservationId, seats })))
  assert.isUndefined(hears(Payment.PaymentRefunded({ paymentId })))
})

describe("the laws of every aggregate hold for a reservation", () => {
  it("replay", () => Laws.replayIsDeterministic(reservation))
  it("decisions", () => Laws.decideIsPure(reservation, { arbitraries: ofReservations }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Reservation))
})

it("whatever a reservation hears, what is finished stays finished", () => {
  ModelTest.check(reservation, {
    arbitraries: ofReservations,
    runs: 600,
    invariants: {
      "finished is finished": (state, { before, effects }) =>
        !isFinished(before) || (state === before && effects._tag === "None")
    }
  })
})
