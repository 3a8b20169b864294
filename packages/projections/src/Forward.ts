/**
 * Forwards events to another system: a webhook, a message broker, a search index. Each event at least once, each
 * stream's in order.
 *
 * The other system cannot commit together with the checkpoint, so there is a moment at which it has an event and the
 * checkpoint does not know it yet. Who crashes then, or is taken over because it was thought dead, hands the event over
 * again. Every delivery therefore carries a {@link DeduplicationKey}: let the other system refuse, or overwrite, what it
 * has. What writes to the read model's own database needs none of this: that is a `Projection`.
 *
 * A forwarder is a subscription like a projection: it has a checkpoint, moved behind what was taken, partitions, leases,
 * a place in `Projection.run` beside projections, and a row in `Status`. No transaction is open while it calls.
 */
import type * as Action from "@composable-ts/core/Action"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import { groupBy, isReadonlyArrayNonEmpty as isNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { handOver, type Parcel } from "./internal/handOver.ts"
import * as subject from "./internal/subject.ts"
import type * as Lease from "./Lease.ts"
import * as Poison from "./Poison.ts"
import * as Start from "./Start.ts"
import * as Subscription from "./Subscription.ts"

type Tag = { readonly _tag: string }

/** What tells a delivery from all others, and is the same whenever the same event is delivered again. */
export interface DeduplicationKey {
  /** A UUID; unique among all events. */
  readonly eventId: string
  /** With the version: unique, too. The other system may keep the last version of each stream, and pass over lower ones. */
  readonly streamId: string
  readonly version: number
}

/** Something that is delivered at least once: again after a crash, under the same key. */
export interface AtLeastOnce<out A> {
  readonly key: DeduplicationKey
  readonly event: A
  readonly recorded: RecordedEvent
}

/** A subscription whose events leave the database, each at least once. */
export interface Forwarder<out R> extends Subscription.Subscription<R> {
  readonly guarantee: "at least once"
}

/** What every forwarder declares. */
export interface Declaration<Name extends string, TombstoneServices = never> {
  readonly name: string
  /** Raise it to forward everything anew, from `startFrom` on. */
  readonly version: number
  /** The events that it forwards, in their current shape; the database filters the rest. */
  readonly events: ReadonlyArray<Name>
  /**
   * Into how many parts the log's streams are divided, each forwarded by one process at a time, all at once. Cannot be
   * changed within a version. Default 1.
   */
  readonly partitions?: number | undefined
  /** Where to begin when it is run for the first time. Default: with the first event of the log. */
  readonly startFrom?: Start.Start | undefined
  /**
   * When to try again what failed, whether by an error or a defect. When it ends, the forwarder stops with
   * `ProjectionFailed`, right before that event. Default {@link defaultRetry}.
   */
  readonly retry?: Schedule.Schedule<unknown, unknown> | undefined
  /** Tells the other system of a stream that a tombstone has erased, in order with the stream's events. */
  readonly tombstoned?:
    | ((tombstone: AtLeastOnce<Tombstone.Tombstone>) => Effect.Effect<unknown, unknown, TombstoneServices>)
    | undefined
}

/** After a tenth of a second, then twice as long each time, at most five seconds: nine times, about 30 seconds. */
export const defaultRetry: Schedule.Schedule<unknown, unknown> = Schedule.min([
  Schedule.exponential("100 millis"),
  Schedule.spaced("5 seconds")
]).pipe(Schedule.jittered, Schedule.upTo({ times: 9 }))

const deliveryOf = <A>(event: A, recorded: RecordedEvent): AtLeastOnce<A> => {
  const { eventId, streamId, version } = recorded
  return { key: { eventId, streamId, version }, event, recorded }
}

/** What a forwarder is called among subscribers: in `Status`, metrics, checkpoints and leases. */
export const subscriberOf = (name: string, version: number): Lease.Subscriber => ({
  name: `${subject.forwarder}${name}`,
  version
})

const common = (declaration: Declaration<string, unknown>) => {
  const { events, name, partitions = 1, startFrom = Start.beginning, tombstoned, version } = declaration
  return {
    ...subscriberOf(name, version),
    partitions,
    startFrom,
    events: tombstoned === undefined ? events : [...events, Tombstone.type],
    setUp: Effect.void,
    // Nothing of it is in the database but the checkpoint.
    apply: () => Effect.void,
    // What is handed over has a schedule of its own; what fails for good stops the forwarder.
    retry: Poison.never,
    poison: Poison.stop,
    guarantee: "at least once" as const
  }
}

/** What to hand over for a tombstone; `undefined` for any other event. */
const ofTombstone = <R>(
  { tombstoned }: Pick<Declaration<string, R>, "tombstoned">,
  recorded: RecordedEvent
): Parcel<R> | undefined => {
  const tombstone = Tombstone.from(recorded)
  if (tombstone === undefined) return undefined
  return {
    events: [recorded],
    hand: Effect.suspend(() => tombstoned?.(deliveryOf(tombstone, recorded)) ?? Effect.void)
  }
}

/**
 * Defines a forwarder by a handler for one event. Events of one stream are handed over one after the other; with
 * `concurrency` those of several streams at the same time.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Forward from "@composable-ts/projections/Forward"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 *
 * const Visit = Action.define("Visit", { commands: {}, events: { PageSeen: Event.v1({ page: Schema.String }) } })
 *
 * // Whatever talks to the other system; it passes over a key that it has seen.
 * declare const post: (body: { readonly id: string; readonly page: string }) => Effect.Effect<void, Error>
 *
 * const hook = Forward.define(Visit, {
 *   name: "hook",
 *   version: 1,
 *   events: ["PageSeen"],
 *   concurrency: 8,
 *   handle: ({ event, key }) => post({ id: key.eventId, page: event.page })
 * })
 *
 * hook.guarantee // => "at least once"
 * ```
 */
export const define = <
  C extends Tag,
  Event extends Tag,
  const Name extends Event["_tag"],
  R,
  TombstoneServices = never
>(
  source: Action.Vocabulary<C, Event>,
  declaration: Declaration<Name, TombstoneServices> & {
    readonly handle: (
      delivery: AtLeastOnce<Extract<Event, { readonly _tag: Name }>>
    ) => Effect.Effect<unknown, unknown, R>
    /** How many streams' events are under way at the same time, in each partition. Default 1. */
    readonly concurrency?: number | undefined
  }
): Forwarder<R | TombstoneServices> => {
  type Needs = R | TombstoneServices
  const { concurrency = 1, handle, retry = defaultRetry } = declaration
  const parcel = (recorded: RecordedEvent): Parcel<Needs> =>
    ofTombstone(declaration, recorded) ?? {
      events: [recorded],
      hand: recorded.erased === true ? Effect.void : Effect.flatMap(
        Effect.fromResult(source.decode(recorded)),
        (event) => handle(deliveryOf(event as Extract<Event, { readonly _tag: Name }>, recorded))
      )
    }
  return {
    ...common(declaration),
    deliver: (events, shouldPause) => {
      const lanes = concurrency === 1 ? [events] : Object.values(groupBy(events, ({ streamId }) => streamId))
      return handOver(events, lanes.map((lane) => lane.map(parcel)), { concurrency, retry }, shouldPause)
    }
  }
}

/** How many events a batch holds at the most, unless told otherwise. */
export const defaultBatchSize = 100

/**
 * Defines a forwarder by a handler for a batch of events, in order of global position: one request for many. When it
 * fails, the whole batch is handed over again; a batch always ends before a tombstone, for a forwarder that handles them.
 */
export const defineBatch = <
  C extends Tag,
  Event extends Tag,
  const Name extends Event["_tag"],
  R,
  TombstoneServices = never
>(
  source: Action.Vocabulary<C, Event>,
  declaration: Declaration<Name, TombstoneServices> & {
    readonly handle: (
      batch: NonEmptyReadonlyArray<AtLeastOnce<Extract<Event, { readonly _tag: Name }>>>
    ) => Effect.Effect<unknown, unknown, R>
    /** How many events a batch holds at the most. Default {@link defaultBatchSize}. */
    readonly batchSize?: number | undefined
  }
): Forwarder<R | TombstoneServices> => {
  const { batchSize = defaultBatchSize, handle, retry = defaultRetry } = declaration
  const parcel = (batch: NonEmptyReadonlyArray<RecordedEvent>): Parcel<R> => ({
    events: batch,
    hand: Effect.gen(function*() {
      const deliveries: Array<AtLeastOnce<Extract<Event, { readonly _tag: Name }>>> = []
      for (const recorded of batch) {
        if (recorded.erased === true) continue
        const event = yield* Effect.fromResult(source.decode(recorded))
        deliveries.push(deliveryOf(event as Extract<Event, { readonly _tag: Name }>, recorded))
      }
      if (isNonEmpty(deliveries)) yield* handle(deliveries)
    })
  })
  const parcels = (events: ReadonlyArray<RecordedEvent>) => {
    const lane: Array<Parcel<R | TombstoneServices>> = []
    let batch: Array<RecordedEvent> = []
    const close = () => {
      if (isNonEmpty(batch)) lane.push(parcel(batch))
      batch = []
    }
    for (const recorded of events) {
      const tombstone = ofTombstone(declaration, recorded)
      if (tombstone === undefined) batch.push(recorded)
      if (tombstone !== undefined || batch.length === batchSize) close()
      if (tombstone !== undefined) lane.push(tombstone)
    }
    close()
    return lane
  }
  return {
    ...common(declaration),
    deliver: (events, shouldPause) => handOver(events, [parcels(events)], { concurrency: 1, retry }, shouldPause)
  }
}

/** Brings the other system up to date with the log as it is now, and returns the position that was reached. */
export const catchUp = Subscription.catchUp

/**
 * Forwards for as long as the fiber runs. Any number of processes may run the same forwarders, and projections beside
 * them: it is `Projection.run`. The `PgClient` is the database of the checkpoints.
 */
export const run = Subscription.run
