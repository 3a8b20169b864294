/**
 * Stores that keep personal data sealed: what {@link Personal.schema} marks in an event or a snapshot is encrypted under
 * its subject's key on the way in, and comes back as the value, or as a marked absence once the key was shredded. They
 * stand around any other stores, which see nothing but sealed data.
 *
 * What is sealed is bound to its place: stream, command, type of event and path, or stream, version and path of a
 * snapshot, or stream, command, number and path of an outbox entry. Moved elsewhere, or changed, it does not open: the read then fails with {@link SealBroken} as its cause.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Events from "./EventStore.ts"
import { EventStoreError, InvalidAppend } from "./EventStoreError.ts"
import * as Wire from "./internal/personalJson.ts"
import * as SealedFingerprint from "./internal/sealedFingerprint.ts"
import * as Sealing from "./internal/sealing.ts"
import * as Outboxes from "./Outbox.ts"
import { SubjectShredded } from "./PersonalError.ts"
import type { EncodedEvent, RecordedEvent } from "./RecordedEvent.ts"
import { InvalidSnapshot, type Snapshot } from "./Snapshot.ts"
import * as Snapshots from "./SnapshotStore.ts"
import * as Keys from "./SubjectKeys.ts"
import * as UuidV7 from "./UuidV7.ts"

/** Where an event's personal data stands. Two events of a command may share it. */
const placeOf = ({ commandId, streamId, type }: Pick<RecordedEvent, "commandId" | "streamId" | "type">) =>
  ["event", streamId, commandId, type] as const

const placeOfSnapshot = ({ stateVersion, streamId, version }: Snapshot) =>
  ["snapshot", streamId, version, stateVersion] as const

const placeOfEntry = ({ commandId, index, streamId }: Pick<Outboxes.StoredEntry, "commandId" | "index" | "streamId">) =>
  ["outbox", streamId, commandId, index] as const

type Appends = NonEmptyReadonlyArray<Events.StreamAppend>

/** The same appends with other bodies, one for each event in order. */
const withBodies = (appends: Appends, bodies: ReadonlyArray<Schema.Json>): Appends => {
  let next = 0
  return appends.map((append) => ({
    ...append,
    events: append.events.map((event) => ({ ...event, data: bodies[next++]! }) as EncodedEvent)
  })) as unknown as Appends
}

const failedRead = (operation: string) => (cause: Sealing.OpenError): EventStoreError =>
  new EventStoreError({ operation, retryable: cause._tag === "SubjectKeysError" && cause.retryable, cause })

/**
 * The event store, with personal data sealed in it. An append of a shredded subject's data fails with
 * {@link SubjectShredded}; repeated under the command id of an append from before, it gets the first outcome.
 */
export const eventStore = (inner: Events.Service, keys: Keys.Service): Events.Service => {
  /** Everything about the events comes out as it is but their bodies, and nothing is done where nothing is personal. */
  const open =
    (operation: string) => <A extends ReadonlyArray<RecordedEvent>>(events: A): Effect.Effect<A, EventStoreError> =>
      Effect.mapBoth(
        Sealing.open(keys, events, {
          bodyOf: ({ data }) => data,
          placeOf,
          shown: ({ globalPosition, streamId, type, version }) =>
            `${type} (stream ${JSON.stringify(streamId)}, version ${version}, global position ${globalPosition})`
        }),
        {
          onFailure: failedRead(operation),
          onSuccess: (bodies) =>
            bodies === undefined ? events : events.map((event, i) => ({ ...event, data: bodies[i]! })) as unknown as A
        }
      )

  const transact: Events.Service["transact"] = (appends, options = {}) =>
    Effect.suspend((): ReturnType<Events.Service["transact"]> => {
      const ofEvents = appends.flatMap(({ events }) => events.map(({ data }) => data))
      const bodies = [...ofEvents, ...(options.outbox ?? []).map(({ body }) => body)]
      const found = Sealing.find(bodies)
      if (Result.isFailure(found)) return Effect.fail(new InvalidAppend({ issue: found.failure }))
      if (found.success.length === 0) return again(appends, options, options.fingerprint)
      return seal(appends, bodies, found.success, options)
    })

  /** What a command stored, with its fingerprint as it came with it, if that can be told. */
  const fingerprintOf = (
    commandId: string,
    stored: ReadonlyArray<Events.CommandEvent>
  ): Effect.Effect<string | undefined, EventStoreError> =>
    Effect.gen(function*() {
      const text = stored[0]?.fingerprint
      if (text === undefined) return undefined
      const openers = yield* Effect.mapError(
        keys.opening(SealedFingerprint.subjectsOf(stored)),
        failedRead("read a command's events")
      )
      return yield* Effect.promise(() => SealedFingerprint.open(text, commandId, openers))
    })

  /**
   * Appends, and where the store takes a command for another one because of its fingerprint, opens the stored one: a
   * repetition may decide other events, with data of other subjects, and is sealed under other keys then.
   */
  const again = (
    appends: Appends,
    options: Events.AppendOptions,
    fingerprint: string | undefined
  ): ReturnType<Events.Service["transact"]> => {
    const { commandId } = options
    if (commandId === undefined || fingerprint === undefined) return inner.transact(appends, options)
    return Effect.catchTag(inner.transact(appends, options), "CommandIdConflict", (conflict) =>
      Effect.gen(function*() {
        const stored = yield* inner.readCommand(commandId)
        if ((yield* fingerprintOf(commandId, stored)) !== fingerprint) return yield* conflict
        return yield* inner.transact(appends, { ...options, fingerprint: stored[0]!.fingerprint })
      }))
  }

  const seal = (
    appends: Appends,
    bodies: ReadonlyArray<Schema.Json>,
    found: ReadonlyArray<Sealing.Found<Wire.Open>>,
    given: Events.AppendOptions
  ): ReturnType<Events.Service["transact"]> =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const commandId = given.commandId ?? UuidV7.make(clock.currentTimeMillisUnsafe())
      const openers = yield* Effect.mapError(
        keys.sealing(Sealing.subjectsOf(found)),
        (cause) => new EventStoreError({ operation: "append", retryable: cause.retryable, cause })
      )
      const types = appends.flatMap(({ events, streamId }) => events.map(({ type }) => ({ streamId, type, commandId })))
      const shredded = found.find(({ object }) => openers.get(object[Wire.member]) === "shredded")
      const first = shredded === undefined ? [] : yield* inner.readCommand(commandId)
      if (shredded !== undefined && !isRepetition(types, first)) {
        return yield* new SubjectShredded({ subject: shredded.object[Wire.member] })
      }
      const sealed = yield* Sealing.seal(openers, found, {
        placeOf: (at) =>
          at < types.length
            ? placeOf(types[at]!)
            : placeOfEntry({ streamId: types[0]!.streamId, commandId, index: at - types.length }),
        // What cannot be sealed any more is in the log as the first attempt sealed it; of entries none is stored again.
        whenShredded: ({ at, object, path }) =>
          at < types.length ? Sealing.at(first[at]!.data, path) : Sealing.gone(object)
      })
      const put = Sealing.put(bodies, sealed)
      const outbox = given.outbox?.map((entry, i) => ({ ...entry, body: put[types.length + i]! }))
      const plain = given.fingerprint
      const fingerprint = plain === undefined
        ? undefined
        : yield* Effect.promise(() => SealedFingerprint.seal(plain, commandId, openers))
      const options = { ...given, commandId, fingerprint, outbox }
      return yield* again(withBodies(appends, put), options, plain)
    })

  return {
    ...inner,
    transact,
    append: (streamId, expected, events, options) =>
      Effect.map(transact([{ streamId, expected, events }], options), (results) => results[0]),
    read: (streamId, options) => Effect.flatMap(inner.read(streamId, options), open("read")),
    readAll: (options) =>
      Effect.flatMap(
        inner.readAll(options),
        (page) => Effect.map(open("read the log")(page.events), (events) => ({ ...page, events }))
      ),
    readCommand: (commandId) =>
      Effect.gen(function*() {
        const stored = yield* inner.readCommand(commandId)
        const fingerprint = yield* fingerprintOf(commandId, stored)
        const [first, ...others] = yield* open("read a command's events")(stored)
        if (first === undefined) return []
        const { fingerprint: _, ...event } = first
        return [fingerprint === undefined ? event : { ...event, fingerprint }, ...others]
      }),
    load: (streamId, options) => Stream.mapArrayEffect(inner.load(streamId, options), open("read")),
    subscribe: (options) => Stream.mapArrayEffect(inner.subscribe(options), open("read the log"))
  }
}

/** Whether the log has these events of the command, in this order. */
const isRepetition = (
  asked: ReadonlyArray<Pick<RecordedEvent, "streamId" | "type">>,
  stored: ReadonlyArray<RecordedEvent>
): boolean =>
  asked.length === stored.length &&
  asked.every(({ streamId, type }, i) => stored[i]!.streamId === streamId && stored[i]!.type === type)

/**
 * The snapshot store, with personal data sealed in it. A shredded subject's data is kept as the absence that it is, so
 * that a state from before can be kept at any time.
 */
export const snapshotStore = (inner: Snapshots.Service, keys: Keys.Service): Snapshots.Service => ({
  ...inner,
  save: (snapshot) =>
    Effect.gen(function*() {
      const found = Sealing.find([snapshot.state])
      if (Result.isFailure(found)) {
        return yield* new InvalidSnapshot({ streamId: snapshot.streamId, issue: found.failure })
      }
      if (found.success.length === 0) return yield* inner.save(snapshot)
      const openers = yield* Effect.mapError(
        keys.sealing(Sealing.subjectsOf(found.success)),
        (cause) => new Snapshots.SnapshotStoreError({ operation: "save", retryable: cause.retryable, cause })
      )
      const sealed = yield* Sealing.seal(openers, found.success, {
        placeOf: () => placeOfSnapshot(snapshot),
        whenShredded: ({ object }) => Sealing.gone(object)
      })
      return yield* inner.save({ ...snapshot, state: Sealing.put([snapshot.state], sealed)[0]! })
    }),
  load: (streamId, options) =>
    Effect.gen(function*() {
      const snapshot = yield* inner.load(streamId, options)
      if (Option.isNone(snapshot)) return snapshot
      const states = yield* Effect.mapError(
        Sealing.open(keys, [snapshot.value], {
          bodyOf: ({ state }) => state,
          placeOf: placeOfSnapshot,
          shown: ({ version }) => `the snapshot of ${JSON.stringify(streamId)} at version ${version}`
        }),
        (cause) => {
          const retryable = cause._tag === "SubjectKeysError" && cause.retryable
          return new Snapshots.SnapshotStoreError({ operation: "load", retryable, cause })
        }
      )
      return states === undefined ? snapshot : Option.some({ ...snapshot.value, state: states[0]! })
    })
})

const failedOutbox = (operation: Outboxes.OutboxError["operation"]) => (cause: Sealing.OpenError) =>
  new Outboxes.OutboxError({ operation, retryable: cause._tag === "SubjectKeysError" && cause.retryable, cause })

/**
 * The outbox, with personal data sealed in the bodies of its entries; beside {@link eventStore}, which seals them. A
 * worker gets a shredded subject's data as the absence that it is. An entry that does not open, because it was changed or
 * moved, is parked instead of claimed: it would keep all others from being claimed with it.
 */
export const outbox = (inner: Outboxes.Service, keys: Keys.Service): Outboxes.Service => {
  const open = <A extends Outboxes.StoredEntry>(
    entries: ReadonlyArray<A>
  ): Effect.Effect<ReadonlyArray<A>, Sealing.OpenError> =>
    Effect.map(
      Sealing.open(keys, entries, {
        bodyOf: ({ body }) => body,
        placeOf: placeOfEntry,
        shown: (entry) =>
          `the outbox entry ${Outboxes.idempotencyKey(entry)} (stream ${JSON.stringify(entry.streamId)})`
      }),
      (bodies) => bodies === undefined ? entries : entries.map((entry, i) => ({ ...entry, body: bodies[i]! }))
    )

  const shown =
    (operation: Outboxes.OutboxError["operation"]) => <A extends Outboxes.StoredEntry>(entries: ReadonlyArray<A>) =>
      Effect.forEach(entries, (entry) =>
        open([entry]).pipe(
          // What does not open is listed as it is stored: sealed.
          Effect.catchTag("SealBroken", () => Effect.succeed([entry])),
          Effect.mapError(failedOutbox(operation)),
          Effect.map(([opened]) => opened!)
        ))

  const openOrPark = (claim: Outboxes.Claim): Effect.Effect<ReadonlyArray<Outboxes.Claim>, Outboxes.OutboxError> =>
    open([claim]).pipe(
      Effect.catchTag("SealBroken", (broken) =>
        Effect.as(
          // Somebody else may have claimed the entry by now, and parks it in turn.
          Effect.catchTag(inner.park(claim, broken.message), "StaleClaim", () => Effect.void),
          []
        )),
      Effect.catchTag("SubjectKeysError", (error) => Effect.fail(failedOutbox("claim")(error)))
    )

  return {
    ...inner,
    claim: (options) =>
      Effect.flatMap(inner.claim(options), (claims) =>
        open(claims).pipe(
          Effect.catchTag("SealBroken", () => Effect.map(Effect.forEach(claims, openOrPark), (all) => all.flat())),
          Effect.catchTag("SubjectKeysError", (error) => Effect.fail(failedOutbox("claim")(error)))
        )),
    dead: (options) => Effect.flatMap(inner.dead(options), shown("list dead")),
    list: (options) => Effect.flatMap(inner.list(options), shown("list"))
  }
}

/**
 * Provides the event store with personal data sealed in it, around the one that it is provided with.
 *
 * @example
 * ```ts
 * import * as EventStore from "@composable-ts/core/EventStore"
 * import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
 * import * as MemorySubjectKeys from "@composable-ts/core/MemorySubjectKeys"
 * import * as PersonalData from "@composable-ts/core/PersonalData"
 * import { Effect, Layer } from "effect"
 *
 * const Keys = MemorySubjectKeys.layer({ timeToLive: "30 seconds" })
 * const Events = PersonalData.layerEventStore.pipe(Layer.provide(MemoryEventStore.layer), Layer.provideMerge(Keys))
 *
 * const page = EventStore.EventStore.use((store) => store.readAll({ after: 0n, limit: 10 }))
 * const { head } = await Effect.runPromise(Effect.provide(page, Events))
 * head // => 0n
 * ```
 */
export const layerEventStore: Layer.Layer<Events.EventStore, never, Events.EventStore | Keys.SubjectKeys> = Layer
  .effect(
    Events.EventStore,
    Effect.gen(function*() {
      return eventStore(yield* Events.EventStore, yield* Keys.SubjectKeys)
    })
  )

/** Provides the snapshot store with personal data sealed in it, around the one that it is provided with. */
export const layerSnapshotStore: Layer.Layer<
  Snapshots.SnapshotStore,
  never,
  Snapshots.SnapshotStore | Keys.SubjectKeys
> = Layer.effect(
  Snapshots.SnapshotStore,
  Effect.gen(function*() {
    return snapshotStore(yield* Snapshots.SnapshotStore, yield* Keys.SubjectKeys)
  })
)

/** Provides the outbox with personal data sealed in it, around the one that it is provided with. */
export const layerOutbox: Layer.Layer<Outboxes.Outbox, never, Outboxes.Outbox | Keys.SubjectKeys> = Layer.effect(
  Outboxes.Outbox,
  Effect.gen(function*() {
    return outbox(yield* Outboxes.Outbox, yield* Keys.SubjectKeys)
  })
)
