/**
 * How an event store refuses or fails.
 */
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import * as ExpectedVersion from "./ExpectedVersion.ts"
import type { StaleClaim } from "./Outbox.ts"
import type { SubjectShredded } from "./PersonalError.ts"

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

/** The command id was used before, for an append of something else. Nothing was stored. */
export class CommandIdConflict extends Schema.TaggedError<CommandIdConflict>()("CommandIdConflict", {
  commandId: Schema.String,
  streamIds: Schema.Array(Schema.String),
  /** The streams to which the first command with this id appended. */
  storedStreamIds: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const id = JSON.stringify(this.commandId)
    const stored = this.storedStreamIds.join(", ")
    const same = this.streamIds.length === this.storedStreamIds.length &&
      this.streamIds.every((streamId) => this.storedStreamIds.includes(streamId))
    const other = same
      ? `Command id ${id} already stored something else in ${stored}`
      : `Command id ${id} already stored events in ${stored}, so it cannot append to ${this.streamIds.join(", ")}`
    return `${other}: two commands share one id. Give each command its own`
  }
}

/** An append that no store accepts, whatever its streams hold. Nothing was stored. */
export class InvalidAppend extends Schema.TaggedError<InvalidAppend>()("InvalidAppend", { issue: Schema.String }) {
  override get message(): string {
    return `Not an append: ${this.issue}`
  }
}

/**
 * The store has as many appends to do as it takes, and was told not to let callers wait. Nothing was stored; the same
 * append may succeed a little later.
 */
export class Overloaded extends Schema.TaggedError<Overloaded>()("Overloaded", {
  /** How many appends may be under way or waiting. */
  capacity: Schema.Int
}) {
  override get message(): string {
    return `The event store already has ${this.capacity} appends to do, which is its capacity: likely the database is ` +
      "slower than the callers. Append again a little later, send less at a time, or let callers wait"
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
    const issue = this.issue ?? (this.cause instanceof Error ? this.cause.message : Formatter.format(this.cause))
    return `The event store failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${issue}`
  }
}

/**
 * The stream was erased by a tombstone, its last event for good. It takes no append and gives no events; the tombstone in
 * the log says when and why. Retrying does not help: what is to go on needs a stream of another id.
 */
export class StreamTombstoned extends Schema.TaggedError<StreamTombstoned>()("StreamTombstoned", {
  streamId: Schema.String,
  /** The tombstone's version. */
  version: Schema.Int
}) {
  override get message(): string {
    return `Stream ${JSON.stringify(this.streamId)} was erased: a tombstone ends it at version ${this.version}. ` +
      `It can be neither read nor appended to; go on in a stream of another id`
  }
}

const damage = "The table was changed behind the store's back, or restored in part: audit the log, and restore it."

/** A stream's events are not what appends have written: one is missing, or changed. None of the read was delivered. */
export class CorruptStream extends Schema.TaggedError<CorruptStream>()("CorruptStream", {
  streamId: Schema.String,
  /** Where the damage shows. */
  version: Schema.Int,
  issue: Schema.String
}) {
  override get message(): string {
    return `Stream ${JSON.stringify(this.streamId)} is damaged at version ${this.version}: ${this.issue}. ${damage}`
  }
}

/** The log is not what appends have written: a position is missing, or out of order. None of the page was delivered. */
export class CorruptLog extends Schema.TaggedError<CorruptLog>()("CorruptLog", {
  /** Where the damage shows. */
  globalPosition: Schema.BigInt,
  issue: Schema.String
}) {
  override get message(): string {
    return `The log is damaged at global position ${this.globalPosition}: ${this.issue}. ${damage}`
  }
}

/**
 * A subscription stands behind the end of the log, so what it last saw is not there any more: the log was restored from a
 * backup, a replica that lagged behind took over, or this is another log. Its positions will be given to other events.
 */
export class PositionBeyondHead extends Schema.TaggedError<PositionBeyondHead>()("PositionBeyondHead", {
  /** The position behind which to go on. */
  position: Schema.BigInt,
  /** The log's last position; 0 for an empty log. */
  head: Schema.BigInt
}) {
  override get message(): string {
    return `Cannot follow the log behind position ${this.position}: it ends at ${this.head}. Was it restored, did a ` +
      "replica that lagged behind take over, or is this another log? What was derived from the lost events must be " +
      "derived anew, from the beginning or from a position that both logs share."
  }
}

/**
 * All that can go wrong in an append. Only the stores of `PersonalData` refuse a shredded subject's data, and only an
 * append that settles claims of the outbox meets a stale one.
 */
export type AppendError =
  | VersionConflict
  | StreamTombstoned
  | CommandIdConflict
  | InvalidAppend
  | StaleClaim
  | SubjectShredded
  | Overloaded
  | EventStoreError

/** All that can go wrong in the reading of a stream. */
export type StreamReadError = StreamTombstoned | CorruptStream | EventStoreError

/** All that can go wrong in the reading of the log. */
export type LogReadError = CorruptLog | EventStoreError

/** All that can go wrong in the following of the log. */
export type SubscribeError = LogReadError | PositionBeyondHead
