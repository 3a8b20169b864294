import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { TestClock } from "effect/testing"

EventStoreContract.suite("MemoryEventStore", MemoryEventStore.layer)

const Log = Action.define("Log", { commands: {}, events: { Noted: Event.v1({ note: Schema.Json }) } })
const noted = (note: Schema.Json) => Result.getOrThrow(Log.encode(Log.Noted({ note })))
const stream = Result.getOrThrow(StreamId.make("log", "1"))

describe("a store of one's own", () => {
  it.effect("is empty, and its positions count from 1", () =>
    Effect.gen(function*() {
      const store = yield* MemoryEventStore.make
      assert.deepInclude(yield* store.readAll({ after: 0n, limit: 1 }), { events: [], position: 0n, head: 0n })
      const { globalPosition } = yield* store.append(stream, ExpectedVersion.noStream, [noted(1)])
      assert.strictEqual(globalPosition, 1n)
    }))

  it.effect("shares nothing with another", () =>
    Effect.gen(function*() {
      const [one, other] = yield* Effect.all([MemoryEventStore.make, MemoryEventStore.make])
      yield* one.append(stream, ExpectedVersion.noStream, [noted(1)])
      assert.deepStrictEqual(yield* other.read(stream), [])
    }))

  it.effect("records the time of the clock in the context", () =>
    Effect.gen(function*() {
      const store = yield* MemoryEventStore.make
      yield* TestClock.setTime(86_400_000)
      yield* store.append(stream, ExpectedVersion.noStream, [noted(1)])
      assert.deepStrictEqual((yield* store.read(stream)).map(({ recordedAt }) => recordedAt), [86_400_000])
    }))

  it.effect("says so when a body is no JSON, and stores none of the append", () =>
    Effect.gen(function*() {
      const store = yield* MemoryEventStore.make
      const cyclic: Record<string, unknown> = {}
      cyclic["itself"] = cyclic
      // Nothing typed leads here: only a program that casts its way past `encode`.
      const bad = { type: "Noted.v1", data: cyclic } as unknown as EncodedEvent
      const error = yield* Effect.flip(store.append(stream, ExpectedVersion.noStream, [noted(1), bad]))
      assert.instanceOf(error, EventStoreError)
      assert.match(error.message, /failed to append: .*circular/)
      assert.isFalse(error.retryable)
      assert.deepStrictEqual(yield* store.read(stream), [])
      assert.strictEqual((yield* store.readAll({ after: 0n, limit: 1 })).head, 0n)
      assert.strictEqual((yield* store.append(stream, ExpectedVersion.noStream, [noted(1)])).version, 0)
    }))
})
