/**
 * The log's rows, as arrays of values: no object is built but the event itself.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as MessagePack from "./messagePack.ts"

/** The columns that {@link recorded} reads. */
export const columns =
  "stream_id, version, global_position, type, data, packed, event_id, command_id, correlation_id, causation_id, recorded_at, metadata"

const emptyMetadata: Schema.JsonObject = Object.freeze({})

type Row = readonly [
  streamId: string,
  version: number,
  globalPosition: bigint,
  type: string,
  data: Schema.Json | null,
  packed: Uint8Array | null,
  eventId: string,
  commandId: string,
  correlationId: string | null,
  causationId: string | null,
  recordedAt: Date,
  metadata: Schema.JsonObject | null
]

/** An event whose MessagePack is damaged: unlike JSON, the database does not check what it stores of it. */
export interface Unreadable {
  readonly streamId: string
  readonly version: number
  readonly globalPosition: bigint
  readonly issue: string
}

/** The events of rows of {@link columns}, each behind so many other columns. */
export const recordedAll = (
  rows: ReadonlyArray<ReadonlyArray<unknown>>,
  behind = 0
): Result.Result<ReadonlyArray<RecordedEvent>, Unreadable> => {
  const events: Array<RecordedEvent> = []
  for (const values of rows) {
    const row = (behind === 0 ? values : values.slice(behind)) as Row
    try {
      events.push(recorded(row))
    } catch {
      const [streamId, version, globalPosition] = row
      return Result.fail({ streamId, version, globalPosition, issue: "its data is not readable as MessagePack" })
    }
  }
  return Result.succeed(events)
}

/** An event without data was erased: no append stores one. */
const recorded = (row: Row): RecordedEvent => {
  const data = row[5] === null ? row[4] : MessagePack.decode(row[5])
  const event: RecordedEvent = {
    streamId: row[0],
    version: row[1],
    globalPosition: row[2],
    type: row[3],
    data,
    eventId: row[6],
    commandId: row[7],
    correlationId: row[8] ?? row[7],
    causationId: row[9] ?? row[7],
    recordedAt: row[10].getTime(),
    metadata: row[11] ?? emptyMetadata
  }
  return data === null ? { ...event, erased: true } : event
}
