/**
 * An append as the store sends it, for a connection of the test's own.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { Result } from "effect"
import * as AppendStatement from "../src/internal/appendStatement.ts"
import { several, stream } from "./Facts.ts"

/** The statement, and its parameters, that append one event to the stream `by-hand`. */
export const append = (schema: string, commandId: string): readonly [string, ReadonlyArray<unknown>] => {
  const parts = [{ streamId: stream("by-hand"), expected: ExpectedVersion.any, events: several(1) }] as const
  const context = { commandId, correlationId: commandId, causationId: commandId, metadata: {} }
  const command = AppendStatement.command(parts, context, Date.now(), 2 ** 20)
  return [AppendStatement.text(`"${schema}"`), AppendStatement.parameters([Result.getOrThrow(command)])]
}
