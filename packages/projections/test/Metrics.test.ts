import { EventStore, type ReadAllOptions } from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Metric } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as OtlpMetrics from "effect/observability/OtlpMetrics"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as DeadLetter from "../src/DeadLetter.ts"
import * as Lease from "../src/Lease.ts"
import * as Poison from "../src/Poison.ts"
import * as Projection from "../src/Projection.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

/** The lines of a projection's metrics, as Prometheus reads them. */
const exported = (name: string) =>
  Effect.map(
    PrometheusMetrics.format(),
    (text) => text.split("\n").filter((line) => line.includes(`projection="${name}"`))
  )

const value = (lines: ReadonlyArray<string>, metric: string) =>
  Number(lines.find((line) => line.startsWith(`${metric}{`))?.split(" ").at(-1))

/** Metrics of its own for each test. */
const apart = Effect.provideServiceEffect(Metric.MetricRegistry, Effect.sync(() => new Map()))

describe("metrics of projections", () => {
  it.live("tell through Prometheus what was applied, how far behind it is, and who works on it", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(2_600)
      yield* Projection.catchUp(Tally.tally())
      const lines = yield* exported("tally")
      assert.isTrue(lines.every((line) => line.includes("version=\"1\"") && line.includes("partition=\"0\"")))
      assert.strictEqual(value(lines, "composable_projection_lag_events"), 0)
      assert.strictEqual(value(lines, "composable_projection_lag_seconds"), 0)
      assert.strictEqual(value(lines, "composable_projection_takeovers"), 1)
      assert.strictEqual(value(lines, "composable_projection_running"), 0)
      assert.strictEqual(value(lines, "composable_projection_waiting"), 0)
      assert.strictEqual(value(lines, "composable_projection_batch_size_count"), 2)
      assert.strictEqual(value(lines, "composable_projection_batch_duration_count"), 2)
      const notes = (yield* Tally.log).filter(({ type }) => type.startsWith("Noted")).length
      assert.strictEqual(value(lines, "composable_projection_events"), 2_600 - notes)
    }).pipe(apart, Effect.provide(database)))

  it.live("tell why a projection stopped", () =>
    Effect.gen(function*() {
      yield* Tally.appendVotes(20)
      const poisoned = Tally.tally(Tally.main, {
        before: ({ globalPosition }) => globalPosition === 10n ? Effect.fail("no") : Effect.void
      })
      yield* Effect.flip(Projection.catchUp(poisoned))
      const lines = yield* exported("tally")
      const failure = lines.find((line) => line.startsWith("composable_projection_failures{"))
      assert.match(failure ?? "", /error="ProjectionFailed".* 1$/)
      const last = lines.find((line) => line.startsWith("composable_projection_last_error_timestamp_seconds{")) ?? ""
      assert.match(last, /kind="string"/)
      assert.approximately(Number(last.split(" ").at(-1)), Date.now() / 1_000, 60)
    }).pipe(apart, Effect.provide(database)))

  it.live("tell that it waits for a database, that it has begun again since, and what is parked", () =>
    Effect.gen(function*() {
      const own = yield* EventStore
      let isAway = false
      const away = new EventStoreError({ operation: "read", retryable: true, cause: new Error("unplugged") })
      const poisoned = Tally.tally(Tally.main, {
        before: ({ globalPosition }) => globalPosition === 7n ? Effect.fail("no") : Effect.void
      })
      const runner = yield* Effect.forkChild(
        Effect.provideService(Projection.run({ ...poisoned, poison: Poison.park }), EventStore, {
          ...own,
          readAll: (options: ReadAllOptions) => Effect.suspend(() => isAway ? Effect.fail(away) : own.readAll(options))
        }).pipe(Effect.provideService(Lease.Time, "300 millis"))
      )
      const until = (metric: string, expected: number) =>
        Effect.gen(function*() {
          while (value(yield* exported("tally"), metric) !== expected) yield* Effect.sleep(5)
        })
      yield* Tally.until(yield* Tally.appendVotes(5))
      assert.isNaN(value(yield* exported("tally"), "composable_projection_restarts"))
      isAway = true
      yield* Tally.append(Tally.voted("a"))
      yield* until("composable_projection_waiting", 1)
      assert.strictEqual(value(yield* exported("tally"), "composable_projection_running"), 1)
      isAway = false
      yield* until("composable_projection_waiting", 0)
      yield* until("composable_projection_restarts", 1)
      yield* until("composable_projection_parked_streams", 0)
      yield* Tally.until(yield* Tally.append(Tally.voted("a")))
      yield* until("composable_projection_parked_streams", 1)
      yield* DeadLetter.discardStream(Tally.main, "votes-1")
      yield* until("composable_projection_parked_streams", 0)
      yield* Fiber.interrupt(runner)
    }).pipe(apart, Effect.provide(database), Effect.provide(Logger.layer([]))))

  it.live("go out by OTLP", () =>
    Effect.gen(function*() {
      const bodies: Array<unknown> = []
      const collector = HttpClient.make((request) =>
        Effect.sync(() => {
          if (request.body._tag === "Uint8Array") bodies.push(JSON.parse(new TextDecoder().decode(request.body.body)))
          return HttpClientResponse.fromWeb(request, new Response("{}"))
        })
      )
      yield* Tally.appendVotes(20)
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Layer.build(
          OtlpMetrics.layer({
            url: "http://127.0.0.1:1/v1/metrics",
            compression: "none",
            resource: { serviceName: "tallies" }
          }).pipe(
            Layer.provide(OtlpSerialization.layerJson),
            Layer.provide(Layer.succeed(HttpClient.HttpClient, collector))
          )
        )
        yield* Projection.catchUp(Tally.tally())
      }))
      const text = JSON.stringify(bodies.at(-1))
      for (const name of ["running", "events", "lag_events", "batch_duration", "parked_streams"]) {
        assert.include(text, `"name":"composable_projection_${name}"`)
      }
      assert.include(text, `{"key":"projection","value":{"stringValue":"tally"}}`)
    }).pipe(apart, Effect.provide(database)))
})
