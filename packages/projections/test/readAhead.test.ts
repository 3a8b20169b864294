import { EventStore, type Service } from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as LogReader from "../src/internal/LogReader.ts"
import * as ReadAhead from "../src/internal/readAhead.ts"
import * as Tally from "./Votes.ts"

/** A log of 60 events and a reader of five at a time, which fails when it is asked for what lies behind a position. */
const log = (broken?: bigint) =>
  Effect.gen(function*() {
    const store = yield* EventStore
    while ((yield* store.readAll({ after: 0n, limit: 0 })).head < 60n) yield* Tally.appendVotes(10)
    const asked: Array<bigint> = []
    const short: Service = {
      ...store,
      readAll: ({ after, ...options }) => {
        asked.push(after)
        return after === broken
          ? Effect.fail(
            new EventStoreError({ operation: "read the log", retryable: false, cause: new Error("broken") })
          )
          : store.readAll({ ...options, after, limit: 5 })
      }
    }
    const reader = yield* LogReader.join(short, {})
    return { asked, reader, first: yield* reader.read(0n) }
  })

/** Until nothing goes on by itself any more. */
const settled = Effect.replicateEffect(Effect.yieldNow, 100, { discard: true })

describe("reading ahead", () => {
  it.effect("gives every page up to the end of the log, in order", () =>
    Effect.gen(function*() {
      const { first, reader } = yield* log()
      const ahead = yield* ReadAhead.behind(reader, first)
      let page = first
      const positions = page.events.map(({ globalPosition }) => globalPosition)
      while (page.position < page.head) {
        const { lastEventId } = page
        page = yield* ahead.take
        assert.strictEqual(page.previousEventId, lastEventId)
        for (const { globalPosition } of page.events) positions.push(globalPosition)
      }
      assert.deepStrictEqual(positions, Array.from({ length: Number(page.head) }, (_, i) => BigInt(i + 1)))
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("keeps two pages at the most", () =>
    Effect.gen(function*() {
      const { asked, first, reader } = yield* log()
      const ahead = yield* ReadAhead.behind(reader, first)
      yield* settled
      assert.deepStrictEqual(asked, [0n, 5n, 10n])
      yield* ahead.take
      yield* settled
      assert.deepStrictEqual(asked, [0n, 5n, 10n, 15n])
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("reads no further once it was stopped", () =>
    Effect.gen(function*() {
      const { asked, first, reader } = yield* log()
      const ahead = yield* ReadAhead.behind(reader, first)
      yield* settled
      ahead.stop()
      yield* ahead.take
      yield* settled
      assert.deepStrictEqual(asked, [0n, 5n, 10n])
    }).pipe(Effect.provide(MemoryEventStore.layer)))

  it.effect("fails as a read does, behind the pages before it", () =>
    Effect.gen(function*() {
      const { first, reader } = yield* log(15n)
      const ahead = yield* ReadAhead.behind(reader, first)
      yield* settled
      assert.strictEqual((yield* ahead.take).position, 10n)
      assert.strictEqual((yield* ahead.take).position, 15n)
      assert.instanceOf(yield* Effect.flip(ahead.take), EventStoreError)
    }).pipe(Effect.provide(MemoryEventStore.layer)))
})
