/**
 * The checks on Emmett's results: what is right passes, and what is not is told.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { connect, query, work } from "../../src/floor/Connection.ts"
import { handle, project } from "../../src/peers/emmettConsumer.ts"
import { eventAt, faultOf, open, type Settings } from "../../src/peers/emmettOrder.ts"
import { Server } from "../../src/Server.ts"
import { numbers } from "../../src/Timing.ts"
import * as TestServer from "../TestServer.ts"

const defaults: Settings = { connections: undefined, pulling: undefined, readModel: "documents" }
const tuned: Settings = {
  connections: 4,
  pulling: { batchSize: 1_000, pullingFrequencyInMs: 0 },
  readModel: "statements"
}

/**
 * Waits until nobody else is connected. A pool's end is told before its connections are gone, and one that then sees its
 * database dropped throws where nobody can catch it.
 */
const alone = (url: Redacted.Redacted): Effect.Effect<void, Error> =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connect(url)
    const others = query(client, {
      text: `SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      rowMode: "array"
    })
    yield* Effect.repeat(others, { until: (rows) => rows.length === 0, schedule: Schedule.spaced("10 millis") })
  }))

/** A store with an order of five events, closed before its database is dropped. */
const opened = (settings: Settings) =>
  Effect.gen(function*() {
    const { database } = yield* Server
    const url = yield* database
    const store = yield* Effect.acquireRelease(
      work(() => open(Redacted.value(url), settings)),
      (store) =>
        work(async () => {
          await store.store.close()
          if (!store.pool.ending) await store.pool.end()
        }).pipe(Effect.andThen(alone(url)), Effect.orDie)
    )
    yield* work(() => store.store.appendToStream("order-1", numbers(5).map((index) => eventAt("1", index))))
    return store
  })

const turn = { round: 0, milliseconds: 1, events: 5 }

layer(TestServer.layer, { excludeTestServices: true })("Emmett", (it) => {
  for (const [name, settings] of [["with its defaults", defaults], ["tuned", tuned]] as const) {
    it.effect(`${name}: right results pass, missing events are told`, () =>
      Effect.gen(function*() {
        const store = yield* opened(settings)
        assert.isUndefined(yield* work(() => faultOf(store, "1", 5)))
        assert.include(yield* work(() => faultOf(store, "1", 6)), "6 events were acknowledged, but 5 are stored")

        const right = yield* work(() => handle(store, turn))
        assert.isUndefined(right.fault)
        assert.isAbove(right.figure, 0)
        const missing = yield* work(() => handle(store, { ...turn, round: 1, events: 7 }))
        assert.include(missing.fault, "of 7 events it missed 2 and handled 0 twice")

        const written = yield* work(() => project(store, turn))
        assert.isUndefined(written.fault)
        assert.isAbove(written.figure, 0)
      }))
  }

  it.effect("a row that is not what it must be is told", () =>
    Effect.gen(function*() {
      const store = yield* opened(tuned)
      yield* work(() => store.store.appendToStream("order-1", [eventAt("1", 7)]))
      const { fault } = yield* work(() => project(store, { ...turn, events: 6 }))
      assert.include(fault, "the totals sum up to")
    }))
})
