/**
 * The log of all events, as a service. An implementation provides the few operations of {@link Operations}; {@link make}
 * derives the rest, so that every implementation streams and subscribes alike.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import {
  type AppendError,
  CommandIdConflict,
  CorruptLog,
  CorruptStream,
  type EventStoreError,
  type LogReadError,
  PositionBeyondHead,
  type StreamReadError,
  StreamTombstoned,
  type SubscribeError
} from "./EventStoreError.ts"
import type { ExpectedVersion } from "./ExpectedVersion.ts"
import { refusal, tombstoneRefusal } from "./internal/appendRules.ts"
import { traced } from "./internal/appendSpan.ts"
import { logDamage, sightOf } from "./internal/integrity.ts"
import * as reading from "./internal/reading.ts"
import { sameJson } from "./internal/sameJson.ts"
import { storedJson } from "./internal/storedJson.ts"
import { byPlace, type Cancellation, kept, type OutboxEntry, type Settlement } from "./Outbox.ts"
import type { EncodedEvent, RecordedEvent } from "./RecordedEvent.ts"
import type { StreamId } from "./StreamId.ts"
import * as Tombstone from "./Tombstone.ts"
import * as TraceContext from "./TraceContext.ts"
import * as UuidV7 from "./UuidV7.ts"

/** What to append to one stream. */
export interface StreamAppend {
  readonly streamId: StreamId
  readonly expected: ExpectedVersion
  readonly events: NonEmptyReadonlyArray<EncodedEvent>
}

/** What accompanies the events of an append. */
export interface AppendOptions {
  /**
   * Makes the append idempotent: when these events were stored under this id before, they are not stored again and the
   * first outcome is returned. Other events under the same id are refused. At most 255 characters. A fresh UUIDv7 when
   * left out.
   */
  readonly commandId?: string | undefined
  /** The id of the action that started the conversation; the command id when left out. */
  readonly correlationId?: string | undefined
  /** The id of the action that directly caused the events; the command id when left out. */
  readonly causationId?: string | undefined
  /**
   * A short digest of what was asked for, kept with the command id. It tells a repetition from another command under the
   * same id, where the events cannot: those of a command that is decided again may differ. At most 255 characters.
   * Without it, the events are compared.
   */
  readonly fingerprint?: string | undefined
  /** Anything else to keep beside each event. Where a tracer is installed, `traceparent` is added; see `TraceContext`. */
  readonly metadata?: Schema.JsonObject | undefined
  /**
   * What the command wants done besides: stored in the commit of the events, for workers to claim from the `Outbox`. The
   * entries belong to the command, at the first of its streams. A repetition stores none again.
   */
  readonly outbox?: ReadonlyArray<OutboxEntry> | undefined
  /**
   * Claims of the outbox that end in the commit of the events: the entries are completed exactly when the events are
   * stored. If one of them holds no more, nothing is stored, and the append fails with `StaleClaim`. A repetition ends
   * none.
   */
  readonly settles?: ReadonlyArray<Settlement> | undefined
  /**
   * Entries of the outbox to remove in the commit of the events: those of the first stream, stored before, that are not
   * dead. Those of this append stay. A repetition removes none.
   */
  readonly cancels?: ReadonlyArray<Cancellation> | undefined
}

/** The options that concern the outbox. */
type OutboxOptions = "outbox" | "settles" | "cancels"

/** What accompanies a tombstone. It takes the stream's entries of the outbox away, and stores none. */
export interface TombstoneOptions extends Omit<AppendOptions, OutboxOptions> {
  /** Why the stream is erased; it stays in the log for good, so it must not repeat what is to be forgotten. */
  readonly reason: string
}

/** What accompanies the events of an append, as an implementation gets it: complete. */
export interface AppendContext {
  readonly commandId: string
  readonly correlationId: string
  readonly causationId: string
  readonly fingerprint?: string | undefined
  readonly metadata: Schema.JsonObject
  /** To be stored with the events, if there are any. */
  readonly outbox?: ReadonlyArray<OutboxEntry> | undefined
  /** To be ended with the events, if there are any; in the order of their places. */
  readonly settles?: ReadonlyArray<Settlement> | undefined
  /** To be removed with the events, if there are any. */
  readonly cancels?: ReadonlyArray<Cancellation> | undefined
}

/** What accompanies a tombstone, as an implementation gets it: complete. */
export interface TombstoneContext extends Omit<AppendContext, OutboxOptions> {
  readonly reason: string
}

/** Where an append's last event stands. */
export interface AppendResult {
  readonly version: number
  readonly globalPosition: bigint
  /** Whether the events were stored by an earlier append with the same command id. */
  readonly duplicate: boolean
}

/** Which of a stream's events to read. Bounds are versions, inclusive, whatever the direction. */
export interface ReadOptions {
  /** The lowest version to read. Default 0. */
  readonly from?: number | undefined
  /** The highest version to read. Default: the last. */
  readonly to?: number | undefined
  /** Ascending versions (the default) or descending. */
  readonly direction?: "forwards" | "backwards" | undefined
  /** How many events at the most. Default: all. */
  readonly maxCount?: number | undefined
}

/** Which of the log's events to read. */
export interface ReadAllOptions {
  /** Only events behind this global position; `0n`, or less, for the whole log. */
  readonly after: bigint
  /** How many positions of the log to look at, at the most; so the events are no more than that. */
  readonly limit: number
  /**
   * Only events of these names, in whatever version: also in one that only a newer program knows, because to pass over
   * it would be to lose it. Default: all.
   */
  readonly names?: ReadonlyArray<string> | undefined
  /** Only events of the streams of one partition. Default: all. */
  readonly partition?: Partition | undefined
}

/**
 * One of `count` parts of the log. Each stream belongs to one of them, always the same for one `count`, whatever the
 * version of store, server or machine; which one is the store's to say.
 */
export interface Partition {
  /** From 0. */
  readonly index: number
  readonly count: number
}

/** An event, as those of a command are read. */
export interface CommandEvent extends RecordedEvent {
  /** On the command's first event: the fingerprint that came with the append, if one did. */
  readonly fingerprint?: string | undefined
}

/** A page of the log, in order of global position. */
export interface LogPage {
  readonly events: ReadonlyArray<RecordedEvent>
  /** The log was looked through up to here: read on after this position, also when a filter left no events. */
  readonly position: bigint
  /** The log's last position when the page was read. */
  readonly head: bigint
  /**
   * The id of the event at `after`, whether or not a filter would leave it out; `undefined` where the log has none. A
   * reader that remembers it learns in the same breath whether this is still the log that it has read so far.
   */
  readonly previousEventId: string | undefined
  /** The id of the event at `position`, whether or not a filter left it out; `undefined` where the log has none. */
  readonly lastEventId: string | undefined
}

/** Which events to follow. */
export interface SubscribeOptions {
  /** Events behind this global position; `0n` from the beginning, the {@link LogPage.head} of a read from now on. */
  readonly after: bigint
  /** Only events of these names, in whatever version. Default: all. */
  readonly names?: ReadonlyArray<string> | undefined
  /** What the subscription is called in logs, spans and metrics. Default `unnamed`. */
  readonly name?: string | undefined
}

/** What an implementation of the event store provides. */
export interface Operations {
  /**
   * Appends to several streams in one commit: all of them or none. A stream named twice sees its own first append.
   * Results come in the order of the appends. A command id that stored events before stores none again.
   */
  readonly transact: (
    appends: NonEmptyReadonlyArray<StreamAppend>,
    context: AppendContext
  ) => Effect.Effect<NonEmptyReadonlyArray<AppendResult>, AppendError>
  /**
   * Appends a tombstone, {@link Tombstone.encode} of the reason, to one stream, and in the same commit erases data and
   * metadata of all events before it, and removes the stream's entries of the outbox. From then on every append to the stream fails with `StreamTombstoned`, before its
   * expected version is looked at.
   */
  readonly tombstone: (
    streamId: StreamId,
    expected: ExpectedVersion,
    context: TombstoneContext
  ) => Effect.Effect<AppendResult, AppendError>
  /**
   * Reads a stream in one go. A stream without events is empty, not an error. Erased events and tombstones are read as
   * they are, marked: {@link make} makes an error of them.
   */
  readonly read: (
    streamId: StreamId,
    options?: ReadOptions
  ) => Effect.Effect<ReadonlyArray<RecordedEvent>, StreamReadError>
  /** Reads a page of the log. No event that is or will be committed at or before `position` is missing from the pages. */
  readonly readAll: (options: ReadAllOptions) => Effect.Effect<LogPage, LogReadError>
  /**
   * Which of `count` partitions a stream belongs to, as {@link readAll} divides the log, from 0. For stores that can say
   * it without being asked: readers of several partitions then share what they read.
   */
  readonly partitionOf?: ((streamId: string, count: number) => number) | undefined
  /** The events that the command with this id stored, in order, erased ones marked; none when it stored none. */
  readonly readCommand: (commandId: string) => Effect.Effect<ReadonlyArray<CommandEvent>, EventStoreError>
  /**
   * Begins to listen for appends. The effect it returns waits until something may have been appended since the last
   * wait (at first: since listening began), and then returns at once. It may wake for nothing; it never sleeps through.
   */
  readonly listen: Effect.Effect<Effect.Effect<void>, EventStoreError, Scope.Scope>
}

/** All operations of an event store. */
export interface Service extends Omit<Operations, "transact" | "tombstone" | "read"> {
  /**
   * Appends to several streams in one commit: all of them or none. A stream named twice sees its own first append.
   * Results come in the order of the appends. One tombstoned stream among them fails all.
   */
  readonly transact: (
    appends: NonEmptyReadonlyArray<StreamAppend>,
    options?: AppendOptions
  ) => Effect.Effect<NonEmptyReadonlyArray<AppendResult>, AppendError>
  /**
   * Erases a stream, lawfully and for good: appends a tombstone, which says why and is the stream's last event, and in the
   * same commit takes data and metadata of all events before it away. Their types, ids, versions, positions and times
   * stay, so the log stays dense and in order. It expects a version and repeats by command id as an append does.
   *
   * The stream then takes no append and gives no events: both fail with `StreamTombstoned`. Readers of the log get its
   * events marked as erased, and the tombstone; {@link Tombstone.audit} lists all of them.
   *
   * @example
   * ```ts
   * import * as EventStore from "@composable-ts/core/EventStore"
   * import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
   * import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
   * import * as StreamId from "@composable-ts/core/StreamId"
   * import * as Effect from "effect/Effect"
   *
   * const program = Effect.gen(function*() {
   *   const store = yield* EventStore.EventStore
   *   const streamId = yield* Effect.fromResult(StreamId.make("customer", "7"))
   *   yield* store.tombstone(streamId, ExpectedVersion.any, { reason: "request 311 under article 17" })
   *   return yield* Effect.flip(store.read(streamId))
   * })
   *
   * const error = await Effect.runPromise(Effect.provide(program, MemoryEventStore.layer))
   * error._tag // => "StreamTombstoned"
   * ```
   */
  readonly tombstone: (
    streamId: StreamId,
    expected: ExpectedVersion,
    options: TombstoneOptions
  ) => Effect.Effect<AppendResult, AppendError>
  /**
   * Reads a stream in one go. A stream without events is empty, not an error. A tombstoned one fails, whichever of its
   * events is asked for. Bounds that hold no event at all, beyond its end for instance, give none, as on any stream.
   */
  readonly read: (
    streamId: StreamId,
    options?: ReadOptions
  ) => Effect.Effect<ReadonlyArray<RecordedEvent>, StreamReadError>
  /** Appends to one stream: all events or none. */
  readonly append: (
    streamId: StreamId,
    expected: ExpectedVersion,
    events: NonEmptyReadonlyArray<EncodedEvent>,
    options?: AppendOptions
  ) => Effect.Effect<AppendResult, AppendError>
  /**
   * Reads a stream page by page, so that memory does not grow with the stream's length. Otherwise like {@link read}; a
   * tombstone that comes between two pages ends it with `StreamTombstoned` behind the first.
   */
  readonly load: (streamId: StreamId, options?: ReadOptions) => Stream.Stream<RecordedEvent, StreamReadError>
  /**
   * Follows the log: what is there, then what comes, without gap or duplicate at the seam. It reads no further ahead than
   * a page, so a slow consumer holds it back. While the store is away (an error that is `retryable`) it waits and says so
   * in the log; a page that takes longer than the database's `statement_timeout` it asks for in halves first; it ends only by interruption, or by an error that does not pass: also when the log is found to end
   * before the position that it has reached. Events of tombstoned streams come marked as erased; what decodes events
   * passes over them.
   */
  readonly subscribe: (options: SubscribeOptions) => Stream.Stream<RecordedEvent, SubscribeError>
}

/**
 * The log of all events.
 *
 * Versions count from 0 and a stream without events stands at −1; global positions count from 1, without gaps, in the
 * order of commits.
 */
export class EventStore extends Context.Service<EventStore, Service>()("@composable-ts/core/EventStore") {}

const pageSize = 500

/** How many events of a stream are read at once, at the most. */
const streamPageSize = 1_000

/** Whatever data is gone, a tombstone must say why. It is looked for only then. */
const readStream = (operations: Operations): Service["read"] => (streamId, options = {}) =>
  Effect.flatMap(operations.read(streamId, options), (events) => {
    const sight = sightOf(streamId, options, events)
    if (sight === undefined) return Effect.succeed(events)
    switch (sight._tag) {
      case "Damage":
        return Effect.fail(new CorruptStream({ streamId, version: sight.version, issue: sight.issue }))
      case "Tombstone":
        return Effect.fail(new StreamTombstoned({ streamId, version: sight.version }))
      case "Erasure":
        return Effect.flatMap(
          operations.read(streamId, { direction: "backwards", maxCount: 1 }),
          ([last]) =>
            Effect.fail(
              last !== undefined && Tombstone.is(last)
                ? new StreamTombstoned({ streamId, version: last.version })
                : new CorruptStream({
                  streamId,
                  version: sight.version,
                  issue: "its data is gone, and no tombstone says why"
                })
            )
        )
    }
  })

const readLog = (operations: Operations): Service["readAll"] => (given) => {
  // No event stands before the first: an implementation need not ask what a position before it would mean.
  const options = given.after < 0n ? { ...given, after: 0n } : given
  return Effect.flatMap(operations.readAll(options), (page) => {
    const damage = logDamage(options, page)
    return damage === undefined ? Effect.succeed(page) : Effect.fail(new CorruptLog(damage))
  })
}

const load = (read: Service["read"]): Service["load"] => (streamId, options = {}) => {
  const backwards = options.direction === "backwards"
  return Stream.paginate({ ...options, left: options.maxCount ?? Infinity, due: -1 }, ({ due, left, ...range }) => {
    const size = Math.min(streamPageSize, left)
    // One more tells whether the page is the last, or another would be read to find that it is empty.
    const maxCount = size < left ? size + 1 : size
    return Effect.flatMap(read(streamId, { ...range, maxCount }), (found) => {
      const events = found.length > size ? found.slice(0, size) : found
      // Backwards, only a page's end is checked as it is read: its beginning may be the end of the stream.
      if (due >= 0 && events[0]?.version !== due) {
        return Effect.fail(new CorruptStream({ streamId, version: due, issue: "it is missing" }))
      }
      const last = events.at(-1)
      if (last === undefined || found.length <= size) return Effect.succeed([events, Option.none()])
      const rest = backwards
        ? { ...range, to: last.version - 1, due: last.version - 1 }
        : { ...range, from: last.version + 1, due: -1 }
      return Effect.succeed([events, Option.some({ ...rest, left: left - size })])
    })
  })
}

const subscribe =
  ({ listen, readAll }: Pick<Operations, "listen" | "readAll">): Service["subscribe"] =>
  ({ after, name = "unnamed", names }) =>
    Stream.unwrap(Effect.gen(function*() {
      const readPage = reading.subscribe(name, readAll)
      const appended = yield* listen
      return Stream.paginate({ after, caughtUp: false }, (state) =>
        Effect.gen(function*() {
          if (state.caughtUp) yield* appended
          const page = yield* readPage({ after: state.after, limit: pageSize, names })
          if (page.head < state.after) {
            return yield* new PositionBeyondHead({ position: state.after, head: page.head })
          }
          return [page.events, Option.some({ after: page.position, caughtUp: page.position >= page.head })]
        }))
    }))

/**
 * Whether each stream was given the same events, whatever the order of the streams. What was erased since is taken for the
 * same: nothing is left to tell.
 */
const sameEvents = (appends: ReadonlyArray<StreamAppend>, stored: ReadonlyArray<RecordedEvent>): boolean => {
  const asked = new Map<string, Array<EncodedEvent>>()
  for (const { events, streamId } of appends) {
    const before = asked.get(streamId)
    if (before === undefined) asked.set(streamId, [...events])
    else before.push(...events)
  }
  const next = new Map<string, number>()
  let count = 0
  for (const events of asked.values()) count += events.length
  return count === stored.length && stored.every(({ data, erased, streamId, type }) => {
    const index = next.get(streamId) ?? 0
    next.set(streamId, index + 1)
    const event = asked.get(streamId)?.[index]
    return event !== undefined && event.type === type && (erased === true || sameJson(storedJson(event.data), data))
  })
}

/**
 * The outcomes of appends whose command id stored these events before: for implementations, which must answer a
 * repetition with what the first one got. What is no repetition is refused: what asks for other streams, and what asks
 * for other events there; where both carry a fingerprint, these say whether it is one and the events do not matter.
 */
export const firstOutcomes = (
  { commandId, fingerprint }: Pick<AppendContext, "commandId" | "fingerprint">,
  appends: ReadonlyArray<StreamAppend>,
  stored: ReadonlyArray<CommandEvent>
): Result.Result<ReadonlyArray<Pick<AppendResult, "version" | "globalPosition">>, CommandIdConflict> => {
  const lastOf = new Map(stored.map((event) => [event.streamId, event]))
  const streamIds = new Set<string>(appends.map(({ streamId }) => streamId))
  const sameStreams = !stored.some(Tombstone.is) && streamIds.size === lastOf.size &&
    [...streamIds].every((streamId) => lastOf.has(streamId))
  const known = stored[0]?.fingerprint
  const isRepetition = sameStreams &&
    (fingerprint === undefined || known === undefined ? sameEvents(appends, stored) : fingerprint === known)
  if (!isRepetition) {
    return Result.fail(
      new CommandIdConflict({ commandId, streamIds: [...streamIds], storedStreamIds: [...lastOf.keys()] })
    )
  }
  const asked = appends.flatMap(({ events, streamId }) => events.map(() => streamId))
  const sameShape = asked.length === stored.length && stored.every(({ streamId }, i) => streamId === asked[i])
  let last = -1
  return Result.succeed(appends.map(({ events: { length }, streamId }) => {
    last += length
    // A stream named twice has an outcome for each, which only the same command asked again can tell apart.
    const { globalPosition, version } = sameShape ? stored[last]! : lastOf.get(streamId)!
    return { version, globalPosition }
  }))
}

/** The outcome of a tombstone whose command id stored it before. It is refused when the command was another one. */
export const firstTombstone = (
  commandId: string,
  streamId: StreamId,
  stored: ReadonlyArray<RecordedEvent>
): Result.Result<Pick<AppendResult, "version" | "globalPosition">, CommandIdConflict> => {
  const [first] = stored
  return first !== undefined && Tombstone.is(first) && first.streamId === streamId
    ? Result.succeed({ version: first.version, globalPosition: first.globalPosition })
    : Result.fail(
      new CommandIdConflict({
        commandId,
        streamIds: [streamId],
        storedStreamIds: [...new Set(stored.map((event) => event.streamId))]
      })
    )
}

const noMetadata: Schema.JsonObject = Object.freeze({})

const isSome = <A>(elements: ReadonlyArray<A> | undefined): elements is ReadonlyArray<A> =>
  elements !== undefined && elements.length > 0

const contextOf = (options: AppendOptions, context: Context.Context<never>): AppendContext => {
  const commandId = options.commandId ?? UuidV7.make(Context.get(context, Clock.Clock).currentTimeMillisUnsafe())
  return {
    commandId,
    correlationId: options.correlationId ?? commandId,
    causationId: options.causationId ?? commandId,
    fingerprint: options.fingerprint,
    ...isSome(options.outbox) && { outbox: options.outbox },
    ...isSome(options.cancels) && { cancels: options.cancels },
    ...isSome(options.settles) && {
      settles: options.settles.map((settlement) =>
        settlement.deadBecause === undefined ? settlement : { ...settlement, deadBecause: kept(settlement.deadBecause) }
      ).sort(byPlace)
    },
    metadata: TraceContext.annotate(options.metadata ?? noMetadata, context)
  }
}

/**
 * Completes an implementation's operations into a {@link Service}, which refuses what no store accepts, and notices in
 * what it reads that a stream was tombstoned, or that somebody has tampered with the log.
 */
export const make = (operations: Operations): Service => {
  const checked = { read: readStream(operations), readAll: readLog(operations) }
  const transact: Service["transact"] = (appends, options = {}) => {
    const refused = refusal(appends, options)
    return refused === undefined
      ? traced(
        appends,
        Effect.withFiber((fiber) => operations.transact(appends, contextOf(options, fiber.context)))
      )
      : Effect.fail(refused)
  }
  const read = reading.read(checked.read)
  return {
    listen: operations.listen,
    read,
    readAll: reading.readAll(checked.readAll),
    readCommand: operations.readCommand,
    partitionOf: operations.partitionOf,
    transact,
    append: (streamId, expected, events, options) =>
      Effect.map(transact([{ streamId, expected, events }], options), (results) => results[0]),
    tombstone: (streamId, expected, options) => {
      const refused = tombstoneRefusal(expected, options)
      return refused === undefined
        ? Effect.withFiber((fiber) =>
          operations.tombstone(streamId, expected, { ...contextOf(options, fiber.context), reason: options.reason })
        )
        : Effect.fail(refused)
    },
    load: load(read),
    subscribe: subscribe({ listen: operations.listen, readAll: checked.readAll })
  }
}
