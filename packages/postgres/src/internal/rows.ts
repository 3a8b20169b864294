/**
 * The log's rows, as arrays of values: no object is built but the event itself.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type * as Schema from "effect/Schema"

/** The columns that {@link recorded} reads. */
export const columns =
  "stream_id, version, global_position, type, data, event_id, command_id, correlation_id, causation_id, recorded_at, metadata"

const emptyMetadata: Schema.JsonObject = Object.freeze({})

type Row = readonly [
  streamId: string,
  version: number,
  globalPosition: bigint,
  type: string,
  data: Schema.Json | null,
  eventId: string,
  commandId: string,
  correlationId: string | null,
  causationId: string | null,
  recordedAt: Date,
  metadata: Schema.JsonObject | null
]

/** An event from a row of {@link columns}. One without data was erased: no append stores one. */
export const recorded = (values: ReadonlyArray<unknown>): RecordedEvent => {
  const row = values as Row
  const event: RecordedEvent = {
    streamId: row[0],
    version: row[1],
    globalPosition: row[2],
    type: row[3],
    data: row[4],
    eventId: row[5],
    commandId: row[6],
    correlationId: row[7] ?? row[6],
    causationId: row[8] ?? row[6],
    recordedAt: row[9].getTime(),
    metadata: row[10] ?? emptyMetadata
  }
  return row[4] === null ? { ...event, erased: true } : event
}
