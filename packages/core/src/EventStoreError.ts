/**
 * How an event store refuses or fails.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ExpectedVersion from "./ExpectedVersion.ts"

const Expected = Schema.Union([
  Schema.TaggedStruct("Exact", { version: Schema.Int }),
  Schema.TaggedStruct("NoStream", {}),
  Schema.TaggedStruct("StreamExists", {}),
  Schema.TaggedStruct("Any", {})
])

/** The stream did not stand where the append expected. Nothing was stored. Reload, decide again, append again. */
export class VersionConflict extends Schema.TaggedError<VersionConflict>()("VersionConflict", {
  streamId: Schema.String,
  expected: Expected,
  /** The version at which the stream really stood; −1 for a stream without events. */
  actual: Schema.Int
}) {
  override get message(): string {
    return `Stream ${JSON.stringify(this.streamId)} stands at version ${this.actual}, ` +
      `but the append expected ${ExpectedVersion.format(this.expected)}`
  }
}

/** The command id was used before, for an append to other streams. Nothing was stored. */
export class CommandIdConflict extends Schema.TaggedError<CommandIdConflict>()("CommandIdConflict", {
  commandId: Schema.String,
  streamIds: Schema.Array(Schema.String),
  /** The streams to which the first command with this id appended. */
  storedStreamIds: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Command id ${JSON.stringify(this.commandId)} already stored events in ${
      this.storedStreamIds.join(", ")
    }, ` +
      `so it cannot append to ${this.streamIds.join(", ")}: two commands share one id`
  }
}

/** An append that no store accepts, whatever its streams hold. Nothing was stored. */
export class InvalidAppend extends Schema.TaggedError<InvalidAppend>()("InvalidAppend", { issue: Schema.String }) {
  override get message(): string {
    return `Not an append: ${this.issue}`
  }
}

/**
 * Why a store failed, for a caller to switch on. Each message names the way out.
 *
 * - `Unreachable`: no connection, or it was lost, or fell silent.
 * - `ShuttingDown`: the server starts, stops or recovers, or an administrator ended the session.
 * - `TooManyConnections`, `DiskFull`, `OutOfMemory`: the server lacks room; it passes when there is some.
 * - `ReadOnly`: the store takes no writes, as a standby.
 * - `AccessDenied`: wrong credentials, or a right is missing.
 * - `NotMigrated`: the log's tables are missing, or of another version.
 * - `StatementTimeout`, `LockTimeout`: the server's patience ended, or someone cancelled the statement.
 * - `Deadlock`, `Serialization`: a transaction at the same time was in the way.
 * - `Other`: anything else; see the cause.
 */
export const failureReasons = [
  "Unreachable",
  "ShuttingDown",
  "TooManyConnections",
  "DiskFull",
  "OutOfMemory",
  "ReadOnly",
  "AccessDenied",
  "NotMigrated",
  "StatementTimeout",
  "LockTimeout",
  "Deadlock",
  "Serialization",
  "Other"
] as const

/** One of {@link failureReasons}. */
export type FailureReason = typeof failureReasons[number]

/** The store could not be reached, or failed. For an append: nothing was stored, or asking again by command id tells. */
export class EventStoreError extends Schema.TaggedError<EventStoreError>()("EventStoreError", {
  /** The operation that failed: `append`, `read`, … */
  operation: Schema.String,
  /** Default `Other`. */
  reason: Schema.Literals(failureReasons).pipe(Schema.withConstructorDefault(Effect.succeed("Other"))),
  /** What happened and the way out, without a value of any event. Default: what the cause says. */
  issue: Schema.optionalKey(Schema.String),
  /** Whether the same call may succeed later, with nothing changed. */
  retryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const issue = this.issue ?? (this.cause instanceof Error ? this.cause.message : String(this.cause))
    return `The event store failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${issue}`
  }
}

/** All that can go wrong in an append. */
export type AppendError = VersionConflict | CommandIdConflict | InvalidAppend | EventStoreError
