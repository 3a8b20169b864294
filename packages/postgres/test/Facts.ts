/**
 * The events and streams that the tests append.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as StreamId from "@composable-ts/core/StreamId"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import { type Array, Result, Schema } from "effect"

const Facts = Action.define("Facts", {
  commands: {},
  events: {
    Noted: Event.v1({ note: Schema.Json }),
    Counted: Event.v1({ count: Schema.Int })
  }
})

/** An event that holds any JSON. */
export const noted = (note: Schema.Json): EncodedEvent => Result.getOrThrow(Facts.encode(Facts.Noted({ note })))

/** An event of another type. */
export const counted = (count: number): EncodedEvent => Result.getOrThrow(Facts.encode(Facts.Counted({ count })))

/** As many events as asked for, each different. */
export const several = (count: number): Array.NonEmptyReadonlyArray<EncodedEvent> => {
  const [first = counted(0), ...rest] = globalThis.Array.from({ length: count }, (_, i) => counted(i))
  return [first, ...rest]
}

/** The stream of an instance of this name. */
export const stream = (id: string): StreamId.StreamId => Result.getOrThrow(StreamId.make("fact", id))

/** A command id that nothing else uses. */
export const commandId = (): string => UuidV7.make(Date.now())
