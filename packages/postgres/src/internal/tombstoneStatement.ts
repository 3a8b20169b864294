/**
 * A tombstone as the parameters of the database's `tombstone` function, and its answer read back.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import { type Command, expectedCode } from "./appendStatement.ts"

/** The statement; its text never changes, so a connection prepares it once. */
export const text = (schema: string): string =>
  `SELECT outcome, actual, placed, place
    FROM ${schema}.tombstone($1::text, $2::int, $3::uuid, $4::text, $5::text, $6::text, $7::text, $8::text)`

/** The statement's parameters, of a command whose one event is the tombstone. */
export const parameters = ({ context, metadata, parts: [part] }: Command): ReadonlyArray<unknown> => {
  const { causationId, commandId, correlationId } = context
  return [
    part.streamId,
    expectedCode(part.expected),
    part.eventIds[0],
    commandId,
    correlationId === commandId ? null : correlationId,
    causationId === commandId ? null : causationId,
    part.bodies[0],
    metadata
  ]
}

/** What became of the tombstone. */
export type Answer =
  | { readonly _tag: "Stored"; readonly result: EventStore.AppendResult }
  | { readonly _tag: "Conflict"; readonly actual: number }
  | { readonly _tag: "Known" }
  | { readonly _tag: "Tombstoned"; readonly version: number }

/** The columns of the function's one row. */
export type Row = readonly [outcome: number, actual: number, version: number, position: bigint]

/** The function's answer. */
export const answer = ([outcome, actual, version, globalPosition]: Row): Answer => {
  switch (outcome) {
    case 0:
      return { _tag: "Stored", result: { version, globalPosition, duplicate: false } }
    case 1:
      return { _tag: "Conflict", actual }
    case 3:
      return { _tag: "Tombstoned", version: actual }
    default:
      return { _tag: "Known" }
  }
}
