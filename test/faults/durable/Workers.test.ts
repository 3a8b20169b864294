/**
 * Durable effects on PostgreSQL under faults: workers in processes that are killed, connections that are lost when an
 * outcome commits, workers that are interrupted. `DURABLE_KILLS` and `DURABLE_ROUNDS` ask for more than a few.
 */
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as EffectWorker from "@composable-ts/core/EffectWorker"
import { EventStore } from "@composable-ts/core/EventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Array, Effect, Fiber, Layer, Redacted, References, Schedule } from "effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as TcpProxy from "../postgres/TcpProxy.ts"
import { createRequests, durableJob, Job, job, provider } from "./Jobs.ts"

const kills = Number(process.env["DURABLE_KILLS"] ?? 5)
const rounds = Number(process.env["DURABLE_ROUNDS"] ?? 8)

const script = fileURLToPath(new URL("./Worker.ts", import.meta.url))

const Stores = Layer.mergeAll(AggregateStore.layerDurable(durableJob), provider).pipe(
  Layer.provideMerge(Layer.mergeAll(PostgresEventStore.layer(), PostgresOutbox.layer()))
)

const Here = Layer.provideMerge(Stores, TestDatabase.layer)

const urlOfThis = Effect.map(PgClient.PgClient, ({ config }) => Redacted.value(config.url ?? assert.fail("no url")))

const query = <A>(text: string) => Effect.flatMap(PgClient.PgClient, (client) => client.unsafe<A & object>(text))

/** Jobs of eight instances, asked for twice each, as by a client that has lost an answer. */
const ask = (from: number, count: number) =>
  Effect.flatMap(AggregateStore.service(job), (store) =>
    Effect.forEach(Array.range(from, from + count - 1), (nr) => {
      const once = store.dispatch(`${nr % 8}`, Job.Ask({ nr }), { commandId: `ask ${nr}` })
      return Effect.andThen(once, once)
    }, { concurrency: 8 }))

const settled = Effect.flatMap(Outbox, (outbox) =>
  Effect.repeat(outbox.list({ limit: 1 }), {
    until: (entries) => entries.length === 0,
    schedule: Schedule.spaced("50 millis")
  }))

/** Each job has one recorded outcome, and each of its requests one key. */
const verify = (count: number) =>
  Effect.gen(function*() {
    const { events } = yield* (yield* EventStore).readAll({ after: 0n, limit: 1_000_000 })
    const numbers = (type: string) =>
      events.flatMap((event) => event.type === type ? [(event.data as { readonly nr: number }).nr] : [])
        .toSorted((a, b) => a - b)
    const all = Array.range(0, count - 1)
    assert.deepStrictEqual(numbers("Asked.v1"), all)
    assert.deepStrictEqual(numbers("Finished.v1"), all)
    const [keys] = yield* query<{ keys: number; nrs: number; pairs: number }>(`SELECT count(DISTINCT key)::int AS keys,
      count(DISTINCT nr)::int AS nrs, count(DISTINCT (key, nr))::int AS pairs FROM public.requests`)
    assert.deepStrictEqual(keys, { keys: count, nrs: count, pairs: count })
    assert.isAtLeast(numbers("Told.v1").length, 1)
  })

describe("workers under faults", () => {
  it.live(`T44: processes are killed ${kills} times, and each job has one outcome`, () =>
    Effect.gen(function*() {
      yield* query(createRequests)
      const url = yield* urlOfThis
      const start = Effect.acquireRelease(
        Effect.sync(() => spawn(process.execPath, [script, url], { stdio: "inherit" })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const asking = yield* Effect.forkChild(
        Effect.forEach(Array.range(0, 19), (i) => Effect.andThen(ask(i * 20, 20), Effect.sleep("100 millis")))
      )
      yield* Effect.forEach(Array.range(1, kills), () =>
        Effect.scoped(Effect.andThen(start, Effect.sleep(800 + Math.random() * 700))), { concurrency: 2 })
      yield* Fiber.join(asking)
      yield* start
      yield* settled
      yield* verify(400)
    }).pipe(Effect.scoped, Effect.provide(Here)), 60_000 + kills * 3_000)

  for (const kind of ["replyLost", "requestUnanswered", "requestLost"] as const) {
    it.live(`T10, T45: ${rounds} times ${kind} when an outcome commits`, () =>
      Effect.gen(function*() {
        yield* query(createRequests)
        const direct = new URL(yield* urlOfThis)
        const proxy = yield* TcpProxy.make(Number(direct.port))
        direct.port = String(proxy.port)
        yield* ask(0, rounds)
        const stored = yield* (yield* Outbox).list({ limit: 1_000 })
        for (const { globalPosition, index } of stored) {
          const id = `effect:${globalPosition}-${index}`
          proxy.arrange({ kind, when: (data) => data.includes(id) })
        }
        const Proxied = Layer.fresh(Stores).pipe(
          Layer.provideMerge(PgClient.layer({ url: Redacted.make(direct.href), maxConnections: 4 }))
        )
        yield* Effect.raceFirst(
          Effect.provide(EffectWorker.run([durableJob], { lease: "2 seconds", poll: "100 millis" }), Proxied),
          settled
        ).pipe(Effect.provideService(References.MinimumLogLevel, "Fatal"))
        assert.isAbove(proxy.happened(), rounds / 4)
        yield* verify(rounds)
      }).pipe(Effect.scoped, Effect.provide(Here)), 60_000)
  }

  it.live(
    "T67: workers are interrupted at any moment; nothing is lost, and no transaction is left open",
    () =>
      Effect.gen(function*() {
        yield* query(createRequests)
        yield* ask(0, 100)
        for (let i = 0; i < rounds; i++) {
          const worker = yield* Effect.forkChild(
            EffectWorker.run([durableJob], { lease: "1 second", poll: "50 millis", deadline: 0, concurrency: 4 })
          )
          yield* Effect.sleep(Math.random() * 15)
          yield* Fiber.interrupt(worker)
        }
        const open = yield* query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )
        assert.deepStrictEqual(open, [])
        yield* Effect.raceFirst(EffectWorker.run([durableJob], { lease: "1 second", poll: "50 millis" }), settled)
        yield* verify(100)
      }).pipe(Effect.provide(Here)),
    60_000
  )
})
