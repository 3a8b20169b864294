import { EventStore, type ReadAllOptions, type Service } from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as LogReader from "../src/internal/LogReader.ts"
import * as Tally from "./Votes.ts"

/** A store that writes down what is asked of the log; `around` each read. */
const observed = (around: <A, E>(read: Effect.Effect<A, E>, nr: number) => Effect.Effect<A, E | EventStoreError>) =>
  Effect.map(EventStore, (store) => {
    const asked: Array<ReadAllOptions> = []
    const observed: Service = {
      ...store,
      readAll: (options) => Effect.suspend(() => around(store.readAll(options), asked.push(options)))
    }
    return { asked, store: observed, append: Effect.provideService(Tally.appendVotes(10), EventStore, store) }
  })

const plain = observed((read) => read)

const voted: LogReader.Wanted = { names: ["Voted"] }
const noted: LogReader.Wanted = { names: ["Noted"] }

describe("LogReader", () => {
  it.effect("reads for one alone what it wants, filtered by the store", () =>
    Effect.gen(function*() {
      const { append, asked, store } = yield* plain
      yield* append
      const reader = yield* LogReader.join(store, voted)
      const page = yield* reader.read(0n)
      assert.deepStrictEqual([...new Set(page.events.map(({ type }) => type))], ["Voted.v2"])
      assert.deepStrictEqual(asked, [{ after: 0n, limit: LogReader.pageSize, names: ["Voted"] }])
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("reads once for those who stand together, and each picks its own", () =>
    Effect.gen(function*() {
      const { append, asked, store } = yield* plain
      const wanted = [voted, noted, { partition: { index: 0, count: 2 } }, { partition: { index: 1, count: 2 } }]
      const readers = yield* Effect.forEach(wanted, (each) => LogReader.join(store, each))
      for (const reader of readers) yield* reader.read(0n)
      yield* append
      asked.length = 0
      const pages = yield* Effect.forEach(readers, (reader) => reader.read(0n), { concurrency: "unbounded" })
      assert.lengthOf(asked, 1)
      const [whole] = [yield* store.readAll({ after: 0n, limit: 100 })]
      for (const [i, { asOf: _, ...page }] of pages.entries()) {
        assert.deepStrictEqual(page, yield* store.readAll({ after: 0n, limit: 100, ...wanted[i] }))
      }
      assert.lengthOf(whole.events, pages[2]!.events.length + pages[3]!.events.length)
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("asks only for what those near it want: who is far behind or alone is not among them", () =>
    Effect.gen(function*() {
      const { append, asked, store } = yield* plain
      for (let i = 0; i < 2_000; i++) yield* append
      const [behind, a, b] = [
        yield* LogReader.join(store, {}),
        yield* LogReader.join(store, voted),
        yield* LogReader.join(store, noted)
      ]
      yield* behind.read(0n)
      yield* a.read(19_000n)
      assert.deepStrictEqual(asked.at(-1)?.names, ["Voted"])
      yield* b.read(19_000n)
      assert.deepStrictEqual(asked.at(-1)?.names, ["Noted", "Voted"].toSorted().toReversed())
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("hands a failed read to all who wait for it, typed, and reads anew for the next", () =>
    Effect.gen(function*() {
      const goOn = yield* Deferred.make<void>()
      const failure = new EventStoreError({ operation: "read the log", retryable: true, cause: new Error("gone") })
      let failing = false
      const { store } = yield* observed((read) =>
        failing ? Effect.andThen(Deferred.await(goOn), Effect.fail(failure)) : read
      )
      const readers = [yield* LogReader.join(store, voted), yield* LogReader.join(store, noted)]
      for (const reader of readers) yield* reader.read(0n)
      yield* Effect.provideService(Tally.appendVotes(10), EventStore, store)
      failing = true
      const fibers = yield* Effect.forEach(readers, (reader) => Effect.forkChild(Effect.flip(reader.read(0n))))
      yield* Effect.yieldNow
      yield* Deferred.succeed(goOn, undefined)
      for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), failure)
      failing = false
      assert.strictEqual((yield* readers[0]!.read(0n)).position, 10n)
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("goes on with a read for the others when the one who asked first is interrupted", () =>
    Effect.gen(function*() {
      const began = yield* Deferred.make<void>()
      const goOn = yield* Deferred.make<void>()
      let holding = false
      const { append, store } = yield* observed((read) =>
        holding ? Effect.andThen(Deferred.succeed(began, undefined), Effect.andThen(Deferred.await(goOn), read)) : read
      )
      const readers = [yield* LogReader.join(store, voted), yield* LogReader.join(store, noted)]
      for (const reader of readers) yield* reader.read(0n)
      yield* append
      holding = true
      const [first, second] = yield* Effect.forEach(readers, (reader) => Effect.forkChild(reader.read(0n)))
      yield* Deferred.await(began)
      yield* Fiber.interrupt(first!)
      yield* Deferred.succeed(goOn, undefined)
      assert.strictEqual((yield* Fiber.join(second!)).position, 10n)
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("tells of an append that comes while a page is read, also to those who did not ask for it", () =>
    Effect.gen(function*() {
      let late = false
      const appending = Effect.provideService(Tally.appendVotes(10), EventStore, yield* EventStore)
      const { store } = yield* observed((read) =>
        Effect.tap(
          read,
          () =>
            late ? Effect.andThen(Effect.orDie(appending), Effect.repeat(Effect.yieldNow, { times: 50 })) : Effect.void
        )
      )
      const readers = [yield* LogReader.join(store, voted), yield* LogReader.join(store, {})]
      const pages = yield* Effect.forEach(readers, (reader) => reader.read(0n))
      // Somebody waits, so that what wakes is drained at once.
      yield* Effect.forkChild(Effect.forever(readers[0]!.appendedSince({ ...pages[0]!, asOf: Infinity })))
      late = true
      const read = yield* Effect.forEach(readers, (reader) => reader.read(0n), { concurrency: "unbounded" })
      late = false
      for (const [i, page] of read.entries()) {
        assert.strictEqual(page.position, page.head)
        yield* readers[i]!.appendedSince(page)
        assert.strictEqual((yield* readers[i]!.read(page.position)).position, page.position + 10n)
      }
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("does not sleep through an append that came before anybody waited", () =>
    Effect.gen(function*() {
      const { append, store } = yield* plain
      const reader = yield* LogReader.join(store, voted)
      const page = yield* reader.read(0n)
      yield* append
      yield* reader.appendedSince(page)
      assert.strictEqual((yield* reader.read(0n)).position, 10n)
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("keeps so many pages for those behind, and no more; small ones are taken as one", () =>
    Effect.gen(function*() {
      const { append, asked, store } = yield* plain
      const [ahead, behind, late] = [
        yield* LogReader.join(store, {}),
        yield* LogReader.join(store, {}),
        yield* LogReader.join(store, {})
      ]
      for (const reader of [ahead, behind, late]) yield* reader.read(0n)
      const read = (pages: number) =>
        Effect.gen(function*() {
          let at = 0n
          for (let i = 0; i < pages; i++) {
            yield* append
            at = (yield* ahead.read(at)).position
          }
          return at
        })
      const reached = yield* read(LogReader.mostPages)
      asked.length = 0
      const page = yield* behind.read(0n)
      assert.lengthOf(asked, 0)
      assert.strictEqual(page.position, reached)
      assert.lengthOf(page.events, Number(reached))
      yield* append
      yield* ahead.read(reached)
      asked.length = 0
      // The first of the pages has gone: it is read again, up to where the second begins.
      assert.strictEqual((yield* late.read(0n)).position, 10n)
      assert.lengthOf(asked, 1)
      assert.strictEqual((yield* late.read(10n)).position, reached + 10n)
      assert.lengthOf(asked, 1)
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("keeps no more bytes than it may", () =>
    Effect.gen(function*() {
      const { asked, store } = yield* plain
      const large = "x".repeat(LogReader.mostBytes / 3)
      const [ahead, behind] = [yield* LogReader.join(store, {}), yield* LogReader.join(store, {})]
      for (const reader of [ahead, behind]) yield* reader.read(0n)
      let at = 0n
      for (let i = 0; i < 3; i++) {
        yield* Effect.provideService(Tally.append(Tally.noted(large)), EventStore, store)
        at = (yield* ahead.read(at)).position
      }
      asked.length = 0
      assert.strictEqual((yield* behind.read(0n)).position, 1n)
      assert.deepStrictEqual(asked.map(({ after }) => after), [0n])
      assert.strictEqual((yield* behind.read(1n)).position, 3n)
      assert.lengthOf(asked, 1)
    }).pipe(Effect.provide(MemoryEventStore.layer)))
})
