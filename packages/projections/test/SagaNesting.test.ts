/**
 * Sagas within sagas, and aggregates that address each other: the stores of durable aggregates need nothing of each other.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as Saga from "../src/Saga.ts"
import { log } from "./Gates.ts"

const Journey = Action.define("Journey", {
  commands: { Begin: { id: Schema.String, legs: Schema.Int }, NoteUnderWay: { leg: Schema.Int }, NoteArrived: {} },
  events: {
    Begun: Event.v1({ id: Schema.String, legs: Schema.Int }),
    UnderWay: Event.v1({ leg: Schema.Int }),
    LegDone: Event.v1({}),
    Arrived: Event.v1({})
  }
})

const Leg = Action.define("Leg", {
  commands: { Depart: { journey: Schema.String, nr: Schema.Int }, Arrive: {} },
  events: {
    Departed: Event.v1({ journey: Schema.String, nr: Schema.Int }),
    Ended: Event.v1({ journey: Schema.String })
  }
})

/** A journey and its legs address each other, and neither can be defined first: an address is a category. */
const journeyAddress: { readonly category: "journey"; readonly "~commands"?: Action.CommandOf<typeof Journey> } = {
  category: "journey"
}

const leg = Aggregate.define(Leg, {
  initial: { journey: "" },
  decide: ({ journey }, command) =>
    command._tag === "Depart" ? Fx.append(Leg.Departed(command)) : Fx.append(Leg.Ended({ journey })),
  evolve: (_state, { journey }) => ({ journey }),
  react: (_state, event) =>
    event._tag === "Departed"
      ? Fx.all(
        Fx.dispatch(journeyAddress, event.journey, Journey.NoteUnderWay({ leg: event.nr })),
        Fx.delay("arrival", 5, Leg.Arrive())
      )
      : Fx.none
})

const journey = Aggregate.define(Journey, {
  initial: { id: "", left: 0 },
  decide: ({ left }, command) => {
    switch (command._tag) {
      case "Begin":
        return Fx.append(Journey.Begun(command))
      case "NoteUnderWay":
        return Fx.append(Journey.UnderWay(command))
      case "NoteArrived":
        return left === 1 ? Fx.append(Journey.LegDone(), Journey.Arrived()) : Fx.append(Journey.LegDone())
    }
  },
  evolve: (state, event) => {
    if (event._tag === "Begun") return { id: event.id, left: event.legs }
    return event._tag === "LegDone" ? { ...state, left: state.left - 1 } : state
  },
  react: ({ id, left }, event) =>
    event._tag === "Begun" || (event._tag === "LegDone" && left > 0)
      ? Fx.dispatch(leg, `${id}/${left}`, Leg.Depart({ journey: id, nr: left }))
      : Fx.none
})

const durableLeg = DurableAggregate.make(leg, { targets: [DurableAggregate.target(journey)] })
const durableJourney = DurableAggregate.make(journey, { targets: [DurableAggregate.target(leg)] })

/** The outer saga's input is an event of the inner one. */
const journeys = Saga.define(durableJourney, {
  inputs: [Saga.on(leg, "Ended", { correlate: ({ journey }) => journey, toCommand: () => Journey.NoteArrived() })]
})

const stores = Layer.mergeAll(AggregateStore.layerDurable(durableJourney), AggregateStore.layerDurable(durableLeg))
  .pipe(
    Layer.provideMerge(MemoryEventStore.layerWithOutbox)
  )

/** Hands every event over three times: as it comes, again, and with all before it. */
const handing = Effect.gen(function*() {
  const { receive } = yield* Saga.make(journeys, (refused) => Effect.die(refused))
  const appended = yield* (yield* EventStore).listen
  let from = 0
  while (true) {
    const events = yield* log
    for (const page of [events.slice(from), events.slice(from), events]) yield* receive(page)
    from = events.length
    yield* appended
  }
})

describe("a saga whose parts are sagas", () => {
  it.live("carries each part through once, in order, and comes to its end", () =>
    Effect.gen(function*() {
      const store = yield* AggregateStore.service(journey)
      const outbox = yield* Outbox
      const over = Effect.gen(function*() {
        yield* store.dispatch("j", Journey.Begin({ id: "j", legs: 3 }), { correlationId: "trip" })
        while (!(yield* log).some(({ type }) => type === "Arrived.v1")) yield* Effect.sleep(2)
        while ((yield* outbox.list({ limit: 1 })).length > 0) yield* Effect.sleep(2)
        return yield* log
      })
      const events = yield* Effect.raceFirst(
        Effect.raceFirst(handing, EffectWorker.run([durableJourney, durableLeg], { poll: "20 millis" })),
        over
      )
      const ofLegs = events.filter(({ streamId }) => streamId.startsWith("leg-"))
      assert.deepStrictEqual(
        ofLegs.map(({ streamId, type }) => `${streamId} ${type}`),
        [3, 2, 1].flatMap((nr) => [`leg-j/${nr} Departed.v1`, `leg-j/${nr} Ended.v1`])
      )
      const ofJourney = events.filter(({ streamId }) => streamId === "journey-j").map(({ type }) => type)
      assert.deepStrictEqual(ofJourney.toSorted(), [
        "Arrived.v1",
        "Begun.v1",
        ...Array.from({ length: 3 }, () => "LegDone.v1"),
        ...Array.from({ length: 3 }, () => "UnderWay.v1")
      ])
      // One conversation from hop to hop.
      for (const { correlationId } of events) assert.strictEqual(correlationId, "trip")
    }).pipe(Effect.scoped, Effect.provide(stores)))
})
