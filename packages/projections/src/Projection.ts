/**
 * A projection keeps a read model up to date with the log, asynchronously: nothing of it stands in the way of a command.
 * What its handlers write and how far it has read commit in one transaction, so every event takes effect exactly once,
 * whatever crashes and however many processes run it.
 */
import type * as Action from "@composable-ts/core/Action"
import type { DecodeError } from "@composable-ts/core/EventError"
import type { Recorded } from "@composable-ts/core/History"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Poison from "./Poison.ts"
import * as Start from "./Start.ts"
import * as Subscription from "./Subscription.ts"

type Tag = { readonly _tag: string }

/** A projection: `E` how its handlers fail, `R` what they need. */
export interface Projection<out E, out R> extends Subscription.Subscription<R> {
  readonly setUp: Effect.Effect<void, E, R>
  readonly tearDown?: Effect.Effect<void, E, R> | undefined
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
  /** Takes the read model's tables away again, see `Rebuild.reset` and `Rebuild.retire`. */
  readonly tearDown?: Effect.Effect<void, E, R> | undefined
  /**
   * Into how many parts the log's streams are divided, each applied by one process at a time, all at once. The order
   * holds within a stream, not between streams of different parts. Cannot be changed within a version. Default 1.
   */
  readonly partitions?: number | undefined
  /** Where to begin when it is run for the first time. Default: with the first event of the log. */
  readonly startFrom?: Start.Start | undefined
  /**
   * How an event that cannot be applied is tried again, by itself and in a transaction of its own. Default: not at all.
   * Contention and an absent database do not count as failures of an event, and are waited for in any case.
   */
  readonly retry?: Poison.Retry | undefined
  /** What becomes of an event that cannot be applied, when it is not tried again. Default: `Poison.stop`. */
  readonly poison?: Poison.Poison | undefined
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

const common = <E, R>(
  {
    name,
    partitions = 1,
    poison = Poison.stop,
    retry = Poison.never,
    setUp,
    startFrom = Start.beginning,
    tearDown,
    version
  }: Declaration<E, R, unknown, unknown>
) => ({
  name,
  version,
  setUp,
  tearDown,
  partitions,
  startFrom,
  retry,
  poison
})

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
    ...common(declaration),
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
          const decoded = source.decode(recorded)
          if (Result.isFailure(decoded)) return Effect.fail(decoded.failure)
          return handlers[decoded.success._tag]!(decoded.success, recorded)
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
    ...common(declaration),
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
export type Stopped = Subscription.Stopped

/** What running a projection needs besides its handlers' own requirements: the log, and the read model's database. */
export type Requirements = Subscription.Requirements

/**
 * Brings the read model up to date with the log as it is now, and returns the position that it has reached.
 */
export const catchUp = Subscription.catchUp

/**
 * Keeps read models up to date for as long as the fiber runs: catches up, then is woken by appends. While a database is
 * away it waits. Any number of processes may run the same projections: they share the work evenly, one works on each
 * partition, and the others take over when it stops, see `Subscription`.
 *
 * A projection stops when an event cannot be applied; the read model then stands right before it. Others go on. It fails
 * when none is left, with the reason of the first.
 *
 * The `PgClient` is the read model's database, and the `SqlClient` that handlers ask for. It must allow two connections
 * for each partition that this process works on at a time, or they take turns, and one to listen if it is the log's, too.
 */
export const run = Subscription.run
