/**
 * A store runs reducers and interprets the effects that they describe. {@link aggregate} is the store of an aggregate's
 * instances: each command is one step of decide, append, evolve, and the state that readers see is only state whose
 * events are stored.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Meta } from "./Action.ts"
import * as Aggregate from "./Aggregate.ts"
import type { EventEncodeFailed } from "./EventError.ts"
import { type AppendOptions, EventStore } from "./EventStore.ts"
import { type AppendError, CommandIdConflict, VersionConflict } from "./EventStoreError.ts"
import * as ExpectedVersion from "./ExpectedVersion.ts"
import type * as Fx from "./Fx.ts"
import * as History from "./History.ts"
import { InstanceCache } from "./internal/InstanceCache.ts"
import type { EncodedEvent } from "./RecordedEvent.ts"
import type { InvalidStreamId, StreamId } from "./StreamId.ts"
import * as UuidV7 from "./UuidV7.ts"

type Tag = { readonly _tag: string }

/** What became of a command. */
export interface Outcome<out S, out E> extends History.Current<S> {
  /** The events that the command stored; none when it was accepted with nothing to record. */
  readonly events: ReadonlyArray<E>
  /** Whether an earlier dispatch with the same command id had stored them; the outcome is that first one's. */
  readonly duplicate: boolean
}

/** What may go wrong in a dispatch, besides the aggregate's own refusals. */
export type DispatchError = History.ReadError | AppendError | EventEncodeFailed

/** The instances of an aggregate: `S` their state, `C` commands, `E` events, `R` reasons for a refusal. */
export interface AggregateStore<S, C, E, R> {
  /**
   * Decides the command on the instance's state and stores what it leads to. Fails with the aggregate's reason when it
   * refuses. When another process appended first, the state is brought up to date and the command decided again.
   * For an instance in memory a command that appends therefore costs no read; one that does not costs a read, since it
   * is never answered from a state that may be outdated.
   *
   * With a `commandId`, dispatching the same command again changes nothing and returns the first outcome.
   */
  readonly dispatch: (
    id: string,
    command: C,
    options?: AppendOptions
  ) => Effect.Effect<Outcome<S, E>, R | DispatchError>
  /** The instance's state, up to date with the log. */
  readonly state: (id: string) => Effect.Effect<History.Current<S>, History.ReadError>
  /** The instance's state at a moment of its past. */
  readonly stateAt: (id: string, moment: History.Moment) => Effect.Effect<History.Current<S>, History.ReadError>
  /** The instance's events, oldest first. */
  readonly history: (id: string) => Stream.Stream<History.Recorded<E>, History.ReadError>
}

/** How an {@link AggregateStore} works. */
export interface AggregateStoreOptions {
  /** How many instances to keep in memory; the least recently used make room. Default 10 000. */
  readonly cacheCapacity?: number | undefined
  /** When to decide again after another writer's append. Default: up to 10 times, from 5 ms on, doubling, jittered. */
  readonly conflictSchedule?: Schedule.Schedule<unknown> | undefined
}

const defaultSchedule = Schedule.exponential("5 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 10 }))

/** A command, and what came with it. */
interface Asked<C> {
  readonly command: C
  readonly given: AppendOptions
  readonly meta: Meta
}

/** What the store knows of an instance. Its version is the proof: an append fails when the log has moved on. */
interface Instance<S> {
  readonly streamId: StreamId
  /** One command at a time, in order of arrival. */
  readonly turn: Semaphore.Semaphore
  current: History.Current<S>
  /** Whether `current` may be decided on. It is not from the start of an append until its success. */
  loaded: boolean
}

/** The store of an aggregate's instances, over the {@link EventStore} of the context. */
export const aggregate = <S, C extends Tag, E extends Tag, R>(
  definition: Aggregate.Aggregate<S, C, E, R>,
  options: AggregateStoreOptions = {}
): Effect.Effect<AggregateStore<S, C, E, R>, never, EventStore> =>
  Effect.map(EventStore, (events) => {
    const history = History.make(definition, events)
    const instances = new InstanceCache<StreamId, Instance<S>>(options.cacheCapacity ?? 10_000, (streamId) => ({
      streamId,
      turn: Semaphore.makeUnsafe(1),
      current: history.origin,
      loaded: false
    }))
    const onConflict = { schedule: options.conflictSchedule ?? defaultSchedule, while: isVersionConflict }

    const refresh = (instance: Instance<S>): Effect.Effect<History.Current<S>, History.ReadError> =>
      Effect.map(history.catchUp(instance.streamId, instance.current), (current) => {
        instance.loaded = true
        return instance.current = current
      })

    /** What the aggregate answers when nothing is to be appended. */
    const answer = (instance: Instance<S>, fx: Fx.None | Fx.Reject<R>): Effect.Effect<Outcome<S, E>, R> =>
      fx._tag === "Reject"
        ? Effect.fail(fx.reason)
        : Effect.succeed({ ...instance.current, events: [], duplicate: false })

    const decide = (
      instance: Instance<S>,
      asked: Asked<C>,
      known: "just read" | "from before"
    ): Effect.Effect<Outcome<S, E>, R | DispatchError> =>
      Effect.suspend(() => {
        const { command, given, meta } = asked
        const fx = definition.decide(instance.current.state, command, meta)
        if (fx._tag === "Append") return append(instance, fx.events, meta, given)
        // No append will prove the state to be the last one, so it is read before it has the say.
        if (known === "from before") return Effect.andThen(refresh(instance), decide(instance, asked, "just read"))
        if (given.commandId === undefined) return answer(instance, fx)
        // What the state refuses or finds done now may be this very command, stored by an earlier attempt.
        return Effect.flatMap(
          firstOutcome(instance.streamId, given.commandId),
          (first) => first === undefined ? answer(instance, fx) : Effect.succeed(first)
        )
      })

    const append = (
      instance: Instance<S>,
      decided: NonEmptyReadonlyArray<E>,
      meta: Meta,
      given: AppendOptions
    ): Effect.Effect<Outcome<S, E>, DispatchError> => {
      const encoded = encodeAll(definition, decided)
      if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
      const candidate = decided.reduce(definition.evolve, instance.current.state)
      const { causationId, correlationId, id: commandId } = meta
      instance.loaded = false
      return Effect.flatMap(
        events.append(
          instance.streamId,
          ExpectedVersion.exact(instance.current.version),
          encoded.success,
          { ...given, commandId, correlationId, causationId }
        ),
        ({ duplicate, globalPosition, version }) => {
          if (duplicate) {
            // A store that reports a duplicate has its events, so an outcome there is.
            return Effect.map(firstOutcome(instance.streamId, commandId), (first) => first!)
          }
          instance.current = { state: candidate, version, globalPosition }
          instance.loaded = true
          return Effect.succeed({ ...instance.current, events: decided, duplicate: false })
        }
      )
    }

    const firstOutcome = (
      streamId: StreamId,
      commandId: string
    ): Effect.Effect<Outcome<S, E> | undefined, History.ReadError | CommandIdConflict> =>
      Effect.gen(function*() {
        const stored = yield* history.ofCommand(commandId)
        const last = stored.at(-1)?.recorded
        if (last === undefined) return undefined
        if (last.streamId !== streamId) {
          return yield* new CommandIdConflict({ commandId, streamIds: [streamId], storedStreamIds: [last.streamId] })
        }
        const then = yield* history.stateAt(streamId, last)
        return { ...then, events: stored.map(({ event }) => event), duplicate: true }
      })

    const streamOf = (id: string): Effect.Effect<StreamId, InvalidStreamId> =>
      Effect.fromResult(Aggregate.streamId(definition, id))

    return {
      dispatch: (id, command, given = {}) =>
        Effect.clockWith((clock) => {
          const streamId = Aggregate.streamId(definition, id)
          if (Result.isFailure(streamId)) return Effect.fail(streamId.failure)
          const instance = instances.get(streamId.success)
          const asked = { command, given, meta: metaOf(given, clock.currentTimeMillisUnsafe()) }
          return instance.turn.withPermit(Effect.retry(
            Effect.suspend(() =>
              instance.loaded
                ? decide(instance, asked, "from before")
                : Effect.andThen(refresh(instance), decide(instance, asked, "just read"))
            ),
            onConflict
          ))
        }),
      state: (id) =>
        Effect.flatMap(streamOf(id), (streamId) => {
          const instance = instances.get(streamId)
          return instance.turn.withPermit(Effect.suspend(() => refresh(instance)))
        }),
      stateAt: (id, moment) => Effect.flatMap(streamOf(id), (streamId) => history.stateAt(streamId, moment)),
      history: (id) => Stream.unwrap(Effect.map(streamOf(id), history.events))
    }
  })

/** A refusal may be any tagged record, so a reason that merely has this tag would be retried: the class is asked for. */
const isVersionConflict = (error: unknown): boolean => error instanceof VersionConflict

const metaOf = (given: AppendOptions, time: number): Meta => {
  const id = given.commandId ?? UuidV7.make(time)
  return { id, time, correlationId: given.correlationId ?? id, causationId: given.causationId ?? id }
}

const encodeAll = <S, C extends Tag, E extends Tag, R>(
  { actions }: Aggregate.Aggregate<S, C, E, R>,
  decided: NonEmptyReadonlyArray<E>
): Result.Result<NonEmptyReadonlyArray<EncodedEvent>, EventEncodeFailed> => {
  const encoded: Array<EncodedEvent> = []
  for (const event of decided) {
    const result = actions.encode(event)
    if (Result.isFailure(result)) return Result.fail(result.failure)
    encoded.push(result.success)
  }
  return Result.succeed(encoded as unknown as NonEmptyReadonlyArray<EncodedEvent>)
}
