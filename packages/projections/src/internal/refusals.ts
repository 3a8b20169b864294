/**
 * The inputs that sagas refused, as they are written down.
 */
import { nameOf } from "@composable-ts/core/RecordedEvent"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Refused } from "../Saga.ts"
import { refusals } from "./sagaSchema.ts"

/** As much of a reason as is kept, and nothing that PostgreSQL cannot store. */
const kept = (reason: unknown): string =>
  (reason instanceof Error ? reason.message : Formatter.format(reason)).slice(0, 8_000).replaceAll(
    /\0|\p{Surrogate}/gu,
    "\uFFFD"
  )

/** Writes a refused input down, once however often it is refused. */
export const record =
  (saga: string) =>
  ({ command, instance, reason, recorded }: Refused): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const why = kept(reason)
      const rows = yield* sql.unsafe(
        `INSERT INTO ${refusals} (saga, position, instance, event_id, event_type, stream_id, command, reason)
         VALUES ($1, $2, $3, $4::uuid, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING saga`,
        [saga, recorded.globalPosition, instance, recorded.eventId, recorded.type, recorded.streamId, command, why]
      )
      if (rows.length === 0) return
      yield* Effect.logWarning(
        `Saga ${saga}: ${JSON.stringify(instance)} refused ${command}, which ${nameOf(recorded.type)} at global ` +
          `position ${recorded.globalPosition} asks for; it is recorded, and the saga goes on`,
        why
      )
    })

/** Writes down why an input was refused once more. */
export const restate = (
  saga: string,
  { instance, position }: { readonly position: bigint; readonly instance: string },
  reason: unknown
): Effect.Effect<unknown, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.unsafe(
      `UPDATE ${refusals} SET reason = $4, refused_at = clock_timestamp()
       WHERE saga = $1 AND position = $2 AND instance = $3`,
      [saga, position, instance, kept(reason)]
    ))
