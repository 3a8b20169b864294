/**
 * A message is an event on its way to whoever listens: the event as it is stored, with an id by which a receiver
 * recognises it when it comes twice. Only an encoded or a recorded event becomes one, so no command is ever published.
 */
import type * as Brand from "effect/Brand"
import type * as Schema from "effect/Schema"
import type { EncodedEvent, RecordedEvent } from "./RecordedEvent.ts"

/** Where an event stands in the log. */
export interface Origin {
  readonly streamId: string
  readonly version: number
  readonly globalPosition: bigint
}

/** What accompanies an event that is published. An action's {@link Action.Meta} is one. */
export interface MessageContext {
  /** The same for the same message, however often it is sent: derive it from the cause. */
  readonly id: string
  /** When it happened, in milliseconds since the Unix epoch. */
  readonly time: number
  /** The id of the action that started the conversation; the message's id when left out. */
  readonly correlationId?: string | undefined
  /** The id of the action that directly caused the message; the message's id when left out. */
  readonly causationId?: string | undefined
  /**
   * Messages of one key are handled in order by a group, however many members share them. Default: the correlation id;
   * for an event of the log, the id of its stream, and so for what an aggregate publishes (`Fx.publish`).
   */
  readonly key?: string | undefined
  /** Anything else to send along. */
  readonly metadata?: Schema.JsonObject | undefined
}

interface Fields {
  readonly id: string
  /** The versioned type name, `OrderPlaced.v1`. */
  readonly type: string
  readonly data: Schema.Json
  /** When it happened, in milliseconds since the Unix epoch; for an event of the log, when it was recorded. */
  readonly time: number
  readonly correlationId: string
  readonly causationId: string
  /** Messages of one key are handled in order, see `EventBus.Service.consume`. */
  readonly key: string
  readonly metadata: Schema.JsonObject
  /** The place in the log that the event was read from; null for one that did not come from the log. */
  readonly origin: Origin | null
}

/** An event for the event bus. Only {@link make} and {@link ofRecorded} make one. */
export type Message = Fields & Brand.Brand<"@composable-ts/core/Message">

const noMetadata: Schema.JsonObject = Object.freeze({})

/**
 * A message that tells of an event.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Message from "@composable-ts/core/Message"
 * import * as Result from "effect/Result"
 * import * as Schema from "effect/Schema"
 *
 * const Light = Action.define("Light", { commands: {}, events: { Switched: Event.v1({ on: Schema.Boolean }) } })
 *
 * const event = Result.getOrThrow(Light.encode(Light.Switched({ on: true })))
 * const message = Message.make(event, { id: "switch-1", time: 0 })
 * message.type // => "Switched.v1"
 * message.causationId // => "switch-1"
 * ```
 */
export const make = ({ data, type }: EncodedEvent, context: MessageContext): Message =>
  branded({
    id: context.id,
    type,
    data,
    time: context.time,
    correlationId: context.correlationId ?? context.id,
    causationId: context.causationId ?? context.id,
    key: context.key ?? context.correlationId ?? context.id,
    metadata: context.metadata ?? noMetadata,
    origin: null
  })

/** The message that tells of an event of the log: always the same one, under the event's id. */
export const ofRecorded = (recorded: RecordedEvent): Message =>
  branded({
    id: recorded.eventId,
    type: recorded.type,
    data: recorded.data,
    time: recorded.recordedAt,
    correlationId: recorded.correlationId,
    causationId: recorded.causationId,
    key: recorded.streamId,
    metadata: recorded.metadata,
    origin: { streamId: recorded.streamId, version: recorded.version, globalPosition: recorded.globalPosition }
  })

const branded = (fields: Fields): Message => fields as Message
