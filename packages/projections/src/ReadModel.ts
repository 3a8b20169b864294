/**
 * Read models whose versions stand side by side, so that a new one can be built while the old one serves.
 *
 * Each version keeps its tables in a schema of its own, `orders_v2` for version 2 of `orders`. Handlers and set-up name
 * tables without a schema, the same in every version: while they run, their version's schema comes first in the
 * `search_path`. Queries read views of the same names, in a schema that stays. The views show one version, and `Rebuild`
 * switches them to the next in one transaction.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { checkLength, quoted } from "./internal/identifier.ts"
import * as Progress from "./internal/progress.ts"
import { makeGuard, type NameTaken, show } from "./internal/servingViews.ts"
import * as Versions from "./internal/versions.ts"
import type { Subscriber } from "./Lease.ts"
import type { Projection } from "./Projection.ts"

/** What queries read of a read model. */
export interface Reading {
  /** The tables that queries read, by the names that `setUp` gives them: so the views are named, too. */
  readonly tables: NonEmptyReadonlyArray<string>
  /** The schema of the views, which must be there. Default `public`. */
  readonly schema?: string | undefined
}

/** A projection whose versions keep their tables apart. */
export interface Versioned<out E, out R> extends Projection<E, R> {
  readonly place: Versions.Place
}

/** Puts a version's tables first among what names mean, for the rest of the transaction. */
const enter = ({ tablesIn }: Versions.Place): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.asVoid(sql.unsafe(
      `SELECT set_config('search_path', concat_ws(', ', quote_ident($1), nullif(path, '')), true)
       FROM current_setting('search_path') AS path WHERE NOT starts_with(path || ', ', quote_ident($1) || ', ')`,
      [tablesIn]
    )))

/** Has the views show a version, in the caller's transaction, which holds {@link Versions.lock}. */
const switchViews = (
  subscriber: Subscriber,
  place: Versions.Place,
  before: Versions.Place | undefined
): Effect.Effect<void, SqlError | NameTaken, SqlClient.SqlClient> =>
  Effect.andThen(
    show(subscriber, place, before),
    Versions.serve(subscriber, { channel: Progress.channel, payload: Progress.payloadOf(subscriber) })
  )

/**
 * Keeps the tables of a projection's versions apart. The first version of all serves from its set-up on; each later one
 * from when `Rebuild.run` or `Rebuild.switchTo` has switched to it.
 *
 * A role that only queries needs rights on the views and their schema, not on the versions'. The role that runs the
 * projection makes schemas in the database, and views in theirs.
 *
 * Throws a `RangeError` if a name is longer than PostgreSQL allows: that of a version's schema, `<name>_v<version>`, too.
 *
 * @example
 * ```ts no-run
 * import * as ReadModel from "@composable-ts/projections/ReadModel"
 * import type * as Projection from "@composable-ts/projections/Projection"
 * import type { SqlError } from "effect/sql/SqlError"
 * import type { SqlClient } from "effect/sql/SqlClient"
 *
 * declare const views: Projection.Projection<SqlError, SqlClient>
 *
 * export const versioned = ReadModel.versioned(views, { tables: ["views"] })
 * ```
 */
export const versioned = <E, R>(
  projection: Projection<E, R>,
  { schema: viewsIn = "public", tables }: Reading
): Versioned<E | SqlError | NameTaken, R | SqlClient.SqlClient> => {
  const { name, version } = projection
  const place: Versions.Place = {
    tablesIn: checkLength(`${name}_v${version}`),
    viewsIn: checkLength(viewsIn),
    names: tables.map(checkLength)
  }
  const setUp = Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Versions.lock(name)
    yield* sql.unsafe(`CREATE SCHEMA ${quoted(place.tablesIn)}`)
    yield* makeGuard(projection, place)
    yield* enter(place)
    yield* projection.setUp
    yield* Versions.place(projection, place)
    // Who has never had another version has nothing better to show than a first one that is still empty.
    const others = (yield* Versions.of(name)).filter((each) => each.version !== version && each.positions.length > 0)
    if (others.length === 0) yield* switchViews(projection, place, undefined)
  })
  return {
    ...projection,
    place,
    setUp,
    tearDown: projection.tearDown === undefined ? undefined : Effect.andThen(enter(place), projection.tearDown),
    apply: (events) => Effect.andThen(enter(place), projection.apply(events))
  }
}

/** The version of a projection that queries read; `undefined` when none of its versions was set up by {@link versioned}. */
export const serving = (projection: string): Effect.Effect<number | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.map(Versions.of(projection), (versions) => versions.find((each) => each.serving)?.version)
