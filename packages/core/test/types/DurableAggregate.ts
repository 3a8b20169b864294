/**
 * What a durable aggregate needs, and what cannot be one.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import type * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import type { EventBus } from "@composable-ts/core/EventBus"
import type { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import type { Outbox } from "@composable-ts/core/Outbox"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { type Layer, Schema } from "effect"
import { durableOrder, type Order, type Stock } from "../Shop.ts"
import type { Equals, Proof } from "./Proof.ts"

type OrderCommands = Action.CommandOf<typeof Order>
type StockCommands = Action.CommandOf<typeof Stock>

/** Storing needs no handlers. */
const stored = Store.layerDurable(durableOrder)
export type StoringNeeds = Proof<Equals<Layer.Services<typeof stored>, EventStore>>

/** Carrying out needs all of them. */
export type WorkerNeeds = Proof<
  Equals<
    EffectWorker.NeedsOf<typeof durableOrder>,
    | EventStore
    | Outbox
    | EventBus
    | Task.Handler<"Charge">
    | Fx.Dispatcher<OrderCommands>
    | Fx.Dispatcher<StockCommands>
  >
>

const Work = Task.define("Work", { input: Schema.Null, success: Schema.Null, failure: Schema.Never })
const Ticks = Source.define("Ticks", { input: Schema.Null, value: Schema.Int, failure: Schema.Never })
const Job = Action.define("Job", { commands: { Go: {}, Done: {} }, events: { Gone: Event.v1({}) } })
const job = Aggregate.define(Job, {
  initial: null,
  decide: (_state, _command) => Fx.append(Job.Gone()),
  evolve: () => null,
  react: (_state, _event) => Fx.all(Fx.perform(Work, null), Fx.subscribe(Ticks, null, "ticks")),
  outcomes: {
    Work: { success: () => Job.Done(), failure: (never) => never },
    Ticks: { value: () => Job.Done(), failure: (never) => never }
  }
})

/** A task that is not named, and a source, stand among the needs, where nobody can provide them. */
const incomplete = Store.layerDurable(DurableAggregate.make(job))
export type Missing = Proof<
  Equals<
    Layer.Services<typeof incomplete>,
    EventStore | DurableAggregate.TaskMissing<"Work"> | DurableAggregate.SourceNotDurable<"Ticks">
  >
>

/** A target's refusals become commands of the sender, and nothing else. */
DurableAggregate.make(job, {
  tasks: [Work],
  // @ts-expect-error -- not a command of Job
  targets: [DurableAggregate.target(job, () => ({ _tag: "Other" as const }))]
})
