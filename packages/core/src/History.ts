/**
 * What a stream tells of an aggregate instance: its events, and the state that follows from them now or at a moment of
 * its past. Reading runs no effect of any kind.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { Aggregate } from "./Aggregate.ts"
import type { DecodeError } from "./EventError.ts"
import type { CommandEvent, Service } from "./EventStore.ts"
import type { StreamReadError } from "./EventStoreError.ts"
import * as ExpectedVersion from "./ExpectedVersion.ts"
import type { RecordedEvent } from "./RecordedEvent.ts"
import type { InvalidStreamId, StreamId } from "./StreamId.ts"

/** An instance's state, and the last event that it contains. */
export interface Current<out S> {
  readonly state: S
  /** The last event's version; −1 before any event. */
  readonly version: number
  /** The last event's global position; 0 before any event. */
  readonly globalPosition: bigint
}

/** A moment of an instance's past: after the event of a version, or at a time by the event store's clock, in epoch ms. */
export type Moment = { readonly version: number } | { readonly time: number }

/** An event of an instance's history: as the feature knows it, and as the log holds it. */
export interface Recorded<out E, out Stored extends RecordedEvent = RecordedEvent> {
  readonly event: E
  readonly recorded: Stored
}

/** What lies behind a known state. */
export interface Since<out S, out E> {
  readonly events: ReadonlyArray<E>
  readonly current: Current<S>
}

/** What may go wrong when an instance is read. */
export type ReadError = InvalidStreamId | StreamReadError | DecodeError

/** The histories of an aggregate's instances. */
export interface History<S, E> {
  /** An instance before its first event. */
  readonly origin: Current<S>
  /** Carries a known state on to the end of the stream, or to a version of it, reading only what lies behind. */
  readonly catchUp: (streamId: StreamId, from: Current<S>, to?: number) => Effect.Effect<Current<S>, ReadError>
  /** What lies behind a known state: the events, oldest first, and the state behind them, both of one read. */
  readonly since: (streamId: StreamId, from: Current<S>) => Effect.Effect<Since<S, E>, ReadError>
  /** Whether the stream has any events. */
  readonly exists: (streamId: StreamId) => Effect.Effect<boolean, StreamReadError>
  /** The global position of the event at a version of the stream; nothing when there is none. */
  readonly positionOf: (streamId: StreamId, version: number) => Effect.Effect<bigint | undefined, StreamReadError>
  /** The state at a moment of the past. */
  readonly stateAt: (streamId: StreamId, moment: Moment) => Effect.Effect<Current<S>, ReadError>
  /** The events, oldest first; all, or those from a version on. */
  readonly events: (streamId: StreamId, from?: number) => Stream.Stream<Recorded<E>, ReadError>
  /** The events that a command stored, in any stream; none when it stored none. */
  readonly ofCommand: (commandId: string) => Effect.Effect<ReadonlyArray<Recorded<E, CommandEvent>>, ReadError>
}

/** The histories of an aggregate's instances in an event store. */
export const make = <S, C extends { readonly _tag: string }, E extends { readonly _tag: string }, R, N>(
  { actions, evolve, initial }: Aggregate<S, C, E, R, N>,
  store: Service
): History<S, E> => {
  const origin: Current<S> = { state: initial, version: ExpectedVersion.empty, globalPosition: 0n }

  const applyAll = (from: Current<S>, page: ReadonlyArray<RecordedEvent>): Result.Result<Current<S>, ReadError> => {
    const last = page.at(-1)
    if (last === undefined) return Result.succeed(from)
    let { state } = from
    for (const recorded of page) {
      const decoded = actions.decode(recorded)
      if (Result.isFailure(decoded)) return Result.fail(decoded.failure)
      state = evolve(state, decoded.success)
    }
    return Result.succeed({ state, version: last.version, globalPosition: last.globalPosition })
  }

  const replay = (from: Current<S>, recorded: Stream.Stream<RecordedEvent, StreamReadError>) =>
    Stream.runFoldEffect(
      Stream.chunks(recorded),
      () => from,
      (state, page) => Effect.fromResult(applyAll(state, page))
    )

  const decode = <Stored extends RecordedEvent>(recorded: Stored) =>
    Effect.fromResult(Result.map(actions.decode(recorded), (event): Recorded<E, Stored> => ({ event, recorded })))

  return {
    origin,
    catchUp: (streamId, from, to) => replay(from, store.load(streamId, { from: from.version + 1, to })),
    since: (streamId, from) =>
      Effect.map(
        Stream.runCollect(Stream.mapEffect(store.load(streamId, { from: from.version + 1 }), decode)),
        (recorded) => ({
          events: recorded.map(({ event }) => event),
          current: recorded.reduce(({ state }, { event, recorded: { globalPosition, version } }) => ({
            state: evolve(state, event),
            version,
            globalPosition
          }), from)
        })
      ),
    exists: (streamId) => Effect.map(store.read(streamId, { maxCount: 1 }), (first) => first.length > 0),
    positionOf: (streamId, version) =>
      Effect.map(store.read(streamId, { from: version, to: version }), ([event]) => event?.globalPosition),
    stateAt: (streamId, moment) =>
      replay(
        origin,
        "version" in moment
          ? store.load(streamId, { to: moment.version })
          : Stream.takeWhile(store.load(streamId), (event) => event.recordedAt <= moment.time)
      ),
    events: (streamId, from) => Stream.mapEffect(store.load(streamId, { from }), decode),
    ofCommand: (commandId) =>
      Effect.flatMap(store.readCommand(commandId), Effect.forEach((recorded) => decode(recorded)))
  }
}
