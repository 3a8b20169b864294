/**
 * What every store gets from the service's own part: subscriptions that wait for a store that is away, and tell how far
 * they are.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import * as EventStore from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Array, Deferred, Effect, Fiber, Logger, Metric, Result, Stream } from "effect"
import { TestClock } from "effect/testing"

const Log = Action.define("Log", { commands: {}, events: { Counted: Event.v1({}) } })
const counted = Result.getOrThrow(Log.encode(Log.Counted({})))
const stream = Result.getOrThrow(StreamId.make("log", "1"))

/** A store with so many events, whose reads of the log can be counted and made to fail. */
const makeLog = (events: number) =>
  Effect.gen(function*() {
    const store = yield* MemoryEventStore.make
    yield* store.append(stream, ExpectedVersion.any, Array.makeBy(events, () => counted))
    const log = { reads: 0, away: undefined as EventStoreError | undefined }
    const service = EventStore.make({
      ...store,
      readAll: (options) =>
        Effect.suspend(() => {
          log.reads++
          return log.away === undefined ? store.readAll(options) : Effect.fail(log.away)
        })
    })
    return { log, store: service }
  })

const failure = (retryable: boolean) =>
  new EventStoreError({ operation: "read the log", retryable, cause: new Error("connection lost") })

const warnings = () => {
  const said: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) =>
    void said.push(`${logLevel}: ${String(globalThis.Array.isArray(message) ? message[0] : message)}`)
  )
  return { said, layer: Logger.layer([logger]) }
}

describe("a subscription", () => {
  it.effect("T41: waits for a store that is away, tries ever more seldom, and says so every ten seconds", () =>
    Effect.gen(function*() {
      const { layer, said } = warnings()
      const { log, store } = yield* makeLog(3)
      log.away = failure(true)
      const follower = yield* Effect.forkChild(
        Effect.provide(Stream.runCollect(Stream.take(store.subscribe({ after: 0n, name: "mails" }), 3)), layer)
      )
      yield* TestClock.adjust("60 seconds")
      assert.isAbove(log.reads, 50)
      assert.isBelow(log.reads, 110)
      assert.strictEqual(said.length, 6)
      assert.deepStrictEqual(new Set(said), new Set(["Warn: Subscription mails waits for the store"]))
      log.away = undefined
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(follower)).length, 3)
      assert.deepStrictEqual(said.slice(6), ["Info: Subscription mails goes on"])
    }))

  it.effect("T41: says no more of a store that goes and comes than of one that stays away", () =>
    Effect.gen(function*() {
      const { layer, said } = warnings()
      const { log, store } = yield* makeLog(5_000)
      const follower = yield* Effect.forkChild(
        Effect.provide(
          Stream.runForEach(Stream.take(store.subscribe({ after: 0n }), 5_000), () =>
            Effect.sync(() => {
              log.away = failure(true)
            })),
          layer
        )
      )
      for (let i = 0; i < 30; i++) {
        yield* TestClock.adjust("100 millis")
        log.away = undefined
        yield* TestClock.adjust("100 millis")
      }
      yield* Fiber.join(follower)
      assert.isAbove(log.reads, 15)
      assert.deepStrictEqual(said, [
        "Warn: Subscription unnamed waits for the store",
        "Info: Subscription unnamed goes on"
      ])
    }))

  it.effect("T26: reads smaller pages when the database's time does not suffice, and larger ones at the end of the log", () =>
    Effect.gen(function*() {
      const { layer, said } = warnings()
      const inner = yield* MemoryEventStore.make
      yield* inner.append(stream, ExpectedVersion.any, Array.makeBy(1_000, () => counted))
      const asked: Array<number> = []
      let bearable = 100
      const store = EventStore.make({
        ...inner,
        readAll: (options) =>
          Effect.suspend(() => {
            asked.push(options.limit)
            return options.limit <= bearable ? inner.readAll(options) : Effect.fail(
              new EventStoreError({
                operation: "read the log",
                reason: "StatementTimeout",
                retryable: true,
                cause: new Error("canceling statement due to statement timeout")
              })
            )
          })
      })
      const positions: Array<bigint> = []
      const follower = yield* Effect.forkChild(
        Stream.runForEach(store.subscribe({ after: 0n }), ({ globalPosition }) =>
          Effect.sync(() => {
            positions.push(globalPosition)
          })).pipe(Effect.provide(layer))
      )
      const reached = (count: number) => Effect.repeat(Effect.yieldNow, { until: () => positions.length >= count })
      yield* reached(1_000)
      assert.deepStrictEqual(asked, [500, 250, 125, ...Array.replicate(62, 17)])
      assert.deepStrictEqual(said, [], "it need not wait")
      yield* inner.append(stream, ExpectedVersion.any, [counted])
      yield* reached(1_001)
      assert.deepStrictEqual(asked.slice(20), [500, 250, 125, 62])
      assert.deepStrictEqual(positions, Array.makeBy(1_001, (i) => BigInt(i + 1)))

      bearable = 0
      yield* inner.append(stream, ExpectedVersion.any, [counted])
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(Math.min(...asked), 1)
      assert.strictEqual(said[0], "Warn: Subscription unnamed waits for the store", "one position is too much as well")
      bearable = 1
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(positions.length, 1_002)
      yield* Fiber.interrupt(follower)
    }))

  it.effect("ends with an error that does not pass", () =>
    Effect.gen(function*() {
      const { log, store } = yield* makeLog(1)
      log.away = failure(false)
      const error = yield* Effect.flip(Stream.runDrain(store.subscribe({ after: 0n })))
      assert.strictEqual(error, log.away)
      assert.strictEqual(log.reads, 1)
    }))

  it.effect("reads no further ahead than a page while its consumer is busy", () =>
    Effect.gen(function*() {
      const { log, store } = yield* makeLog(5_000)
      const free = yield* Deferred.make<void>()
      let taken = 0
      const consumer = yield* Effect.forkChild(
        Stream.runForEach(Stream.take(store.subscribe({ after: 0n }), 5_000), () =>
          Effect.suspend(() => ++taken === 1 ? Deferred.await(free) : Effect.void))
      )
      for (let i = 0; i < 1_000; i++) {
        yield* Effect.yieldNow
      }
      assert.strictEqual(log.reads, 1)
      yield* Deferred.succeed(free, undefined)
      yield* Fiber.join(consumer)
      assert.strictEqual(log.reads, 10)
    }))

  it.effect("tells how far behind it is, and how much was read", () =>
    Effect.gen(function*() {
      const { store } = yield* makeLog(1_200)
      const { lag, read } = yield* Effect.gen(function*() {
        yield* Stream.runDrain(Stream.take(store.subscribe({ after: 0n, name: "mails" }), 1))
        const snapshot = yield* Metric.snapshot
        const state = (id: string, attribute: string) =>
          snapshot.find((metric) => metric.id === id && Object.values(metric.attributes ?? {}).includes(attribute))
            ?.state
        return {
          lag: state("composable_subscription_lag", "mails"),
          read: state("composable_events_read", "subscribe")
        }
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
      assert.deepInclude(lag, { value: 700 })
      assert.deepInclude(read, { count: 500 })
    }))
})
