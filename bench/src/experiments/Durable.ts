/**
 * Durable effects: tasks that do nothing are claimed, performed, and their outcomes stored in the commit that completes
 * them. What is measured begins with the worker, on a backlog that was stored before.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Task from "@composable-ts/core/Task"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { Experiment } from "../Contest.ts"
import * as Log from "../Log.ts"
import { numbers, rate } from "../Timing.ts"

const Nothing = Task.define("Nothing", { input: Schema.Null, success: Schema.Null, failure: Schema.Never })

const Errand = Action.define("Errand", {
  commands: { Ask: {}, Report: {} },
  events: { Asked: Event.v1({}), Done: Event.v1({}) }
})

const errand = Aggregate.define(Errand, {
  initial: null,
  decide: (_state, command) => Fx.append(command._tag === "Ask" ? Errand.Asked() : Errand.Done()),
  evolve: () => null,
  react: (_state, event) => event._tag === "Asked" ? Fx.perform(Nothing, null) : Fx.none,
  outcomes: { Nothing: { success: () => Errand.Report(), failure: (never) => never } }
})

const durableErrand = DurableAggregate.make(errand, { tasks: [Nothing] })

const id = "durable.noop"

/** How many instances have errands. */
const instances = 1_000

const noop: Experiment = {
  measures: [{ id, unit: "tasks/s", better: "higher" }],
  open: ({ events }) =>
    Effect.gen(function*() {
      const log = yield* Log.open
      const context = yield* Layer.build(
        AggregateStore.layerDurable(durableErrand).pipe(
          Layer.provideMerge(PostgresOutbox.layer()),
          Layer.provideMerge(Layer.succeedContext(log.context))
        )
      )
      const count = Math.max(instances, events / 10)
      const ours = (round: number) =>
        Effect.gen(function*() {
          const before = yield* Log.head(log)
          const store = yield* AggregateStore.service(errand)
          const outbox = yield* Outbox
          yield* Effect.forEach(
            numbers(count),
            (nr) => store.dispatch(`${round}.${nr % instances}`, Errand.Ask()),
            { concurrency: 256, discard: true }
          ).pipe(Effect.mapError((error) => error instanceof Error ? error : new Error(String(error))))
          const start = performance.now()
          const worker = yield* Effect.forkChild(
            Effect.provide(EffectWorker.run([durableErrand]), Task.layer(Nothing, () => Effect.succeed(null)))
          )
          yield* Effect.repeat(Log.head(log), {
            until: (head) => head - before >= BigInt(2 * count),
            schedule: Schedule.spaced("10 millis")
          })
          const { perSecond } = rate(count, start)
          worker.interruptUnsafe()
          const left = yield* outbox.list({ limit: 1 })
          const fault = left.length > 0 ? "entries were left" : yield* Log.faultOf(log, before, 2 * count)
          return { figures: { [id]: perSecond }, fault }
        }).pipe(Effect.provideContext(context))
      return { ours }
    })
}

export const experiments: ReadonlyArray<Experiment> = [noop]
