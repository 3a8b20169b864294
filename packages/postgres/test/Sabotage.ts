/**
 * The log's functions with a safeguard taken out, for negative controls: a test that stays green without its
 * safeguard proves nothing. Each is taken out of all that append, so that none stays green through the other function.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

type Replacement = readonly [piece: string, replacement: string]

type Sabotage = (sql: SqlClient.SqlClient, schema: string) => Effect.Effect<void, SqlError.SqlError>

/** Replaces pieces of a function's text, each of which must be there. */
export const replaceIn = (
  sql: SqlClient.SqlClient,
  name: string,
  replacements: ReadonlyArray<Replacement>
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function*() {
    const [row] = yield* sql<{ text: string }>`SELECT pg_get_functiondef(${name}::regproc) AS text`
    let text = row?.text ?? ""
    for (const [piece, replacement] of replacements) {
      assert.include(text, piece)
      text = text.replace(piece, () => replacement)
    }
    yield* sql.unsafe(text)
  })

const inAll = (replacements: ReadonlyArray<Replacement>): Sabotage => (sql, schema) =>
  Effect.forEach(
    ["append", "append_one", "append_each", "tombstone"],
    (name) => replaceIn(sql, `${schema}.${name}`, replacements),
    { discard: true }
  )

/** Commits as the session would, be it without waiting for the disk. */
export const commitAsSessionDoes = inAll([["PERFORM set_config('synchronous_commit', 'on', true);", "NULL;"]])

/** Appends in whatever isolation the transaction has. */
export const appendInAnyIsolation = inAll([["<> 'read committed'", "= 'nothing'"]])

/** Stores a command however often it is sent. */
export const forgetCommands: Sabotage = (sql, schema) =>
  Effect.gen(function*() {
    yield* replaceIn(sql, `${schema}.append`, [["IF known[command] THEN", "IF false THEN"]])
    for (const name of ["append_one", "append_each"]) {
      yield* replaceIn(sql, `${schema}.${name}`, [["AND NOT EXISTS (", "AND true OR EXISTS ("]])
    }
    yield* sql`DROP INDEX ${sql(schema)}.events_command`
    // In its place one that refuses nothing: without any, the log is not opened.
    yield* sql`CREATE UNIQUE INDEX events_command ON ${sql(schema)}.events (command_id, global_position)
      WHERE command_size IS NOT NULL`
  })

/** Draws positions in the order in which appends begin, as a sequence does, and lets them run at the same time. */
export const drawPositionsFromSequence: Sabotage = (sql, schema) => {
  const lock: Replacement = [
    `PERFORM pg_advisory_xact_lock(1129270608, '"${schema}".events'::regclass::oid::integer);`,
    ""
  ]
  const next = `nextval('${schema}.position_block') * 1000`
  return Effect.gen(function*() {
    yield* sql`CREATE SEQUENCE ${sql(schema)}.position_block`
    yield* replaceIn(sql, `${schema}.append`, [
      lock,
      [`SELECT coalesce(max(global_position), 0) INTO head FROM "${schema}".events;`, `head := ${next};`]
    ])
    for (const name of ["append_one", "append_each"]) {
      yield* replaceIn(sql, `${schema}.${name}`, [
        lock,
        [`SELECT e.global_position FROM "${schema}".events e ORDER BY e.global_position DESC LIMIT 1`, `SELECT ${next}`]
      ])
    }
  })
}
