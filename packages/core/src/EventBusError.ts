/**
 * How an event bus refuses or fails.
 */
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"

/** Text that cannot name a topic. Nothing was published or subscribed to. */
export class InvalidTopic extends Schema.TaggedError<InvalidTopic>()("InvalidTopic", {
  topic: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `Not a topic, ${JSON.stringify(this.topic)}: ${this.issue}`
  }
}

/** A subscription that no bus accepts, or that does not agree with the other members of its group. */
export class InvalidSubscription extends Schema.TaggedError<InvalidSubscription>()("InvalidSubscription", {
  topics: Schema.Array(Schema.String),
  issue: Schema.String
}) {
  override get message(): string {
    return `Not a subscription to ${this.topics.length === 0 ? "anything" : this.topics.join(", ")}: ${this.issue}`
  }
}

/** What is wrong with a subscription that asks a group for other topics than it has. */
export const otherTopics = (group: string, topics: ReadonlyArray<string>): string =>
  `group ${group} has topics ${topics}: ask for the same as its other members, or join a group of another name`

/** The bus could not be reached, or failed. A message may have reached some of its subscribers. */
export class EventBusError extends Schema.TaggedError<EventBusError>()("EventBusError", {
  operation: Schema.Literals(["publish", "subscribe"]),
  /** Whether the same call may succeed later, with nothing changed. */
  retryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : Formatter.format(this.cause)
    return `The event bus failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${cause}`
  }
}

/**
 * A member of a group could not handle a message, for as long as it was to try. The message waits at its place for the
 * group: whoever consumes next gets it again.
 */
export class DeliveryFailed extends Schema.TaggedError<DeliveryFailed>()("DeliveryFailed", {
  group: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : Formatter.format(this.cause)
    return `A member of group ${this.group} has stopped, because it could not handle a message: ${cause}. The message ` +
      `waits, and those behind it. Mend the handler and consume again`
  }
}

/** All that can go wrong when a message is published. */
export type PublishError = InvalidTopic | EventBusError

/** All that can go wrong when a subscription begins. */
export type SubscribeError = InvalidTopic | InvalidSubscription | EventBusError

/** All that can go wrong for a member of a group that consumes. */
export type ConsumeError = SubscribeError | DeliveryFailed
