/**
 * Holds appends in the midst of their transaction: what they store is inserted, and not yet committed.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Schedule, type Scope } from "effect"
import type { SqlError } from "effect/sql"
import type { TestLog } from "../../../packages/postgres/test/TestLog.ts"

/** The application name of stores whose appends are held. */
export const held = "held"

/** The application name of stores whose appends are held, and then fail. */
export const doomed = "doomed"

/** A gate that is shut. */
export interface Gate {
  /** Waits until so many appends stand before it. */
  readonly reached: (count: number) => Effect.Effect<void, SqlError.SqlError>
  /** Lets through all that stand before it and all that come. */
  readonly open: Effect.Effect<void, SqlError.SqlError>
}

const key = 77

/** Waits until so many of the database's sessions of this name wait for an advisory lock. */
export const waiting = (
  sql: PgClient.PgClient,
  applicationName: string,
  count: number
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.asVoid(Effect.repeat(
    sql`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'
      AND application_name = ${applicationName}`,
    { until: (rows) => rows.length === count, schedule: Schedule.spaced("5 millis") }
  ))

/** Shuts a gate behind the insert of every append of stores with these names. */
export const shut = ({ sql }: TestLog): Effect.Effect<Gate, SqlError.SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    yield* sql.unsafe(`CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF current_setting('application_name') IN ('${held}', '${doomed}') THEN
        PERFORM pg_advisory_xact_lock_shared(${key});
      END IF;
      IF current_setting('application_name') = '${doomed}' THEN RAISE EXCEPTION 'doomed'; END IF;
      RETURN NULL; END $$`)
    yield* sql`CREATE OR REPLACE TRIGGER gate AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION gate()`
    const keeper = yield* sql.reserve
    yield* keeper.executeRaw(`SELECT pg_advisory_lock(${key})`, [])
    return {
      reached: (count) => waiting(sql, held, count),
      open: Effect.asVoid(keeper.executeRaw(`SELECT pg_advisory_unlock(${key})`, []))
    }
  })
