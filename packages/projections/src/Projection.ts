/**
 * A projection keeps a read model up to date with the log, asynchronously: nothing of it stands in the way of a command.
 * What its handlers write and how far it has read commit in one transaction, so every event takes effect exactly once,
 * whatever crashes and however many processes run it.
 */
import type * as Action from "@composable-ts/core/Action"
import type { DecodeError } from "@composable-ts/core/EventError"
import { EventStore, type LogPage } from "@composable-ts/core/EventStore"
import { type CorruptLog, EventStoreError } from "@composable-ts/core/EventStoreError"
import type { Recorded } from "@composable-ts/core/History"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import { isReadonlyArrayNonEmpty as isNonEmpty, type NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import { MigrationError } from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Checkpoint from "./Checkpoint.ts"
import { CheckpointAhead, CheckpointMissing, ProjectionFailed } from "./ProjectionError.ts"

type Tag = { readonly _tag: string }

/** A projection: `E` how its handlers fail, `R` what they need. */
export interface Projection<out E, out R> extends Checkpoint.Owner {
  /** The names of the events that it applies; the database filters the rest. */
  readonly events: ReadonlyArray<string>
  readonly setUp: Effect.Effect<void, E, R>
  /** Applies some events, in order of global position. */
  readonly apply: (events: NonEmptyReadonlyArray<RecordedEvent>) => Effect.Effect<void, E | DecodeError, R>
}

/** What every projection declares. */
export interface Declaration<E, R, TombstoneError = never, TombstoneServices = never> {
  readonly name: string
  /**
   * Raise it when handlers or tables change: a new version starts from the first event with a set-up of its own, so it
   * needs tables of its own, too.
   */
  readonly version: number
  /** Makes the read model's tables. Runs once, in one transaction with the first checkpoint. */
  readonly setUp: Effect.Effect<void, E, R>
  /**
   * Forgets what the read model holds of a stream that a tombstone has erased. The log has tombstones of all streams,
   * whatever their category, in order with the events that are handled. Erased events are passed over; a read model that
   * was up to date has applied them before, and one that is rebuilt never sees them.
   */
  readonly tombstoned?:
    | ((tombstone: Tombstone.Tombstone) => Effect.Effect<unknown, TombstoneError, TombstoneServices>)
    | undefined
}

/** A projection that forgets has tombstones among the names that it reads. */
const namesOf = (
  events: ReadonlyArray<string>,
  { tombstoned }: Pick<Declaration<unknown, unknown, unknown, unknown>, "tombstoned">
): ReadonlyArray<string> => tombstoned === undefined ? events : [...events, Tombstone.type]

/** A handler for each event that matters to the read model; the others are not even read. */
export type Handlers<Event extends Tag> = {
  readonly [Tag in Event["_tag"]]?: (
    event: Extract<Event, { readonly _tag: Tag }>,
    recorded: RecordedEvent
  ) => Effect.Effect<unknown, unknown, unknown>
}

/** What a projection's handlers return, all together. */
type Handled<H> = Extract<H[keyof H], (...args: never) => unknown> extends (...args: never) => infer Returned ? Returned
  : never

/**
 * Defines a projection by a handler for each event. Handlers run one after the other, in order of global position, in
 * the transaction of the `SqlClient` that they ask for.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Projection from "@composable-ts/projections/Projection"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const Visit = Action.define("Visit", { commands: {}, events: { PageSeen: Event.v1({ page: Schema.String }) } })
 *
 * const views = Projection.define(Visit, {
 *   name: "views",
 *   version: 1,
 *   setUp: Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE views (page text PRIMARY KEY, n int)`),
 *   on: {
 *     PageSeen: ({ page }) =>
 *       Effect.flatMap(SqlClient.SqlClient, (sql) => sql`
 *         INSERT INTO views VALUES (${page}, 1) ON CONFLICT (page) DO UPDATE SET n = views.n + 1`)
 *   }
 * })
 *
 * views.events // => ["PageSeen"]
 * ```
 */
export const define = <
  C extends Tag,
  Event extends Tag,
  E,
  R,
  const H extends Handlers<Event>,
  TombstoneError = never,
  TombstoneServices = never
>(
  source: Action.Vocabulary<C, Event>,
  declaration: Declaration<E, R, TombstoneError, TombstoneServices> & {
    readonly on: H & { readonly [Unknown in Exclude<keyof H, Event["_tag"]>]: never }
  }
): Projection<
  E | Effect.Error<Handled<H>> | TombstoneError,
  R | Effect.Services<Handled<H>> | TombstoneServices
> => {
  type Handler = (
    event: Event,
    recorded: RecordedEvent
  ) => Effect.Effect<unknown, Effect.Error<Handled<H>>, Effect.Services<Handled<H>>>
  const handlers = declaration.on as Readonly<Record<string, Handler>>
  const handled = Object.keys(handlers) as Array<Event["_tag"]>
  return {
    name: declaration.name,
    version: declaration.version,
    setUp: declaration.setUp,
    events: namesOf(handled, declaration),
    apply: (events) =>
      Effect.forEach(
        events,
        (recorded): Effect.Effect<
          unknown,
          DecodeError | Effect.Error<Handled<H>> | TombstoneError,
          Effect.Services<Handled<H>> | TombstoneServices
        > => {
          const tombstone = Tombstone.from(recorded)
          if (tombstone !== undefined) return declaration.tombstoned?.(tombstone) ?? Effect.void
          if (recorded.erased === true) return Effect.void
          return Effect.flatMap(
            Effect.fromResult(source.decode(recorded)),
            (event) => handlers[event._tag]!(event, recorded)
          )
        },
        { discard: true }
      )
  }
}

/**
 * Defines a projection by one handler for a batch of events: one statement for many rows is many times faster than one
 * for each. `events` names those that matter. A tombstone, for a projection that handles them, ends a batch.
 */
export const defineBatch = <
  C extends Tag,
  Event extends Tag,
  const Name extends Event["_tag"],
  SetUpError,
  SetUpServices,
  E,
  R,
  TombstoneError = never,
  TombstoneServices = never
>(
  source: Action.Vocabulary<C, Event>,
  declaration: Declaration<SetUpError, SetUpServices, TombstoneError, TombstoneServices> & {
    readonly events: ReadonlyArray<Name>
    readonly handle: (
      batch: NonEmptyReadonlyArray<Recorded<Extract<Event, { readonly _tag: Name }>>>
    ) => Effect.Effect<unknown, E, R>
  }
): Projection<SetUpError | E | TombstoneError, SetUpServices | R | TombstoneServices> => {
  const handle = (events: ReadonlyArray<RecordedEvent>) =>
    events.length === 0 ? Effect.void : Effect.flatMap(
      Effect.fromResult(
        Result.all(events.map((recorded) => Result.map(source.decode(recorded), (event) => ({ event, recorded }))))
      ),
      (batch) => declaration.handle(batch as never)
    )
  return {
    name: declaration.name,
    version: declaration.version,
    setUp: declaration.setUp,
    events: namesOf(declaration.events, declaration),
    apply: (events) =>
      Effect.gen(function*() {
        let pending: Array<RecordedEvent> = []
        for (const recorded of events) {
          const tombstone = Tombstone.from(recorded)
          if (tombstone === undefined) {
            if (recorded.erased !== true) pending.push(recorded)
            continue
          }
          // What stands before a tombstone is applied before it, or it would come back.
          yield* handle(pending)
          pending = []
          if (declaration.tombstoned !== undefined) yield* declaration.tombstoned(tombstone)
        }
        yield* handle(pending)
      })
  }
}

/** Why a projection does not go on. */
export type Stopped =
  | ProjectionFailed
  | CheckpointAhead
  | CheckpointMissing
  | CorruptLog
  | EventStoreError
  | SqlError

/** What running a projection needs besides its handlers' own requirements. */
export type Requirements = EventStore | SqlClient.SqlClient

const batchSize = 500

/** While the database is away there is nothing to do but to wait for it. */
const outage = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")])

/** Deadlocks and the like pass, or they are the handler's own doing. */
const contention = Schedule.exponential("10 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 10 }))

/** What the database said, where it did. */
const reasonOf = (error: unknown): unknown =>
  error instanceof ProjectionFailed || error instanceof EventStoreError || error instanceof MigrationError
    ? reasonOf(error.cause)
    : error

const isOutage = (error: unknown): boolean => {
  const reason = reasonOf(error)
  if (isSqlError(reason)) return reason.reason._tag === "ConnectionError" || outageStates.has(sqlState(reason))
  return error instanceof EventStoreError && error.retryable
}

/** Being shut down, crashed, starting up, out of connections: the driver does not count these among its outages. */
const outageStates: ReadonlySet<unknown> = new Set(["57P01", "57P02", "57P03", "53300"])

const sqlState = ({ reason: { cause } }: SqlError): unknown => hasProperty(cause, "code") ? cause.code : undefined

const isContention = (error: unknown): boolean => {
  const reason = reasonOf(error)
  return isSqlError(reason) && reason.isRetryable && !isOutage(reason)
}

/** Tries again what failed in a way that passes. */
const patiently = ({ name }: Checkpoint.Owner) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  effect.pipe(
    Effect.retry({ schedule: contention, while: isContention }),
    Effect.tapError((error) =>
      isOutage(error) ? Effect.logWarning(`Projection ${name}: the database is away`, error) : Effect.void
    ),
    Effect.retry({ schedule: outage, while: isOutage })
  )

/**
 * Whatever goes wrong in a transaction of the read model, up to its commit, is the failure of what it was to apply: a
 * handler may swallow the error that broke the transaction, and a lost connection may show as a defect.
 */
const failsAs = (
  { name: projection, version }: Checkpoint.Owner,
  { after, upTo }: { readonly after: bigint; readonly upTo: bigint }
) =>
<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, ProjectionFailed, R> =>
  Effect.catchCause(
    effect,
    (cause) => Effect.fail(new ProjectionFailed({ projection, version, after, upTo, cause: Cause.squash(cause) }))
  )

/** Makes the tables and the first checkpoint in one transaction, in whichever process comes first. */
const prepare = <E, R>(projection: Projection<E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Checkpoint.migrate
    yield* sql.withTransaction(
      Effect.flatMap(Checkpoint.start(projection), (isNew) => isNew ? projection.setUp : Effect.void)
    )
  }).pipe(failsAs(projection, { after: 0n, upTo: 0n }), patiently(projection))

/** Applies the next events, if there are any. Tells how far the read model is for certain, and how far the log. */
const step = <E, R>(projection: Projection<E, R>, limit: number) =>
  Effect.gen(function*() {
    const { name, version } = projection
    const events = yield* EventStore
    const sql = yield* SqlClient.SqlClient
    const checkpoint = yield* Checkpoint.read(projection)
    if (checkpoint === undefined) return yield* new CheckpointMissing({ projection: name, version })
    const page = yield* events.readAll({ after: checkpoint, limit, names: projection.events })
    if (page.head < checkpoint) {
      return yield* new CheckpointAhead({ projection: name, version, checkpoint, head: page.head })
    }
    if (page.position === checkpoint) return page
    const applied = yield* sql.withTransaction(Effect.gen(function*() {
      // First of all: a second process waits here, and then finds that the checkpoint has moved.
      if (!(yield* Checkpoint.advance(projection, checkpoint, page.position))) return false
      if (isNonEmpty(page.events)) yield* projection.apply(page.events)
      return true
    })).pipe(failsAs(projection, { after: checkpoint, upTo: page.position }))
    return applied ? page : { ...page, position: checkpoint }
  }).pipe(patiently(projection))

/** Applies the next batch. Of one that fails it applies what stands before the culprit, and then names that alone. */
const batch = <E, R>(
  projection: Projection<E, R>,
  limit = batchSize
): Effect.Effect<LogPage, Stopped, R | Requirements> =>
  Effect.catchTag(step(projection, limit), "ProjectionFailed", (failed) => {
    const size = Number(failed.upTo - failed.after)
    return size === 1 || isContention(failed) ? Effect.fail(failed) : batch(projection, Math.floor(size / 2))
  })

/** Applies batch after batch until the read model has reached a position of the log. */
const applyUpTo = <E, R>(projection: Projection<E, R>, target: (page: LogPage) => bigint) =>
  Effect.gen(function*() {
    while (true) {
      const page = yield* batch(projection)
      if (page.position >= target(page)) return page.position
    }
  })

/**
 * Brings the read model up to date with the log as it is now, and returns the position that it has reached.
 */
export const catchUp = <E, R>(projection: Projection<E, R>): Effect.Effect<bigint, Stopped, R | Requirements> =>
  Effect.gen(function*() {
    yield* prepare(projection)
    const events = yield* EventStore
    const { head } = yield* patiently(projection)(events.readAll({ after: 0n, limit: 0 }))
    return yield* applyUpTo(projection, () => head)
  })

/**
 * Keeps the read model up to date for as long as the fiber runs: catches up, then is woken by appends. While the
 * database is away it waits. It fails when an event cannot be applied; the read model then stands right before it. Any
 * number of processes may run the same projection.
 */
export const run = <E, R>(projection: Projection<E, R>): Effect.Effect<never, Stopped, R | Requirements> =>
  Effect.scoped(Effect.gen(function*() {
    yield* prepare(projection)
    const events = yield* EventStore
    const appended = yield* patiently(projection)(events.listen)
    while (true) {
      yield* applyUpTo(projection, (page) => page.head)
      yield* appended
    }
  }))
