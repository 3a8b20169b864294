/**
 * A saga for which it matters that each of its inputs comes once and in order: a gate counts who passes while it is open,
 * and lets everybody else go by without a trace.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import { Effect, Result, Schema } from "effect"
import * as Saga from "../src/Saga.ts"

/** What happens in the street before the gates. Anybody may tell of any gate, in a stream of their own. */
export const Street = Action.define("Street", {
  commands: {},
  events: {
    Rang: Event.v1({ gate: Schema.String }),
    Left: Event.v1({ gate: Schema.String }),
    Came: Event.v1({ gate: Schema.String, who: Schema.Int }),
    Shouted: Event.v1({ who: Schema.Int })
  }
})

export const Gate = Action.define("Gate", {
  commands: { Open: {}, Close: {}, Pass: { who: Schema.Int } },
  events: { Opened: Event.v1({}), Closed: Event.v1({}), Passed: Event.v1({ who: Schema.Int }) }
})

export interface State {
  readonly open: boolean
  readonly passed: ReadonlyArray<number>
}

export const State = Schema.Struct({ open: Schema.Boolean, passed: Schema.Array(Schema.Int) })

const closed: State = { open: false, passed: [] }

export const decide = (state: State, command: Action.CommandOf<typeof Gate>) => {
  switch (command._tag) {
    case "Open":
      return state.open ? Fx.none : Fx.append(Gate.Opened())
    case "Close":
      return state.open ? Fx.append(Gate.Closed()) : Fx.none
    case "Pass":
      if (command.who < 0) return Fx.reject({ _tag: "NobodyIsNegative" })
      return state.open ? Fx.append(Gate.Passed({ who: command.who })) : Fx.none
  }
}

export const evolve = (state: State, event: Action.EventOf<typeof Gate>): State => {
  switch (event._tag) {
    case "Opened":
      return { ...state, open: true }
    case "Closed":
      return { ...state, open: false }
    case "Passed":
      return { ...state, passed: [...state.passed, event.who] }
  }
}

export const gate = Aggregate.define(Gate, { initial: closed, decide, evolve })

export const durableGate = DurableAggregate.make(gate)

export const street = { category: "street", actions: Street }

const ofGate = ({ gate }: { readonly gate: string }) => gate

export const inputs = [
  Saga.on(street, "Rang", { correlate: ofGate, toCommand: () => Gate.Open() }),
  Saga.on(street, "Left", { correlate: ofGate, toCommand: () => Gate.Close() }),
  Saga.on(street, "Came", { correlate: ofGate, toCommand: ({ who }) => Gate.Pass({ who }) })
] as const

export const gates = Saga.define(durableGate, { inputs, ends: ["Closed"] })

/** Appends to the log what happens in a street. */
export const happens = (id: string, ...events: readonly [Happening, ...ReadonlyArray<Happening>]) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    const encoded = events.map((event) => Result.getOrThrow(Street.encode(event)))
    yield* store.append(Result.getOrThrow(StreamId.make("street", id)), ExpectedVersion.any, [
      encoded[0]!,
      ...encoded.slice(1)
    ])
  })

type Happening = Action.EventOf<typeof Street>

/** All events of the log. */
export const log = Effect.gen(function*() {
  const store = yield* EventStore
  const all: Array<RecordedEvent> = []
  while (true) {
    const page = yield* store.readAll({ after: BigInt(all.length), limit: 500 })
    all.push(...page.events)
    if (page.position >= page.head) return all
  }
})

/** What the gates should have come to: each event of the street, once and in order. */
export const expected = (events: ReadonlyArray<RecordedEvent>): ReadonlyMap<string, ReadonlyArray<string>> => {
  const gates = new Map<string, { state: State; stored: Array<string> }>()
  for (const recorded of events) {
    const event = recorded.streamId.startsWith("street-") ? Result.getOrThrow(Street.decode(recorded)) : undefined
    if (event === undefined || event._tag === "Shouted") continue
    const of = gates.get(event.gate) ?? { state: closed, stored: [] }
    gates.set(event.gate, of)
    const command = event._tag === "Rang"
      ? Gate.Open()
      : event._tag === "Left"
      ? Gate.Close()
      : Gate.Pass({ who: event.who })
    const decision = decide(of.state, command)
    if (decision._tag !== "Append") continue
    for (const decided of decision.events) {
      of.state = evolve(of.state, decided)
      of.stored.push(`${recorded.globalPosition}: ${JSON.stringify(decided)}`)
    }
  }
  return new Map([...gates].filter(([, { stored }]) => stored.length > 0).map(([id, { stored }]) => [id, stored]))
}

/** What the gates have come to: their events, each with the position of the event that caused it. */
export const actual = (events: ReadonlyArray<RecordedEvent>): ReadonlyMap<string, ReadonlyArray<string>> => {
  const positions = new Map(events.map(({ eventId, globalPosition }) => [eventId, globalPosition]))
  const gates = new Map<string, Array<string>>()
  for (const recorded of events) {
    if (!recorded.streamId.startsWith("gate-")) continue
    const id = recorded.streamId.slice("gate-".length)
    const stored = gates.get(id) ?? []
    gates.set(id, stored)
    const event = Result.getOrThrow(Gate.decode(recorded))
    stored.push(`${positions.get(recorded.causationId)}: ${JSON.stringify(event)}`)
  }
  return gates
}
