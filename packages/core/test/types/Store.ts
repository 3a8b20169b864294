/**
 * What a store's dispatch infers, and what it forbids.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import type * as History from "@composable-ts/core/History"
import * as Store from "@composable-ts/core/Store"
import { Effect, type Stream } from "effect"
import { type Equals, type Proof } from "./Proof.ts"

const Door = Action.define("Door", {
  commands: { Open: {}, Close: {} },
  events: { Opened: Event.v1({}), Closed: Event.v1({}) }
})
const Light = Action.define("Light", { commands: { Switch: {} }, events: { Switched: Event.v1({}) } })
type State = "open" | "shut"
type DoorEvent = Action.EventOf<typeof Door>

const door = Aggregate.define(Door, {
  initial: "shut" as State,
  decide: (state, command) =>
    command._tag === "Open"
      ? state === "open" ? Fx.reject({ _tag: "AlreadyOpen" }) : Fx.append(Door.Opened())
      : state === "shut"
      ? Fx.reject({ _tag: "AlreadyShut" })
      : Fx.append(Door.Closed()),
  evolve: (_state, event) => event._tag === "Opened" ? "open" : "shut"
})

export const program = Effect.gen(function*() {
  const doors = yield* Store.aggregate(door)
  const dispatched = doors.dispatch("1", Door.Open())
  const past = doors.stateAt("1", { time: 0 })
  const history = doors.history("1")

  type Inferred = [
    Proof<Equals<Effect.Success<typeof dispatched>, Store.Outcome<State, DoorEvent>>>,
    Proof<
      Equals<
        Effect.Error<typeof dispatched>,
        { readonly _tag: "AlreadyOpen" } | { readonly _tag: "AlreadyShut" } | Store.DispatchError
      >
    >,
    Proof<Equals<Effect.Services<typeof dispatched>, never>>,
    Proof<Equals<typeof past, Effect.Effect<History.Current<State>, History.ReadError>>>,
    Proof<Equals<typeof history, Stream.Stream<History.Recorded<DoorEvent>, History.ReadError>>>
  ]

  // @ts-expect-error -- an event is dispatched: facts are not asked for
  doors.dispatch("1", Door.Opened())
  // @ts-expect-error -- another feature's command
  doors.dispatch("1", Light.Switch())
  // @ts-expect-error -- no instance
  doors.dispatch(Door.Open())
  // @ts-expect-error -- a command by its bare name
  doors.dispatch("1", "Open")
  // @ts-expect-error -- no such option
  doors.dispatch("1", Door.Open(), { id: "c" })
  // @ts-expect-error -- a reason that the door never gives
  Effect.catchTag(dispatched, "AlreadyLit", () => Effect.void)
  // @ts-expect-error -- a moment is a version or a time
  doors.stateAt("1", 5)

  const { events, state } = yield* dispatched
  // @ts-expect-error -- not an event of a door
  events.filter((event) => event._tag === "Switched")
  // @ts-expect-error -- not a state of a door
  return state === "ajar" ? undefined : (undefined as Inferred | undefined)
})

/** The store needs the event store, and nothing else. */
export type Needs = Proof<Equals<Effect.Services<typeof program>, EventStore>>
