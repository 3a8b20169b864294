/**
 * Which instances an aggregate's store keeps in memory.
 */
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Result, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Account, account } from "./Account.ts"

const open = Account.Open({ owner: "Ada" })
const deposit = Account.Deposit({ cents: 1 })
const streamOf = (id: string) => Result.getOrThrow(StreamId.make("account", id))

/** A store over a log that counts, and in which the appends to some streams wait. */
const opening = (
  options: Store.AggregateStoreOptions,
  slow: (append: Effect.Effect<unknown>) => Effect.Effect<unknown>
) =>
  Effect.gen(function*() {
    const events = yield* MemoryEventStore.make
    const counts = { append: 0, load: 0 }
    const stuck = new Set<string>()
    const watched: Service = {
      ...events,
      append: (streamId, ...append) =>
        Effect.suspend(() => {
          counts.append++
          return stuck.has(streamId)
            ? Effect.andThen(slow(Effect.void), events.append(streamId, ...append))
            : Effect.andThen(Effect.yieldNow, events.append(streamId, ...append))
        }),
      load: (...load) => Stream.suspend(() => (counts.load++, events.load(...load)))
    }
    const accounts = yield* Effect.provideService(Store.aggregate(account, options), EventStore, watched)
    const reads = (id: string) =>
      Effect.gen(function*() {
        const before = counts.load
        yield* accounts.dispatch(id, deposit)
        return counts.load - before
      })
    return { accounts, counts, events, reads, stuck }
  })
const plainly = (append: Effect.Effect<unknown>) => append

describe("what is idle", () => {
  it.effect("longer than it may is let go of, when another instance is used", () =>
    Effect.gen(function*() {
      const { accounts, reads } = yield* opening({ cacheIdle: "10 minutes" }, plainly)
      for (const id of ["1", "2"]) yield* accounts.dispatch(id, open)
      yield* TestClock.adjust("9 minutes")
      assert.deepStrictEqual(yield* Effect.forEach(["2"], reads), [0])
      yield* TestClock.adjust("1 minute")
      // Exactly as long as it may.
      assert.deepStrictEqual(yield* Effect.forEach(["2", "1"], reads), [0, 0])
      yield* TestClock.adjust("10 minutes")
      yield* TestClock.adjust("1 millis")
      yield* accounts.dispatch("3", open)
      assert.deepStrictEqual(yield* Effect.forEach(["1", "2", "3"], reads), [1, 1, 0])
    }))

  it.effect("an hour, when nothing is said", () =>
    Effect.gen(function*() {
      const { accounts, reads } = yield* opening({}, plainly)
      for (const id of ["1", "2"]) yield* accounts.dispatch(id, open)
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* Effect.forEach(["1", "2"], reads), [0, 0])
      yield* TestClock.adjust("61 minutes")
      yield* accounts.dispatch("3", open)
      assert.deepStrictEqual(yield* Effect.forEach(["1", "2"], reads), [1, 1])
    }))
})

describe("what is busy", () => {
  it.effect("stays, however small the cache: each command is one append", () =>
    Effect.gen(function*() {
      const { accounts, counts } = yield* opening({ cacheCapacity: 1, conflictSchedule: Schedule.recurs(0) }, plainly)
      for (const id of ["1", "2", "3"]) yield* accounts.dispatch(id, open)
      counts.append = 0
      const ids = Array.from({ length: 120 }, (_, i) => String(i % 3 + 1))
      yield* Effect.forEach(ids, (id) => accounts.dispatch(id, deposit), { concurrency: "unbounded" })
      assert.strictEqual(counts.append, 120)
      for (const id of ["1", "2", "3"]) assert.strictEqual((yield* accounts.state(id)).version, 40)
    }))

  it.effect("does not keep what is idle from being let go of", () =>
    Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { accounts, reads, stuck } = yield* opening({ cacheCapacity: 12 }, () => Deferred.await(gate))
      const busy = Array.from({ length: 10 }, (_, i) => `busy${i}`)
      for (const id of busy) stuck.add(streamOf(id))
      const waiting = yield* Effect.forEach(busy, (id) => Effect.forkChild(accounts.dispatch(id, open)))
      yield* Effect.yieldNow
      yield* accounts.dispatch("1", open)
      for (let i = 0; i < 50; i++) yield* accounts.dispatch(`other${i}`, open)
      assert.strictEqual(yield* reads("1"), 1, "it was kept, as were all the others")
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of waiting) assert.strictEqual((yield* Fiber.join(fiber)).version, 0)
    }))

  it.effect("is let go of when its command was interrupted", () =>
    Effect.gen(function*() {
      const { accounts, reads, stuck } = yield* opening({ cacheCapacity: 1 }, () => Effect.never)
      yield* accounts.dispatch("1", open)
      stuck.add(streamOf("1"))
      const waiting = yield* Effect.forkChild(accounts.dispatch("1", deposit))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(waiting)
      stuck.clear()
      yield* accounts.dispatch("2", open)
      assert.strictEqual(yield* reads("1"), 1)
    }))
})

describe("exists", () => {
  it.effect("tells whether there are events, and remembers nothing", () =>
    Effect.gen(function*() {
      const { accounts, events } = yield* opening({}, plainly)
      assert.isFalse(yield* accounts.exists("1"))
      yield* accounts.state("1")
      assert.isFalse(yield* accounts.exists("1"))
      yield* events.append(streamOf("1"), ExpectedVersion.noStream, [
        Result.getOrThrow(Account.encode(Account.Opened({ owner: "Ada", at: 0 })))
      ])
      assert.isTrue(yield* accounts.exists("1"))
      assert.isFalse(yield* accounts.exists("2"))
      assert.strictEqual((yield* Effect.flip(accounts.exists("")))._tag, "InvalidStreamId")
    }))
})
