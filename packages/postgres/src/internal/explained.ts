/**
 * What to do about failures that the server's own words leave open.
 */
import type { SqlError } from "effect/sql/SqlError"
import { sqlState } from "./sqlState.ts"

const explanations = new Map([
  [
    "42501",
    "the role lacks a right on the log. Run Migrations.grant as the role that owns the log; it is to be run after each " +
    "migration"
  ],
  [
    "25006",
    "the session is read-only. Either the server is a standby: connect to the primary; or default_transaction_read_only " +
    "is set for the role, the database or the server, which is done to stop writes: wait, or take it back"
  ]
])

/** The failure, under an explanation where there is one. */
export const explained = (error: SqlError): Error => {
  const explanation = explanations.get(sqlState(error) ?? "")
  return explanation === undefined ? error : new Error(explanation, { cause: error })
}
