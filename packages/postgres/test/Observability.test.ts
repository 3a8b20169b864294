/**
 * What a store's appends tell the tracer and the metrics.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Metric, Tracer } from "effect"
import { commandId, several, stream } from "./Facts.ts"
import { lockAwaited, suite, type TestLog, whileLocked } from "./TestLog.ts"

const { any, exact, noStream } = ExpectedVersion

/** A tracer that keeps its spans. */
const keeping = () => {
  const spans: globalThis.Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { tracer, named: (name: string) => spans.filter((span) => span.name === name) }
}

suite("an append's span", (test) => {
  test("tells stream, expectation, version and position, and the commit links to it", (log) =>
    Effect.gen(function*() {
      const { named, tracer } = keeping()
      yield* Effect.gen(function*() {
        const store = yield* log.open({ url: log.url })
        yield* store.append(stream("a"), noStream, several(3))
        yield* Effect.forEach(["b", "c"], (id) => store.append(stream(id), any, several(1)), {
          concurrency: "unbounded"
        })
        yield* Effect.flip(store.append(stream("a"), exact(7), several(1)))
        yield* store.transact([
          { streamId: stream("a"), expected: exact(2), events: several(2) },
          { streamId: stream("b"), expected: any, events: several(1) }
        ])
      }).pipe(Effect.scoped, Effect.provideService(Tracer.Tracer, tracer))
      const appends = named("EventStore.append")
      assert.deepStrictEqual(appends.map(({ attributes }) => Object.fromEntries(attributes)), [
        {
          "composable.stream": "fact-a",
          "composable.expected": ExpectedVersion.format(noStream),
          "composable.version": "2",
          "composable.position": "3",
          "composable.duplicate": false
        },
        ...["b", "c"].map((id, i) => ({
          "composable.stream": `fact-${id}`,
          "composable.expected": ExpectedVersion.format(any),
          "composable.version": "0",
          "composable.position": String(4 + i),
          "composable.duplicate": false
        })),
        { "composable.stream": "fact-a", "composable.expected": ExpectedVersion.format(exact(7)) },
        {
          "composable.stream": "fact-a, fact-b",
          "composable.expected": `${ExpectedVersion.format(exact(2))}, ${ExpectedVersion.format(any)}`,
          "composable.version": "4, 1",
          "composable.position": "8",
          "composable.duplicate": false
        }
      ])
      const commits = named("EventStore.commit")
      assert.deepStrictEqual(commits.map(({ attributes }) => attributes.get("composable.size")), [1, 2, 1, 1])
      assert.deepStrictEqual(
        commits.flatMap(({ links }) => links.map(({ span }) => span.spanId)),
        appends.map(({ spanId }) => spanId)
      )
      assert.isTrue([...appends, ...commits].every(({ status }) => status._tag === "Ended"))
    }))
})

suite("the metrics of appends", (test) => {
  const stateOf = (log: TestLog, id: string) =>
    Effect.map(Metric.snapshot, (snapshots) => {
      const own = snapshots.find((metric) => metric.id === id && metric.attributes?.["schema"] === log.schema)
      return own?.state as Readonly<Record<string, unknown>> | undefined
    })

  test("count groups, conflicts, duplicates, resends and refusals", (log) =>
    Effect.gen(function*() {
      const { store } = log
      const id = commandId()
      yield* store.append(stream("a"), noStream, several(2), { commandId: id })
      yield* store.append(stream("a"), noStream, several(2), { commandId: id })
      yield* Effect.flip(store.append(stream("a"), exact(7), several(1)))
      yield* Effect.flip(store.transact([{ streamId: stream("a"), expected: exact(9), events: several(2) }]))
      yield* Effect.forEach(Array.range(1, 16), (i) => store.append(stream(`s-${i}`), any, several(1)), {
        concurrency: "unbounded"
      })
      assert.deepInclude(yield* stateOf(log, "composable_append_group_size"), { count: 5, max: 16, sum: 20 })
      assert.deepInclude(yield* stateOf(log, "composable_append_duration"), { count: 20 })
      assert.deepInclude(yield* stateOf(log, "composable_append_queued"), { value: 0 })
      assert.deepInclude(yield* stateOf(log, "composable_append_conflicts"), { count: 2 })
      assert.deepInclude(yield* stateOf(log, "composable_append_duplicates"), { count: 1 })

      const small = yield* log.open({ url: log.url }, { append: { capacity: 1, whenFull: "fail" } })
      const waiting = yield* whileLocked(
        log,
        Effect.gen(function*() {
          const waiting = yield* Effect.forkChild(small.append(stream("a"), any, several(1)))
          yield* lockAwaited(log)
          yield* Effect.flip(small.append(stream("a"), any, several(1)))
          yield* log.sql`SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event = 'advisory'`
          yield* lockAwaited(log)
          return waiting
        })
      )
      yield* Fiber.join(waiting)
      assert.deepInclude(yield* stateOf(log, "composable_append_resends"), { count: 1 })
      assert.deepInclude(yield* stateOf(log, "composable_append_overloads"), { count: 1 })
    }))
})
