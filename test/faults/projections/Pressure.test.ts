/**
 * T42 and T61: a producer that is faster than its projector, and more work than connections. `SECONDS` says for how long
 * the producer goes on; 2 where it is not set.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Consistency from "@composable-ts/projections/Consistency"
import * as Projection from "@composable-ts/projections/Projection"
import { NotCaughtUp } from "@composable-ts/projections/ProjectionError"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { pageSize } from "../../../packages/projections/src/internal/LogReader.ts"
import * as Tally from "../../../packages/projections/test/Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const seconds = Number(process.env["SECONDS"] ?? "2")

const megabyte = 1024 * 1024

describe("T42: a producer that is faster than the projector", () => {
  it.live(
    "fills the log and not the memory: no more is read ahead than two pages",
    () =>
      Effect.gen(function*() {
        const log = yield* EventStore
        let [read, applied, ahead, behind] = [0n, 0n, 0n, 0n]
        const counting = {
          ...log,
          readAll: (options: Parameters<typeof log.readAll>[0]) =>
            Effect.tap(log.readAll(options), ({ head, position }) =>
              Effect.sync(() => {
                if (position > read) read = position
                if (read - applied > ahead) ahead = read - applied
                if (head - applied > behind) behind = head - applied
              }))
        }
        // A tenth of a millisecond for each event, until the producer is done.
        let isSlow = true
        const slow = Tally.batchTally(Tally.main, (positions) =>
          Effect.suspend(() => {
            applied = positions[0]! - 1n
            return isSlow ? Effect.sleep(positions.length / 10) : Effect.void
          }))
        const before = process.memoryUsage().rss
        const runner = yield* Effect.forkChild(Effect.provideService(Projection.run(slow), EventStore, counting))
        const end = performance.now() + seconds * 1_000
        let head = 0n
        let most = 0
        while (performance.now() < end || behind < 6n * BigInt(pageSize)) {
          head = yield* Tally.appendVotes(2_000)
          most = Math.max(most, process.memoryUsage().rss - before)
        }
        isSlow = false
        yield* Tally.until(head)
        yield* Fiber.interrupt(runner)
        assert.strictEqual(yield* Tally.verify(), head)
        assert.isAtLeast(Number(behind), 5 * pageSize, "the projector was slower")
        // The page that was just applied, the one that is, the next, and the one behind that, which is being read.
        assert.isAtMost(Number(ahead), 4 * pageSize)
        assert.isBelow(most / megabyte, 300)
      }).pipe(Effect.provide(database)),
    30_000 + seconds * 20_000
  )
})

describe("T61: a pool of four connections", () => {
  const names = Array.from({ length: 8 }, (_, i): Tally.Name => ({ ...Tally.main, name: `tally${i}` }))

  it.live(
    "is enough for 64 commands at a time, 8 projections, who listens and who waits",
    () =>
      Effect.gen(function*() {
        const { config } = yield* PgClient.PgClient
        const four = PostgresEventStore.layer().pipe(
          Layer.merge(Consistency.layer),
          Layer.provideMerge(PgClient.layer({ ...config, maxConnections: 4 }))
        )
        yield* Effect.gen(function*() {
          const [first, ...more] = names.map((name) => Tally.tally(name))
          const runner = yield* Effect.forkChild(Projection.run(first!, ...more))
          const { waitFor } = yield* Consistency.Consistency
          const heads = yield* Effect.forEach(
            Array.from({ length: 64 }, (_, i) => names[i % 8]!),
            (name) =>
              Effect.gen(function*() {
                let head = 0n
                for (let i = 0; i < 3; i++) {
                  head = yield* Tally.append(Tally.voted("a"))
                  yield* waitFor(name, { position: head, timeout: "30 seconds" })
                }
                return head
              }),
            { concurrency: "unbounded" }
          )
          const head = heads.reduce((most, each) => each > most ? each : most, 0n)
          assert.strictEqual(head, 192n)
          for (const name of names) {
            yield* waitFor(name, { position: head, timeout: "30 seconds" })
            assert.strictEqual(yield* Tally.verify(name), head)
          }
          const late = yield* Effect.flip(waitFor(names[0]!, { position: head + 1n, timeout: "50 millis" }))
          assert.instanceOf(late, NotCaughtUp)
          yield* Fiber.interrupt(runner)
        }).pipe(Effect.provide(four))
      }).pipe(Effect.provide(database)),
    60_000
  )
})
