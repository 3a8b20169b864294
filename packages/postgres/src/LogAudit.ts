/**
 * The audit of a whole log, on demand: whether its table holds what appends and tombstones write. Reads notice damage in
 * what they read; the audit finds all of it, also where nobody reads. Run it after a restore, or now and then.
 */
import { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import type { Options } from "./PostgresEventStore.ts"

/** Something in the log that no append and no tombstone has written. */
export interface Finding {
  /**
   * What is wrong: a gap in the positions, a gap in a stream's versions, positions that contradict a stream's order, a
   * command whose events do not stand together as it says, an event erased without a tombstone or kept in spite of one or
   * appended behind one, or a row of a shape that is never stored.
   */
  readonly finding: "position" | "version" | "order" | "command" | "tombstone" | "shape"
  readonly globalPosition: bigint
  /** Null for a position at which nothing stands; the version is, too. */
  readonly streamId: string | null
  readonly version: number | null
  /** The rest, in words. */
  readonly detail: string
}

/** Which log to audit, and how much to tell. */
export interface VerifyOptions extends Options {
  /** How many findings at the most. Default 1 000. */
  readonly limit?: number | undefined
}

/**
 * Audits the log in one snapshot of it, and answers what is wrong: nothing for a sound log. The database does it, in
 * memory bounded by its `work_mem` and with temporary files on its disk, by `SELECT * FROM composable.verify()`, which
 * `psql` can ask as well. It reads the whole log, some seconds for a million events, and blocks no append.
 *
 * It cannot see data, types, times or ids that were changed to others of their kind, nor events missing at the very end.
 *
 * @example
 * ```ts no-run
 * import * as LogAudit from "@composable-ts/postgres/LogAudit"
 * import * as Effect from "effect/Effect"
 *
 * export const audit = Effect.flatMap(
 *   LogAudit.verify(),
 *   (findings) => findings.length === 0 ? Effect.log("The log is sound") : Effect.logError("The log is damaged", findings)
 * )
 * ```
 */
export const verify = (
  { limit = 1_000, schema = "composable" }: VerifyOptions = {}
): Effect.Effect<ReadonlyArray<Finding>, SqlError, PgClient> =>
  Effect.flatMap(PgClient, (sql) =>
    sql<Finding>`
      SELECT finding, global_position AS "globalPosition", stream_id AS "streamId", version, detail
      FROM ${sql(schema)}.verify() LIMIT ${limit}`)
