/**
 * What the cases of the contract are made of.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { AppendResult, ReadAllOptions, Service } from "@composable-ts/core/EventStore"
import {
  type AppendError,
  type LogReadError,
  StreamTombstoned,
  VersionConflict
} from "@composable-ts/core/EventStoreError"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import type { Case as CaseOf } from "../contract.ts"

/** One thing that an event store must do. It needs the store for itself while it runs. */
export type Case = CaseOf<Service>

const Contract = Action.define("Contract", {
  commands: {},
  events: {
    Noted: Event.v1({ note: Schema.Json }),
    Counted: Event.v1({ count: Schema.Int })
  }
})

/** An event that holds anything. */
export const noted = (note: Schema.Json): EncodedEvent => Result.getOrThrow(Contract.encode(Contract.Noted({ note })))
/** An event of another type. */
export const counted = (count: number): EncodedEvent => Result.getOrThrow(Contract.encode(Contract.Counted({ count })))

/** Their stored types. */
export const notedType = "Noted.v1"
export const countedType = "Counted.v1"
/** The names of the events of these types. */
export const notedName = "Noted"
export const countedName = "Counted"

/** As many as asked for, each different. */
export const several = (count: number): NonEmptyReadonlyArray<EncodedEvent> => [
  counted(0),
  ...Array.from({ length: count - 1 }, (_, i) => counted(i + 1))
]

/** An id that nothing else uses, so that one store serves all cases. */
export const freshId = (): string => UuidV7.make(Date.now())
export const freshStream = (): StreamId.StreamId => Result.getOrThrow(StreamId.make("contract", freshId()))

export const versions = (events: ReadonlyArray<{ readonly version: number }>): ReadonlyArray<number> =>
  events.map(({ version }) => version)
export const positions = (events: ReadonlyArray<{ readonly globalPosition: bigint }>): ReadonlyArray<bigint> =>
  events.map(({ globalPosition }) => globalPosition)

/** `from`, `from + 1`, …: as many as asked for. */
export const countFrom = (from: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => from + i)
/** The positions behind one, as many as asked for. */
export const positionsAfter = (position: bigint, count: number): ReadonlyArray<bigint> =>
  Array.from({ length: count }, (_, i) => position + BigInt(i + 1))

/** The log's last position. */
export const headOf = (store: Service): Effect.Effect<bigint, LogReadError> =>
  Effect.map(store.readAll({ after: 0n, limit: 1 }), ({ head }) => head)

/** Reads the log page by page, up to its end as each page tells it. */
export const readLog = (
  store: Service,
  options: ReadAllOptions
): Effect.Effect<ReadonlyArray<RecordedEvent>, LogReadError> =>
  Effect.gen(function*() {
    const events: Array<RecordedEvent> = []
    let after = options.after
    while (true) {
      const page = yield* store.readAll({ ...options, after })
      events.push(...page.events)
      if (page.position >= page.head) return events
      assert.ok(page.position > after, `readAll stands still at ${after}, although the log goes on to ${page.head}`)
      after = page.position
    }
  })

/** Fails unless nothing at all was stored meanwhile. */
export const storesNothing = <A, E, R>(store: Service, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const before = yield* headOf(store)
    const result = yield* effect
    assert.equal(yield* headOf(store), before, "something was stored")
    return result
  })

/** The winners of a race, and what the others got. */
export interface Race {
  readonly won: ReadonlyArray<AppendResult>
  readonly lost: ReadonlyArray<AppendError>
}

/** Runs all at once. */
export const race = (
  runners: ReadonlyArray<Effect.Effect<AppendResult, AppendError>>
): Effect.Effect<Race> =>
  Effect.map(
    Effect.all(runners.map((runner) => Effect.result(runner)), { concurrency: "unbounded" }),
    (results) => ({
      won: results.flatMap((result) => Result.isSuccess(result) ? [result.success] : []),
      lost: results.flatMap((result) => Result.isFailure(result) ? [result.failure] : [])
    })
  )

/** The refusal is a conflict that says where the stream really stands. */
export const assertConflict = (
  error: unknown,
  conflict: Pick<VersionConflict, "streamId" | "expected" | "actual">
): void => {
  assert.ok(error instanceof VersionConflict, `expected a VersionConflict, got ${String(error)}`)
  const { actual, expected, streamId } = error
  assert.deepEqual({ streamId, expected: { ...expected }, actual }, { ...conflict, expected: { ...conflict.expected } })
}

/** The refusal says that a tombstone ends the stream, and where. */
export const assertTombstoned = (error: unknown, streamId: string, version: number): void => {
  assert.ok(error instanceof StreamTombstoned, `expected a StreamTombstoned, got ${String(error)}`)
  assert.deepEqual({ streamId: error.streamId, version: error.version }, { streamId, version })
}
