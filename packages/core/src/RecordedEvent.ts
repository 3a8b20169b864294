/**
 * An event on its way into the log, and an event read from it.
 */
import type * as Brand from "effect/Brand"
import type * as Schema from "effect/Schema"

/**
 * An event as it is stored, under its versioned type name. Only {@link Action.Vocabulary.encode} makes one, so whatever is appended
 * is a declared event whose fields were checked.
 */
export type EncodedEvent =
  & { readonly type: string; readonly data: Schema.Json }
  & Brand.Brand<"@composable-ts/core/EncodedEvent">

/** An event of the log: what was stored, where, when and why. */
export interface RecordedEvent {
  readonly streamId: string
  /** The event's place in its stream, from 0. */
  readonly version: number
  /** The event's place in the log over all streams, from 1; without gaps, in commit order. */
  readonly globalPosition: bigint
  /** The versioned type name, `OrderPlaced.v1`. */
  readonly type: string
  readonly data: Schema.Json
  /** A UUIDv7. */
  readonly eventId: string
  /** The id of the command that stored the event. */
  readonly commandId: string
  readonly correlationId: string
  readonly causationId: string
  /** When the store recorded the event, by the store's own clock, in milliseconds since the Unix epoch. */
  readonly recordedAt: number
  /** Whatever the appender added. */
  readonly metadata: Schema.JsonObject
  /**
   * There when a tombstone of the stream has erased the event: then `data` is null and `metadata` empty. All else is as it
   * was recorded, so the log stays dense and in order. The tombstone stands further on in the log.
   */
  readonly erased?: true
}

/** The name of an event whose versioned type is this: `OrderPlaced` of `OrderPlaced.v2`. */
export const nameOf = (type: string): string => {
  const dot = type.indexOf(".")
  return dot < 0 ? type : type.slice(0, dot)
}
