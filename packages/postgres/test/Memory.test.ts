/**
 * Reading a long stream, or a long log, holds a page of it in memory, however fast or slow its reader is.
 */
import type { StreamReadError, SubscribeError } from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Metric, Stream } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { stream } from "./Facts.ts"
import { suite, type TestLog } from "./TestLog.ts"

const length = 100_000

/** A log of one stream. */
const fill = ({ sql }: TestLog, length: number) =>
  sql`INSERT INTO events (
      global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
    SELECT n, 'fact-a', n - 1, 'Counted.v1', gen_random_uuid(), 'command ' || n, 1,
      json_build_object('count', n, 'text', repeat('x', 200)), now()
    FROM generate_series(1, ${length}) AS n`

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

const megabyte = 1024 * 1024

const heap = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed / megabyte
}

/** By how many megabytes the heap grows while all events go through, looked at now and then. */
const growth = <E>(events: Stream.Stream<RecordedEvent, E>) =>
  Effect.gen(function*() {
    const before = heap()
    let most = 0
    let count = 0
    yield* Stream.runForEach(Stream.take(events, length), () =>
      Effect.sync(() => {
        if (++count % 10_000 === 0) most = Math.max(most, heap() - before)
      }))
    assert.strictEqual(count, length)
    return most
  })

/** A page takes less than one, the whole log more than 50. */
const bounded = 15

suite("memory", (_test, control) => {
  control(
    "a long stream and a long log take no more than a page; read in one go, as much as they are",
    (log) =>
      Effect.gen(function*() {
        yield* fill(log, length)
        assert.isBelow(yield* growth(log.store.load(stream("a"))), bounded)
        assert.isBelow(yield* growth(log.store.subscribe({ after: 0n })), bounded)
        const inOneGo = Stream.unwrap(Effect.map(log.store.read(stream("a")), Stream.fromIterable))
        assert.isAbove(yield* growth(inOneGo), 2 * bounded)
      }),
    60_000
  )

  /** What is read for the first event and for 2 000. A page of a stream is read with one event more, which tells whether it is the last. */
  const reads = { load: [1_001, 2_002], subscribe: [500, 2_000] } as const

  for (const operation of ["load", "subscribe"] as const) {
    const [first, all] = reads[operation]
    control(`${operation}: nothing is read ahead of a consumer that is busy`, (log) =>
      Effect.gen(function*() {
        yield* fill(log, 2_500)
        const read = Effect.map(Metric.snapshot, (metrics) =>
          metrics.flatMap(({ id, state }) =>
            id === "composable_events_read" && "count" in state ? [state.count] : []
          ))
        const free = yield* Deferred.make<void>()
        const busy = yield* Deferred.make<void>()
        let taken = 0
        const events: Stream.Stream<RecordedEvent, StreamReadError | SubscribeError> = operation === "load"
          ? log.store.load(stream("a"))
          : log.store.subscribe({ after: 0n })
        yield* Effect.gen(function*() {
          const consumer = yield* Effect.forkChild(Stream.runForEach(Stream.take(events, 2_000), () =>
            Effect.suspend(() =>
              ++taken === 1 ? Effect.andThen(Deferred.succeed(busy, undefined), Deferred.await(free)) : Effect.void
            )))
          yield* Deferred.await(busy)
          // Long enough for the server to have answered many a further read.
          for (let i = 0; i < 20; i++) {
            yield* log.store.readCommand("command 1")
          }
          assert.deepStrictEqual(yield* read, [first])
          yield* Deferred.succeed(free, undefined)
          yield* Fiber.join(consumer)
          assert.deepStrictEqual(yield* read, [all])
        }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
      }), 60_000)
  }
})
