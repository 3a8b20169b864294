/**
 * The database's errors as those of an event store: what it means, whether it passes by itself, and what to do. What the
 * server says of values (its detail, hint and context) stays out, for an event's content must not reach a log.
 */
import { EventStoreError, type FailureReason } from "@composable-ts/core/EventStoreError"
import { SqlError } from "effect/sql/SqlError"
import { sqlState } from "./sqlState.ts"
import { isTransient } from "./transient.ts"

interface Meaning {
  readonly reason: FailureReason
  readonly advice: string
}

const unreachable: Meaning = {
  reason: "Unreachable",
  advice: "the database cannot be reached, or the connection was lost: see that it runs, and the network to it"
}
const shuttingDown: Meaning = {
  reason: "ShuttingDown",
  advice: "the server is starting, stopping or recovering, or an administrator ended the session: it passes"
}
const notMigrated: Meaning = {
  reason: "NotMigrated",
  advice:
    "the log's tables or functions are not there, or are of another version: run Migrations.migrate as the role that " +
    "owns the log, and see that the schema's name is right"
}
const accessDenied: Meaning = {
  reason: "AccessDenied",
  advice:
    "the role lacks a right to the log: run Migrations.grant as the role that owns the log; it is to be run after each " +
    "migration"
}

/** Erasing is not among what `Migrations.grant` gives. */
const mayNotErase: Meaning = {
  reason: "AccessDenied",
  advice: "the role may not erase: GRANT EXECUTE ON FUNCTION tombstone of the log's schema to it, as the log's owner"
}

const meanings: Readonly<Record<string, Meaning>> = {
  "25006": {
    reason: "ReadOnly",
    advice: "the session is read-only. Either the server is a standby: connect to the primary; or " +
      "default_transaction_read_only is set for the role, the database or the server, which is done to stop writes: " +
      "wait, or take it back"
  },
  "40001": {
    reason: "Serialization",
    advice: "it conflicts with a transaction at the same time: try the whole transaction again"
  },
  "40P01": {
    reason: "Deadlock",
    advice: "it and another transaction waited for each other: try again, and let an append be a transaction's last act"
  },
  "42501": accessDenied,
  "28000": accessDenied,
  "28P01": {
    reason: "AccessDenied",
    advice: "the server refused the password or the role: correct the client's credentials"
  },
  "3F000": notMigrated,
  "42P01": notMigrated,
  "42703": notMigrated,
  "42883": notMigrated,
  "53100": { reason: "DiskFull", advice: "the server's disk is full: make room; it works again by itself" },
  "53200": {
    reason: "OutOfMemory",
    advice: "the server is out of memory: lower work_mem or the number of connections, or ask for fewer events at once"
  },
  "53300": {
    reason: "TooManyConnections",
    advice: "the server lends no more connections: lower the clients' maxConnections or raise max_connections"
  },
  "55P03": {
    reason: "LockTimeout",
    advice: "lock_timeout ran out before another transaction let go: the store's health names who holds the log's lock"
  },
  "57014": {
    reason: "StatementTimeout",
    advice: "statement_timeout ran out, or an administrator cancelled the statement: raise it, or ask for fewer events"
  },
  "57P01": shuttingDown,
  "57P02": shuttingDown,
  "57P03": shuttingDown,
  "25P03": unreachable,
  "25P04": unreachable,
  "57P05": unreachable
}

/** Of an unknown error this much: its state, and what it says, unless it speaks of data or a user's own code raised it. */
const unknown = (error: SqlError, state: string | undefined): Meaning => {
  const { cause } = error.reason
  const speaksOfData = state === undefined || state.startsWith("22") || state.startsWith("P0")
  const said = speaksOfData || !(cause instanceof Error) ? "" : `: ${cause.message}`
  return {
    reason: "Other",
    advice: state === undefined ? error.message : `the server refused with SQL state ${state}${said}`
  }
}

const meaningOf = (error: SqlError): Meaning => {
  const state = sqlState(error)
  if (state !== undefined && Object.hasOwn(meanings, state)) return meanings[state]!
  return error.reason._tag === "ConnectionError" ? unreachable : unknown(error, state)
}

/** What of the server's error names things, and never holds a value. */
const kept = ["code", "severity", "schema", "table", "column", "dataType", "constraint", "routine"]

/** What a connection says of itself when it breaks: addresses and system calls, no values. */
const keptOfSystem = ["code", "errno", "syscall", "address", "port"]

/** The error without what the server says of values. */
export const scrubbed = (error: SqlError): SqlError => {
  const { reason } = error
  const { cause } = reason
  const state = sqlState(error)
  const isConnection = state === undefined && reason._tag === "ConnectionError"
  const message = isConnection && cause instanceof Error ? cause.message : meaningOf(error).advice
  const fields = typeof cause !== "object" || cause === null
    ? {}
    : Object.fromEntries(Object.entries(cause).filter(([key]) => (isConnection ? keptOfSystem : kept).includes(key)))
  // The reason is of some class of the driver's, and stays of it.
  const Reason = reason.constructor as new(fields: object) => SqlError["reason"]
  return new SqlError({ reason: new Reason({ ...reason, cause: Object.assign(new Error(message), fields) }) })
}

/** What the server says, and what to do, without a value: for errors of other stores than that of the events. */
export const explained = (error: SqlError): Error => new Error(meaningOf(error).advice, { cause: scrubbed(error) })

/** An operation's failure. */
export const failed = (operation: string) => (error: SqlError): EventStoreError => {
  const { advice, reason } = operation === "tombstone" && sqlState(error) === "42501" ? mayNotErase : meaningOf(error)
  return new EventStoreError({
    operation,
    reason,
    issue: advice,
    retryable: isTransient(error),
    cause: scrubbed(error)
  })
}
