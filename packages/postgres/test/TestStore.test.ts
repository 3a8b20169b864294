/**
 * An aggregate under test on a real log: what the test's clock does not move is waited for all the same.
 */
import { Action, Aggregate, Event, Fx, Task } from "@composable-ts/core"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as TestStore from "@composable-ts/testing/TestStore"
import { layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as PostgresEventStore from "../src/PostgresEventStore.ts"

const Charge = Task.define("Charge", {
  input: Schema.Int,
  success: Schema.String,
  failure: Schema.TaggedStruct("Declined", {})
})

const Order = Action.define("Order", {
  commands: { Place: { cents: Schema.Int }, Confirm: { receipt: Schema.String }, Cancel: {} },
  events: {
    Placed: Event.v1({ cents: Schema.Int }),
    Confirmed: Event.v1({ receipt: Schema.String }),
    Cancelled: Event.v1({})
  }
})
type OrderState = "new" | "placed" | "confirmed" | "cancelled"

const order = Aggregate.define(Order, {
  initial: "new" as OrderState,
  decide: (state, command) => {
    switch (command._tag) {
      case "Place":
        return state === "new"
          ? Fx.append(Order.Placed({ cents: command.cents }))
          : Fx.reject({ _tag: "AlreadyPlaced" })
      case "Confirm":
        return Fx.append(Order.Confirmed({ receipt: command.receipt }))
      case "Cancel":
        return Fx.append(Order.Cancelled())
    }
  },
  evolve: (_state, event): OrderState =>
    Order.match(event, { Placed: () => "placed", Confirmed: () => "confirmed", Cancelled: () => "cancelled" }),
  react: (_state, event) => event._tag === "Placed" ? Fx.perform(Charge, event.cents) : Fx.none,
  outcomes: { Charge: { success: (receipt: string) => Order.Confirm({ receipt }), failure: () => Order.Cancel() } }
})

const charge = Task.layer(Charge, (cents) =>
  Effect.andThen(
    Effect.sleep("1 second"),
    cents > 1000 ? Effect.fail({ _tag: "Declined" } as const) : Effect.succeed(`r${cents}`)
  ))

const Log = PostgresEventStore.layer().pipe(Layer.provide(TestDatabase.layer))

layer(Log, { timeout: "60 seconds" })("TestStore.aggregate on PostgreSQL", (it) => {
  for (const id of ["a", "b", "c"]) {
    it.effect(`waits for the log as long as it takes (${id})`, () =>
      Effect.gen(function*() {
        const store = yield* TestStore.aggregate(order)
        const placed = (cents: number) => ({ events: [Order.Placed({ cents })], state: "placed" as const })
        yield* store.dispatch(`${id}1`, Order.Place({ cents: 5 }), placed(5))
        yield* store.dispatch(`${id}2`, Order.Place({ cents: 5000 }), placed(5000))
        yield* store.dispatch(`${id}1`, Order.Place({ cents: 5 }), { rejected: { _tag: "AlreadyPlaced" } })
        yield* store.advance("1 second")
        yield* store.receive(`${id}1`, Order.Confirm({ receipt: "r5" }), {
          events: [Order.Confirmed({ receipt: "r5" })],
          state: "confirmed"
        })
        yield* store.receivePartial(`${id}2`, { _tag: "Cancel" }, { events: [Order.Cancelled()] })
      }).pipe(Effect.provide(charge)))
  }
})
