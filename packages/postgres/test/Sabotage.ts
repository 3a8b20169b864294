/**
 * The log's append function with a safeguard taken out, for negative controls: a test that stays green without its
 * safeguard proves nothing.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"

/** Replaces pieces of the function's text, each of which must be there. */
export const replaceInAppend = (
  sql: SqlClient.SqlClient,
  schema: string,
  replacements: ReadonlyArray<readonly [piece: string, replacement: string]>
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function*() {
    const [row] = yield* sql<{ text: string }>`SELECT pg_get_functiondef(${`${schema}.append`}::regproc) AS text`
    let text = row?.text ?? ""
    for (const [piece, replacement] of replacements) {
      assert.include(text, piece)
      text = text.replace(piece, () => replacement)
    }
    yield* sql.unsafe(text)
  })
