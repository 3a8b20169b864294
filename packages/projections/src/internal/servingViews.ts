/**
 * The views through which queries read a versioned read model: one for each of its tables, under a name that stays.
 *
 * A view whose columns stay, or are followed by new ones, is replaced in place, so what depends on it stays, too. Any
 * other is made anew, with the rights that it had.
 *
 * Each view asks whether its version serves in the snapshot of who reads it. A transaction that keeps its snapshot from
 * before the switch sees the new view all the same, for names are looked up as of now, and behind it the new version's
 * tables as they were when it began: perhaps empty. It gets a serialization failure instead, to be run again.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Subscriber } from "../Lease.ts"
import { StillServing } from "../ProjectionError.ts"
import { qualified, quoted } from "./identifier.ts"
import { schema } from "./schema.ts"
import type { Place } from "./versions.ts"

/**
 * How long all views together may wait for queries that read them: less than PostgreSQL takes to look for a deadlock, so
 * that it is never a query that is ended for one. New queries wait behind.
 */
const patienceMillis = 500

/** By its comment a view is known as one of a projection's. */
const commentOf = ({ name }: Subscriber): string => `Read model of projection ${name}, switched by composable-ts.`

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const guard = "composable_serves"

/**
 * Makes the question that the views ask. It stands with the version's tables, and runs with their owner's rights: who
 * queries need not see the books.
 */
export const makeGuard = (
  { name, version }: Subscriber,
  { tablesIn }: Place
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(
      `CREATE FUNCTION ${qualified(tablesIn, guard)}() RETURNS boolean
         LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ${
        literal(`BEGIN
  PERFORM FROM ${schema}.serving WHERE projection = ${literal(name)} AND version = ${version};
  IF NOT FOUND THEN
    RAISE serialization_failure USING
      MESSAGE = ${literal(`queries were switched to projection ${name} v${version} after this transaction began`)},
      HINT = 'Run the transaction again: as it began, that version may not have been complete.';
  END IF;
  RETURN true;
END`)
      }`
    )
    yield* sql.unsafe(`GRANT EXECUTE ON FUNCTION ${qualified(tablesIn, guard)}() TO PUBLIC`)
  })

interface Existing {
  readonly ours: boolean
  readonly extensible: boolean
  readonly rights: ReadonlyArray<{ readonly right: string; readonly role: string; readonly passes: boolean }>
}

const columns = (relation: string) =>
  `(SELECT coalesce(array_agg(concat_ws(' ', quote_ident(attname), atttypid, atttypmod, attcollation) ORDER BY attnum), '{}')
    FROM pg_attribute WHERE attrelid = ${relation} AND attnum > 0 AND NOT attisdropped)`

/** What stands under a view's name, if anything does. */
const existing = (subscriber: Subscriber, view: string, table: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe<Existing>(
      `SELECT relkind = 'v' AND obj_description(oid, 'pg_class') IS NOT DISTINCT FROM $3::text AS ours,
         was = is_now[1:cardinality(was)] AS extensible,
         (SELECT coalesce(json_agg(json_build_object(
            'right', privilege_type, 'passes', is_grantable,
            'role', CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
          )), '[]') FROM aclexplode(relacl) WHERE grantee <> relowner) AS rights
       FROM pg_class, LATERAL (SELECT ${columns("pg_class.oid")} AS was, ${
        columns("$2::text::regclass")
      } AS is_now) AS columns
       WHERE oid = to_regclass($1::text)`,
      [view, table, commentOf(subscriber)]
    )
    return rows[0]
  })

/** A name that something else has. */
export class NameTaken extends Error {
  constructor(view: string) {
    super(`${view} is there already, and no view of this projection`)
  }
}

/**
 * Has the views show a version, in the caller's transaction; those of a place that was served before and are no more
 * among the names are dropped.
 */
export const show = (
  subscriber: Subscriber,
  { names, tablesIn, viewsIn }: Place,
  before: Place | undefined
): Effect.Effect<void, SqlError | NameTaken, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const isNamed = (name: string) => before?.viewsIn === viewsIn && names.includes(name)
    const outdated = before === undefined ? [] : before.names.filter((name) => !isNamed(name))
    const patience = Math.max(1, Math.floor(patienceMillis / (names.length + outdated.length)))
    yield* sql.unsafe(`SET LOCAL lock_timeout = '${patience}ms'`)
    for (const name of names.toSorted()) {
      const view = qualified(viewsIn, name)
      const table = qualified(tablesIn, name)
      const found = yield* existing(subscriber, view, table)
      if (found !== undefined && !found.ours) return yield* Effect.fail(new NameTaken(view))
      if (found !== undefined && !found.extensible) yield* sql.unsafe(`DROP VIEW ${view}`)
      yield* sql.unsafe(
        `CREATE OR REPLACE VIEW ${view} AS SELECT * FROM ${table}
         WHERE (SELECT ${qualified(tablesIn, guard)}())`
      )
      if (found?.extensible === true) continue
      yield* sql.unsafe(`COMMENT ON VIEW ${view} IS ${literal(commentOf(subscriber))}`)
      for (const { passes, right, role } of found?.rights ?? []) {
        yield* sql.unsafe(`GRANT ${right} ON ${view} TO ${role}${passes ? " WITH GRANT OPTION" : ""}`)
      }
    }
    for (const name of outdated) yield* sql.unsafe(`DROP VIEW IF EXISTS ${qualified(before!.viewsIn, name)}`)
  })

/** Gives the schema of a version's tables another name, which it returns: what reads them goes on. */
export const putAside = ({ tablesIn }: Place): Effect.Effect<string, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const [row] = yield* sql<{ readonly aside: string }>`SELECT 'composable_aside_' || pg_backend_pid() AS aside`
    const { aside } = row!
    yield* sql.unsafe(`ALTER SCHEMA ${quoted(tablesIn)} RENAME TO ${quoted(aside)}`)
    return aside
  })

/** Drops a version's tables with their schema, unless something outside depends on them. */
export const dropTables = (
  { name: projection, version }: Subscriber,
  tablesIn: string
): Effect.Effect<void, StillServing | SqlError, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const dependents = yield* sql<{ readonly name: string }>`
      SELECT DISTINCT reader.oid::regclass::text AS name
      FROM pg_depend AS d
      JOIN pg_class AS used ON used.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
      LEFT JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
      LEFT JOIN pg_constraint AS f ON f.oid = d.objid AND d.classid = 'pg_constraint'::regclass
      JOIN pg_class AS reader ON reader.oid = coalesce(r.ev_class, f.conrelid)
      WHERE used.relnamespace = to_regnamespace(${quoted(tablesIn)}) AND reader.relnamespace <> used.relnamespace
      ORDER BY name`
    if (dependents.length > 0) {
      return yield* new StillServing({ projection, version, readers: dependents.map(({ name }) => name) })
    }
    yield* sql.unsafe(`SET LOCAL lock_timeout = ${patienceMillis}`)
    yield* sql.unsafe(`DROP SCHEMA IF EXISTS ${quoted(tablesIn)} CASCADE`)
  })
