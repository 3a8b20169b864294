/**
 * What can go wrong between an event and its stored form.
 */
import * as Schema from "effect/Schema"
import type { RecordedEvent } from "./RecordedEvent.ts"

const where = {
  type: Schema.String,
  streamId: Schema.String,
  version: Schema.Int,
  globalPosition: Schema.BigInt
}

const located = (recorded: RecordedEvent) => ({
  type: recorded.type,
  streamId: recorded.streamId,
  version: recorded.version,
  globalPosition: recorded.globalPosition
})

const place = (at: { readonly streamId: string; readonly version: number; readonly globalPosition: bigint }): string =>
  `stream ${JSON.stringify(at.streamId)}, version ${at.version}, global position ${at.globalPosition}`

/** The log holds an event of a type, or of a version of a type, that the reading feature does not declare. */
export class UnknownEventType extends Schema.TaggedError<UnknownEventType>()("UnknownEventType", {
  ...where,
  /** The feature that was to read it. */
  reader: Schema.String
}) {
  static of(recorded: RecordedEvent, reader: string): UnknownEventType {
    return new UnknownEventType({ ...located(recorded), reader })
  }
  override get message(): string {
    return `${this.reader} does not declare ${this.type} (${place(this)}). ` +
      `Either a newer program wrote it, or a version was removed from the declaration: declare it, with its upcaster.`
  }
}

/** A stored event whose body does not fit its declared fields, or whose upcaster failed. */
export class EventDecodeFailed extends Schema.TaggedError<EventDecodeFailed>()("EventDecodeFailed", {
  ...where,
  issue: Schema.String
}) {
  static of(recorded: RecordedEvent, issue: string): EventDecodeFailed {
    return new EventDecodeFailed({ ...located(recorded), issue })
  }
  override get message(): string {
    return `The stored ${this.type} at ${place(this)} does not decode: ${this.issue}`
  }
}

/** The event's data is gone: a tombstone of its stream has erased it. What is to decode events must pass over it. */
export class EventErased extends Schema.TaggedError<EventErased>()("EventErased", where) {
  static of(recorded: RecordedEvent): EventErased {
    return new EventErased(located(recorded))
  }
  override get message(): string {
    return `The ${this.type} at ${
      place(this)
    } was erased, with its whole stream: the stream's last event, a tombstone, ` +
      `says when and why. Pass over events that are marked as erased`
  }
}

/** Why a stored event does not become one of a feature. */
export type DecodeError = UnknownEventType | EventDecodeFailed | EventErased

/** An event whose values do not fit its declared fields. Nothing was stored. */
export class EventEncodeFailed extends Schema.TaggedError<EventEncodeFailed>()("EventEncodeFailed", {
  type: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `A ${this.type} cannot be stored as declared: ${this.issue}`
  }
}
