/**
 * Durable effects on PostgreSQL: many workers, groups of commands, claims that end in the commit of an append.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import { Outbox } from "@composable-ts/core/Outbox"
import * as Task from "@composable-ts/core/Task"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Layer, Schedule, Schema } from "effect"
import { connect, suite, type TestLog } from "./TestLog.ts"

const Work = Task.define("Work", {
  input: Schema.Struct({ nr: Schema.Int }),
  success: Schema.Int,
  failure: Schema.Never
})

const Job = Action.define("Job", {
  commands: { Ask: { nr: Schema.Int }, Done: { nr: Schema.Int } },
  events: { Asked: Event.v1({ nr: Schema.Int }), Finished: Event.v1({ nr: Schema.Int }) }
})

const job = Aggregate.define(Job, {
  initial: { asked: 0, finished: [] as ReadonlyArray<number> },
  decide: (_state, command) =>
    Fx.append(command._tag === "Ask" ? Job.Asked({ nr: command.nr }) : Job.Finished({ nr: command.nr })),
  evolve: (state, event) =>
    event._tag === "Asked"
      ? { ...state, asked: state.asked + 1 }
      : { ...state, finished: [...state.finished, event.nr] },
  react: (_state, event) => event._tag === "Asked" ? Fx.perform(Work, { nr: event.nr }) : Fx.none,
  outcomes: { Work: { success: (nr) => Job.Done({ nr }), failure: (never) => never } }
})

const durableJob = DurableAggregate.make(job, { tasks: [Work] })

/** A process of its own: its connections, stores and caches. */
const process_ = (log: TestLog) =>
  Effect.gen(function*() {
    const client = yield* connect({ url: log.url })
    const events = yield* log.another
    const outbox = yield* Effect.provideService(
      PostgresOutbox.open({ schema: log.schema }),
      PgClient.PgClient,
      client
    )
    const Stores = Layer.mergeAll(Layer.succeed(EventStore, events), Layer.succeed(Outbox, outbox))
    return { outbox, layer: Layer.provideMerge(AggregateStore.layerDurable(durableJob), Stores) }
  })

const settled = (outbox: Outbox["Service"]) =>
  Effect.repeat(outbox.list({ limit: 1 }), {
    until: (entries) => entries.length === 0,
    schedule: Schedule.spaced("20 millis")
  })

suite("durable effects on PostgreSQL", (test) => {
  test(
    "of 4 workers each effect is begun by one, in the order of its instance, and has one outcome",
    (log) =>
      Effect.gen(function*() {
        const begun = new Map<number, globalThis.Array<number>>()
        const handler = Task.layer(Work, ({ nr }) =>
          Effect.andThen(
            Effect.sync(() => {
              const [instance, place] = [Math.floor(nr / 1_000), nr % 1_000]
              begun.set(instance, [...begun.get(instance) ?? [], place])
            }),
            Effect.as(Effect.sleep(nr % 7), nr)
          ))
        for (let i = 0; i < 4; i++) {
          const { layer } = yield* process_(log)
          yield* Effect.forkScoped(
            Effect.provide(EffectWorker.run([durableJob], { concurrency: 5, poll: "50 millis" }), [
              Layer.provideMerge(handler, layer)
            ])
          )
        }
        const { layer, outbox } = yield* process_(log)
        const store = yield* Effect.provide(AggregateStore.makeDurable(durableJob), layer)
        yield* Effect.forEach(Array.range(1, 8), (instance) =>
          Effect.forEach(
            Array.range(0, 24),
            (place) => store.dispatch(`i-${instance}`, Job.Ask({ nr: instance * 1_000 + place }))
          ), { concurrency: "unbounded" })
        yield* settled(outbox)
        for (let instance = 1; instance <= 8; instance++) {
          assert.deepStrictEqual(begun.get(instance), Array.range(0, 24), `instance ${instance}`)
          const { state } = yield* store.state(`i-${instance}`)
          assert.deepStrictEqual(
            state.finished.toSorted((a, b) => a - b),
            Array.range(0, 24).map((place) => instance * 1_000 + place)
          )
        }
      }),
    60_000
  )
})
