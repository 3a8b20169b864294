/**
 * A group of commands as the parameters of the database's `append` function, and its answer read back.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import type { ExpectedVersion } from "@composable-ts/core/ExpectedVersion"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import type { NonEmptyReadonlyArray } from "effect/Array"

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

/** Serialises a command's events. */
export const command = (
  appends: NonEmptyReadonlyArray<EventStore.StreamAppend>,
  context: EventStore.AppendContext,
  time: number
): Command => {
  let size = 0
  let weight = 0
  const parts = appends.map((append): Part => {
    const bodies = append.events.map((event) => JSON.stringify(event.data))
    size += bodies.length
    for (const body of bodies) weight += body.length
    return { ...append, bodies, eventIds: bodies.map(() => UuidV7.make(time)) }
  })
  const metadata = Object.keys(context.metadata).length === 0 ? null : JSON.stringify(context.metadata)
  return { context, metadata, parts: parts as unknown as NonEmptyReadonlyArray<Part>, size, weight }
}

const expectedCode = (expected: ExpectedVersion): number => {
  switch (expected._tag) {
    case "Exact":
      return expected.version
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
