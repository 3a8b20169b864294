/**
 * A whole box office: however reservations interleave, expire, crash and repeat themselves, no seat is sold twice, who
 * has a ticket has paid for it, and whoever has none has paid nothing and holds nothing.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ModelProvider, Weather } from "payment/ModelProvider"
import { payment, type PaymentEvent } from "payment/Payment"
import { chargeKey } from "payment/PaymentTasks"
import * as World from "simulation/World"
import { available, inventory, type InventoryEvent, type InventoryState } from "../src/domain/Inventory.ts"
import { hears, isFinished, Reservation, reservation, type ReservationState } from "../src/domain/Reservation.ts"
import { Show, show } from "../src/domain/Show.ts"
import { MailTickets, ticketMail } from "../src/domain/TicketMail.ts"

const Wish = Schema.Struct({
  reservationId: Schema.Literals(["r1", "r2", "r3", "r4", "r5"]),
  showId: Schema.Literal("s1"),
  sectionId: Schema.Literals(["stalls", "balcony"]),
  customerId: Schema.Literal("ada"),
  quantity: Schema.Literals([1, 2, 3])
})
const wishes = Schema.Array(Wish).check(Schema.isMinLength(1), Schema.isMaxLength(6))
const choices = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })))
  .check(Schema.isMaxLength(80))
const cancelled = Schema.Array(Wish.fields.reservationId).check(Schema.isMaxLength(1))

const heardBy = (event: InventoryEvent | PaymentEvent): ReadonlyArray<World.Addressed> => {
  const command = hears(event)
  return command === undefined ? [] : [{ category: reservation.category, id: command.reservationId, command }]
}

const mailed = { success: { _tag: "Sent", messageId: "m1" } }

const boxOffice = (weather: ReadonlyArray<Weather>, rules = { inventory }) => {
  const provider = new ModelProvider(1000, weather)
  const reservations = new Map<string, ReservationState>()
  const sections = new Map<string, InventoryState>()
  const world = new World.World({
    members: [
      World.member(show),
      World.member(reservation, (event) => {
        const { reservationId } = event
        const before = reservations.get(reservationId) ?? reservation.initial
        reservations.set(reservationId, reservation.evolve(before, event))
        return []
      }),
      World.member(rules.inventory, (event) => {
        const before = sections.get(event.inventoryId) ?? inventory.initial
        sections.set(event.inventoryId, inventory.evolve(before, event))
        return heardBy(event)
      }),
      World.member(payment, heardBy),
      World.member(ticketMail)
    ],
    perform: (task, input) => task === MailTickets.name ? mailed : provider.perform(task, input),
    check: () => {
      for (const { reserved, sold } of sections.values()) {
        const taken = [...Object.values(reserved), ...Object.values(sold)].flat()
        if (new Set(taken).size < taken.length) throw new Error(`a seat was given twice: ${taken}`)
      }
    }
  })
  const ask = (command: Parameters<typeof show.decide>[1]) => {
    world.send({ category: show.category, id: "s1", command })
    world.settle()
  }
  ask(Show.CreateShow({
    showId: "s1",
    name: "Hamlet",
    venue: "Globe",
    startsAt: 1_000_000_000,
    sections: [{ sectionId: "stalls", capacity: 3, price: 400 }, { sectionId: "balcony", capacity: 1, price: 200 }]
  }))
  ask(Show.PublishShow({ showId: "s1" }))
  ask(Show.OpenSales({ showId: "s1" }))
  const send = (command: Parameters<typeof reservation.decide>[1]) =>
    world.send({ category: reservation.category, id: command.reservationId, command })
  return { world, provider, reservations, sections, send }
}

const seatsOf = (sections: ReadonlyMap<string, InventoryState>, of: "reserved" | "sold", id: string) =>
  [...sections.values()].flatMap((section) => section[of][id] ?? [])

describe("reservations that compete for seats", () => {
  const ends = new Set<string>()

  it.prop(
    "end with seats that are paid for, or with nothing",
    { wishes, choices, cancelled, weather: Schema.Array(Weather) },
    ({ cancelled, choices, weather, wishes }) => {
      const { provider, reservations, sections, send, world } = boxOffice(weather)
      for (const wish of wishes) send(Reservation.InitiateReservation(wish))
      for (const reservationId of cancelled) send(Reservation.CancelReservation({ reservationId }))
      world.happen(choices)
      world.settle()
      for (const [id, state] of reservations) {
        assert.isTrue(isFinished(state), JSON.stringify(state))
        ends.add(state.status)
        const isCompleted = state.status === "Completed"
        assert.deepStrictEqual(seatsOf(sections, "sold", id), isCompleted ? [...state.seats] : [])
        assert.deepStrictEqual(seatsOf(sections, "reserved", id), [])
        assert.strictEqual(provider.taken.get(chargeKey(id)) ?? 0, isCompleted ? state.amount : 0)
      }
      for (const section of sections.values()) {
        assert.strictEqual(available(section).length + Object.values(section.sold).flat().length, section.capacity)
      }
    },
    { arbitrary: { runs: 800 } }
  )

  it("come to every end there is", () => {
    assert.deepStrictEqual([...ends].sort(), ["Cancelled", "Completed", "Expired", "PaymentFailed", "SoldOut"])
  })
})

const wish = (reservationId: string, sectionId: string) =>
  Reservation.InitiateReservation({ reservationId, showId: "s1", sectionId, customerId: reservationId, quantity: 1 })

it("the last seat is sold once", () => {
  const { reservations, send, world } = boxOffice([])
  for (const id of ["r1", "r2", "r3"]) send(wish(id, "balcony"))
  world.settle()
  assert.deepStrictEqual([...reservations.values()].map(({ status }) => status).sort(), [
    "Completed",
    "SoldOut",
    "SoldOut"
  ])
})

it("a seat whose payment is in doubt is sold to another, and the money given back", () => {
  // The provider charged the card, but each of three answers is lost.
  const { provider, reservations, send, sections, world } = boxOffice(["answer lost", "answer lost", "answer lost"])
  send(wish("r1", "balcony"))
  world.settle()
  assert.strictEqual(reservations.get("r1")?.status, "PaymentFailed")
  send(wish("r2", "balcony"))
  world.settle()
  assert.strictEqual(reservations.get("r2")?.status, "Completed")
  assert.deepStrictEqual(seatsOf(sections, "sold", "r2"), [1])
  assert.deepStrictEqual([...provider.taken], [[chargeKey("r2"), 200]])
})

it("a box office that forgets what it reserved is found out", () => {
  const forgetful: typeof inventory = {
    ...inventory,
    decide: (state, command, meta) => inventory.decide({ ...state, reserved: {} }, command, meta)
  }
  const { send, world } = boxOffice([], { inventory: forgetful })
  send(wish("r1", "stalls"))
  send(wish("r2", "stalls"))
  assert.throws(() => world.settle(), "a seat was given twice")
})
