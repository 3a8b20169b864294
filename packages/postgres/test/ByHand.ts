/**
 * An append as the store sends it, for a connection of the test's own.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { Result } from "effect"
import * as AppendStatement from "../src/internal/appendStatement.ts"
import { several, stream } from "./Facts.ts"

/** The statement, and its parameters, that append events to the stream `by-hand`. */
export const append = (schema: string, commandId: string, count: number): readonly [string, ReadonlyArray<unknown>] => {
  const parts = [{ streamId: stream("by-hand"), expected: ExpectedVersion.any, events: several(count) }] as const
  const context = { commandId, correlationId: commandId, causationId: commandId, metadata: {} }
  const command = AppendStatement.command(parts, context, { time: Date.now(), maxRowBytes: 2 ** 20 })
  const { parameters, text } = AppendStatement.make(`"${schema}"`)([Result.getOrThrow(command)])
  return [text, parameters]
}
