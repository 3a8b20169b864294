import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Log from "../src/Log.ts"
import * as TestServer from "./TestServer.ts"

const damage = ({ sql }: Log.Log, statement: string) =>
  Effect.andThen(
    sql.unsafe("ALTER TABLE composable.events DISABLE TRIGGER ALL"),
    sql.unsafe(statement)
  )

/** A log of 7 + 250 events, of which the last 250 are in question. */
const filled = Effect.gen(function*() {
  const log = yield* Log.open
  yield* Log.fill(log, "before", 7)
  const before = yield* Log.head(log)
  yield* Log.fill(log, "1", 130)
  yield* Log.fill(log, "2", 120)
  return { before, log }
})

layer(TestServer.layer, { excludeTestServices: true })("Log", (it) => {
  it.effect("finds nothing wrong with what is right", () =>
    Effect.gen(function*() {
      const { before, log } = yield* filled
      assert.strictEqual(before, 7n)
      assert.strictEqual(yield* Log.head(log), 257n)
      assert.isUndefined(yield* Log.faultOf(log, before, 250))
      assert.isUndefined(yield* Log.faultOf(log, 257n, 0))
    }))

  it.effect("finds events that were acknowledged but are not stored, or stored but not acknowledged", () =>
    Effect.gen(function*() {
      const { before, log } = yield* filled
      assert.include(yield* Log.faultOf(log, before, 251), "251 events were acknowledged, but 250 are stored")
      assert.include(yield* Log.faultOf(log, before, 249), "249 events were acknowledged, but 250 are stored")
      assert.include(yield* Log.faultOf(log, 257n, 1), "1 events were acknowledged, but 0 are stored")
    }))

  it.effect("finds a gap in the global order", () =>
    Effect.gen(function*() {
      const { before, log } = yield* filled
      yield* damage(log, "UPDATE composable.events SET global_position = 300 WHERE global_position = 200")
      assert.include(yield* Log.faultOf(log, before, 250), "250 events take 293 global positions")
    }))

  it.effect("finds a gap in a stream", () =>
    Effect.gen(function*() {
      const { before, log } = yield* filled
      yield* damage(log, "UPDATE composable.events SET version = 500 WHERE stream_id = 'order-2' AND version = 60")
      assert.include(yield* Log.faultOf(log, before, 250), "1 streams have gaps")
    }))
})
