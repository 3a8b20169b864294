/**
 * What effects that reach beyond the feature infer and need, and what they forbid.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import type { EventBus } from "@composable-ts/core/EventBus"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import type * as History from "@composable-ts/core/History"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import type * as StreamId from "@composable-ts/core/StreamId"
import { Context, Effect, Layer, type Scope } from "effect"
import { a, type Equals, type Proof } from "./Proof.ts"

const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({}) } })
const Light = Action.define("Light", { commands: { Switch: {} }, events: { Switched: Event.v1({}) } })
type DoorCommand = Action.CommandOf<typeof Door>
const door = Aggregate.define(Door, {
  initial: "shut" as "open" | "shut",
  decide: (state) => state === "open" ? Fx.reject({ _tag: "AlreadyOpen" }) : Fx.append(Door.Opened()),
  evolve: () => "open"
})

/** What is loaded comes as an action that names the state's type. */
const loaded = Fx.load(door, "1", "Seen")
export type Loaded = Proof<
  Equals<
    Fx.ActionOf<typeof loaded>,
    { readonly _tag: "Seen"; readonly id: string; readonly current: History.Current<"open" | "shut"> }
  >
>

/** Each reach is a need of the store. */
const dispatched = Fx.dispatch(door, "1", Door.Open())
const transacted = Fx.transact(a<Parameters<typeof Fx.transact>[0]>())
const published = Fx.publish("t", a<Parameters<typeof Fx.publish>[1]>())
class Dice extends Context.Service<Dice, number>()("test/Dice") {}
const ran = Fx.run(Effect.map(Dice, (eyes) => ({ _tag: "Rolled" as const, eyes })))
export type Needs = [
  Proof<Equals<Fx.NeedsOf<typeof dispatched>, Fx.Dispatcher<DoorCommand> | Scope.Scope>>,
  Proof<Equals<Fx.NeedsOf<typeof loaded>, Fx.Dispatcher<DoorCommand> | Scope.Scope>>,
  Proof<Equals<Fx.NeedsOf<typeof transacted>, EventStore | Scope.Scope>>,
  Proof<Equals<Fx.NeedsOf<typeof published>, EventBus | Scope.Scope>>,
  Proof<Equals<Fx.NeedsOf<typeof ran>, Dice | Scope.Scope>>,
  Proof<Equals<Fx.ActionOf<typeof ran>, { _tag: "Rolled"; eyes: number }>>
]

const knock = (state: number, _action: { readonly _tag: "Knock" }) =>
  [state, Fx.dispatch(door, "1", Door.Open())] as const
const knocking = Effect.scoped(Store.make(knock, { initial: 0 }))
export type StoreNeeds = Proof<Equals<Effect.Services<typeof knocking>, Fx.Dispatcher<DoorCommand>>>

const runnable = (program: Effect.Effect<unknown>) => program
const doors = Store.layer(door).pipe(Layer.provide(MemoryEventStore.layer))
const lights = Store.layer(
  Aggregate.define(Light, { initial: 0, decide: () => Fx.append(Light.Switched()), evolve: (n) => n + 1 })
).pipe(Layer.provide(MemoryEventStore.layer))
runnable(Effect.provide(knocking, doors))
// @ts-expect-error -- nobody dispatches to doors
runnable(knocking)
// @ts-expect-error -- the store of another aggregate
runnable(Effect.provide(knocking, lights))

// @ts-expect-error -- a command of another aggregate
Fx.dispatch(door, "1", Light.Switch())
// @ts-expect-error -- an event is dispatched: facts are not asked for
Fx.dispatch(door, "1", Door.Opened())
// @ts-expect-error -- an aggregate by its bare name
Fx.dispatch("door", "1", Door.Open())
// @ts-expect-error -- the action that reports has a name
Fx.load(door, "1")
// @ts-expect-error -- a command is published: only events are news
Fx.publish("t", Door.Open())
// @ts-expect-error -- an event that is not encoded yet
Fx.appendTo(a<StreamId.StreamId>(), ExpectedVersion.any, Door.Opened())
// @ts-expect-error -- a stream by its bare name
Fx.appendTo("door-1", ExpectedVersion.any, a<Parameters<typeof Fx.publish>[1]>())
// @ts-expect-error -- an append of nothing
Fx.appendTo(a<StreamId.StreamId>(), ExpectedVersion.any)
// @ts-expect-error -- a transaction of nothing
Fx.transact()

// @ts-expect-error -- an effect that may fail: its failure would be nobody's
Fx.run(Effect.fail("no"))

const deaf = (state: number, _action: { readonly _tag: "Knock" }) => [state, Fx.load(door, "1", "Seen")] as const
// @ts-expect-error -- what is loaded is no action of the feature
Store.make(deaf, { initial: 0 })
const mute = (state: number, _action: { readonly _tag: "Knock" }) => [state, ran] as const
// @ts-expect-error -- what is run yields no action of the feature
Store.make(mute, { initial: 0 })

const rules = { initial: 0, evolve: (n: number) => n + 1, decide: () => Fx.append(Light.Switched()) }
// @ts-expect-error -- an aggregate runs nothing that is not data
Aggregate.define(Light, { ...rules, react: () => Fx.run(Effect.succeed(Light.Switch())) })
// @ts-expect-error -- nor does its decision
Aggregate.define(Light, { ...rules, decide: () => Fx.run(Effect.succeed(Light.Switch())) })
// @ts-expect-error -- what an aggregate loads is one of its commands
Aggregate.define(Light, { ...rules, react: () => Fx.load(door, "1", "Seen") })
