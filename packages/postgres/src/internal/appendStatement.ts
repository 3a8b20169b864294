/**
 * A group of commands as the parameters of the database's `append` function, and its answer read back.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import { EventStoreError, InvalidAppend } from "@composable-ts/core/EventStoreError"
import type { ExpectedVersion } from "@composable-ts/core/ExpectedVersion"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Result from "effect/Result"

/** A command's events, ready to be sent, as often as it takes: their ids stay the same. */
export interface Command {
  readonly context: EventStore.AppendContext
  readonly metadata: string | null
  readonly parts: NonEmptyReadonlyArray<Part>
  /** How many events, over all parts. */
  readonly size: number
  /** The size of the bodies in characters. */
  readonly weight: number
}

interface Part extends EventStore.StreamAppend {
  readonly bodies: ReadonlyArray<string>
  readonly eventIds: ReadonlyArray<string>
}

/** What the whole of an append may weigh, in characters; PostgreSQL's own limit for a parameter is 1 GB. */
const maxWeight = 128 * 1024 * 1024

/** What a row takes besides body and metadata: ids, names and the protocol's framing. */
const rowOverhead = 16 * 1024

/** The text's size in UTF-8; it is well-formed, as JSON.stringify makes it. */
const bytes = (text: string): number => {
  let size = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) size += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1
  }
  return size
}

/** Whether the text takes more bytes than this; only one of doubtful size is measured. */
export const exceeds = (text: string, limit: number): boolean => text.length * 3 > limit && bytes(text) > limit

/**
 * Serialises a command's events. An event that would take more than `maxRowBytes` is refused: it could be stored, but
 * never be read, neither by its stream nor by whoever follows the log.
 */
export const command = (
  appends: NonEmptyReadonlyArray<EventStore.StreamAppend>,
  context: EventStore.AppendContext,
  time: number,
  maxRowBytes: number
): Result.Result<Command, InvalidAppend | EventStoreError> => {
  let size = 0
  let weight = 0
  const parts: Array<Part> = []
  try {
    const metadata = Object.keys(context.metadata).length === 0 ? null : JSON.stringify(context.metadata)
    const maxBody = maxRowBytes - rowOverhead - (metadata === null ? 0 : bytes(metadata))
    for (const append of appends) {
      const bodies: Array<string> = []
      for (const { data, type } of append.events) {
        const body = JSON.stringify(data)
        if (exceeds(body, maxBody)) {
          const issue =
            `a ${type} and its metadata take more than ${maxRowBytes - rowOverhead} bytes: keep large content ` +
            "elsewhere and its address in the event"
          return Result.fail(new InvalidAppend({ issue }))
        }
        bodies.push(body)
        weight += body.length + (metadata?.length ?? 0)
        if (weight > maxWeight) {
          return Result.fail(
            new InvalidAppend({ issue: `it takes more than ${maxWeight} characters: append in steps` })
          )
        }
      }
      size += bodies.length
      parts.push({ ...append, bodies, eventIds: bodies.map(() => UuidV7.make(time)) })
    }
    return Result.succeed({ context, metadata, parts: parts as unknown as Command["parts"], size, weight })
  } catch (cause) {
    // JSON.stringify gives up on a body that is nested too deeply.
    return Result.fail(new EventStoreError({ operation: "append", retryable: false, cause }))
  }
}

/** No stream gets there: an expectation beyond it is as vain as this one. */
const maxVersion = 2 ** 31 - 1

const expectedCode = (expected: ExpectedVersion): number => {
  switch (expected._tag) {
    case "Exact":
      return Math.min(expected.version, maxVersion)
    case "NoStream":
      return -1
    case "StreamExists":
      return -2
    case "Any":
      return -3
  }
}

/** The statement; its text never changes, so a connection prepares it once. */
export const text = (schema: string): string =>
  `SELECT outcomes, failed_parts, actuals, versions, positions FROM ${schema}.append(
    $1::text[], $2::int[], $3::text[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::text[], $10::text[],
    $11::uuid[], $12::text[], $13::int[], $14::text[], $15::text[], $16::text[], $17::text[])`

/** The statement's parameters: see the function for what each holds. */
export const parameters = (commands: ReadonlyArray<Command>): ReadonlyArray<unknown> => {
  const slots = new Map<string, number>()
  const commandParts: Array<number> = []
  const commandKey: Array<string> = []
  const partSlot: Array<number> = []
  const partExpected: Array<number> = []
  const partSize: Array<number> = []
  const eventPart: Array<number> = []
  const eventIndex: Array<number> = []
  const eventStream: Array<string> = []
  const eventType: Array<string> = []
  const eventId: Array<string> = []
  const eventCommand: Array<string> = []
  const eventCommandSize: Array<number | null> = []
  const eventCorrelation: Array<string | null> = []
  const eventCausation: Array<string | null> = []
  const eventData: Array<string> = []
  const eventMetadata: Array<string | null> = []
  for (const { context, metadata, parts, size } of commands) {
    const { causationId, commandId, correlationId } = context
    commandParts.push(parts.length)
    commandKey.push(commandId)
    for (const [nr, { bodies, eventIds, events, expected, streamId }] of parts.entries()) {
      let slot = slots.get(streamId)
      if (slot === undefined) slots.set(streamId, slot = slots.size + 1)
      partSlot.push(slot)
      partExpected.push(expectedCode(expected))
      partSize.push(events.length)
      for (let i = 0; i < events.length; i++) {
        eventPart.push(partSlot.length)
        eventIndex.push(i)
        eventStream.push(streamId)
        eventType.push(events[i]!.type)
        eventId.push(eventIds[i]!)
        eventCommand.push(commandId)
        eventCommandSize.push(nr === 0 && i === 0 ? size : null)
        eventCorrelation.push(correlationId === commandId ? null : correlationId)
        eventCausation.push(causationId === commandId ? null : causationId)
        eventData.push(bodies[i]!)
        eventMetadata.push(metadata)
      }
    }
  }
  return [
    texts([...slots.keys()]),
    ints(commandParts),
    texts(commandKey),
    ints(partSlot),
    ints(partExpected),
    ints(partSize),
    ints(eventPart),
    ints(eventIndex),
    texts(eventStream),
    texts(eventType),
    parameter(PgTypes.OID.uuidArray, eventId),
    texts(eventCommand),
    ints(eventCommandSize),
    texts(eventCorrelation),
    texts(eventCausation),
    texts(eventData),
    texts(eventMetadata)
  ]
}

/** The types are stated, because none can be read off an array that holds only nulls. */
const parameter = (oid: number, value: ReadonlyArray<string | number | null>): PgTypes.Parameter => ({
  [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId,
  oid,
  value
})
const texts = (values: ReadonlyArray<string | null>) => parameter(PgTypes.OID.textArray, values)
const ints = (values: ReadonlyArray<number | null>) => parameter(PgTypes.OID.int4Array, values)

/** What became of one command of the group. */
export type Answer =
  | { readonly _tag: "Stored"; readonly results: NonEmptyReadonlyArray<EventStore.AppendResult> }
  | { readonly _tag: "Conflict"; readonly part: number; readonly actual: number }
  | { readonly _tag: "Known" }

/** The columns of the function's one row. */
export type Row = readonly [
  outcomes: ReadonlyArray<number>,
  failedParts: ReadonlyArray<number>,
  actuals: ReadonlyArray<number>,
  versions: ReadonlyArray<number>,
  positions: ReadonlyArray<bigint>
]

/** One answer for each command, in their order. */
export const answers = (
  commands: ReadonlyArray<Command>,
  [outcomes, failedParts, actuals, versions, positions]: Row
): ReadonlyArray<Answer> => {
  let first = 0
  return commands.map(({ parts }, i): Answer => {
    const from = first
    first += parts.length
    switch (outcomes[i]) {
      case 0:
        return {
          _tag: "Stored",
          results: parts.map((_, k) => ({
            version: versions[from + k]!,
            globalPosition: positions[from + k]!,
            duplicate: false
          })) as unknown as NonEmptyReadonlyArray<EventStore.AppendResult>
        }
      case 1:
        return { _tag: "Conflict", part: failedParts[i]! - 1 - from, actual: actuals[i]! }
      default:
        return { _tag: "Known" }
    }
  })
}
