/**
 * How an event store refuses or fails.
 */
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

/** The store could not be reached, or failed. For an append: nothing was stored, or asking again by command id tells. */
export class EventStoreError extends Schema.TaggedError<EventStoreError>()("EventStoreError", {
  /** The operation that failed: `append`, `read`, … */
  operation: Schema.String,
  /** Whether the same call may succeed later, with nothing changed. */
  retryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `The event store failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${cause}`
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

/** All that can go wrong in an append. */
export type AppendError = VersionConflict | CommandIdConflict | InvalidAppend | EventStoreError
