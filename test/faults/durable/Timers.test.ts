/**
 * Timers on PostgreSQL: they outlive the processes that wait for them, and are replaced and cancelled from any process.
 * `TIMER_RACES` asks for more races of a cancel with its timer.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import { Outbox } from "@composable-ts/core/Outbox"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Array, Effect, Layer, Redacted, Schedule, Stream } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Alarm, alarm, durableAlarm } from "./Alarms.ts"

const races = Number(process.env["TIMER_RACES"] ?? 60)

const script = fileURLToPath(new URL("./Worker.ts", import.meta.url))

const Here = AggregateStore.layerDurable(durableAlarm).pipe(
  Layer.provideMerge(Layer.mergeAll(PostgresEventStore.layer(), PostgresOutbox.layer())),
  Layer.provideMerge(TestDatabase.layer)
)

const alarms = AggregateStore.service(alarm)

/** A store of another process: with connections and a cache of its own. */
const elsewhere = Effect.gen(function*() {
  const { config } = yield* PgClient.PgClient
  const Stores = AggregateStore.layerDurable(durableAlarm).pipe(
    Layer.provide(PostgresEventStore.layerOpen()),
    Layer.provide(PgClient.layer({ url: config.url ?? assert.fail("no url"), maxConnections: 2 }))
  )
  return yield* Effect.provideContext(alarms, yield* Layer.build(Layer.fresh(Stores)))
})

/** A worker in a process of its own, killed when the scope ends. */
const worker = Effect.gen(function*() {
  const { config } = yield* PgClient.PgClient
  const url = Redacted.value(config.url ?? assert.fail("no url"))
  return yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [script, url], { stdio: "inherit" })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
})

const has = (id: string, what: string) =>
  Effect.flatMap(alarms, (store) =>
    Effect.repeat(store.state(id), {
      until: ({ state }) => state.includes(what),
      schedule: Schedule.spaced("20 millis")
    }))

const stateOf = (id: string) => Effect.flatMap(alarms, (store) => Effect.map(store.state(id), ({ state }) => state))

const waiting = Effect.flatMap(Outbox, (outbox) => outbox.list({ limit: 1_000 }))

describe("timers", () => {
  it.live(
    "a process is killed while a timer waits; another fires it, once and not too early",
    () =>
      Effect.gen(function*() {
        const store = yield* alarms
        yield* Effect.scoped(Effect.gen(function*() {
          yield* worker
          yield* store.dispatch("proof", Alarm.Wind({ nr: 0, millis: 0 }))
          yield* has("proof", "rang 0")
          yield* store.dispatch("1", Alarm.Wind({ nr: 1, millis: 3_000 }))
        }))
        const [entry] = yield* waiting
        assert.strictEqual(entry?.status, "waiting")
        yield* worker
        yield* has("1", "rang 1")
        const [, rang] = yield* Stream.runCollect(store.history("1"))
        const late = rang!.recorded.recordedAt - entry!.dueAt
        assert.isAtLeast(late, 0)
        assert.isBelow(late, 20_000)
        assert.deepStrictEqual([yield* waiting, yield* stateOf("1")], [[], ["wound 1", "rang 1"]])
      }).pipe(Effect.scoped, Effect.provide(Here)),
    60_000
  )

  it.live(
    "a timer is replaced and cancelled by processes that did not set it, between those that run it",
    () =>
      Effect.gen(function*() {
        const here = yield* alarms
        const there = yield* elsewhere
        yield* here.dispatch("replaced", Alarm.Wind({ nr: 1, millis: 200 }))
        yield* there.dispatch("replaced", Alarm.Wind({ nr: 2, millis: 600_000 }))
        yield* here.dispatch("replaced", Alarm.Wind({ nr: 3, millis: 400 }))
        yield* here.dispatch("silenced", Alarm.Wind({ nr: 1, millis: 200 }))
        yield* there.dispatch("silenced", Alarm.Silence())
        yield* there.dispatch("last", Alarm.Wind({ nr: 1, millis: 600 }))
        assert.strictEqual((yield* waiting).length, 2)
        yield* worker
        yield* has("last", "rang 1")
        yield* has("replaced", "rang 3")
        assert.deepStrictEqual(yield* waiting, [])
        assert.deepStrictEqual(yield* stateOf("replaced"), ["wound 1", "wound 2", "wound 3", "rang 3"])
        assert.deepStrictEqual(yield* stateOf("silenced"), ["wound 1", "silenced"])
      }).pipe(Effect.scoped, Effect.provide(Here)),
    60_000
  )

  it.live(
    `${races} cancels race their timers: each timer rings before its cancel, or never`,
    () =>
      Effect.gen(function*() {
        const there = yield* elsewhere
        const here = yield* alarms
        const delays = Array.makeBy(races, (nr) => Math.floor(nr / races * 60))
        yield* Effect.forEach(delays, (millis, nr) =>
          Effect.andThen(
            here.dispatch(`${nr}`, Alarm.Wind({ nr, millis: 30 })),
            Effect.andThen(Effect.sleep(millis), there.dispatch(`${nr}`, Alarm.Silence()))
          ), { concurrency: 16 }).pipe(
            Effect.andThen(Effect.repeat(waiting, {
              until: (entries) => entries.length === 0,
              schedule: Schedule.spaced("20 millis")
            })),
            Effect.raceFirst(EffectWorker.run([durableAlarm]))
          )
        // One that rings first and is not cancelled, one that is before anybody runs it.
        yield* here.dispatch("early", Alarm.Wind({ nr: 0, millis: 0 }))
        yield* Effect.raceFirst(has("early", "rang 0"), EffectWorker.run([durableAlarm]))
        yield* there.dispatch("early", Alarm.Silence())
        assert.deepStrictEqual(yield* stateOf("early"), ["wound 0", "rang 0", "silenced"])
        for (const nr of delays.keys()) {
          const state = yield* stateOf(`${nr}`)
          assert.include([`wound ${nr},silenced`, `wound ${nr},rang ${nr},silenced`], state.join())
        }
      }).pipe(Effect.scoped, Effect.provide(Here)),
    60_000
  )
})
