/**
 * The erasure of streams.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import {
  type AppendError,
  type CommandIdConflict,
  type EventStoreError,
  StreamTombstoned,
  VersionConflict
} from "@composable-ts/core/EventStoreError"
import * as Tombstone from "@composable-ts/core/Tombstone"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as AppendStatement from "./appendStatement.ts"
import * as Database from "./Database.ts"
import { resend } from "./sendGroup.ts"
import { failed } from "./sqlFailure.ts"
import * as TombstoneStatement from "./tombstoneStatement.ts"
import { isTransient } from "./transient.ts"
import type { Writing } from "./writing.ts"

/**
 * Tombstones are rare, and each may have much to erase, so each goes alone. Sending one again is as safe as sending an
 * append again; once it was sent, its outcome is waited for.
 */
export const makeTombstone = (
  { call, client, patience, schema, storedBy }: Writing
): EventStore.Operations["tombstone"] => {
  const text = TombstoneStatement.text(schema)

  const known = (
    { context: { commandId }, parts: [{ eventIds, streamId }] }: AppendStatement.Command
  ): Effect.Effect<EventStore.AppendResult, CommandIdConflict | EventStoreError> =>
    Effect.flatMap(storedBy(commandId), (events) =>
      Effect.fromResult(
        Result.map(EventStore.firstTombstone(commandId, streamId, events), (first) => ({
          ...first,
          duplicate: events[0]?.eventId !== eventIds[0]
        }))
      ))

  const send = (command: AppendStatement.Command): Effect.Effect<EventStore.AppendResult, AppendError> =>
    call(text, TombstoneStatement.parameters(command)).pipe(
      Effect.retry({ schedule: resend(patience), while: isTransient }),
      Database.outsideTransaction(client),
      Effect.mapError(failed("tombstone")),
      Effect.flatMap(([row]): Effect.Effect<EventStore.AppendResult, AppendError> => {
        const answer = TombstoneStatement.answer(row as unknown as TombstoneStatement.Row)
        const { expected, streamId } = command.parts[0]
        switch (answer._tag) {
          case "Stored":
            return Effect.succeed(answer.result)
          case "Known":
            return known(command)
          case "Conflict":
            return Effect.fail(new VersionConflict({ streamId, expected, actual: answer.actual }))
          case "Tombstoned":
            return Effect.fail(new StreamTombstoned({ streamId, version: answer.version }))
        }
      }),
      Effect.uninterruptible
    )

  return (streamId, expected, context) =>
    Effect.clockWith((clock): Effect.Effect<EventStore.AppendResult, AppendError> => {
      const appends = [{ streamId, expected, events: [Tombstone.encode(context.reason)] }] as const
      const time = clock.currentTimeMillisUnsafe()
      const command = AppendStatement.command(appends, context, {
        maxRowBytes: Database.maxMessageSize(client),
        time,
        span: undefined
      })
      return Result.isSuccess(command) ? send(command.success) : Effect.fail(command.failure)
    })
}
