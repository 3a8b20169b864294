/**
 * A group of commands as the parameters of the database's `append` function, and its answer read back.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import { EventStoreError, InvalidAppend } from "@composable-ts/core/EventStoreError"
import type { ExpectedVersion } from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Result from "effect/Result"
import type { AnySpan } from "effect/Tracer"
import * as Codec from "../Codec.ts"
import * as MessagePack from "./messagePack.ts"
import * as OutboxStatement from "./outboxStatement.ts"

/** A command's events, ready to be sent, as often as it takes: their ids stay the same. */
export interface Command {
  readonly context: EventStore.AppendContext
  readonly metadata: string | null
  /** What it does with the outbox, if anything. */
  readonly outbox: OutboxStatement.Doings | undefined
  readonly parts: NonEmptyReadonlyArray<Part>
  /** How many events, over all parts. */
  readonly size: number
  /** The size of the bodies in characters of JSON or bytes of MessagePack. */
  readonly weight: number
  /** The span in which it is appended, if anybody traces. */
  readonly span: AnySpan | undefined
}

interface Circumstances {
  /** When, in milliseconds since the Unix epoch. */
  readonly time: number
  readonly maxRowBytes: number
  /** How bodies are written. Default: as JSON. */
  readonly codec?: Codec.Codec | undefined
  readonly span?: AnySpan | undefined
}

interface Part extends EventStore.StreamAppend {
  readonly bodies: ReadonlyArray<Codec.Body>
  readonly eventIds: ReadonlyArray<string>
}

const decoded = (body: Codec.Body): EncodedEvent["data"] =>
  typeof body === "string" ? JSON.parse(body) : MessagePack.decode(body)

/** What was sent, be it that its owner has changed it since. */
export const sent = ({ bodies, events, expected, streamId }: Part): EventStore.StreamAppend => {
  const [first, ...rest] = events.map((event, i): EncodedEvent => ({ ...event, data: decoded(bodies[i]!) }))
  return { streamId, expected, events: [first!, ...rest] }
}

/** What the whole of an append may weigh, in characters; PostgreSQL's own limit for a parameter is 1 GB. */
const maxWeight = 128 * 1024 * 1024
const tooHeavy = `it takes more than ${maxWeight} characters: append in steps`

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

/** Whether the body takes more bytes than this; only a text of doubtful size is measured. */
export const exceeds = (body: Codec.Body, limit: number): boolean =>
  typeof body === "string" ? body.length * 3 > limit && bytes(body) > limit : body.length > limit

/**
 * Serialises a command's events. An event that would take more than `maxRowBytes` is refused: it could be stored, but
 * never be read, neither by its stream nor by whoever follows the log.
 */
export const command = (
  appends: NonEmptyReadonlyArray<EventStore.StreamAppend>,
  context: EventStore.AppendContext,
  { codec = Codec.json, maxRowBytes, span, time }: Circumstances
): Result.Result<Command, InvalidAppend | EventStoreError> => {
  let size = 0
  let weight = 0
  const parts: Array<Part> = []
  try {
    const metadata = Object.keys(context.metadata).length === 0 ? null : JSON.stringify(context.metadata)
    const maxBody = maxRowBytes - rowOverhead - (metadata === null ? 0 : bytes(metadata))
    for (const append of appends) {
      const bodies: Array<Codec.Body> = []
      for (const { data, type } of append.events) {
        const body = codec.encode(data)
        if (exceeds(body, maxBody)) {
          const issue =
            `a ${type} and its metadata take more than ${maxRowBytes - rowOverhead} bytes: keep large content ` +
            "elsewhere and its address in the event"
          return Result.fail(new InvalidAppend({ issue }))
        }
        bodies.push(body)
        weight += body.length + (metadata?.length ?? 0)
        if (weight > maxWeight) {
          return Result.fail(new InvalidAppend({ issue: tooHeavy }))
        }
      }
      size += bodies.length
      parts.push({ ...append, bodies, eventIds: bodies.map(() => UuidV7.make(time)) })
    }
    const outbox = OutboxStatement.prepare(context)
    for (const { body, kind } of outbox?.entries ?? []) {
      weight += body.length
      if (exceeds(body, maxRowBytes - rowOverhead)) {
        const issue =
          `the body of an outbox entry of kind ${kind} takes more than ${maxRowBytes - rowOverhead} bytes: ` +
          "keep large content elsewhere and its address in the entry"
        return Result.fail(new InvalidAppend({ issue }))
      }
    }
    if (weight > maxWeight) return Result.fail(new InvalidAppend({ issue: tooHeavy }))
    return Result.succeed({
      context,
      metadata,
      outbox,
      parts: parts as unknown as Command["parts"],
      size,
      weight,
      span
    })
  } catch (cause) {
    // JSON.stringify gives up on a body that is nested too deeply.
    return Result.fail(new EventStoreError({ operation: "append", retryable: false, cause }))
  }
}

/** No stream gets there: an expectation beyond it is as vain as this one. */
const maxVersion = 2 ** 31 - 1

/** An expectation as the database's functions take it. */
export const expectedCode = (expected: ExpectedVersion): number => {
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

/** A statement that appends a group, and what reads its one row: an answer for each command, in their order. */
export interface Statement {
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
  readonly answers: (row: ReadonlyArray<unknown>) => ReadonlyArray<Answer>
}

/** The statements' texts never change, so a connection prepares each once. */
export const make = (schema: string): (commands: ReadonlyArray<Command>) => Statement => {
  const general =
    `$1::text[], $2::int[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::int[], $10::int[],
    $11::int[], $12::int[], $13::int[], $14::int[], $15::text[], $16::uuid[], $17::text[], $18::bytea[]`
  const columns = "outcomes, failed_parts, actuals, versions, positions"
  const append = `SELECT ${columns} FROM ${schema}.append(${general})`
  const appendOne = `SELECT outcome, actual, version, place FROM ${schema}.append_one(
    $1::text, $2::int, $3::text, $4::uuid, $5::text, $6::text, $7::text, $8::text, $9::text, $10::bytea,
    $11::text)`
  const single =
    `$1::text[], $2::int[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[], $9::json[],
    $10::json[]`
  const appendEach = `SELECT head, ${columns} FROM ${schema}.append_each(${single})`
  const eachWithOutbox = `SELECT head, ${columns} FROM ${schema}.append_each_with_outbox(${single}, ${
    OutboxStatement.placeholders(11)
  })`
  const withOutbox = `SELECT ${columns} FROM ${schema}.append_with_outbox(${general}, ${
    OutboxStatement.placeholders(19)
  })`
  return (commands) => {
    const [command] = commands
    if (commands.some(({ outbox }) => outbox !== undefined)) {
      const entries = OutboxStatement.parameters(commands)
      if (areSingle(commands)) {
        return {
          text: eachWithOutbox,
          parameters: [...parametersOfEach(commands), ...entries],
          answers: (row) => answersOfEach(commands, row as RowOfEach)
        }
      }
      return {
        text: withOutbox,
        parameters: [...parameters(commands), ...entries],
        answers: (row) => answers(commands, row as Row)
      }
    }
    if (command !== undefined && commands.length === 1 && command.size === 1) {
      return { text: appendOne, parameters: parametersOfOne(command), answers: (row) => [answerOfOne(row as RowOfOne)] }
    }
    return areSingle(commands)
      ? {
        text: appendEach,
        parameters: parametersOfEach(commands),
        answers: (row) => answersOfEach(commands, row as RowOfEach)
      }
      : { text: append, parameters: parameters(commands), answers: (row) => answers(commands, row as Row) }
  }
}

/** Whether each has one event, with a body in JSON, and all go to different streams. */
const areSingle = (commands: ReadonlyArray<Command>): boolean => {
  const streams = new Set<string>()
  for (const { parts: [{ bodies, streamId }], size } of commands) {
    if (size !== 1 || typeof bodies[0] !== "string") return false
    streams.add(streamId)
  }
  return streams.size === commands.length
}

/** Kept only where it says more than the command id does. */
const besides = (id: string, commandId: string): string | null => id === commandId ? null : id

/** The body's place among the parameters: one of the two is null. */
const jsonOf = (body: Codec.Body): string | null => typeof body === "string" ? body : null
const packedOf = (body: Codec.Body): Uint8Array | null => typeof body === "string" ? null : body

const parametersOfOne = ({ context, metadata, parts: [part] }: Command): ReadonlyArray<unknown> => {
  const { causationId, commandId, correlationId, fingerprint } = context
  return [
    part.streamId,
    expectedCode(part.expected),
    part.events[0].type,
    part.eventIds[0]!,
    commandId,
    text(fingerprint ?? null),
    text(besides(correlationId, commandId)),
    text(besides(causationId, commandId)),
    text(jsonOf(part.bodies[0]!)),
    parameter(PgTypes.OID.bytea, packedOf(part.bodies[0]!)),
    text(metadata)
  ]
}

const parametersOfEach = (commands: ReadonlyArray<Command>): ReadonlyArray<unknown> => {
  const streams: Array<string> = []
  const expectations: Array<number> = []
  const types: Array<string> = []
  const eventIds: Array<string> = []
  const keys: Array<string> = []
  const fingerprints: Array<string | null> = []
  const correlations: Array<string | null> = []
  const causations: Array<string | null> = []
  const bodies: Array<string | null> = []
  const metadatas: Array<string | null> = []
  for (const { context, metadata, parts: [part] } of commands) {
    const { causationId, commandId, correlationId, fingerprint } = context
    streams.push(part.streamId)
    expectations.push(expectedCode(part.expected))
    types.push(part.events[0].type)
    eventIds.push(part.eventIds[0]!)
    keys.push(commandId)
    fingerprints.push(fingerprint ?? null)
    correlations.push(besides(correlationId, commandId))
    causations.push(besides(causationId, commandId))
    bodies.push(jsonOf(part.bodies[0]!))
    metadatas.push(metadata)
  }
  return [
    texts(streams),
    ints(expectations),
    texts(types),
    parameter(PgTypes.OID.uuidArray, eventIds),
    texts(keys),
    texts(fingerprints),
    texts(correlations),
    texts(causations),
    texts(bodies),
    texts(metadatas)
  ]
}

/** See the function for what each holds. */
const parameters = (commands: ReadonlyArray<Command>): ReadonlyArray<unknown> => {
  const slots = new Map<string, number>()
  const commandParts: Array<number> = []
  const commandKey: Array<string> = []
  const commandFingerprint: Array<string | null> = []
  const commandSize: Array<number> = []
  const commandCorrelation: Array<string | null> = []
  const commandCausation: Array<string | null> = []
  const commandMetadata: Array<string | null> = []
  const partCommand: Array<number> = []
  const partSlot: Array<number> = []
  const partExpected: Array<number> = []
  const partSize: Array<number> = []
  const eventPart: Array<number> = []
  const eventIndex: Array<number> = []
  const eventType: Array<string> = []
  const eventId: Array<string> = []
  const eventData: Array<string | null> = []
  const eventPacked: Array<Uint8Array | null> = []
  for (const { context, metadata, parts, size } of commands) {
    const { causationId, commandId, correlationId, fingerprint } = context
    commandParts.push(parts.length)
    commandKey.push(commandId)
    commandFingerprint.push(fingerprint ?? null)
    commandSize.push(size)
    commandCorrelation.push(besides(correlationId, commandId))
    commandCausation.push(besides(causationId, commandId))
    commandMetadata.push(metadata)
    for (const { bodies, eventIds, events, expected, streamId } of parts) {
      let slot = slots.get(streamId)
      if (slot === undefined) slots.set(streamId, slot = slots.size + 1)
      partCommand.push(commandParts.length)
      partSlot.push(slot)
      partExpected.push(expectedCode(expected))
      partSize.push(events.length)
      for (let i = 0; i < events.length; i++) {
        eventPart.push(partSlot.length)
        eventIndex.push(i)
        eventType.push(events[i]!.type)
        eventId.push(eventIds[i]!)
        eventData.push(jsonOf(bodies[i]!))
        eventPacked.push(packedOf(bodies[i]!))
      }
    }
  }
  return [
    texts([...slots.keys()]),
    ints(commandParts),
    texts(commandKey),
    texts(commandFingerprint),
    ints(commandSize),
    texts(commandCorrelation),
    texts(commandCausation),
    texts(commandMetadata),
    ints(partCommand),
    ints(partSlot),
    ints(partExpected),
    ints(partSize),
    ints(eventPart),
    ints(eventIndex),
    texts(eventType),
    parameter(PgTypes.OID.uuidArray, eventId),
    texts(eventData),
    parameter(PgTypes.OID.byteaArray, eventPacked.some((packed) => packed !== null) ? eventPacked : null)
  ]
}

/** The types are stated, because none can be read off a null, or an array that holds only nulls. */
const parameter = (
  oid: number,
  value: ReadonlyArray<string | number | Uint8Array | null> | string | Uint8Array | null
): PgTypes.Parameter => ({
  [PgTypes.ParameterTypeId]: PgTypes.ParameterTypeId,
  oid,
  value
})
const text = (value: string | null) => parameter(PgTypes.OID.text, value)
const texts = (values: ReadonlyArray<string | null>) => parameter(PgTypes.OID.textArray, values)
const ints = (values: ReadonlyArray<number | null>) => parameter(PgTypes.OID.int4Array, values)

/** What became of one command of the group. */
export type Answer =
  | { readonly _tag: "Stored"; readonly results: NonEmptyReadonlyArray<EventStore.AppendResult> }
  | { readonly _tag: "Conflict"; readonly part: number; readonly actual: number }
  | { readonly _tag: "Known" }
  | { readonly _tag: "Tombstoned"; readonly part: number; readonly version: number }
  | { readonly _tag: "Stale" }

/** The columns of the function for one event. */
type RowOfOne = readonly [outcome: number, actual: number | null, version: number | null, place: bigint | null]

/** The columns of the general function. */
type Row = readonly [
  outcomes: ReadonlyArray<number>,
  failedParts: ReadonlyArray<number>,
  actuals: ReadonlyArray<number>,
  versions: ReadonlyArray<number>,
  positions: ReadonlyArray<bigint>
]

const answerOfOne = ([outcome, actual, version, place]: RowOfOne): Answer => {
  switch (outcome) {
    case 0:
      return { _tag: "Stored", results: [{ version: version!, globalPosition: place!, duplicate: false }] }
    case 1:
      return { _tag: "Conflict", part: 0, actual: actual! }
    case 3:
      return { _tag: "Tombstoned", part: 0, version: actual! }
    default:
      return { _tag: "Known" }
  }
}

/** The columns of the function for single events: with a head, all are stored behind it; else see {@link Row}. */
type RowOfEach =
  | readonly [head: bigint, outcomes: null, failedParts: null, actuals: null, versions: ReadonlyArray<number>, null]
  | readonly [head: null, ...Row]

const answersOfEach = (commands: ReadonlyArray<Command>, row: RowOfEach): ReadonlyArray<Answer> => {
  if (row[0] === null) {
    const [, ...general] = row
    return answers(commands, general)
  }
  const [head, , , , versions] = row
  return commands.map((_, i): Answer => ({
    _tag: "Stored",
    results: [{ version: versions[i]!, globalPosition: head + BigInt(i + 1), duplicate: false }]
  }))
}

const answers = (
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
      case 3:
        return { _tag: "Tombstoned", part: failedParts[i]! - 1 - from, version: actuals[i]! }
      case 4:
        return { _tag: "Stale" }
      default:
        return { _tag: "Known" }
    }
  })
}
