/**
 * What an aggregate infers, and what it forbids.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import type { Equals, Proof } from "./Proof.ts"

const Door = Action.define("Door", {
  commands: { Open: {}, Close: {} },
  events: { Opened: Event.v1({}), Closed: Event.v1({ gently: Schema.Boolean }) }
})
const Light = Action.define("Light", { commands: { Switch: {} }, events: { Switched: Event.v1({}) } })

type DoorCommand = Action.CommandOf<typeof Door>
type DoorEvent = Action.EventOf<typeof Door>
type State = "open" | "shut"

const closed = Door.Closed({ gently: true })

const door = Aggregate.define(Door, {
  initial: "shut" as State,
  decide: (state, command) => {
    switch (command._tag) {
      case "Open":
        return state === "open" ? Fx.reject({ _tag: "AlreadyOpen" }) : Fx.append(Door.Opened())
      case "Close":
        return state === "shut" ? Fx.reject({ _tag: "Stuck", force: 3 }) : Fx.append(closed, Door.Opened(), closed)
    }
  },
  evolve: (_state, event) => event._tag === "Opened" ? "open" : "shut"
})

type Reason = { readonly _tag: "AlreadyOpen" } | { readonly _tag: "Stuck"; readonly force: 3 }

/** State, commands, events and reasons are inferred, with no annotation but the state's. */
export type Inferred = [
  Proof<Equals<typeof door, Aggregate.Aggregate<State, DoorCommand, DoorEvent, Reason>>>,
  Proof<Equals<Aggregate.StateOf<typeof door>, State>>,
  Proof<Equals<Parameters<typeof door.reduce>[1], DoorCommand | DoorEvent>>
]

const rules = {
  initial: "shut" as State,
  decide: (): Fx.Decision<DoorEvent> => Fx.none,
  evolve: (): State => "open"
}

/** An aggregate that never refuses has no reasons. */
const willing = Aggregate.define(Door, rules)
export type NoReasons = Proof<Equals<typeof willing, Aggregate.Aggregate<State, DoorCommand, DoorEvent, never>>>

// @ts-expect-error -- a command is appended
Aggregate.define(Door, { ...rules, decide: () => Fx.append(Door.Open()) })
// @ts-expect-error -- a command is appended behind an event
Aggregate.define(Door, { ...rules, decide: () => Fx.append(Door.Opened(), Door.Open()) })
// @ts-expect-error -- another feature's event is appended
Aggregate.define(Door, { ...rules, decide: () => Fx.append(Light.Switched()) })
// @ts-expect-error -- another feature's event is appended behind an own one
Aggregate.define(Door, { ...rules, decide: () => Fx.append(Door.Opened(), Light.Switched()) })
// @ts-expect-error -- an append of nothing
Fx.append()
// @ts-expect-error -- an append of what may be nothing
Fx.append(...[Door.Opened()].filter(() => true))
// @ts-expect-error -- a bare event is no effect description
Aggregate.define(Door, { ...rules, decide: () => Door.Opened() })
// @ts-expect-error -- a new state is no effect description: commands never change state
Aggregate.define(Door, { ...rules, decide: (): State => "open" })
// @ts-expect-error -- a reason without a tag
Aggregate.define(Door, { ...rules, decide: () => Fx.reject({ why: "no" }) })
// @ts-expect-error -- a reason without a tag
Fx.reject("no")

Aggregate.define(Door, {
  ...rules,
  // @ts-expect-error -- decide has no case for Close
  decide: (_state, command) => {
    switch (command._tag) {
      case "Open":
        return Fx.append(Door.Opened())
    }
  }
})
Aggregate.define(Door, {
  ...rules,
  decide: (_state, command) =>
    // @ts-expect-error -- decide has no case for Close
    Door.match(command, { Open: () => Fx.append(Door.Opened()) })
})
Aggregate.define(Door, {
  ...rules,
  // @ts-expect-error -- evolve has no case for Closed
  evolve: (_state, event) => {
    switch (event._tag) {
      case "Opened":
        return "open"
    }
  }
})
// @ts-expect-error -- evolve gives what is no state
Aggregate.define(Door, { ...rules, evolve: () => "ajar" })
// @ts-expect-error -- evolve does things: only decide may
Aggregate.define(Door, { ...rules, evolve: () => Fx.append(Door.Opened()) })
// @ts-expect-error -- evolve reads a command
Aggregate.define(Door, { ...rules, evolve: (_state, event) => event._tag === "Open" ? "open" : "shut" })
// @ts-expect-error -- decide reads an event
Aggregate.define(Door, { ...rules, decide: (_state, command) => command._tag === "Opened" ? Fx.none : Fx.none })
// @ts-expect-error -- no such rule
Aggregate.define(Door, { ...rules, evolv: () => "open" })
// @ts-expect-error -- there is no state before the first event
Aggregate.define(Door, { decide: rules.decide, evolve: rules.evolve })
// @ts-expect-error -- evolve is missing
Aggregate.define(Door, { initial: "shut", decide: rules.decide })
