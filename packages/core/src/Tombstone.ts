/**
 * A tombstone erases a stream, lawfully and for good: it is the stream's last event, and the commit that appends it takes
 * the data and metadata of all events before it away. What remains of them, their types, ids, versions, positions and
 * times, keeps the log dense and in order; who reads the log learns of the erasure by the tombstone, at a position of its
 * own.
 *
 * A tombstone is made by `EventStore.tombstone`, and by nothing else.
 */
import * as Brand from "effect/Brand"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { Service } from "./EventStore.ts"
import type { LogReadError } from "./EventStoreError.ts"
import type { EncodedEvent, RecordedEvent } from "./RecordedEvent.ts"

/**
 * The stored type of a tombstone, which is its name, too: a reader of the log that asks for this name gets all
 * tombstones. Declared events cannot be called so, because their names begin with a capital letter, and no append is
 * accepted of a type that begins with `$`.
 */
export const type = "$tombstone"

/** What a tombstone in the log says. */
export interface Tombstone {
  /** The stream that it ends. */
  readonly streamId: string
  /** Its own version: that of the stream's last event. */
  readonly version: number
  readonly globalPosition: bigint
  /** Why the stream was erased. */
  readonly reason: string
  /** When, by the store's own clock, in milliseconds since the Unix epoch. */
  readonly recordedAt: number
  readonly commandId: string
  readonly correlationId: string
}

/** Whether an event of the log is a tombstone. */
export const is = (recorded: RecordedEvent): boolean => recorded.type === type

/** What a tombstone says, when the event is one. */
export const from = (recorded: RecordedEvent): Tombstone | undefined => {
  if (!is(recorded)) return undefined
  const { commandId, correlationId, data, globalPosition, recordedAt, streamId, version } = recorded
  const reason = hasProperty(data, "reason") ? String(data.reason) : ""
  return { streamId, version, globalPosition, reason, recordedAt, commandId, correlationId }
}

/** The event that ends a stream: for the store. */
export const encode = (reason: string): EncodedEvent => encoded({ type, data: { reason } })

const encoded = Brand.nominal<EncodedEvent>()

const pageSize = 10_000

/**
 * The audit of all erasures, in their order: which stream, why, when, and by which command. It looks through the log that
 * is there, page by page, and ends.
 */
export const audit = (store: Pick<Service, "readAll">): Stream.Stream<Tombstone, LogReadError> =>
  Stream.paginate(0n, (after) =>
    Effect.map(
      store.readAll({ after, limit: pageSize, names: [type] }),
      ({ events, head, position }) => [
        events.flatMap((event) => from(event) ?? []),
        position < head ? Option.some(position) : Option.none()
      ]
    ))
