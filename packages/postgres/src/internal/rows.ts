/**
 * The log's rows, as arrays of values: no object is built but the event itself.
 */
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as MessagePack from "./messagePack.ts"

const behindStreamId =
  "version, global_position, type, data, packed, event_id, command_id, correlation_id, causation_id, recorded_at, metadata"

/** The columns that {@link recordedAll} reads. */
export const columns = `stream_id, ${behindStreamId}`

/** The same, but a stream id only where it is not this one: who knows it need not be sent it with each event. */
export const columnsOf = (streamId: string): string => `nullif(stream_id, ${streamId}), ${behindStreamId}`

/** The types of {@link columns}. */
export const types: ReadonlyArray<string> = [
  "text",
  "integer",
  "bigint",
  "text",
  "json",
  "bytea",
  "uuid",
  "text",
  "text",
  "text",
  "timestamptz",
  "json"
]

const emptyMetadata: Schema.JsonObject = Object.freeze({})

type Row = readonly [
  streamId: string | null,
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

/** What else is to be known of rows. */
interface Surroundings {
  /** The stream of those that do not name theirs. */
  readonly streamId?: string
  /** How many other columns stand before {@link columns}. */
  readonly behind?: number
  /** The index of a row that is no event's. */
  readonly except?: number
}

/** The events of rows of {@link columns}. */
export const recordedAll = (
  rows: ReadonlyArray<ReadonlyArray<unknown>>,
  { behind = 0, except, streamId = "" }: Surroundings = {}
): Result.Result<ReadonlyArray<RecordedEvent>, Unreadable> => {
  const events: Array<RecordedEvent> = []
  for (let i = 0; i < rows.length; i++) {
    if (i === except) continue
    const row = (behind === 0 ? rows[i]! : rows[i]!.slice(behind)) as Row
    try {
      events.push(recorded(row, streamId))
    } catch {
      const [ownStreamId, version, globalPosition] = row
      const issue = "its data is not readable as MessagePack"
      return Result.fail({ streamId: ownStreamId ?? streamId, version, globalPosition, issue })
    }
  }
  return Result.succeed(events)
}

/** An event without data was erased: no append stores one. */
const recorded = (row: Row, streamId: string): RecordedEvent => {
  const data = row[5] === null ? row[4] : MessagePack.decode(row[5])
  const event: RecordedEvent = {
    streamId: row[0] ?? streamId,
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
