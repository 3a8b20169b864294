/**
 * A server killed with all its processes, as by a power cut, and started again.
 */
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { assert, describe, it } from "@effect/vitest"
import { Array, Effect, Schedule } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import * as TestLog from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"
import * as Writers from "./Writers.ts"

const kills = Number(process.env.FAULT_KILLS ?? 3)
const seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)

describe(`a killed server (FAULT_SEED=${seed})`, () => {
  it.live(`T24: ${kills} times under 32 writers, with a subscriber that runs through it`, () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start()
      const log = yield* TestLog.make(server.url)
      const stores = yield* Effect.forEach(Array.range(1, 4), () => log.another)
      const follower = yield* Follower.follow(stores[0]!)
      const stop = yield* Writers.start({ stores, writers: 32, streams: 8, seed })
      const stored = () => log.history.filter(({ outcome }) => outcome._tag === "Stored").length
      const progress = Effect.suspend(() => {
        const goal = stored() + 500
        return Effect.repeat(Effect.sync(stored), {
          until: (count) => count >= goal,
          schedule: Schedule.spaced("5 millis")
        })
      })
      for (let kill = 0; kill < kills; kill++) {
        yield* Effect.timeout(progress, "20 seconds")
        yield* server.kill
        yield* server.restart
      }
      yield* Effect.timeout(progress, "20 seconds")
      yield* stop
      const rows = yield* Invariants.assertSound(log.sql, log.schema, log.history)
      yield* Effect.timeout(follower.received(rows.length), "10 seconds")
      assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
      const unknown = log.history.filter(({ outcome }) => outcome._tag === "Unknown")
      assert.deepStrictEqual(unknown, [], "every outcome was found out")
    }), 60_000 + 10_000 * kills)

  const acknowledgedThenKilled = (sabotage: (log: TestLog.TestLog) => Effect.Effect<void, unknown>) =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start({ settings: { synchronous_commit: "off", wal_writer_delay: "10s" } })
      const log = yield* TestLog.make(server.url)
      yield* sabotage(log)
      yield* log.sql`CHECKPOINT`
      for (let i = 0; i < 30; i++) yield* log.store.append(stream("a"), { _tag: "Any" }, several(1 + i % 2))
      yield* server.kill
      yield* server.restart
      const readRows = Effect.retry(Invariants.readRows(log.sql, log.schema), { times: 20 })
      return Invariants.historyViolations(yield* readRows, log.history)
    })

  it.live(
    "T64: what was acknowledged survives, though the server's synchronous_commit is off",
    () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* acknowledgedThenKilled(() => Effect.void), [])
      }),
    60_000
  )

  it.live("T64 control: without the guard, acknowledged events are lost", () =>
    Effect.gen(function*() {
      const lost = yield* acknowledgedThenKilled(({ schema, sql }) => Sabotage.commitAsSessionDoes(sql, schema))
      assert.isNotEmpty(lost)
    }), 60_000)
})
