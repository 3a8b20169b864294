/**
 * What becomes of appends when the database is slower than the callers, or a group too much for it.
 */
import { Overloaded } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { assert } from "@effect/vitest"
import { Array, Effect, Exit, Fiber, Result } from "effect"
import { noted, several, stream } from "./Facts.ts"
import { lockAwaited, suite, type TestLog, whileLocked } from "./TestLog.ts"

const { any } = ExpectedVersion

const begin = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })
const append = (store: TestLog["store"], id: string) => store.append(stream(id), any, several(1))

suite("a store with more appends than it takes", (test) => {
  test("T61: fails those beyond its capacity at once, if told so, and stores the others", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url }, { append: { capacity: 3, whenFull: "fail" } })
      const taken = yield* whileLocked(
        log,
        Effect.gen(function*() {
          const taken = yield* Effect.forEach(["a", "b", "c"], (id) => begin(append(store, id)))
          yield* lockAwaited(log)
          for (const id of ["d", "e"]) {
            const error = yield* Effect.flip(append(store, id))
            assert.instanceOf(error, Overloaded)
            assert.strictEqual(error.capacity, 3)
            assert.include(error.message, "3 appends")
          }
          return taken
        })
      )
      yield* Effect.forEach(taken, Fiber.join)
      yield* append(store, "d")
      const { events } = yield* store.readAll({ after: 0n, limit: 10 })
      assert.deepStrictEqual(events.map(({ streamId }) => streamId).toSorted(), [
        "fact-a",
        "fact-b",
        "fact-c",
        "fact-d"
      ])
    }))

  test("T61: lets them wait otherwise", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url }, { append: { capacity: 3 } })
      const waiting = yield* whileLocked(
        log,
        Effect.tap(Effect.forEach(Array.range(1, 20), (i) => begin(append(store, `s-${i}`))), () => lockAwaited(log))
      )
      yield* Effect.forEach(waiting, Fiber.join)
    }))

  test("groups are no larger than asked for", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url }, { append: { groupSize: 5 } })
      yield* Effect.forEach(Array.range(1, 40), (i) => append(store, `s-${i}`), { concurrency: "unbounded" })
      const groups = yield* log.sql<{ size: number }>`SELECT count(*)::int AS size FROM events GROUP BY xmin::text`
      assert.isAtMost(Math.max(...groups.map(({ size }) => size)), 5)
      assert.isAtLeast(groups.length, 8)
    }))

  test("groups are no heavier than asked for", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url }, { append: { groupWeight: 2_500 } })
      const heavy = (i: number) => store.append(stream(`s-${i}`), any, [noted("x".repeat(1_000))])
      yield* Effect.forEach(Array.range(1, 20), heavy, { concurrency: "unbounded" })
      const groups = yield* log.sql<{ size: number }>`SELECT count(*)::int AS size FROM events GROUP BY xmin::text`
      assert.strictEqual(Math.max(...groups.map(({ size }) => size)), 2)
    }))

  for (const limit of ["capacity", "groupSize", "groupWeight"]) {
    test(`${limit} of nothing is refused`, (log) =>
      Effect.gen(function*() {
        for (const none of [0, -1, 1.5, Number.NaN]) {
          const exit = yield* Effect.exit(log.open({ url: log.url }, { append: { [limit]: none } }))
          assert.isTrue(Exit.hasDies(exit))
        }
      }))
  }
})

suite("a group that is too much for one statement", (test) => {
  const slowly = ({ sql }: TestLog) =>
    Effect.gen(function*() {
      yield* sql`CREATE FUNCTION sleep_over() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_sleep((new.data->>'note')::float); RETURN new; END $$`
      yield* sql`CREATE TRIGGER sleep_over BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION sleep_over()`
    })
  const openImpatient = (log: TestLog) => log.open({ url: log.url, startupParameters: { statement_timeout: "400ms" } })

  test("takes several, when the server is slow", (log) =>
    Effect.gen(function*() {
      yield* slowly(log)
      const store = yield* openImpatient(log)
      yield* Effect.forEach(Array.range(1, 12), (i) => store.append(stream(`s-${i}`), any, [noted(0.05)]), {
        concurrency: "unbounded"
      })
      const groups = yield* log.sql`SELECT xmin::text FROM events GROUP BY xmin::text`
      assert.isAbove(groups.length, 1, "one statement would have taken 600 ms")
    }), 60_000)

  test("is stored but for the one that takes too long", (log) =>
    Effect.gen(function*() {
      yield* slowly(log)
      const store = yield* openImpatient(log)
      const results = yield* Effect.forEach(
        Array.range(0, 19),
        (i) => Effect.result(store.append(stream(`s-${i}`), any, [noted(i === 7 ? 60 : 0)])),
        { concurrency: "unbounded" }
      )
      const failed = results.flatMap((result, i) => Result.isFailure(result) ? [[i, result.failure] as const] : [])
      assert.deepStrictEqual(failed.map(([i]) => i), [7])
      assert.deepInclude(failed[0]![1], { _tag: "EventStoreError", operation: "append", retryable: true })
    }), 60_000)

  test("is sent again whole, when it has only waited for the lock", (log) =>
    Effect.gen(function*() {
      const store = yield* openImpatient(log)
      const appends = yield* whileLocked(
        log,
        Effect.gen(function*() {
          const appends = yield* Effect.forEach(Array.range(1, 16), (i) => begin(append(store, `s-${i}`)))
          yield* lockAwaited(log)
          const pids = log.sql<{ pid: number; since: string }>`SELECT pid, query_start::text AS since
            FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`
          const [first] = yield* pids
          yield* Effect.repeat(pids, {
            until: ([again]) => again !== undefined && JSON.stringify(again) !== JSON.stringify(first)
          })
          return appends
        })
      )
      yield* Effect.forEach(appends, Fiber.join)
      const groups = yield* log.sql`SELECT xmin::text FROM events GROUP BY xmin::text`
      assert.strictEqual(groups.length, 1)
    }), 60_000)
})
