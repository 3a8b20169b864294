/**
 * What a test of a live store may say, and what does not compile.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Task from "@composable-ts/core/Task"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { a, type Equals, type Proof } from "../../../core/test/types/Proof.ts"
import * as TestStore from "../../src/TestStore.ts"

const Find = Task.define("Find", { input: Schema.String, success: Schema.Int, failure: Schema.Never })
const Ticks = Source.define("Ticks", { input: Schema.Int, value: Schema.Int, failure: Schema.Never })

type Ask = { readonly _tag: "Ask"; readonly text: string } | { readonly _tag: "Found"; readonly hits: number }
const unanswered = (state: { readonly hits: number }, action: Ask) =>
  action._tag === "Ask"
    ? action.text === ""
      ? Reducer.step(state, Fx.reject({ _tag: "Empty" }))
      : Reducer.step(state, Fx.perform(Find, action.text))
    : Reducer.step({ hits: action.hits })
const search = Reducer.withOutcomes(unanswered, {
  Find: { success: (hits) => ({ _tag: "Found", hits }), failure: (never) => never }
})

const made = TestStore.make(search, { initial: { hits: 0 } })
export type Needs = Proof<
  Equals<
    typeof made extends Effect.Effect<infer _A, infer _E, infer R> ? R : never,
    Scope.Scope | Task.Handler<"Find">
  >
>
export type Fails = Proof<Equals<typeof made extends Effect.Effect<infer _A, infer E, infer _R> ? E : 0, never>>

const store = a<Effect.Success<typeof made>>()
store.send({ _tag: "Ask", text: "a" })
store.send({ _tag: "Ask", text: "" }, { rejected: { _tag: "Empty" } })
store.receive({ _tag: "Found", hits: 1 }, { state: { hits: 1 } })
store.receivePartial({ _tag: "Found" }, { state: {} })
store.problem({ _tag: "TaskDefect", task: "Find" })

// @ts-expect-error -- a task without outcomes
TestStore.make(unanswered, { initial: { hits: 0 } })
// @ts-expect-error -- no such state
TestStore.make(search, { initial: { hits: "0" } })
// @ts-expect-error -- no such option
TestStore.make(search, { initial: { hits: 0 }, claims: "some" })
// @ts-expect-error -- no such action
store.send({ _tag: "Asked", text: "a" })
// @ts-expect-error -- an action is said whole, or with receivePartial
store.receive({ _tag: "Found" })
// @ts-expect-error -- no such state
store.send({ _tag: "Ask", text: "a" }, { state: { hits: "1" } })
// @ts-expect-error -- a state is said whole, or with sendPartial
store.send({ _tag: "Ask", text: "a" }, { state: {} })
// @ts-expect-error -- what is refused leads to no state
store.send({ _tag: "Ask", text: "" }, { rejected: { _tag: "Empty" }, state: { hits: 1 } })
// @ts-expect-error -- it is not refused for this reason
store.send({ _tag: "Ask", text: "" }, { rejected: { _tag: "Full" } })
// @ts-expect-error -- what effects send back nobody is told a refusal of
store.receive({ _tag: "Found", hits: 1 }, { rejected: { _tag: "Empty" } })
// @ts-expect-error -- no such problem
store.problem({ _tag: "Broken" })

const unprovided = TestStore.unprovided(Find, Ticks)
export type Provides = Proof<
  Equals<typeof unprovided, Layer.Layer<Task.Handler<"Find"> | Source.Handler<"Ticks">>>
>

const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({}) } })
const door = Aggregate.define(Door, {
  initial: { open: false },
  decide: (state, _command) => state.open ? Fx.reject({ _tag: "AlreadyOpen" }) : Fx.append(Door.Opened()),
  evolve: (_state, _event) => ({ open: true })
})
const doorsMade = TestStore.aggregate(door)
export type NeedsOfDoors = Proof<
  Equals<
    typeof doorsMade extends Effect.Effect<infer _A, infer _E, infer R> ? R : never,
    EventStore | Scope.Scope
  >
>
const doors = a<Effect.Success<typeof doorsMade>>()
doors.dispatch("a", Door.Open(), { events: [Door.Opened()], state: { open: true } })
doors.dispatch("a", Door.Open(), { rejected: { _tag: "AlreadyOpen" } })
doors.receive("a", Door.Open())

// @ts-expect-error -- an event is not dispatched
doors.dispatch("a", Door.Opened())
// @ts-expect-error -- commands are not stored
doors.dispatch("a", Door.Open(), { events: [Door.Open()] })
// @ts-expect-error -- what is refused stores nothing
doors.dispatch("a", Door.Open(), { rejected: { _tag: "AlreadyOpen" }, events: [] })
// @ts-expect-error -- which instance?
doors.receive(Door.Open())
