/**
 * A subscription is a named, durable reader of the log with a checkpoint for each of its partitions; this module runs
 * them.
 *
 * Any number of processes run the same subscriptions. Each registers as a member, and each part (a partition of a
 * subscription) is worked on by the one that holds its lease; the others stand by. The load is even over all parts of
 * all subscriptions, and moves when a process comes or goes: at once after a clean stop, within the lease's time after a
 * crash. A process that was taken for dead and is not learns it from its next heartbeat, or from the fence at its next
 * commit, gives up that part and stands by; that is no error of the subscription.
 *
 * In a process there is, for each call of {@link run}: one fiber that sends the heartbeat and takes leases, on
 * connections of its own, so that no handler and no pool that is used up can delay it; and one fiber for each part that
 * it holds. All three tables, read model included, are in the database of the `PgClient`; the log may be elsewhere.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import * as PgClient from "@effect/sql-pg/PgClient"
import { isReadonlyArrayNonEmpty as isNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Checkpoint from "./Checkpoint.ts"
import { keyOf, partKey, plan } from "./internal/assignment.ts"
import { patiently } from "./internal/failures.ts"
import { inTime } from "./internal/inTime.ts"
import { forget, parkedStreams } from "./internal/poison.ts"
import * as Progress from "./internal/progress.ts"
import { migrate } from "./internal/schema.ts"
import { onNotification } from "./internal/signals.ts"
import { nameOf } from "./internal/subject.ts"
import * as Versions from "./internal/versions.ts"
import { type Ended, failsAs, sameLog, work } from "./internal/worker.ts"
import * as WorkerMetrics from "./internal/WorkerMetrics.ts"
import * as Lease from "./Lease.ts"
import type * as Poison from "./Poison.ts"
import {
  CheckpointMissing,
  DuplicateProjection,
  LeaseLost,
  PartitionsChanged,
  VersionRetired
} from "./ProjectionError.ts"
import * as Start from "./Start.ts"

/** A subscription whose events take effect in the database of its checkpoint; `R` is what that needs. */
export interface Subscription<out R> extends Lease.Subscriber {
  /** The names of the events that it reads; the database filters the rest. */
  readonly events: ReadonlyArray<string>
  /** Into how many parts the log's streams are divided, each read in order, all at the same time. */
  readonly partitions: number
  readonly startFrom: Start.Start
  /** How an event that cannot be applied is tried again. */
  readonly retry: Poison.Retry
  /** What becomes of it then. */
  readonly poison: Poison.Poison
  /** Runs once, in one transaction with the first checkpoints. */
  readonly setUp: Effect.Effect<void, unknown, R>
  /**
   * Takes away what {@link setUp} has made, outside of what is taken away by itself: see `Rebuild.reset` and
   * `Rebuild.retire`, which run it in one transaction with what they do to the checkpoints.
   */
  readonly tearDown?: Effect.Effect<void, unknown, R> | undefined
  /** Applies some events, in order of global position, in the transaction that moves the checkpoint. */
  readonly apply: (events: NonEmptyReadonlyArray<RecordedEvent>, part: Lease.Part) => Effect.Effect<void, unknown, R>
  /**
   * What each partition reads: the streams that are its own (the default), or everything, of which {@link apply} and
   * {@link deliver} pick what is its own.
   */
  readonly reads?: "own streams" | "everything" | undefined
  /**
   * Hands events to the outside, in order of each stream, before `apply` and outside of any transaction: so at least
   * once, also those that were taken already when the process that did it was replaced. It stops between two events when
   * `shouldPause` says so, but not before one is done.
   */
  readonly deliver?:
    | ((
      events: NonEmptyReadonlyArray<RecordedEvent>,
      shouldPause: () => boolean,
      part: Lease.Part
    ) => Effect.Effect<Delivered, never, R>)
    | undefined
}

/** How far handing events to the outside came. */
export interface Delivered {
  /** How many of the events were taken, from the first on without exception. */
  readonly done: number
  /** Why the one behind those was not, if it was tried for as long as it is to be. */
  readonly failure: Option.Option<unknown>
}

/** Why a subscription does not go on. */
export type Stopped = Ended | PartitionsChanged | DuplicateProjection | VersionRetired

/** What running needs, besides the handlers' own requirements: the log, and the read model's database. */
export type Requirements = EventStore | PgClient.PgClient

/** What the handlers of some subscriptions need; the `SqlClient` is provided: the `PgClient`, in the transaction. */
export type Needs<S> = S extends Subscription<infer R> ? Exclude<R, SqlClient.SqlClient> : never

/** Any subscriptions. */
export type Several = NonEmptyReadonlyArray<Subscription<unknown>>

/** What a set-up fails to apply. */
const beforeFirst = { after: 0n, upTo: 0n }

/**
 * Makes the tables and the first checkpoints in one transaction, in whichever process comes first; and makes sure that
 * what was read before is the same log, also for a process that will only stand by.
 */
const prepare = <R>(subscription: Subscription<R>) =>
  Effect.gen(function*() {
    const { name: projection, partitions: declared, version } = subscription
    const checkpoints = yield* Checkpoint.Checkpoints
    const sql = yield* SqlClient.SqlClient
    let begun = yield* checkpoints.read(subscription)
    if (begun.length === 0) {
      const from = yield* Start.markOf(subscription.startFrom)
      yield* sql.withTransaction(
        Versions.admit(subscription).pipe(
          Effect.andThen(checkpoints.begin(subscription, declared, from)),
          Effect.flatMap((isNew) =>
            // Letters of an earlier life, whose checkpoints were deleted, are nothing to this one.
            isNew ? Effect.andThen(forget(subscription), subscription.setUp) : Effect.void
          )
        )
      ).pipe(
        failsAs(subscription, beforeFirst),
        Effect.mapError((failed) => failed.cause instanceof VersionRetired ? failed.cause : failed)
      )
      begun = yield* checkpoints.read(subscription)
    }
    if (begun.length !== declared) {
      return yield* new PartitionsChanged({ projection, version, declared, begun: begun.length })
    }
    const events = yield* EventStore
    for (const checkpoint of begun) {
      const page = yield* events.readAll({ after: checkpoint.position, limit: 0 })
      yield* sameLog({ ...subscription, partition: checkpoint.partition }, checkpoint, page)
    }
  }).pipe(patiently(nameOf(subscription)))

/** A worker under way. */
interface Worker {
  readonly held: Lease.Held
  readonly leaving: Latch.Latch
  fiber: Fiber.Fiber<unknown> | undefined
  /** Whether it is only about to give back its lease, or to say why it stopped. */
  done: boolean
}

/** Some subscriptions that run in this process. */
interface Running {
  /** Fails when none of them goes on, with the first one's reason. */
  readonly ended: Effect.Effect<never, Stopped>
  readonly progress: Progress.Progress
  /** Connections apart from the handlers'. */
  readonly client: PgClient.PgClient
}

/** How long to try to say that this process leaves, before others have to find out for themselves. */
const farewell: Duration.Input = "3 seconds"

/** How long to wait for an answer at the least: longer than a claim waits before it ends another session. */
const leastPatience = Duration.seconds(5)

/** Starts to run subscriptions for as long as the scope is open; its closing waits until nothing is under way. */
const start = (subscriptions: Several) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    const client = Context.get(yield* Layer.build(PgClient.layer({ ...config, maxConnections: 3 })), PgClient.PgClient)
    const leases = yield* Effect.provideService(Lease.make, SqlClient.SqlClient, client)
    const time = Duration.fromInputUnsafe(yield* Lease.Time)
    const beat = Duration.divideUnsafe(time, 3)
    // Half the time leaves room for another heartbeat before the leases are lost.
    const patience = Duration.max(Duration.divideUnsafe(time, 2), Duration.seconds(1))
    const progress = yield* Progress.make(client)
    const member = yield* Effect.clockWith((clock) => Effect.sync(() => UuidV7.make(clock.currentTimeMillisUnsafe())))

    const active = new Map(subscriptions.map((subscription) => [keyOf(subscription), subscription]))
    const workers = new Map<string, Worker>()
    /** The epochs in which work on a part has ended here. */
    const over = new Map<string, bigint>()
    const ended = yield* Deferred.make<never, Stopped>()
    const changes = yield* Queue.sliding<void>(1)
    const lookAgain = () => void Queue.offerUnsafe(changes, undefined)
    const fibersOf = (some: (held: Lease.Held) => boolean) =>
      [...workers.values()].flatMap(({ done, fiber, held }) =>
        fiber !== undefined && !done && some(held) ? [fiber] : []
      )

    let first: Cause.Cause<Stopped> | undefined
    /** Ends a subscription in this process, and lets the others go on. */
    const stop = (stopped: Lease.Subscriber, cause: Cause.Cause<Stopped>): Effect.Effect<unknown, SqlError> => {
      if (!active.delete(keyOf(stopped))) return Effect.void
      first ??= cause
      if (active.size === 0) return Deferred.failCause(ended, first)
      return Effect.logError(`${nameOf(stopped)} has stopped; others go on`, cause).pipe(
        Effect.andThen(Fiber.interruptAll(fibersOf((held) => keyOf(held) === keyOf(stopped)))),
        Effect.andThen(patiently(nameOf(stopped))(leases.leave(member, stopped)))
      )
    }

    const report = (held: Lease.Held, cause: Cause.Cause<Stopped>) => {
      const error = Cause.squash(cause)
      return leases.fail(held, error instanceof Error ? error.message : Formatter.format(error)).pipe(
        Effect.timeout(farewell),
        Effect.tapError((error) =>
          Effect.logWarning(`${nameOf(held)}: why it stopped could not be written down`, error)
        )
      )
    }

    const begin = (held: Lease.Held) =>
      Effect.gen(function*() {
        const subscription = active.get(keyOf(held))
        const key = partKey(held)
        // While its predecessor is winding up it does not begin; the lease is found without a worker the next time. And a
        // lease that was given back since it was looked at is not begun again.
        if (subscription === undefined || workers.has(key) || over.get(key) === held.epoch) return
        const leaving = Latch.makeUnsafe()
        const worker: Worker = { held, leaving, fiber: undefined, done: false }
        workers.set(key, worker)
        worker.fiber = yield* work(subscription, held, {
          leaving,
          moved: progress.moved,
          patience: Duration.max(time, leastPatience),
          waits: (what) => leases.waits(held, what),
          isAtWork: (within) => Checkpoint.isAtWork(client, held, within)
        }).pipe(
          Effect.ensuring(Effect.sync(() => {
            worker.done = true
            over.set(key, held.epoch)
            progress.left(held)
          })),
          Effect.catchTag("LeaseLost", (error) => Effect.logWarning(error.message)),
          Effect.andThen(Effect.suspend(() => patiently(nameOf(held))(leases.release(member, held)))),
          Effect.catchCause((cause) =>
            Cause.hasInterruptsOnly(cause)
              ? Effect.void
              : Effect.andThen(Effect.ignore(report(held, cause)), stop(held, cause))
          ),
          Effect.catchCause((cause) => Deferred.failCause(ended, cause)),
          Effect.ensuring(Effect.sync(() => {
            workers.delete(key)
            lookAgain()
          })),
          Effect.forkDetach
        )
      })

    /** Lets go of what nobody shall work on. */
    const withhold = ({ name, order, version }: Lease.Withheld) => {
      if (order === "Retired") {
        return stop({ name, version }, Cause.fail(new VersionRetired({ projection: name, version })))
      }
      const key = keyOf({ name, version })
      for (const { held, leaving } of workers.values()) {
        if (keyOf(held) === key) leaving.openUnsafe()
      }
      return Effect.void
    }

    const countParked = (held: ReadonlyArray<Lease.Held>) =>
      Effect.gen(function*() {
        if (held.length === 0) return
        const counts = yield* parkedStreams([...active.values()]).pipe(
          Effect.provideService(SqlClient.SqlClient, client)
        )
        for (const part of held) yield* WorkerMetrics.parked(part, counts.get(partKey(part)) ?? 0)
      })

    /** Sends the heartbeat, and takes and gives back what is due. Tells how soon it should be done again. */
    const attend = Effect.gen(function*() {
      for (const withheld of yield* leases.withheld) yield* withhold(withheld)
      const held = yield* leases.renew(member, [...active.values()])
      const epochs = new Map(held.map((lease) => [partKey(lease), lease.epoch]))
      for (const [key, { done, fiber, held: { epoch, name: projection, partition, version } }] of workers) {
        if (done || fiber === undefined || epochs.get(key) === epoch) continue
        yield* Effect.logWarning(new LeaseLost({ projection, version, partition, epoch }).message)
        fiber.interruptUnsafe()
      }
      yield* countParked(held)
      const { giveBack, lookAgainIn, take } = plan(yield* leases.survey, member, beat)
      const taken = yield* leases.take(member, take)
      // Not cut off in between: what is in the books must be at work.
      yield* Effect.uninterruptible(Effect.forEach([...held, ...taken], begin, { discard: true }))
      if (giveBack !== undefined) workers.get(partKey(giveBack))?.leaving.openUnsafe()
      return lookAgainIn === undefined ? beat : Duration.min(lookAgainIn, beat)
    })

    for (const subscription of subscriptions) {
      yield* patiently(nameOf(subscription))(leases.declare(subscription, subscription.partitions))
    }
    yield* Effect.addFinalizer(() =>
      Effect.forEach(subscriptions, (subscription) => leases.leave(member, subscription), { discard: true }).pipe(
        Effect.interruptible,
        Effect.timeoutOption(farewell),
        Effect.catchCause((cause) => Effect.logWarning("This process could not say that it leaves", cause))
      )
    )
    yield* Effect.addFinalizer(() => Effect.suspend(() => Fiber.interruptAll(fibersOf(() => true))))
    yield* onNotification(client, Lease.channel, (payload) => {
      const awaited = payload === undefined ? undefined : Progress.awaitedIn(payload)
      if (payload === undefined || awaited !== undefined) progress.awaited(awaited)
      if (awaited === undefined) lookAgain()
    })
    yield* Effect.gen(function*() {
      while (true) {
        const pause = yield* patiently("Leases")(inTime("heartbeat", patience, attend))
        yield* Effect.timeoutOption(Queue.take(changes), pause)
      }
    }).pipe(Effect.catchCause((cause) => Deferred.failCause(ended, cause)), Effect.forkScoped)
    return { ended: Deferred.await(ended), progress, client } satisfies Running
  })

/** The first of the subscriptions that has its name and version from one before it. */
const duplicateIn = (subscriptions: Several): DuplicateProjection | undefined => {
  const keys = new Set<string>()
  for (const subscription of subscriptions) {
    const key = keyOf(subscription)
    if (keys.has(key)) return new DuplicateProjection({ projection: subscription.name, version: subscription.version })
    keys.add(key)
  }
  return undefined
}

/** Prepares the subscriptions, and returns those that can run. Fails when none can. */
const prepareAll = (subscriptions: Several) =>
  Effect.gen(function*() {
    const duplicate = duplicateIn(subscriptions)
    if (duplicate !== undefined) return yield* duplicate
    yield* migrate.pipe(failsAs(subscriptions[0], beforeFirst), patiently(nameOf(subscriptions[0])))
    const ready: Array<Subscription<unknown>> = []
    let first: Cause.Cause<Stopped> | undefined
    for (const subscription of subscriptions) {
      const exit = yield* Effect.exit(prepare(subscription))
      if (Exit.isSuccess(exit)) ready.push(subscription)
      else {
        first ??= exit.cause
        if (subscriptions.length > 1) yield* Effect.logError(`${nameOf(subscription)} cannot begin`, exit.cause)
      }
    }
    return isNonEmpty(ready) ? ready : yield* Effect.failCause(first!)
  })

/** Provides the read model's database to handlers, and to what keeps the checkpoints. */
const onReadModel = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    PgClient.PgClient,
    (client) =>
      Effect.flatMap(Effect.provideService(Checkpoint.make, SqlClient.SqlClient, client), (checkpoints) =>
        effect.pipe(
          Effect.provideService(SqlClient.SqlClient, client),
          Effect.provideService(Checkpoint.Checkpoints, checkpoints)
        ))
  )

/** The read model's database is provided, and what is not known of the handlers' needs is the caller's. */
const needing = <A, R>(effect: Effect.Effect<A, Stopped, unknown>) => effect as Effect.Effect<A, Stopped, R>

/**
 * Keeps read models up to date for as long as the fiber runs: catches up, then is woken by appends. While a database is
 * away it waits. Any number of processes may run the same subscriptions; they share the work, see above.
 *
 * A subscription stops in this process when an event cannot be applied, unless its `poison` says otherwise; the read model
 * then stands right before it, and other processes that run it try in turn. Others go on. It fails when none is left, with the reason of the first; and at
 * once, with `DuplicateProjection`, when two have one name and version.
 */
export const run = <S extends Several>(
  ...subscriptions: S
): Effect.Effect<never, Stopped, Needs<S[number]> | Requirements> =>
  needing(
    Effect.scoped(
      Effect.flatMap(prepareAll(subscriptions), (ready) => Effect.flatMap(start(ready), ({ ended }) => ended))
    ).pipe(onReadModel)
  )

/** How often to look at what other processes do without being told: bounds the delay when a notification was lost. */
const lookAfter: Duration.Input = "1 second"

/** Waits until a subscription has been brought to a position, by this process or by others. */
const untilAt = (subscription: Subscription<unknown>, target: bigint, { client, progress }: Running) =>
  Effect.gen(function*() {
    const checkpoints = yield* Checkpoint.Checkpoints
    const moves = yield* Queue.sliding<void>(1)
    const wake = () => void Queue.offerUnsafe(moves, undefined)
    yield* progress.onMove(wake)
    yield* onNotification(client, Progress.channel, wake)
    const say = Progress.waiting(client)
    const { name, partitions, version } = subscription
    const parts = Array.from({ length: partitions }, (_, partition) => ({ name, version, partition }))
    while (true) {
      const here = parts.map(progress.positionOf)
      const known = here.includes(undefined)
        ? (yield* patiently(nameOf(subscription))(checkpoints.read(subscription))).map(({ position }) => position)
        : here
      if (known.length < partitions) return yield* new CheckpointMissing({ projection: name, version })
      if (known.every((position) => position !== undefined && position >= target)) return
      if (here.includes(undefined)) yield* patiently(nameOf(subscription))(say(Progress.payloadOf(subscription)))
      yield* Effect.timeoutOption(Queue.take(moves), lookAfter)
    }
  })

/**
 * Brings a read model up to date with the log as it is now, together with whoever else runs the subscription, and returns
 * the position that it has reached.
 */
export const catchUp = <R>(
  subscription: Subscription<R>
): Effect.Effect<bigint, Stopped, Exclude<R, SqlClient.SqlClient> | Requirements> =>
  needing(
    Effect.gen(function*() {
      yield* prepareAll([subscription])
      const events = yield* EventStore
      const { head } = yield* patiently(nameOf(subscription))(events.readAll({ after: 0n, limit: 0 }))
      yield* Effect.scoped(Effect.flatMap(start([subscription]), (running) =>
        Effect.raceFirst(untilAt(subscription, head, running), running.ended)))
      const checkpoints = yield* Checkpoint.Checkpoints
      const reached = yield* patiently(nameOf(subscription))(checkpoints.read(subscription))
      if (reached.length === 0) {
        return yield* new CheckpointMissing({ projection: subscription.name, version: subscription.version })
      }
      // Who had nothing to do because others did it may have been handed another log's.
      for (const checkpoint of reached) {
        const page = yield* patiently(nameOf(subscription))(events.readAll({ after: checkpoint.position, limit: 0 }))
        yield* sameLog({ ...subscription, partition: checkpoint.partition }, checkpoint, page)
      }
      return reached.map(({ position }) =>
        position
      ).reduce((least, position) => position < least ? position : least)
    }).pipe(onReadModel)
  )
