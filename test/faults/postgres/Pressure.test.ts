/**
 * More callers than connections, streams of unequal favour, and callers that go away.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Stream } from "effect"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"
import { suite } from "../../../packages/postgres/test/TestLog.ts"

const { any } = ExpectedVersion

const seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)
const interruptions = Number(process.env.FAULT_INTERRUPTIONS ?? 1_000)

suite(`pressure (FAULT_SEED=${seed})`, (test) => {
  test("T61: 64 commands, 32 readers and 8 subscribers get through 4 connections", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url, maxConnections: 4 })
      const subscribers = yield* Effect.forEach(Array.range(1, 8), () =>
        Effect.forkChild(Stream.runCollect(Stream.take(store.subscribe({ after: 0n }), 640))))
      yield* Effect.all([
        Effect.forEach(
          Array.range(1, 64),
          (i) =>
            Effect.forEach(Array.range(1, 10), () => store.append(stream(`s-${i % 7}`), any, several(1))),
          { concurrency: "unbounded" }
        ),
        Effect.forEach(
          Array.range(1, 32),
          (i) => Effect.forEach(Array.range(1, 10), () => Stream.runDrain(store.load(stream(`s-${i % 7}`)))),
          { concurrency: "unbounded" }
        )
      ], { concurrency: "unbounded" })
      const rows = yield* Invariants.readRows(log.sql, log.schema)
      for (const subscriber of subscribers) {
        assert.deepStrictEqual(Invariants.deliveryViolations(rows, yield* Fiber.join(subscriber)), [])
      }
    }))

  test("T07: an append to a quiet stream waits for no more than what was there before it", ({ store }) =>
    Effect.gen(function*() {
      let stopped = false
      let hot = 0
      const writers = yield* Effect.forEach(Array.range(1, 300), () =>
        Effect.forkChild(Effect.whileLoop({
          while: () => !stopped,
          body: () => store.append(stream("hot"), any, several(1)),
          step: () => hot++
        })))
      for (let i = 0; i < 20; i++) {
        const before = hot
        yield* store.append(stream(`quiet-${i}`), any, several(1))
        // Each of the others may be before it once, and while the server lets its group wait for a processor, groups of the
        // other lane may pass. What is not served in turn would wait for as long as the others go on.
        assert.isAtMost(hot - before, 300 + 20 * 128)
      }
      const before = hot
      yield* Effect.forEach(Array.range(1, 20), (i) => store.append(stream(`quiet-${i}`), any, several(1)))
      assert.isAbove(hot, before, "the others went on meanwhile")
      stopped = true
      yield* Effect.forEach(writers, Fiber.join)
    }))

  test(
    `T67: callers interrupted at ${interruptions} random points leave all or nothing, and no transaction`,
    (log) =>
      Effect.gen(function*() {
        const random = seeded(seed)
        const below = (bound: number) => Math.floor(random() * bound)
        const stores = [log.store, yield* log.open({ url: log.url, maxConnections: 3, applicationName: "interrupted" })]
        const operations = [
          (i: number) => stores[i % 2]!.append(stream(`s-${i % 5}`), any, several(1 + i % 3)),
          (i: number) =>
            stores[i % 2]!.transact([
              { streamId: stream(`s-${i % 5}`), expected: any, events: several(2) },
              { streamId: stream(`s-${(i + 1) % 5}`), expected: any, events: several(1) }
            ]),
          (i: number) => stores[i % 2]!.read(stream(`s-${i % 5}`)),
          (i: number) => stores[i % 2]!.readAll({ after: 0n, limit: 100 }),
          (i: number) => Stream.runDrain(stores[i % 2]!.load(stream(`s-${i % 5}`))),
          (i: number) => Stream.runDrain(stores[i % 2]!.subscribe({ after: 0n }))
        ]
        let ended = 0
        yield* Effect.forEach(Array.range(1, interruptions), (i) =>
          Effect.gen(function*() {
            const operation: Effect.Effect<unknown, unknown> = operations[below(operations.length)]!(i)
            const fiber = yield* Effect.forkChild(operation, { startImmediately: true })
            // Some at the next turns of this process, some while the server works.
            if (below(2) === 0) { for (let turn = below(30); turn > 0; turn--) yield* Effect.yieldNow }
            else yield* Effect.sleep(below(8))
            yield* Fiber.interrupt(fiber)
            ended++
          }), { concurrency: 16 })
        assert.strictEqual(ended, interruptions)
        const left = yield* log.sql`SELECT query FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%'`
        assert.deepStrictEqual(left, [])
        // Every connection is free again: as many callers as there are get through at once.
        yield* Effect.forEach(Array.range(1, 64), (i) => stores[1]!.append(stream("s-0"), any, several(1 + i % 2)), {
          concurrency: "unbounded"
        })
        assert.isTrue(
          log.history.some(({ outcome }) => outcome._tag === "Unknown"),
          "some were interrupted on their way"
        )
      }),
    60_000 + 50 * interruptions
  )
})
