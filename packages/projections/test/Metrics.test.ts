import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
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
    }).pipe(apart, Effect.provide(database)))
})
