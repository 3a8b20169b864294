/**
 * The log's functions with a safeguard taken out, for negative controls: a test that stays green without its
 * safeguard proves nothing.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** Replaces pieces of the append function's text, each of which must be there. */
export const replaceInAppend = (
  sql: SqlClient.SqlClient,
  schema: string,
  replacements: Replacements
): Effect.Effect<void, SqlError.SqlError> => replaceIn(sql, `${schema}.append`, replacements)

type Replacements = ReadonlyArray<readonly [piece: string, replacement: string]>

/** Replaces pieces of a function's text, each of which must be there. */
export const replaceIn = (
  sql: SqlClient.SqlClient,
  name: string,
  replacements: Replacements
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
