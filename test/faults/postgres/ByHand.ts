/**
 * The append function called in a transaction of one's own, as no program should: what it must withstand nevertheless.
 */
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import type { StreamId } from "@composable-ts/core/StreamId"
import type * as PgClient from "@effect/sql-pg/PgClient"
import { type Array, Effect, Result, type Scope } from "effect"
import type { SqlError } from "effect/sql"
import * as AppendStatement from "../../../packages/postgres/src/internal/appendStatement.ts"
import { commandId } from "../../../packages/postgres/test/Facts.ts"
import { connect, type TestLog } from "../../../packages/postgres/test/TestLog.ts"

/** A session whose every statement goes over one connection, so that it may begin and end transactions itself. */
export const session = (log: TestLog): Effect.Effect<PgClient.PgClient, SqlError.SqlError, Scope.Scope> =>
  connect({
    url: log.url,
    maxConnections: 1,
    applicationName: "by hand",
    startupParameters: { search_path: log.schema }
  })

/** Appends within the session's transaction, and leaves its end to the caller. */
export const append = (
  session: PgClient.PgClient,
  { schema }: TestLog,
  streamId: StreamId,
  events: Array.NonEmptyReadonlyArray<EncodedEvent>
) =>
  Effect.suspend(() => {
    const id = commandId()
    const context = { commandId: id, correlationId: id, causationId: id, metadata: {} }
    const appends = [{ streamId, expected: { _tag: "Any" }, events }] as const
    const command = AppendStatement.command(appends, context, { time: Date.now(), maxRowBytes: 1_000_000 })
    const { parameters, text } = AppendStatement.make(`"${schema}"`)([Result.getOrThrow(command)])
    return session.unsafe(text, parameters)
  })
