/**
 * A saga of five hops, as a checkout has them: it has an order placed, a payment made by a task that does nothing, and stock
 * reserved, and then it is complete. Each hop is a commit of its own. One saga at a time, from its command to the commit of
 * its last event, with the saga's runner and the worker in this process.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Task from "@composable-ts/core/Task"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as Saga from "@composable-ts/projections/Saga"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Experiment } from "../Contest.ts"
import * as Log from "../Log.ts"

import { numbers, p50 } from "../Timing.ts"

const Pay = Task.define("Pay", { input: Schema.Null, success: Schema.Null, failure: Schema.Never })

const id = { id: Schema.String }

const Purchase = Action.define("Purchase", {
  commands: { Place: id, Confirm: id },
  events: { Placed: Event.v1(id), Confirmed: Event.v1(id) }
})

const purchase = Aggregate.define(Purchase, {
  initial: null,
  decide: (_state, command) =>
    Fx.append(command._tag === "Place" ? Purchase.Placed(command) : Purchase.Confirmed(command)),
  evolve: () => null
})

const Stock = Action.define("Stock", {
  commands: { Reserve: id },
  events: { Reserved: Event.v1(id) }
})

const stock = Aggregate.define(Stock, {
  initial: null,
  decide: (_state, command) => Fx.append(Stock.Reserved(command)),
  evolve: () => null
})

const Checkout = Action.define("Checkout", {
  commands: { Begin: id, NotePlaced: id, NotePaid: {}, NoteReserved: id },
  events: { Begun: Event.v1(id), Ordered: Event.v1(id), Paid: Event.v1({}), Completed: Event.v1(id) }
})

const checkout = Aggregate.define(Checkout, {
  initial: "",
  decide: (_state, command) =>
    Checkout.match(command, {
      Begin: (command) => Fx.append(Checkout.Begun(command)),
      NotePlaced: (command) => Fx.append(Checkout.Ordered(command)),
      NotePaid: () => Fx.append(Checkout.Paid()),
      NoteReserved: (command) => Fx.append(Checkout.Completed(command))
    }),
  evolve: (id, event) => event._tag === "Begun" ? event.id : id,
  react: (id, event) =>
    Checkout.match(event, {
      Begun: () => Fx.dispatch(purchase, id, Purchase.Place({ id })),
      Ordered: () => Fx.perform(Pay, null),
      Paid: () => Fx.dispatch(stock, `of ${id}`, Stock.Reserve({ id })),
      Completed: () => Fx.none
    }),
  outcomes: { Pay: { success: () => Checkout.NotePaid(), failure: (never) => never } }
})

const durablePurchase = DurableAggregate.make(purchase)
const durableStock = DurableAggregate.make(stock)
const durableCheckout = DurableAggregate.make(checkout, {
  tasks: [Pay],
  targets: [DurableAggregate.target(purchase), DurableAggregate.target(stock)]
})

const saga = Saga.define(durableCheckout, {
  inputs: [
    Saga.on(purchase, "Placed", { correlate: ({ id }) => id, toCommand: ({ id }) => Checkout.NotePlaced({ id }) }),
    Saga.on(stock, "Reserved", { correlate: ({ id }) => id, toCommand: ({ id }) => Checkout.NoteReserved({ id }) })
  ],
  ends: ["Completed"]
})

const row = "saga.hop5"

/** How many events a saga leaves: begun, placed, ordered, paid, reserved, completed. */
const eventsOfOne = 6

const hops: Experiment = {
  measures: [{
    id: row,
    unit: "ms",
    better: "lower",
    about:
      "A checkout saga of five hops from its command to its last event, one at a time: an order is placed, a payment task " +
      "runs, stock is reserved, the saga completes."
  }],
  open: ({ events }) =>
    Effect.gen(function*() {
      const log = yield* Log.open
      const context = yield* Layer.build(
        Layer.mergeAll(
          AggregateStore.layerDurable(durablePurchase),
          AggregateStore.layerDurable(durableStock),
          AggregateStore.layerDurable(durableCheckout),
          Task.layer(Pay, () => Effect.succeed(null))
        ).pipe(
          Layer.provideMerge(PostgresOutbox.layer()),
          Layer.provideMerge(Layer.succeedContext(log.context))
        )
      )
      const count = Math.max(20, Math.min(50, events / 200))
      const ours = (round: number) =>
        Effect.gen(function*() {
          const before = yield* Log.head(log)
          const store = yield* AggregateStore.service(checkout)
          const outbox = yield* Outbox
          const { listen } = yield* EventStore
          const workers = yield* Effect.forkChild(
            Effect.raceFirst(Saga.run(saga), EffectWorker.run([durableCheckout, durablePurchase, durableStock]))
          )
          const appended = yield* listen
          const one = (nr: string) =>
            Effect.gen(function*() {
              const target = (yield* Log.head(log)) + BigInt(eventsOfOne)
              const start = performance.now()
              yield* store.dispatch(nr, Checkout.Begin({ id: nr })).pipe(
                Effect.mapError((error) => error instanceof Error ? error : new Error(String(error)))
              )
              // Woken by each append: the log is the witness.
              while ((yield* Log.head(log)) < target) yield* Effect.timeoutOption(appended, "20 millis")
              return performance.now() - start
            })
          yield* Effect.forEach(numbers(10), (nr) => one(`${round}.warm${nr}`))
          const times = yield* Effect.forEach(numbers(count), (nr) => one(`${round}.${nr}`))
          workers.interruptUnsafe()
          const left = yield* outbox.list({ limit: 1 })
          const fault = left.length > 0
            ? "entries were left"
            : yield* Log.faultOf(log, before, eventsOfOne * (count + 10))
          return { figures: { [row]: p50(times) }, fault }
        }).pipe(Effect.scoped, Effect.provideContext(context))
      return { ours }
    })
}

export const experiments: ReadonlyArray<Experiment> = [hops]
