/**
 * What a story infers from its subject, and what it forbids. Type-checked, never run.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Compose from "@composable-ts/core/Compose"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Task from "@composable-ts/core/Task"
import * as Scenario from "@composable-ts/testing/Scenario"
import { Schema } from "effect"

const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.String,
  failure: Schema.TaggedStruct("Declined", {})
})
const Roll = Task.define("Roll", { input: Schema.Null, success: Schema.Int, failure: Schema.Never })
const Ticks = Source.define("Ticks", { input: Schema.Null, value: Schema.Int, failure: Schema.Never })
const Prices = Source.define("Prices", { input: Schema.Null, value: Schema.Int, failure: Schema.Literal("closed") })

type Pay = { readonly _tag: "Pay"; readonly cents: number } | { readonly _tag: "Paid" } | { readonly _tag: "Failed" }
const till = Reducer.withOutcomes(
  (paid: number, action: Pay) => {
    switch (action._tag) {
      case "Pay":
        return action.cents > 0
          ? Reducer.step(paid, Fx.perform(Charge, { cents: action.cents }))
          : Reducer.step(paid, Fx.reject({ _tag: "NotPositive" }))
      case "Paid":
        return Reducer.step(paid + 1, Fx.none)
      case "Failed":
        return Reducer.step(paid, Fx.all(Fx.subscribe(Ticks, null, "t"), Fx.subscribe(Prices, null, "p")))
    }
  },
  {
    Charge: { success: () => ({ _tag: "Paid" }), failure: () => ({ _tag: "Failed" }) },
    Ticks: { value: () => ({ _tag: "Paid" }), failure: (never) => never },
    Prices: { value: () => ({ _tag: "Paid" }), failure: () => ({ _tag: "Failed" }) }
  }
)
const counter = (count: number, _action: { readonly _tag: "Increment" }) => Reducer.step(count + 1)

Scenario.run(till, { initial: 0 }, (story) => {
  story.send({ _tag: "Pay", cents: 5 }, { fx: Fx.perform(Charge, { cents: 5 }) })
  story.answer(Charge, { cents: 5 }, { success: "receipt" }).receive({ _tag: "Paid" }, { state: 1 })
  story.answer(Scenario.one(Charge, { nth: 0 }), ({ cents }) => cents > 5, { failure: { _tag: "Declined" } })
  story.send({ _tag: "Pay", cents: 0 }, { rejected: { _tag: "NotPositive" } })
  story.yields(Ticks, 1, 2).ends(Ticks)
  story.fails(Prices, "closed")
  const count: number = story.state
  story.interleavings({
    answers: (may) => [may.answer(Charge, { cents: 5 }, { success: "r" }, { failure: { _tag: "Declined" } })],
    invariant: (paid) => paid >= count
  })
  const way: Scenario.Way<number> = story.explore({
    actions: [{ _tag: "Paid" }],
    until: (paid) => paid > 3,
    maxSteps: 4
  })
  void way

  // @ts-expect-error -- another feature's action
  story.send({ _tag: "Increment" })
  // @ts-expect-error -- an action without its fields
  story.send({ _tag: "Pay" })
  // @ts-expect-error -- not a state
  story.send({ _tag: "Paid" }, { state: "one" })
  // @ts-expect-error -- not an effect of this feature
  story.send({ _tag: "Paid" }, { fx: Fx.perform(Roll, null) })
  // @ts-expect-error -- a claim that there is not
  story.send({ _tag: "Paid" }, { effects: Fx.none })
  // @ts-expect-error -- not a reason that it gives
  story.send({ _tag: "Pay", cents: 0 }, { rejected: { _tag: "TooLate" } })
  // @ts-expect-error -- refused and accepted at once
  story.send({ _tag: "Pay", cents: 0 }, { rejected: { _tag: "NotPositive" }, state: 1 })
  // @ts-expect-error -- a reducer records no events
  story.send({ _tag: "Paid" }, { events: [] })
  // @ts-expect-error -- another feature's task
  story.answer(Roll, null, { success: 5 })
  // @ts-expect-error -- another input
  story.answer(Charge, { euros: 5 }, { success: "r" })
  // @ts-expect-error -- not what the task yields
  story.answer(Charge, { cents: 5 }, { success: 5 })
  // @ts-expect-error -- not how the task fails
  story.answer(Charge, { cents: 5 }, { failure: { _tag: "Offline" } })
  // @ts-expect-error -- both at once
  story.answer(Charge, { cents: 5 }, { success: "r", failure: { _tag: "Declined" } })
  // @ts-expect-error -- a source is not answered
  story.answer(Ticks, null, { success: 1 })
  // @ts-expect-error -- not a value of the source
  story.yields(Ticks, "one")
  // @ts-expect-error -- no value at all
  story.yields(Ticks)
  // @ts-expect-error -- a source that never fails
  story.fails(Ticks, "closed")
  // @ts-expect-error -- another feature's action
  story.receive({ _tag: "Increment" })
  story.interleavings({
    // @ts-expect-error -- not what the task yields
    answers: (may) => [may.answer(Charge, { cents: 5 }, { success: 5 })],
    invariant: () => true
  })
  // @ts-expect-error -- no bound on the way
  story.explore({ actions: [], until: () => true })
  // @ts-expect-error -- exact claims name the whole of a state
  story.send({ _tag: "Paid" }, { state: (paid: number) => paid > 0 })
  story.sendPartial({ _tag: "Paid" }, { state: (paid) => paid > 0 })
  story.receivePartial({ _tag: "Pay" }, { state: 1 })
})

/** A task that never fails cannot be said to fail. */
const dice = Reducer.withOutcomes(
  (eyes: number, action: { readonly _tag: "Roll" } | { readonly _tag: "Rolled"; readonly eyes: number }) =>
    action._tag === "Roll" ? Reducer.step(eyes, Fx.perform(Roll, null)) : Reducer.step(action.eyes),
  { Roll: { success: (eyes) => ({ _tag: "Rolled", eyes }), failure: (never) => never } }
)
Scenario.run(dice, { initial: 1 }, (story) => {
  story.answer(Roll, null, { success: 5 })
  // @ts-expect-error -- it never fails
  story.answer(Roll, null, { failure: "dice lost" })
  // @ts-expect-error -- it never refuses
  story.send({ _tag: "Roll" }, { rejected: { _tag: "No" } })
})

Scenario.run(
  counter,
  { initial: 0, partial: true },
  (story) => story.send({ _tag: "Increment" }, { state: (count) => count > 0 })
)

// @ts-expect-error -- a reducer has no state of its own to begin at
Scenario.run(counter, {}, () => {})
// @ts-expect-error -- another state
Scenario.run(counter, { initial: "zero" }, () => {})
// @ts-expect-error -- nothing in a story waits
Scenario.run(counter, { initial: 0 }, async () => {})

Scenario.run(Compose.compose({ left: counter, till }), { initial: { left: 0, till: 0 } }, (story) => {
  story.send({ _tag: "left", action: { _tag: "Increment" } }, { state: { left: 1, till: 0 } })
  story.answer(Charge, { cents: 5 }, { success: "r" }).receive({ _tag: "till", action: { _tag: "Paid" } })
  story.sendPartial({ _tag: "left", action: { _tag: "Increment" } }, { state: { left: 2 } })
  // @ts-expect-error -- a part's action without its place
  story.send({ _tag: "Increment" })
  // @ts-expect-error -- an action of another part
  story.send({ _tag: "left", action: { _tag: "Paid" } })
  // @ts-expect-error -- no such part
  story.send({ _tag: "right", action: { _tag: "Increment" } })
})

const Door = Action.define("Door", {
  commands: { Open: {}, Ring: {} },
  events: { Opened: Event.v1({}), Rung: Event.v1({ cents: Schema.Int }) }
})
const door = Aggregate.define(Door, {
  initial: "shut" as "open" | "shut",
  decide: (state, command) =>
    command._tag === "Ring"
      ? Fx.append(Door.Rung({ cents: 1 }))
      : state === "open"
      ? Fx.reject({ _tag: "AlreadyOpen" })
      : Fx.append(Door.Opened()),
  evolve: (state, event) => event._tag === "Opened" ? "open" : state,
  react: (_state, event) => event._tag === "Rung" ? Fx.perform(Charge, { cents: event.cents }) : Fx.none,
  outcomes: { Charge: { success: () => Door.Open(), failure: () => Door.Open() } }
})

Scenario.run(door, { given: [Door.Opened()] }, (story) => {
  story.send(Door.Open(), { rejected: { _tag: "AlreadyOpen" } })
  story.send(Door.Ring(), { events: [Door.Rung({ cents: 1 })], fx: Fx.perform(Charge, { cents: 1 }) })
  story.answer(Charge, { cents: 1 }, { success: "r" }).receive(Door.Open(), { rejected: { _tag: "AlreadyOpen" } })
  // @ts-expect-error -- events are not sent
  story.send(Door.Opened())
  // @ts-expect-error -- a command is no event
  story.send(Door.Open(), { events: [Door.Open()] })
  // @ts-expect-error -- not a reason that it gives
  story.send(Door.Open(), { rejected: { _tag: "NotPositive" } })
  // @ts-expect-error -- not a state
  story.send(Door.Open(), { state: "ajar" })
  // @ts-expect-error -- a task that the door does not ask for
  story.answer(Roll, null, { success: 5 })
  // @ts-expect-error -- not what the task yields
  story.answer(Charge, { cents: 1 }, { success: 5 })
})
// @ts-expect-error -- a command is no past
Scenario.run(door, { given: [Door.Open()] }, () => {})
