/**
 * Builds a new version of a read model while the old one serves, and switches queries to it when it has caught up.
 *
 * {@link run} does it all: it keeps a projection up to date like `Projection.run`, and once a version that has never
 * served contains whatever the one that serves has shown, it switches the views. That is one transaction. Queries go on
 * through it: each reads one version or the other, whole, and never an older state than was to be seen before. A process
 * that dies in between leaves nothing half done: the build goes on from its checkpoints, and whoever runs it switches.
 *
 * The old version is not touched. Programs that still run it go on applying events to its own tables, which nobody reads,
 * until {@link retire} takes them away. Until then {@link switchTo} leads back.
 *
 * A rebuild has no effects but on its read model: a projection has no others. A saga is not a projection, and is not
 * rebuilt.
 */
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import type * as PgClient from "@effect/sql-pg/PgClient"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { MigrationError } from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Checkpoint from "./Checkpoint.ts"
import { patiently, throughContention } from "./internal/failures.ts"
import { forget } from "./internal/poison.ts"
import { migrate, schema } from "./internal/schema.ts"
import { dropTables, putAside, show } from "./internal/servingViews.ts"
import { nameOf } from "./internal/subject.ts"
import * as Switching from "./internal/switching.ts"
import * as Versions from "./internal/versions.ts"
import * as Lease from "./Lease.ts"
import {
  type NotCaughtUp,
  PartitionsChanged,
  StillServing,
  type SwitchFailed,
  TearDownMissing,
  type VersionRetired
} from "./ProjectionError.ts"
import type { Versioned } from "./ReadModel.ts"
import * as RebuildProgress from "./RebuildProgress.ts"
import * as Start from "./Start.ts"
import * as Subscription from "./Subscription.ts"

/** Why a rebuild does not go on. */
export type Stopped = Subscription.Stopped | SwitchFailed | MigrationError

/** Read models, each of which can be built beside its old version. */
export type Several = NonEmptyReadonlyArray<Versioned<unknown, unknown>>

/** Runs projections for as long as `until` takes, or for ever. */
const whileRunning = <S extends Several, A, E, R>(projections: S, until: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.gen(function*() {
    yield* patiently(nameOf(projections[0]))(Switching.onReadModel(migrate))
    const running = yield* Effect.forkScoped(Subscription.run(...projections))
    return yield* Effect.raceFirst(until, Fiber.join(running))
  }))

/** Waits until a projection has been switched to, and measures meanwhile. */
const switchedTo = (projection: Versioned<unknown, unknown>) =>
  Effect.raceFirst(Switching.whenDue(projection), Effect.andThen(RebuildProgress.measure(projection), Effect.never))

/**
 * Keeps read models up to date for as long as the fiber runs, like `Projection.run`, and switches queries to each that has
 * never served when it has caught up with the version that serves. Any number of processes may do so at once: they share
 * the work, and the switch happens once. A version lower than the one that serves, or one that has served before, is kept
 * up to date and not switched to.
 *
 * It fails as `Projection.run` does, and with `SwitchFailed` when the views cannot be switched.
 */
export const run = <S extends Several>(
  ...projections: S
): Effect.Effect<never, Stopped, Subscription.Needs<S[number]> | Subscription.Requirements> =>
  whileRunning(
    projections,
    Effect.andThen(Effect.forEach(projections, switchedTo, { concurrency: "unbounded", discard: true }), Effect.never)
  )

/** Runs a projection, as {@link run} does, until queries were switched to it. For a program that does only that. */
export const build = <E, R>(
  projection: Versioned<E, R>
): Effect.Effect<
  void,
  Stopped,
  Subscription.Needs<Versioned<E, R>> | Subscription.Requirements
> => whileRunning([projection], switchedTo(projection))

/**
 * Switches queries to a version now, whether newer or older, if it contains all that the one that serves has shown. While
 * that one's checkpoint is held for the purpose, for a second at the most, the other may still come up to it. Returns at
 * once if the version serves already.
 *
 * Fails with `NotCaughtUp` if it does not come up to it, and with a `SqlError` for a lock timeout if queries of long
 * duration stood in the way time and again. Nothing was switched then.
 */
export const switchTo = <E, R>(
  projection: Versioned<E, R>
): Effect.Effect<
  void,
  NotCaughtUp | VersionRetired | SwitchFailed | SqlError | LogReadError | MigrationError,
  Subscription.Requirements
> =>
  Effect.andThen(patiently(nameOf(projection))(migrate), patiently(nameOf(projection))(Switching.attempt(projection)))
    .pipe(Switching.onReadModel)

/** Tells processes to look again at what there is to do. */
const lookAgain = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT pg_notify(${Lease.channel}, '')`)

/** One transaction on a projection's books and tables, which nobody else changes meanwhile. */
const reorganise = <A, E, R>(subscriber: Lease.Subscriber, change: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* patiently(nameOf(subscriber))(migrate)
    return yield* throughContention(
      sql.withTransaction(Effect.andThen(Versions.lock(subscriber.name), change)).pipe(
        Effect.provideService(SqlClient.BeginTransaction, Switching.begin)
      )
    )
  })

/** What can be retired: a projection, or merely its name and version, when its program is gone. */
export interface Retired<out E, out R> extends Lease.Subscriber {
  readonly tearDown?: Effect.Effect<void, E, R> | undefined
}

/**
 * Takes a version away for good: the schema of its tables, its checkpoints and leases, in one transaction; and whatever
 * else its `tearDown` drops. Name and version are enough for one whose program is gone, if its tables were kept apart by
 * `ReadModel.versioned`. A process that still runs it stops, and none sets it up again: `VersionRetired`.
 *
 * Fails with `StillServing`, and changes nothing, when queries read the version or something else depends on its tables.
 */
export const retire = <E = never, R = never>(
  version: Retired<E, R>
): Effect.Effect<
  void,
  StillServing | E | SqlError | MigrationError,
  Exclude<R, SqlClient.SqlClient> | PgClient.PgClient
> =>
  Switching.onReadModel(reorganise(
    version,
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const { name: projection } = version
      const checkpoints = yield* Checkpoint.make
      const known = yield* Versions.find(version)
      if (known?.serving === true) {
        return yield* new StillServing({
          projection,
          version: version.version,
          readers: ["the views of the projection"]
        })
      }
      yield* checkpoints.seize(version)
      if (version.tearDown !== undefined) yield* version.tearDown
      if (known?.place !== undefined) yield* dropTables(version, known.place.tablesIn)
      yield* forget(version)
      for (const table of ["checkpoints", "leases", "members"]) {
        yield* sql.unsafe(`DELETE FROM ${schema}.${table} WHERE projection = $1 AND version = $2`, [
          projection,
          version.version
        ])
      }
      yield* sql.unsafe(
        `INSERT INTO ${schema}.versions (projection, version, retired_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT (projection, version) DO UPDATE SET retired_at = coalesce(versions.retired_at, excluded.retired_at)`,
        [projection, version.version]
      )
      yield* lookAgain
    })
  ))

/** What can be reset: a projection, versioned or not. */
export interface Resettable<out E, out R> extends Subscription.Subscription<R> {
  readonly setUp: Effect.Effect<void, E, R>
  readonly tearDown?: Effect.Effect<void, E, R> | undefined
  readonly place?: Versions.Place | undefined
}

/**
 * Begins a version again from scratch: takes its tables away, makes them anew, and puts its checkpoints back to where it
 * starts, in one transaction. Whatever processes have under way on the old tables is rolled back, and they go on with the
 * new ones. Queries see the read model empty until it has caught up again; where that must not be, raise the version.
 *
 * Fails with `TearDownMissing` where nothing says how to take the tables away.
 */
export const reset = <E, R>(
  projection: Resettable<E, R>
): Effect.Effect<
  void,
  | TearDownMissing
  | PartitionsChanged
  | VersionRetired
  | StillServing
  | SwitchFailed
  | E
  | SqlError
  | LogReadError
  | MigrationError,
  Exclude<R, SqlClient.SqlClient> | Subscription.Requirements
> =>
  Switching.onReadModel(Effect.flatMap(Start.markOf(projection.startFrom), (from) =>
    reorganise(
      projection,
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const checkpoints = yield* Checkpoint.make
        const { name, partitions: declared, place, tearDown, version } = projection
        if (place === undefined && tearDown === undefined) {
          return yield* new TearDownMissing({ projection: name, version })
        }
        yield* Versions.admit(projection)
        const { length: begun } = yield* checkpoints.seize(projection)
        if (begun === 0) return
        if (begun !== declared) return yield* new PartitionsChanged({ projection: name, version, declared, begun })
        yield* forget(projection)
        if (tearDown !== undefined) yield* tearDown
        if (place === undefined) yield* projection.setUp
        else {
          const old = yield* putAside(place)
          yield* projection.setUp
          const known = yield* Versions.find(projection)
          if (known?.serving === true) yield* Switching.orFail(projection)(show(projection, place, place))
          yield* dropTables(projection, old)
        }
        yield* sql.unsafe(
          `WITH next AS (
            SELECT max(epoch) + 1 AS epoch FROM (
              SELECT epoch FROM ${schema}.checkpoints WHERE projection = $1 AND version = $2
              UNION ALL SELECT epoch FROM ${schema}.leases WHERE projection = $1 AND version = $2
            ) AS epochs
          ), freed AS (
            UPDATE ${schema}.leases SET owner = NULL, epoch = next.epoch, expires_at = clock_timestamp(),
              error = NULL, failed_at = NULL
            FROM next WHERE projection = $1 AND version = $2
          ) UPDATE ${schema}.checkpoints SET position = $3, event_id = $4::uuid, epoch = next.epoch, updated_at = now()
          FROM next WHERE projection = $1 AND version = $2`,
          [name, version, from.position, from.eventId ?? null]
        )
        yield* lookAgain
      })
    )))

/**
 * Has all processes let go of a version, at the next border of a batch each, and not take it up again until
 * {@link resume}. It is written down in the database, so it holds for processes to come. What serves can be paused, too:
 * it then falls behind.
 */
export const pause = (
  { name, version }: Lease.Subscriber
): Effect.Effect<void, SqlError | MigrationError, PgClient.PgClient> =>
  Switching.onReadModel(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* patiently(nameOf({ name, version }))(migrate)
    yield* sql.unsafe(
      `INSERT INTO ${schema}.versions (projection, version, paused_at) VALUES ($1, $2, clock_timestamp())
       ON CONFLICT (projection, version) DO UPDATE SET paused_at = coalesce(versions.paused_at, excluded.paused_at)`,
      [name, version]
    )
    yield* lookAgain
  }))

/** Lets processes take up a version again that was paused. */
export const resume = (
  { name, version }: Lease.Subscriber
): Effect.Effect<void, SqlError | MigrationError, PgClient.PgClient> =>
  Switching.onReadModel(Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* patiently(nameOf({ name, version }))(migrate)
    yield* sql.unsafe(
      `UPDATE ${schema}.versions SET paused_at = NULL WHERE projection = $1 AND version = $2`,
      [name, version]
    )
    yield* lookAgain
  }))
