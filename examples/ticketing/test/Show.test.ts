import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { Inventory, inventory } from "../src/domain/Inventory.ts"
import { Code, inventoryId } from "../src/domain/Section.ts"
import { cancellationNotice, Show, show, type ShowRefusal } from "../src/domain/Show.ts"
import { ofShow } from "./TicketArbitraries.ts"

const showId = "s1"
const at = { showId }
const stalls = { sectionId: "stalls", capacity: 2, price: 4500 }
const balcony = { sectionId: "balcony", capacity: 1, price: 2500 }
const startsAt = 10 * cancellationNotice
const details = { showId, name: "Hamlet", venue: "Globe", startsAt, sections: [stalls, balcony] }
const created = Show.ShowCreated(details)
const published = Show.ShowPublished(at)
const opened = Show.SalesOpened(at)
const closed = Show.SalesClosed(at)
const cancelled = Show.ShowCancelled({ showId, reason: "rain" })
const cancel = Show.CancelShow({ showId, reason: "rain" })
const known = { startsAt, sections: [stalls, balcony] }

const toSection = (sectionId: string) => {
  const id = inventoryId(showId, sectionId)
  return Fx.dispatch(inventory, id, Inventory.CloseInventory({ inventoryId: id }))
}
const close = Fx.all(toSection("stalls"), toSection("balcony"))

describe("a show", () => {
  it("is created, published, sold and closed", () => {
    AggregateTest.check(show, {
      when: Show.CreateShow(details),
      thenEvents: [created],
      thenState: { status: "Draft", ...known }
    })
    AggregateTest.check(show, {
      given: [created],
      when: Show.PublishShow(at),
      thenEvents: [published],
      thenState: { status: "Published", ...known }
    })
    AggregateTest.check(show, {
      given: [created, published],
      when: Show.OpenSales(at),
      thenEvents: [opened],
      thenState: { status: "SalesOpen", ...known },
      thenEffects: Fx.all(
        Fx.dispatch(
          inventory,
          "s1:stalls",
          Inventory.InitializeInventory({ inventoryId: "s1:stalls", capacity: 2, price: 4500 })
        ),
        Fx.dispatch(
          inventory,
          "s1:balcony",
          Inventory.InitializeInventory({ inventoryId: "s1:balcony", capacity: 1, price: 2500 })
        )
      )
    })
    AggregateTest.check(show, {
      given: [created, published, opened],
      when: Show.CloseSales(at),
      thenEvents: [closed],
      thenState: { status: "SalesClosed", ...known },
      thenEffects: close
    })
  })

  it("is cancelled until a day before it begins", () => {
    for (const given of [[created], [created, published], [created, published, opened]]) {
      AggregateTest.check(show, {
        given,
        when: cancel,
        meta: { time: startsAt - cancellationNotice },
        thenEvents: [cancelled],
        thenState: { status: "Cancelled", ...known },
        thenEffects: close
      })
      AggregateTest.check(show, {
        given,
        when: cancel,
        meta: { time: startsAt - cancellationNotice + 1 },
        thenRefused: { _tag: "TooLateToCancel", startsAt }
      })
    }
    AggregateTest.check(show, {
      given: [created],
      when: Show.CancelShow({ showId, reason: " " }),
      thenRefused: { _tag: "ReasonMissing", showId }
    })
    AggregateTest.check(show, { when: cancel, thenRefused: { _tag: "WrongStatus", status: "New" } })
    AggregateTest.check(show, {
      given: [created, cancelled],
      when: cancel,
      thenRefused: { _tag: "WrongStatus", status: "Cancelled" }
    })
  })

  it("takes its steps in order", () => {
    const pasts = {
      New: [],
      Draft: [created],
      Published: [created, published],
      SalesOpen: [created, published, opened],
      SalesClosed: [created, published, opened, closed],
      Cancelled: [created, cancelled]
    } as const
    const steps = [
      [Show.PublishShow(at), "Draft"],
      [Show.OpenSales(at), "Published"],
      [Show.CloseSales(at), "SalesOpen"]
    ] as const
    for (const [when, from] of steps) {
      for (const status of ["New", "Draft", "Published", "SalesOpen", "SalesClosed", "Cancelled"] as const) {
        if (status !== from) {
          AggregateTest.check(show, { given: pasts[status], when, thenRefused: { _tag: "WrongStatus", status } })
        }
      }
    }
  })

  it("is not created without what belongs to it", () => {
    const cases: ReadonlyArray<readonly [Partial<typeof details>, ShowRefusal]> = [
      [{ name: " " }, { _tag: "NameOutOfRange", length: 1 }],
      [{ name: "x".repeat(201) }, { _tag: "NameOutOfRange", length: 201 }],
      [{ venue: "" }, { _tag: "VenueMissing", showId }],
      [{ startsAt: 0 }, { _tag: "BeginsInThePast", startsAt: 0 }],
      [{ sections: [] }, { _tag: "NoSections", showId }],
      [{ sections: [stalls, balcony, stalls] }, { _tag: "SectionTwice", sectionId: "stalls" }]
    ]
    for (const [wrong, thenRefused] of cases) {
      AggregateTest.check(show, { when: Show.CreateShow({ ...details, ...wrong }), thenRefused })
    }
    AggregateTest.check(show, {
      given: [created],
      when: Show.CreateShow(details),
      thenRefused: { _tag: "AlreadyCreated", showId }
    })
  })
})

it("no two sections share an inventory, for no name has a colon", () => {
  assert.strictEqual(inventoryId("s1", "stalls"), "s1:stalls")
  for (const name of ["a:b", "", "x".repeat(41), "a b"]) assert.isFalse(Schema.is(Code)(name), name)
  assert.isTrue(Schema.is(Code)("Main-stage_1"))
})

describe("the laws of every aggregate hold for a show", () => {
  it("replay", () => Laws.replayIsDeterministic(show))
  it("decisions", () => Laws.decideIsPure(show, { arbitraries: ofShow }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Show))
})

it("whatever is asked of a show, it goes forward", () => {
  const order = ["New", "Draft", "Published", "SalesOpen", "SalesClosed", "Cancelled"]
  ModelTest.check(show, {
    arbitraries: ofShow,
    pauses: Arbitrary.schema(Schema.Literals([0, 1, cancellationNotice / 2])),
    runs: 1000,
    invariants: {
      "it never goes back": (state, { before }) => order.indexOf(state.status) >= order.indexOf(before.status),
      "its sections stay": (state, { before }) =>
        before.status === "New" || (state.status !== "New" && state.sections === before.sections)
    }
  })
})
