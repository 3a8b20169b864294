/**
 * The store of an aggregate's instances: each command is one step of decide, append, evolve and react, and the state
 * that readers see is only state whose events are stored.
 */
import { isReadonlyArrayNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Meta } from "./Action.ts"
import * as Aggregate from "./Aggregate.ts"
import type { DurableAggregate, Unmet } from "./DurableAggregate.ts"
import type { EventEncodeFailed } from "./EventError.ts"
import { type AppendOptions, type AppendResult, EventStore, type TombstoneOptions } from "./EventStore.ts"
import {
  type AppendError,
  CommandIdConflict,
  type StreamReadError,
  StreamTombstoned,
  VersionConflict
} from "./EventStoreError.ts"
import * as ExpectedVersion from "./ExpectedVersion.ts"
import * as Fx from "./Fx.ts"
import * as History from "./History.ts"
import type { DurableFx, Plan } from "./internal/durableFx.ts"
import { fingerprint } from "./internal/fingerprint.ts"
import { type Instance, Instances } from "./internal/Instances.ts"
import { dispatcherKey, Interpreter } from "./internal/Interpreter.ts"
import { refuse } from "./internal/refusal.ts"
import * as Snapshotting from "./internal/Snapshotting.ts"
import { Subscribers } from "./internal/Subscribers.ts"
import type { EncodedEvent } from "./RecordedEvent.ts"
import type { InvalidSnapshot } from "./Snapshot.ts"
import { SnapshotStore, type SnapshotStoreError } from "./SnapshotStore.ts"
import { CommandFailed, EffectNotDurable, type Problem, ReducerDefect, StoreClosed } from "./StoreError.ts"
import { id as instanceId, type InvalidStreamId, type StreamId } from "./StreamId.ts"
import * as TraceContext from "./TraceContext.ts"
import * as UuidV7 from "./UuidV7.ts"

type Tag = { readonly _tag: string }

/** What became of a command. */
export interface Outcome<out S, out E> extends History.Current<S> {
  /** The events that the command stored; none when it was accepted with nothing to record. */
  readonly events: ReadonlyArray<E>
  /** Whether an earlier dispatch with the same command id had stored them; the outcome is that first one's. */
  readonly duplicate: boolean
}

/**
 * What may go wrong in a dispatch, besides the aggregate's own refusals. Only a store that keeps its effects meets one that
 * is not durable.
 */
export type DispatchError =
  | History.ReadError
  | AppendError
  | EventEncodeFailed
  | EffectNotDurable
  | ReducerDefect
  | StoreClosed

/** The instances of an aggregate: `S` their state, `C` commands, `E` events, `R` reasons for a refusal. */
export interface AggregateStore<S, C, E, R> {
  /**
   * Decides the command on the instance's state and stores what it leads to. Fails with the aggregate's reason when it
   * refuses. When another process appended first, the state is brought up to date and the command decided again. What
   * else the command and its events lead to starts once they are stored.
   *
   * With a `commandId`, dispatching the same command again changes nothing and returns the first outcome; another command
   * under the same id fails with {@link CommandIdConflict}. What counts as the same is the command as its schemas encode
   * it, or the `fingerprint` that comes with it.
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
  /** Whether the instance has any events. */
  readonly exists: (id: string) => Effect.Effect<boolean, InvalidStreamId | StreamReadError>
  /** The instance's events, oldest first. */
  readonly history: (id: string) => Stream.Stream<History.Recorded<E>, History.ReadError>
  /** Keeps a snapshot of the instance's state as it is now. Nothing happens without a policy, or before any event. */
  readonly saveSnapshot: (id: string) => Effect.Effect<void, History.ReadError | InvalidSnapshot | SnapshotStoreError>
  /**
   * Erases the instance for good: its stream ends with a tombstone, its events lose their data, and its snapshots and what
   * is in memory of it are forgotten. It waits for the instance's commands under way; those behind it, like every later
   * use of the instance, fail with `StreamTombstoned`. An instance without events fails with a `VersionConflict`.
   *
   * When it fails with a `SnapshotStoreError`, the events are erased and the snapshots not yet: ask again. Another
   * process forgets the instance, and a snapshot that it took meanwhile, when it next uses it.
   */
  readonly tombstone: (
    id: string,
    options: TombstoneOptions
  ) => Effect.Effect<AppendResult, InvalidStreamId | AppendError | SnapshotStoreError>
  /** What went wrong where nobody waits for it, from now on. Each is logged as an error, too. */
  readonly problems: Stream.Stream<Problem>
  /** Waits until no effect of any instance is under way. */
  readonly idle: Effect.Effect<void>
}

/** What a command had decided on a state that turned out not to be the last one. */
export interface Overtaken<out S, out E> {
  /** What the command had decided to append. */
  readonly decided: NonEmptyReadonlyArray<E>
  /** What others have appended meanwhile, oldest first. */
  readonly missed: ReadonlyArray<E>
  /** The state behind what they have appended. */
  readonly state: S
}

/** How an {@link AggregateStore} works. */
export interface AggregateStoreOptions {
  /** How many instances to keep in memory; the least recently used make room. Default 10 000. */
  readonly cacheCapacity?: number | undefined
  /** How long an instance may stay in memory unused. Default 1 hour. */
  readonly cacheIdle?: Duration.Input | undefined
  /** How long the end of the scope waits for effects under way before it interrupts them. Default 5 seconds. */
  readonly deadline?: Duration.Input | undefined
  /**
   * When to decide again after another writer's append. Default: up to 12 times, from 1 ms on, doubling, jittered.
   * `Schedule.recurs(0)` fails at the first conflict.
   */
  readonly conflictSchedule?: Schedule.Schedule<unknown> | undefined
}

/** How an {@link AggregateStore} can deal with conflicts besides deciding again. */
export interface Merging<in S, in out E> {
  /**
   * Says what is still right to append behind what others have appended meanwhile, without deciding again; nothing when
   * that cannot be said, and the command is to be decided again. Default: always decide again.
   */
  readonly merge?: ((overtaken: Overtaken<S, E>) => NonEmptyReadonlyArray<E> | undefined) | undefined
}

const defaultSchedule = Schedule.exponential("1 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 12 }))

/** A command, and what came with it. */
interface Asked<C> {
  readonly command: C
  readonly given: AppendOptions
  readonly meta: Meta
}

interface Overtaking<S, C, E> {
  readonly asked: Asked<C>
  readonly conflict: VersionConflict
  readonly merge: NonNullable<Merging<S, E>["merge"]>
}

/**
 * The store of an aggregate's instances, over the {@link EventStore} of the context. What its effects need, handlers of
 * tasks for instance, comes from the context, too: they are carried out in this process, and are lost with it.
 */
export const make = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate.Aggregate<S, C, E, R, N>,
  options: AggregateStoreOptions & Merging<NoInfer<S>, NoInfer<E>> = {}
): Effect.Effect<AggregateStore<S, C, E, R>, never, EventStore | N> =>
  build<S, C, E, R, N>(definition, options, undefined)

/** What the store of a durable aggregate needs: nothing that carries out its effects. */
export type DurableNeeds<N> = EventStore | Extract<N, SnapshotStore> | Unmet<N>

/**
 * The same for a durable aggregate: its effects are stored in the commit of the events that they come from, and carried
 * out by an `EffectWorker`, in whatever process. A step whose effects cannot be stored fails with {@link EffectNotDurable},
 * and stores nothing: one that leads to no events, or that wants what no entry can be.
 */
export const makeDurable = <S, C extends Tag, E extends Tag, R, N>(
  { aggregate, "~effects": effects }: DurableAggregate<S, C, E, R, N>,
  options: AggregateStoreOptions & Merging<NoInfer<S>, NoInfer<E>> = {}
): Effect.Effect<AggregateStore<S, C, E, R>, never, DurableNeeds<N>> =>
  build<S, C, E, R, Exclude<DurableNeeds<N>, EventStore>>(aggregate, options, effects)

/** What of the effects is stored; all is done here, unless they are durable. */
const planOf = (durable: DurableFx | undefined, effects: Fx.AnyFx): Result.Result<Plan, EffectNotDurable> =>
  durable === undefined
    ? Result.succeed({ outbox: [], cancels: [], local: effects })
    : durable.plan(effects, undefined)

/** With `durable`, effects are stored; without, they are carried out here, and `N` is what they need. */
const build = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate.Aggregate<S, C, E, R, unknown>,
  options: AggregateStoreOptions & Merging<S, E>,
  durable: DurableFx | undefined
): Effect.Effect<AggregateStore<S, C, E, R>, never, EventStore | N> =>
  Effect.gen(function*() {
    const { actions, category } = definition
    const encodeCommand = Schema.encodeResult(actions.Command)
    const events = yield* EventStore
    const context = yield* Effect.context<N>()
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const fork = Effect.runForkWith(context)

    const history = History.make(definition, events)
    const snapshotting = definition.snapshot === undefined
      ? Snapshotting.none(history)
      : Snapshotting.make(history, snapshotStore(context), definition.snapshot)
    const instances = new Instances(history, snapshotting, {
      capacity: options.cacheCapacity ?? 10_000,
      idle: options.cacheIdle ?? "1 hour",
      now
    })
    const refresh = (instance: Instance<S>) => instances.refresh(instance)

    const problems = new Subscribers<Problem>()
    const report = (problem: Problem): void => {
      problems.publish(problem)
      fork(Effect.logError(problem))
    }

    /** Dispatches a command that an effect sends to its own instance. */
    const send = (at: Fx.Path, sent: unknown, { correlationId, id: causationId }: Meta): Fiber.Fiber<unknown> => {
      const id = at[0]!.id!
      const command = sent as C
      const failed = (cause: Cause.Cause<unknown>) =>
        Effect.sync(() => {
          report(new CommandFailed({ command: command._tag, category, id, cause: Cause.squash(cause) }))
        })
      const sending = fork(Effect.catchCause(submitSent(id, command, { correlationId, causationId }), failed))
      interpreter.sending(at, sent, sending)
      return sending
    }

    const interpreter = new Interpreter({
      context,
      now,
      feed: (at, sent, cause) => void send(at, sent, cause),
      follow: (at, sent, cause) => Effect.suspend(() => Fiber.await(send(at, sent, cause))),
      outcomeOf: (_at, name) => definition.outcomes[name],
      saveSnapshot: ([place]) => saveSnapshot(place!.id!),
      report
    })
    let closed = false
    const scope = yield* Effect.serviceOption(Scope.Scope)
    if (Option.isSome(scope)) {
      const close = Effect.suspend(() => {
        closed = true
        return interpreter.close(options.deadline ?? "5 seconds")
      })
      yield* Scope.addFinalizer(scope.value, closing(category, close))
    }

    /** What the step comes to becomes the state, and its effects start, only once its events are stored. */
    const step = (
      instance: Instance<S>,
      asked: Asked<C>,
      known: "just read" | "from before"
    ): Effect.Effect<Outcome<S, E>, R | DispatchError> => {
      const { command, given, meta } = asked
      let next: Aggregate.Step<S, E, R>
      try {
        next = Aggregate.step(definition, instance.current.state, command, meta)
      } catch (cause) {
        return Effect.fail(new ReducerDefect({ action: command._tag, cause }))
      }
      if (isReadonlyArrayNonEmpty(next.events)) {
        const appended = append(instance, { ...next, events: next.events }, meta, given)
        const { merge } = options
        return merge === undefined ? appended : Effect.catchIf(
          appended,
          isVersionConflict,
          (conflict) => mergeInto(instance, next, { asked, conflict, merge })
        )
      }
      // No append will prove the state to be the last one, so it is read before it has the say.
      if (known === "from before") return Effect.flatMap(refresh(instance), () => step(instance, asked, "just read"))
      if (given.commandId === undefined) return answer(instance, next, meta)
      // What the state refuses or finds done now may be this very command, stored by an earlier attempt.
      return Effect.flatMap(
        firstOutcome(instance.streamId, given.commandId, given.fingerprint),
        (first) => first === undefined ? answer(instance, next, meta) : Effect.succeed(first)
      )
    }

    /** Appends behind what others have appended what a command had decided before it. */
    const mergeInto = (
      instance: Instance<S>,
      { besides, events: decided }: Aggregate.Step<S, E, R>,
      { asked: { command, given, meta }, conflict, merge }: Overtaking<S, C, E>
    ): Effect.Effect<Outcome<S, E>, DispatchError> =>
      Effect.gen(function*() {
        const overtaken = yield* history.since(instance.streamId, instance.current)
        instance.current = overtaken.current
        const { state } = overtaken.current
        const next = yield* Effect.try({
          try: () => {
            const events = merge({ decided: decided as NonEmptyReadonlyArray<E>, missed: overtaken.events, state })
            return events === undefined ? undefined : { ...Aggregate.evolve(definition, state, events, meta), events }
          },
          catch: (cause) => new ReducerDefect({ action: command._tag, cause })
        })
        if (next === undefined) return yield* conflict
        return yield* append(instance, { ...next, effects: Fx.all(besides, next.effects) }, meta, given)
      })

    /** What the aggregate answers when nothing is to be appended. */
    const answer = (
      instance: Instance<S>,
      { effects, refusal }: Aggregate.Step<S, E, R>,
      meta: Meta
    ): Effect.Effect<Outcome<S, E>, R | EffectNotDurable> => {
      if (refusal !== undefined) return refuse(refusal.reason)
      const planned = planOf(durable, effects)
      if (Result.isFailure(planned)) return Effect.fail(planned.failure)
      const { cancels, local, outbox } = planned.success
      if (outbox.length + cancels.length > 0) {
        const issue = "It came with no event, so there is no commit to store it in: append an event that says why"
        return Effect.fail(new EffectNotDurable({ effect: Fx.render(effects), issue }))
      }
      begin(instance, local, meta)
      return Effect.succeed({ ...instance.current, events: [], duplicate: false })
    }

    const append = (
      instance: Instance<S>,
      { effects, events: decided, state }: Aggregate.Step<S, E, R> & { readonly events: NonEmptyReadonlyArray<E> },
      meta: Meta,
      given: AppendOptions
    ): Effect.Effect<Outcome<S, E>, DispatchError> => {
      const encoded = encodeAll(definition, decided)
      if (Result.isFailure(encoded)) return Effect.fail(encoded.failure)
      const { causationId, correlationId, id: commandId } = meta
      const expected = ExpectedVersion.exact(instance.current.version)
      const put = (stored: AppendOptions) =>
        Effect.suspend(() => {
          instance.loaded = false
          return events.append(instance.streamId, expected, encoded.success, {
            ...given,
            ...stored,
            commandId,
            correlationId,
            causationId
          })
        })
      let local = effects
      const appended = durable === undefined || effects._tag === "None" ? put({}) : Effect.withFiber(
        (fiber): Effect.Effect<AppendResult, AppendError | EffectNotDurable> => {
          const planned = durable.plan(effects, TraceContext.current(fiber.context))
          if (Result.isFailure(planned)) return Effect.fail(planned.failure)
          const { cancels, outbox } = planned.success
          local = planned.success.local
          return put({
            outbox: [...outbox, ...given.outbox ?? []],
            cancels: [...cancels, ...given.cancels ?? []]
          })
        }
      )
      return Effect.flatMap(
        appended,
        ({ duplicate, globalPosition, version }) => {
          if (duplicate) {
            // A store that reports a duplicate has its events, so an outcome there is.
            return Effect.map(firstOutcome(instance.streamId, commandId, given.fingerprint), (first) => first!)
          }
          instance.current = { state, version, globalPosition }
          instance.loaded = true
          begin(instance, local, meta)
          const keep = instances.keepIfDue(instance)
          if (keep !== undefined) fork(keep)
          return Effect.succeed({ ...instance.current, events: decided, duplicate: false })
        }
      )
    }

    /** Starts what is to be done besides, in the instance's own place: its ids are not those of another. */
    const begin = ({ streamId }: Instance<S>, effects: Fx.AnyFx, meta: Meta): void => {
      if (effects._tag === "None") return
      interpreter.plan(Fx.within({ key: category, id: instanceId(streamId) }, Fx.keyed(streamId, effects)), meta)
      interpreter.carryOut()
    }

    const firstOutcome = (
      streamId: StreamId,
      commandId: string,
      fingerprint: string | undefined
    ): Effect.Effect<Outcome<S, E> | undefined, History.ReadError | CommandIdConflict> =>
      Effect.gen(function*() {
        const stored = yield* Effect.catchTag(
          history.ofCommand(commandId),
          "EventErased",
          // Where it is the instance itself that was erased, that is to be said.
          (erased) => Effect.andThen(history.exists(streamId), erased)
        )
        const last = stored.at(-1)?.recorded
        if (last === undefined) return undefined
        const known = stored[0]!.recorded.fingerprint
        const isAnother = fingerprint !== undefined && known !== undefined && fingerprint !== known
        if (last.streamId !== streamId || isAnother) {
          return yield* new CommandIdConflict({ commandId, streamIds: [streamId], storedStreamIds: [last.streamId] })
        }
        const then = yield* history.stateAt(streamId, last)
        return { ...then, events: stored.map(({ event }) => event), duplicate: true }
      })

    /**
     * A repetition may decide other events, on a newer state, so it is the command that tells it from another one. What
     * JSON cannot write, a command that holds itself for instance, is told by its events alone.
     */
    const fingerprinted = (command: C, given: AppendOptions): AppendOptions => {
      if (given.commandId === undefined || given.fingerprint !== undefined) return given
      try {
        const encoded = encodeCommand(command)
        return Result.isFailure(encoded)
          ? given
          : { ...given, fingerprint: fingerprint(encoded.success as Schema.Json) }
      } catch {
        return given
      }
    }

    /** What this store knows of an erased instance goes, too. Commands may be refused for another's erasure. */
    const forget = <F>(instance: Instance<S>, tombstoned: F): Effect.Effect<never, F> =>
      isTombstoned(tombstoned) && tombstoned.streamId === instance.streamId
        ? Effect.andThen(
          Effect.catchTag(
            instances.forget(instance),
            "SnapshotStoreError",
            (error) => Effect.logWarning(`Snapshots of ${instance.streamId}, which was erased, remain`, error)
          ),
          Effect.fail(tombstoned)
        )
        : Effect.fail(tombstoned)

    const onConflict = { schedule: options.conflictSchedule ?? defaultSchedule, while: isVersionConflict }

    /**
     * Most first attempts succeed, so a schedule is only set up when one has met a conflict, which then counts. Whatever
     * else comes of a later attempt passes the schedule by: it would take the mark off a refusal.
     */
    const persisting = <A, F>(attempt: Effect.Effect<A, F>, instance: Instance<S>): Effect.Effect<A, F> =>
      Effect.catchIf(attempt, isStreamsFault, (fault) => {
        if (!isVersionConflict(fault)) return forget(instance, fault)
        let next: Effect.Effect<Exit.Exit<A, F>, F> = Effect.fail(fault)
        const attempts = Effect.suspend(() => {
          const current = next
          next = Effect.flatMap(Effect.exit(attempt), (exit): Effect.Effect<Exit.Exit<A, F>, F> =>
            Option.exists(Exit.findErrorOption(exit), isVersionConflict)
              ? exit as Exit.Exit<never, F>
              : Effect.succeed(exit))
          return current
        })
        return Effect.catchIf(
          Effect.flatten(Effect.retry(attempts, onConflict)),
          isTombstoned,
          (tombstoned) =>
            forget(instance, tombstoned)
        )
      })

    type Decided = Effect.Effect<Outcome<S, E>, R | DispatchError>

    /** Decides the command when its turn has come, in the way of `deciding`. */
    const submitBy =
      (deciding: (decided: Decided) => Decided): AggregateStore<S, C, E, R>["dispatch"] => (id, command, given = {}) =>
        Effect.suspend(() => {
          const streamId = Aggregate.streamId(definition, id)
          if (Result.isFailure(streamId)) {
            return Effect.fail(streamId.failure)
          }
          const instance = instances.get(streamId.success)
          const asked = { command, given: fingerprinted(command, given), meta: metaOf(given, now()) }
          const attempt = Effect.suspend(() =>
            instance.loaded
              ? step(instance, asked, "from before")
              : Effect.flatMap(refresh(instance), () =>
                step(instance, asked, "just read"))
          )
          instance.users += 1
          const leave = Effect.sync(() => {
            instance.users -= 1
          })
          return Effect.ensuring(instance.turn.withPermit(deciding(persisting(attempt, instance))), leave)
        })

    const submit = submitBy((decided) => decided)

    /**
     * What effects under way send is still taken when the store is closing: they are given time to end well. It is decided
     * once whoever sent it has gone on, also by an event store that answers at once: or the order of effects would depend
     * on how fast that is.
     */
    const submitSent = submitBy((decided) => Effect.andThen(Effect.yieldNow, decided))

    const dispatch: AggregateStore<S, C, E, R>["dispatch"] = (id, command, given) =>
      Effect.suspend(() => closed ? Effect.fail(new StoreClosed({ action: command._tag })) : submit(id, command, given))

    const streamOf = (id: string): Effect.Effect<StreamId, InvalidStreamId> =>
      Effect.fromResult(Aggregate.streamId(definition, id))

    const state: AggregateStore<S, C, E, R>["state"] = (id) =>
      Effect.flatMap(streamOf(id), (streamId) => {
        const instance = instances.get(streamId)
        return instance.turn.withPermit(
          Effect.catchTag(
            Effect.suspend(() => refresh(instance)),
            "StreamTombstoned",
            (tombstoned) => forget(instance, tombstoned)
          )
        )
      })

    const tombstone: AggregateStore<S, C, E, R>["tombstone"] = Effect.fnUntraced(function*(id, options) {
      const instance = instances.get(yield* streamOf(id))
      const { streamId } = instance
      return yield* instance.turn.withPermit(Effect.gen(function*() {
        const result = yield* Effect.result(events.tombstone(streamId, ExpectedVersion.streamExists, options))
        if (Result.isSuccess(result) || result.failure._tag === "StreamTombstoned") yield* instances.forget(instance)
        return yield* Effect.fromResult(result)
      }))
    })

    const saveSnapshot: AggregateStore<S, C, E, R>["saveSnapshot"] = Effect.fnUntraced(function*(id) {
      const current = yield* state(id)
      if (current.version > ExpectedVersion.empty) yield* instances.keep(instances.get(yield* streamOf(id)), current)
    })

    const stateAt: AggregateStore<S, C, E, R>["stateAt"] = Effect.fnUntraced(function*(id, moment) {
      const streamId = yield* streamOf(id)
      return yield* "version" in moment
        ? Effect.map(snapshotting.load(streamId, moment.version), ({ current }) => current)
        : history.stateAt(streamId, moment)
    })

    return {
      dispatch,
      state,
      stateAt,
      saveSnapshot,
      tombstone,
      exists: (id) => Effect.flatMap(streamOf(id), history.exists),
      history: (id) => Stream.unwrap(Effect.map(streamOf(id), (streamId) => history.events(streamId))),
      problems: problems.stream({ capacity: 16, strategy: "sliding" }, () => []),
      idle: interpreter.idle
    }
  })

/**
 * The key of the context under which the store of an aggregate is found, so that {@link Fx.dispatch} and all else share
 * one cache.
 */
export const service = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate.Aggregate<S, C, E, R, N>
): Context.Service<Fx.Dispatcher<C>, AggregateStore<S, C, E, R>> => Context.Service(dispatcherKey(definition.category))

/** Provides the store of an aggregate under its {@link service}, for the length of the layer. */
export const layer = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate.Aggregate<S, C, E, R, N>,
  options?: AggregateStoreOptions & Merging<NoInfer<S>, NoInfer<E>>
): Layer.Layer<Fx.Dispatcher<C>, never, EventStore | Exclude<N, Scope.Scope>> =>
  Layer.effect(service(definition), make(definition, options))

/** Provides the store of a durable aggregate under its {@link service}, for the length of the layer. */
export const layerDurable = <S, C extends Tag, E extends Tag, R, N>(
  durable: DurableAggregate<S, C, E, R, N>,
  options?: AggregateStoreOptions & Merging<NoInfer<S>, NoInfer<E>>
): Layer.Layer<Fx.Dispatcher<C>, never, DurableNeeds<N>> =>
  Layer.effect(service(durable.aggregate), makeDurable(durable, options))

/** A snapshot policy puts the snapshot store among the aggregate's needs, so the context has it. */
const snapshotStore = (context: Context.Context<never>) =>
  Context.getUnsafe(context as Context.Context<SnapshotStore>, SnapshotStore)

const closing = (category: string, close: Effect.Effect<ReadonlyArray<string>>): Effect.Effect<void> =>
  Effect.flatMap(close, (unfinished) =>
    unfinished.length === 0
      ? Effect.void
      : Effect.logWarning(`The store of ${category} closed with unfinished effects`, unfinished))

/** A refusal may be any tagged record, so a reason that merely has this tag would be retried: the class is asked for. */
const isVersionConflict = (error: unknown): error is VersionConflict => error instanceof VersionConflict

const isTombstoned = (error: unknown): error is StreamTombstoned => error instanceof StreamTombstoned

/** What a command meets in a stream that is no longer what the store knew of it. */
const isStreamsFault = (error: unknown): error is VersionConflict | StreamTombstoned =>
  isVersionConflict(error) || isTombstoned(error)

const metaOf = (given: AppendOptions, time: number): Meta => {
  const id = given.commandId ?? UuidV7.make(time)
  return { id, time, correlationId: given.correlationId ?? id, causationId: given.causationId ?? id }
}

const encodeAll = <S, C extends Tag, E extends Tag, R, N>(
  { actions }: Aggregate.Aggregate<S, C, E, R, N>,
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
