/**
 * The box office end to end on a real PostgreSQL, with real providers: two box offices with connections of their own sell
 * the seats of one show, and in the end seats, money and mails add up.
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Effect, Layer, type Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import * as PaymentHandlers from "payment/PaymentHandlers"
import { chargeKey } from "payment/PaymentTasks"
import * as Endpoint from "providers/Endpoint"
import * as Fault from "providers/Fault"
import * as Ledger from "providers/Ledger"
import { MailClient } from "providers/MailClient"
import * as MailProvider from "providers/MailProvider"
import { PaymentClient } from "providers/PaymentClient"
import * as PaymentProvider from "providers/PaymentProvider"
import { available } from "../src/domain/Inventory.ts"
import { isFinished, Reservation, type ReservationState } from "../src/domain/Reservation.ts"
import { inventoryId, type Section } from "../src/domain/Section.ts"
import { Show } from "../src/domain/Show.ts"
import { Reservations, Sections, Shows, ticketing } from "../src/Ticketing.ts"
import * as TicketMailHandler from "../src/TicketMailHandler.ts"

const showId = "hamlet"
const stalls = inventoryId(showId, "stalls")
const limit = 10_000

const reserve = (reservationId: string, quantity = 1) =>
  Effect.flatMap(Reservations, (reservations) =>
    reservations.dispatch(
      reservationId,
      Reservation.InitiateReservation({
        reservationId,
        showId,
        sectionId: "stalls",
        customerId: reservationId,
        quantity
      })
    ))

const until = (reservationId: string, holds: (state: ReservationState) => boolean) =>
  Effect.flatMap(Reservations, (reservations) =>
    Effect.map(
      Effect.repeat(Effect.delay(reservations.state(reservationId), "10 millis"), {
        until: ({ state }) => holds(state)
      }),
      ({ state }) => state
    ))

const ended = (reservationId: string) => until(reservationId, isFinished)

const get = <A>(url: string, answer: Schema.Codec<A, unknown>) =>
  Effect.flatMap(HttpClient.get(url), HttpClientResponse.schemaBodyJson(answer))

interface House {
  readonly section: Pick<Section, "capacity" | "price">
  readonly payments: Fault.Script
  readonly mails: Fault.Script
  readonly client?: typeof exceptAda
  readonly hold?: number
}

/** The payment provider, but for Ada, whose bank never answers. */
const exceptAda = (url: string) =>
  Layer.effect(
    PaymentClient,
    Effect.gen(function*() {
      const silent = yield* Endpoint.start(
        PaymentProvider.layer(0, { script: { ...Fault.reliable, stalls: 1 }, keys: "honoured", limit })
      )
      const clientOf = (url: string) =>
        Effect.map(Layer.build(PaymentClient.layer({ url, timeout: "400 millis" })), Context.get(PaymentClient))
      const [usual, adas] = yield* Effect.all([clientOf(url), clientOf(silent)])
      const of = (charge: string) => charge === chargeKey("ada") ? adas : usual
      return PaymentClient.of({
        charge: (key, amount) => of(key).charge(key, amount),
        refund: (key, charge) => of(charge).refund(key, charge)
      })
    })
  )

const everybody: typeof exceptAda = (url) => PaymentClient.layer({ url, timeout: "400 millis" })

/** Two box offices at work, until the test has done what it does. */
const boxOffice = <A, E, R>(
  { client = everybody, hold, mails, payments, section }: House,
  test: (providers: { readonly payment: string; readonly mail: string }) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    const box = ticketing(hold === undefined ? {} : { hold })
    const database = yield* TestDatabase.make
    const payment = yield* Endpoint.start(PaymentProvider.layer(0, { script: payments, keys: "honoured", limit }))
    const mail = yield* Endpoint.start(MailProvider.layer(0, { script: mails, keys: "honoured" }))
    const handlers = Layer.merge(
      PaymentHandlers.layer.pipe(Layer.provide(client(payment))),
      TicketMailHandler.layer((customerId) => `${customerId}@example.org`).pipe(
        Layer.provide(MailClient.layer({ url: mail, timeout: "400 millis" }))
      )
    )
    const elsewhere = Effect.provide(box.run(), Layer.merge(handlers, Layer.fresh(box.layerOn(database))))
    const here = Effect.gen(function*() {
      const shows = yield* Shows
      const sections = yield* Sections
      const startsAt = (yield* Clock.currentTimeMillis) + 30 * 24 * 3_600_000
      const details = { showId, name: "Hamlet", venue: "Globe", startsAt }
      yield* shows.dispatch(showId, Show.CreateShow({ ...details, sections: [{ sectionId: "stalls", ...section }] }))
      yield* shows.dispatch(showId, Show.PublishShow({ showId }))
      yield* shows.dispatch(showId, Show.OpenSales({ showId }))
      yield* Effect.repeat(
        Effect.delay(sections.state(stalls), "10 millis"),
        { until: ({ state }) => state.status === "Open" }
      )
      return yield* test({ payment, mail })
    }).pipe(Effect.provide(Layer.fresh(box.layerOn(database))))
    return yield* Effect.raceFirst(here, Effect.raceFirst(elsewhere, elsewhere))
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerNodeHttp))

/** Waits until nothing is reserved any more, and then has seats, money and mails add up. */
const adds = (payment: string, mail: string, states: Readonly<Record<string, ReservationState>>) =>
  Effect.gen(function*() {
    const sections = yield* Sections
    const { state } = yield* Effect.repeat(Effect.delay(sections.state(stalls), "10 millis"), {
      until: ({ state }) => Object.keys(state.reserved).length === 0
    })
    const completed = Object.entries(states).flatMap(([id, state]) =>
      state.status === "Completed" ? [{ id, ...state }] : []
    )
    assert.deepStrictEqual(state.sold, Object.fromEntries(completed.map(({ id, seats }) => [id, seats])))
    const sold = completed.flatMap(({ seats }) => [...seats])
    assert.strictEqual(new Set(sold).size, sold.length)
    assert.strictEqual(available(state).length + sold.length, state.capacity)
    const kept = Effect.map(
      get(`${payment}/charges`, PaymentProvider.Charges),
      (charges) =>
        Object.fromEntries(
          charges.flatMap(({ key, refunded, taken }) => taken > refunded ? [[key, taken - refunded]] : [])
        )
    )
    const due = Object.fromEntries(completed.map(({ amount, id }) => [chargeKey(id), amount]))
    // Refunds take their time.
    yield* Effect.repeat(Effect.delay(kept, "20 millis"), {
      until: (kept) => Object.keys(kept).length <= completed.length
    })
    assert.deepStrictEqual(yield* kept, due)
    const messages = get(`${mail}/messages`, MailProvider.Messages)
    yield* Effect.repeat(Effect.delay(messages, "20 millis"), {
      until: (sent) => sent.length >= completed.length
    })
    assert.deepStrictEqual(
      (yield* messages).map(({ to }) => to).sort(),
      completed.map(({ id }) => `${id}@example.org`).sort()
    )
    for (const url of [payment, mail]) {
      assert.deepStrictEqual(Ledger.violations(yield* get(`${url}/ledger`, Ledger.Book)), [])
    }
  })

describe("the box office on PostgreSQL", () => {
  it.live("sells the last seat to exactly one of two customers", () =>
    boxOffice(
      { section: { capacity: 1, price: 500 }, payments: Fault.reliable, mails: Fault.reliable },
      ({ mail, payment }) =>
        Effect.gen(function*() {
          yield* Effect.all([reserve("ada"), reserve("bob")], { concurrency: 2 })
          const [ada, bob] = yield* Effect.all([ended("ada"), ended("bob")], { concurrency: 2 })
          assert.deepStrictEqual([ada.status, bob.status].sort(), ["Completed", "SoldOut"])
          yield* adds(payment, mail, { ada, bob })
        })
    ), 60_000)

  it.live("sells a seat to another when the hold of the first has expired", () =>
    boxOffice(
      {
        section: { capacity: 1, price: 500 },
        payments: Fault.reliable,
        mails: Fault.reliable,
        client: exceptAda,
        hold: 1_000
      },
      ({ mail, payment }) =>
        Effect.gen(function*() {
          const states: Record<string, ReservationState> = {}
          yield* reserve("ada")
          yield* until("ada", ({ status }) => status === "PaymentPending" || status === "Expired")
          states["ada"] = yield* ended("ada")
          assert.strictEqual(states["ada"].status, "Expired")
          // Whoever comes next gets it, if not too slow for the hold; on a busy machine another has to try.
          let nr = 0
          while (!Object.values(states).some(({ status }) => status === "Completed")) {
            const id = `bob${nr++}`
            yield* reserve(id)
            states[id] = yield* ended(id)
          }
          yield* adds(payment, mail, states)
        })
    ), 60_000)

  it.live("gives seats back when the payment is declined, and sells them to another", () =>
    boxOffice(
      { section: { capacity: 4, price: 4_000 }, payments: Fault.reliable, mails: Fault.reliable },
      ({ mail, payment }) =>
        Effect.gen(function*() {
          yield* reserve("ada", 4)
          const ada = yield* ended("ada")
          assert.strictEqual(ada.status, "PaymentFailed")
          const sections = yield* Sections
          yield* Effect.repeat(Effect.delay(sections.state(stalls), "10 millis"), {
            until: ({ state }) => available(state).length === 4
          })
          yield* reserve("bob", 2)
          const bob = yield* ended("bob")
          assert.strictEqual(bob.status, "Completed")
          yield* adds(payment, mail, { ada, bob })
        })
    ), 60_000)

  it.live("adds up, whatever the providers do", () =>
    boxOffice(
      {
        section: { capacity: 9, price: 3_000 },
        payments: Fault.unreliable(5, 0.2, 500),
        mails: Fault.unreliable(6, 0.3, 500)
      },
      ({ mail, payment }) =>
        Effect.gen(function*() {
          const ids = Array.from({ length: 12 }, (_, index) => `r${index}`)
          yield* Effect.forEach(ids, (id, index) => reserve(id, 1 + index % 4), { concurrency: 4 })
          const states = yield* Effect.forEach(ids, (id) => Effect.map(ended(id), (state) => [id, state] as const), {
            concurrency: "unbounded"
          })
          const ends = new Set(states.map(([, { status }]) => status))
          // Thirty seats are asked for, and there are nine.
          assert.includeMembers([...ends], ["Completed", "SoldOut"])
          yield* adds(payment, mail, Object.fromEntries(states))
        })
    ), 90_000)
})
