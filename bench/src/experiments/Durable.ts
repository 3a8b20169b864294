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
import * as Fiber from "effect/Fiber"
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

const [id, backlogId] = ["durable.noop", "durable.backlog"]

/** How many instances have errands. */
const instances = 1_000

/** An empty log, and the errands' store and outbox on it. */
const opened = Effect.gen(function*() {
  const log = yield* Log.open
  const context = yield* Layer.build(
    AggregateStore.layerDurable(durableErrand).pipe(
      Layer.provideMerge(PostgresOutbox.layer()),
      Layer.provideMerge(Layer.succeedContext(log.context))
    )
  )
  return { context, log }
})

const noop: Experiment = {
  measures: [{
    id,
    unit: "tasks/s",
    better: "higher",
    about:
      "A worker claims stored tasks, runs a handler that does nothing, and stores each outcome's event in the commit that " +
      "completes the task."
  }],
  open: ({ events }) =>
    Effect.gen(function*() {
      const { context, log } = yield* opened
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

/** Stores entries as appends would have long ago; there may be a million of them. */
const fill = ({ sql }: Log.Log, count: number): Effect.Effect<unknown, Error> =>
  sql`INSERT INTO composable.outbox (global_position, index, stream_id, command_id, kind, body, ordered, due_at, free_at)
    SELECT n, 0, 'errand-' || n % ${instances}, 'before ' || n, 'errand/perform/Nothing.v1', '{"input": null}', true,
      moment, moment
    FROM generate_series(1, ${count}::int) AS n,
      LATERAL (SELECT now() - interval '1 day' + n * interval '1 millisecond' AS moment) AS at`

/** How many more entries than a round completes are there when the first begins. */
const depth = 50

/** The same with a backlog: of a million entries in a full run, of which the rounds leave most to be done. */
const backlog: Experiment = {
  measures: [{
    id: backlogId,
    unit: "tasks/s",
    better: "higher",
    about: "The same with a backlog behind it, of a million tasks in a full run."
  }],
  open: ({ events }) =>
    Effect.gen(function*() {
      const { context, log } = yield* opened
      const count = Math.max(instances, events / 5)
      yield* fill(log, depth * count)
      const ours = () =>
        Effect.gen(function*() {
          const before = yield* Log.head(log)
          const start = performance.now()
          const worker = yield* Effect.forkChild(
            Effect.provide(EffectWorker.run([durableErrand]), Task.layer(Nothing, () => Effect.succeed(null)))
          )
          yield* Effect.repeat(Log.head(log), {
            until: (head) => head - before >= BigInt(count),
            schedule: Schedule.spaced("10 millis")
          })
          const done = Number((yield* Log.head(log)) - before)
          const { perSecond } = rate(done, start)
          yield* Fiber.interrupt(worker)
          const [row] = yield* log.sql<{ left: number; events: number }>`
            SELECT (SELECT count(*)::int FROM composable.outbox) AS left,
              (SELECT count(*)::int FROM composable.events) AS events`
          const { events, left } = row!
          const fault = left + events === depth * count
            ? undefined
            : `of ${depth * count} entries ${left} are left, and ${events} outcomes are stored`
          return { figures: { [backlogId]: perSecond }, fault }
        }).pipe(Effect.provideContext(context))
      return { ours }
    })
}

export const experiments: ReadonlyArray<Experiment> = [noop, backlog]
