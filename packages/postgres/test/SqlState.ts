/**
 * How the server refuses a statement.
 */
import { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { sqlState } from "../src/internal/sqlState.ts"

/** Runs statements on one connection, within a transaction that is rolled back. */
export const rolledBack = (sql: SqlClient.SqlClient, statements: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const connection = yield* sql.reserve
    yield* connection.executeRaw("BEGIN", [])
    yield* Effect.addFinalizer(() => Effect.orDie(connection.executeRaw("ROLLBACK", [])))
    for (const statement of statements) yield* connection.executeRaw(statement, [])
  }))

/** The SQL state of a failure; undefined when there was none. */
export const stateOf = <A, R>(
  effect: Effect.Effect<A, SqlError.SqlError, R>
): Effect.Effect<string | undefined, never, R> =>
  Effect.match(effect, { onFailure: sqlState, onSuccess: () => undefined })
