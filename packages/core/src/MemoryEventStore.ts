/**
 * The event store in memory: for tests, and for programs whose facts need not outlive them. It obeys the same contract
 * as the PostgreSQL store, JSON round trip included.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as EventStore from "./EventStore.ts"
import { EventStoreError, StreamTombstoned, VersionConflict } from "./EventStoreError.ts"
import * as ExpectedVersion from "./ExpectedVersion.ts"
import * as MemoryOutbox from "./internal/memoryOutbox.ts"
import { storedJson } from "./internal/storedJson.ts"
import { Outbox, type Service as OutboxService } from "./Outbox.ts"
import { nameOf, type RecordedEvent } from "./RecordedEvent.ts"
import type { StreamId } from "./StreamId.ts"
import * as Tombstone from "./Tombstone.ts"
import * as UuidV7 from "./UuidV7.ts"

/** Where a command's events stand in the log, and its fingerprint, if it carried one. */
interface Stored {
  readonly from: number
  readonly to: number
  readonly fingerprint: string | undefined
}

/** Positions of the log are 1-based and dense, so position p stands at index p − 1. */
interface Log {
  readonly all: Array<RecordedEvent>
  readonly streams: Map<string, Array<RecordedEvent>>
  /** Where the events of each command stand, which are consecutive, and what it was. */
  readonly commands: Map<string, Stored>
  readonly listeners: Set<Queue.Queue<void>>
  readonly outbox: MemoryOutbox.Entries
}

/** As many as there were appends. */
type Results = NonEmptyReadonlyArray<EventStore.AppendResult>

const storedBy = (log: Log, commandId: string): ReadonlyArray<EventStore.CommandEvent> => {
  const stored = log.commands.get(commandId)
  if (stored === undefined) return []
  const events = log.all.slice(stored.from, stored.to)
  const [first, ...others] = events
  return stored.fingerprint === undefined ? events : [{ ...first!, fingerprint: stored.fingerprint }, ...others]
}

const versionOf = (log: Log, streamId: StreamId): number => (log.streams.get(streamId)?.length ?? 0) - 1

/** Checks each append against the stream as the appends before it leave it. */
const conflict = (
  log: Log,
  appends: ReadonlyArray<EventStore.StreamAppend>
): VersionConflict | StreamTombstoned | undefined => {
  const versions = new Map<StreamId, number>()
  for (const { events, expected, streamId } of appends) {
    const last = log.streams.get(streamId)?.at(-1)
    if (last !== undefined && Tombstone.is(last)) return new StreamTombstoned({ streamId, version: last.version })
    const actual = versions.get(streamId) ?? versionOf(log, streamId)
    if (!ExpectedVersion.admits(expected, actual)) return new VersionConflict({ streamId, expected, actual })
    versions.set(streamId, actual + events.length)
  }
  return undefined
}

const write = (
  log: Log,
  appends: ReadonlyArray<EventStore.StreamAppend>,
  context: EventStore.AppendContext,
  recordedAt: number
): Results => {
  const { causationId, commandId, correlationId, fingerprint } = context
  const metadata = storedJson(context.metadata)
  const bodies = appends.map(({ events }) => events.map((event) => storedJson(event.data)))
  const wanted = MemoryOutbox.prepare(context.outbox)
  const from = log.all.length
  const results = appends.map(({ events, streamId }, i) => {
    let stream = log.streams.get(streamId)
    if (stream === undefined) log.streams.set(streamId, stream = [])
    for (let j = 0; j < events.length; j++) {
      const event: RecordedEvent = Object.freeze({
        streamId,
        version: stream.length,
        globalPosition: BigInt(log.all.length + 1),
        type: events[j]!.type,
        data: bodies[i]![j]!,
        eventId: UuidV7.make(recordedAt),
        commandId,
        correlationId,
        causationId,
        recordedAt,
        metadata
      })
      stream.push(event)
      log.all.push(event)
    }
    return { version: stream.length - 1, globalPosition: BigInt(log.all.length), duplicate: false }
  })
  log.commands.set(commandId, { from, to: log.all.length, fingerprint })
  MemoryOutbox.settle(log.outbox, context.settles, recordedAt)
  MemoryOutbox.cancelOf(log.outbox, appends[0]!.streamId, context.cancels)
  MemoryOutbox.store(log.outbox, wanted, log.all[from]!)
  for (const listener of log.listeners) Queue.offerUnsafe(listener, undefined)
  return results as unknown as Results
}

const transact = (log: Log): EventStore.Operations["transact"] => (appends, context) =>
  Effect.clockWith((clock): ReturnType<EventStore.Operations["transact"]> => {
    const known = storedBy(log, context.commandId)
    if (known.length > 0) {
      const first = EventStore.firstOutcomes(context, appends, known)
      return Effect.fromResult(
        Result.map(first, (results) => results.map((result) => ({ ...result, duplicate: true })) as unknown as Results)
      )
    }
    const refused = conflict(log, appends) ?? MemoryOutbox.stale(log.outbox, context.settles)
    if (refused !== undefined) return Effect.fail(refused)
    return Effect.try({
      try: () => write(log, appends, context, clock.currentTimeMillisUnsafe()),
      catch: (cause) => new EventStoreError({ operation: "append", retryable: false, cause })
    })
  })

const noMetadata: RecordedEvent["metadata"] = Object.freeze({})

/** Takes away what the events of a stream before its last say. */
const erase = (log: Log, streamId: StreamId): void => {
  const stream = log.streams.get(streamId)!
  for (let version = 0; version < stream.length - 1; version++) {
    const event = stream[version]!
    const erased: RecordedEvent = Object.freeze({ ...event, data: null, metadata: noMetadata, erased: true })
    stream[version] = erased
    log.all[Number(event.globalPosition) - 1] = erased
  }
}

const tombstone = (log: Log): EventStore.Operations["tombstone"] => (streamId, expected, context) =>
  Effect.clockWith((clock): ReturnType<EventStore.Operations["tombstone"]> => {
    const known = storedBy(log, context.commandId)
    if (known.length > 0) {
      const first = EventStore.firstTombstone(context.commandId, streamId, known)
      return Effect.fromResult(Result.map(first, (result) => ({ ...result, duplicate: true })))
    }
    const appends = [{ streamId, expected, events: [Tombstone.encode(context.reason)] }] as const
    const refused = conflict(log, appends)
    if (refused !== undefined) return Effect.fail(refused)
    return Effect.try({
      try: () => {
        const [result] = write(log, appends, context, clock.currentTimeMillisUnsafe())
        erase(log, streamId)
        MemoryOutbox.forget(log.outbox, streamId)
        return result
      },
      catch: (cause) => new EventStoreError({ operation: "tombstone", retryable: false, cause })
    })
  })

const read = (log: Log): EventStore.Operations["read"] => (streamId, options = {}) =>
  Effect.sync(() => {
    const stream = log.streams.get(streamId) ?? []
    // A negative index would count from the end.
    const range = stream.slice(Math.max(0, options.from ?? 0), Math.max(0, (options.to ?? Infinity) + 1))
    if (options.direction === "backwards") range.reverse()
    return options.maxCount === undefined ? range : range.slice(0, options.maxCount)
  })

const readAll = (log: Log): EventStore.Operations["readAll"] => ({ after, limit, names, partition }) =>
  Effect.sync(() => {
    const page = log.all.slice(Number(after), Number(after) + limit)
    const position = page.at(-1)?.globalPosition ?? after
    const named = names === undefined ? page : page.filter((event) => names.includes(nameOf(event.type)))
    return {
      events: partition === undefined ? named : named.filter(({ streamId }) => isIn(partition, streamId)),
      position,
      head: BigInt(log.all.length),
      previousEventId: log.all[Number(after) - 1]?.eventId,
      lastEventId: log.all[Number(position) - 1]?.eventId
    }
  })

/** Whether a stream belongs to a partition, by the FNV-1a hash of its id. */
const isIn = ({ count, index }: EventStore.Partition, streamId: string): boolean => {
  let hash = 0x811c9dc5
  for (let i = 0; i < streamId.length; i++) hash = Math.imul(hash ^ streamId.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % count === index
}

/** An empty store of its own, and the outbox that its appends fill. */
export const makeWithOutbox: Effect.Effect<{
  readonly events: EventStore.Service
  readonly outbox: OutboxService
}> = Effect.sync(() => {
  const outbox = MemoryOutbox.empty()
  const log: Log = { all: [], streams: new Map(), commands: new Map(), listeners: new Set(), outbox }
  const events = EventStore.make({
    transact: transact(log),
    tombstone: tombstone(log),
    read: read(log),
    readAll: readAll(log),
    readCommand: (commandId) => Effect.sync(() => storedBy(log, commandId)),
    listen: Effect.map(
      Effect.acquireRelease(
        Effect.tap(Queue.sliding<void>(1), (queue) => Effect.sync(() => log.listeners.add(queue))),
        (queue) => Effect.andThen(Effect.sync(() => log.listeners.delete(queue)), Queue.shutdown(queue))
      ),
      Queue.take
    )
  })
  return { events, outbox: MemoryOutbox.service(outbox) }
})

/** An empty store of its own. */
export const make: Effect.Effect<EventStore.Service> = Effect.map(makeWithOutbox, ({ events }) => events)

/** Provides an empty store of its own, whose events live as long as the layer. */
export const layer: Layer.Layer<EventStore.EventStore> = Layer.effect(EventStore.EventStore, make)

/**
 * Provides an empty store of its own and the outbox that its appends fill; both live as long as the layer.
 *
 * @example
 * ```ts
 * import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
 * import * as Outbox from "@composable-ts/core/Outbox"
 * import { Effect } from "effect"
 *
 * const claim = Outbox.Outbox.use((outbox) => outbox.claim({ limit: 10, lease: "30 seconds" }))
 * const claimed = await Effect.runPromise(Effect.provide(claim, MemoryEventStore.layerWithOutbox))
 * claimed // => []
 * ```
 */
export const layerWithOutbox: Layer.Layer<EventStore.EventStore | Outbox> = Layer.effectContext(
  Effect.map(
    makeWithOutbox,
    ({ events, outbox }) => Context.make(EventStore.EventStore, events).pipe(Context.add(Outbox, outbox))
  )
)
