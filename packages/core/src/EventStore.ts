/**
 * The log of all events, as a service. An implementation provides the few operations of {@link Operations}; {@link make}
 * derives the rest, so that every implementation streams and subscribes alike.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type AppendError, CommandIdConflict, type EventStoreError } from "./EventStoreError.ts"
import type { ExpectedVersion } from "./ExpectedVersion.ts"
import { refusal } from "./internal/appendRules.ts"
import type { EncodedEvent, RecordedEvent } from "./RecordedEvent.ts"
import type { StreamId } from "./StreamId.ts"
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
   * Makes the append idempotent: when events were stored under this id before, they are not stored again and the first
   * outcome is returned. At most 255 characters. A fresh UUIDv7 when left out.
   */
  readonly commandId?: string | undefined
  /** The id of the action that started the conversation; the command id when left out. */
  readonly correlationId?: string | undefined
  /** The id of the action that directly caused the events; the command id when left out. */
  readonly causationId?: string | undefined
  /** Anything else to keep beside each event. */
  readonly metadata?: Schema.JsonObject | undefined
}

/** What accompanies the events of an append, as an implementation gets it: complete. */
export interface AppendContext {
  readonly commandId: string
  readonly correlationId: string
  readonly causationId: string
  readonly metadata: Schema.JsonObject
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
  /** Only events behind this global position; `0n` for the whole log. */
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
  /** Reads a stream in one go. A stream without events is empty, not an error. */
  readonly read: (
    streamId: StreamId,
    options?: ReadOptions
  ) => Effect.Effect<ReadonlyArray<RecordedEvent>, EventStoreError>
  /** Reads a page of the log. No event that is or will be committed at or before `position` is missing from the pages. */
  readonly readAll: (options: ReadAllOptions) => Effect.Effect<LogPage, EventStoreError>
  /** The events that the command with this id stored, in order; none when it stored none. */
  readonly readCommand: (commandId: string) => Effect.Effect<ReadonlyArray<RecordedEvent>, EventStoreError>
  /**
   * Begins to listen for appends. The effect it returns waits until something may have been appended since the last
   * wait (at first: since listening began), and then returns at once. It may wake for nothing; it never sleeps through.
   */
  readonly listen: Effect.Effect<Effect.Effect<void>, EventStoreError, Scope.Scope>
}

/** All operations of an event store. */
export interface Service extends Omit<Operations, "transact"> {
  /**
   * Appends to several streams in one commit: all of them or none. A stream named twice sees its own first append.
   * Results come in the order of the appends.
   */
  readonly transact: (
    appends: NonEmptyReadonlyArray<StreamAppend>,
    options?: AppendOptions
  ) => Effect.Effect<NonEmptyReadonlyArray<AppendResult>, AppendError>
  /** Appends to one stream: all events or none. */
  readonly append: (
    streamId: StreamId,
    expected: ExpectedVersion,
    events: NonEmptyReadonlyArray<EncodedEvent>,
    options?: AppendOptions
  ) => Effect.Effect<AppendResult, AppendError>
  /** Reads a stream page by page, so that memory does not grow with the stream's length. */
  readonly load: (streamId: StreamId, options?: ReadOptions) => Stream.Stream<RecordedEvent, EventStoreError>
  /** Follows the log: what is there, then what comes, without gap or duplicate at the seam. Ends only by interruption. */
  readonly subscribe: (options: SubscribeOptions) => Stream.Stream<RecordedEvent, EventStoreError>
}

/**
 * The log of all events.
 *
 * Versions count from 0 and a stream without events stands at −1; global positions count from 1, without gaps, in the
 * order of commits.
 */
export class EventStore extends Context.Service<EventStore, Service>()("@composable-ts/core/EventStore") {}

const pageSize = 500

const load = (read: Operations["read"]): Service["load"] => (streamId, options = {}) => {
  const backwards = options.direction === "backwards"
  return Stream.paginate({ ...options, left: options.maxCount ?? Infinity }, ({ left, ...range }) => {
    const size = Math.min(pageSize, left)
    return Effect.map(read(streamId, { ...range, maxCount: size }), (events) => {
      const last = events.at(-1)
      if (last === undefined || events.length < size || left === size) return [events, Option.none()]
      const rest = backwards ? { ...range, to: last.version - 1 } : { ...range, from: last.version + 1 }
      return [events, Option.some({ ...rest, left: left - size })]
    })
  })
}

const subscribe = (operations: Operations): Service["subscribe"] => ({ after, names }) =>
  Stream.unwrap(Effect.gen(function*() {
    const appended = yield* operations.listen
    return Stream.paginate({ after, caughtUp: false }, (state) =>
      Effect.gen(function*() {
        if (state.caughtUp) yield* appended
        const page = yield* operations.readAll({ after: state.after, limit: pageSize, names })
        return [page.events, Option.some({ after: page.position, caughtUp: page.position >= page.head })]
      }))
  }))

/**
 * The outcomes of appends whose command id stored these events before: for implementations, which must answer a
 * repetition with what the first one got. It is refused when it asks for other streams than the first did.
 */
export const firstOutcomes = (
  commandId: string,
  appends: ReadonlyArray<StreamAppend>,
  stored: ReadonlyArray<RecordedEvent>
): Result.Result<ReadonlyArray<Pick<AppendResult, "version" | "globalPosition">>, CommandIdConflict> => {
  const lastOf = new Map(stored.map((event) => [event.streamId, event]))
  const streamIds = new Set<string>(appends.map(({ streamId }) => streamId))
  if (streamIds.size !== lastOf.size || [...streamIds].some((streamId) => !lastOf.has(streamId))) {
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

const noMetadata: Schema.JsonObject = Object.freeze({})

const contextOf = (options: AppendOptions, time: number): AppendContext => {
  const commandId = options.commandId ?? UuidV7.make(time)
  return {
    commandId,
    correlationId: options.correlationId ?? commandId,
    causationId: options.causationId ?? commandId,
    metadata: options.metadata ?? noMetadata
  }
}

/** Completes an implementation's operations into a {@link Service}, which refuses what no store accepts. */
export const make = (operations: Operations): Service => {
  const transact: Service["transact"] = (appends, options = {}) => {
    const refused = refusal(appends, options)
    return refused === undefined
      ? Effect.clockWith((clock) => operations.transact(appends, contextOf(options, clock.currentTimeMillisUnsafe())))
      : Effect.fail(refused)
  }
  return {
    ...operations,
    transact,
    append: (streamId, expected, events, options) =>
      Effect.map(transact([{ streamId, expected, events }], options), (results) => results[0]),
    load: load(operations.read),
    subscribe: subscribe(operations)
  }
}
