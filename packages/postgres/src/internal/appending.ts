/**
 * Appends in groups: one statement and one commit for all that wait.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import {
  type AppendError,
  type CommandIdConflict,
  type EventStoreError,
  Overloaded,
  StreamTombstoned,
  VersionConflict
} from "@composable-ts/core/EventStoreError"
import { StaleClaim } from "@composable-ts/core/Outbox"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Codec from "../Codec.ts"
import type * as AppendMetrics from "./AppendMetrics.ts"
import { commitSpan, spanOf } from "./appendSpans.ts"
import * as AppendStatement from "./appendStatement.ts"
import * as Database from "./Database.ts"
import * as GroupCommit from "./GroupCommit.ts"
import { sendGroup } from "./sendGroup.ts"
import { failed } from "./sqlFailure.ts"
import type { Writing } from "./writing.ts"

/** How appends are grouped into commits, and what happens when the database is slower than the callers. */
export interface AppendLimits {
  /** The most appends in one commit. Default 128. */
  readonly groupSize?: number | undefined
  /** The most that the events of one commit weigh, in characters of JSON or bytes of MessagePack; a heavier append goes alone. Default 4 Mi. */
  readonly groupWeight?: number | undefined
  /** How many appends may be under way or waiting. Default 10 000. */
  readonly capacity?: number | undefined
  /**
   * What becomes of an append beyond the capacity: it waits for its turn (the default), or fails at once with
   * `Overloaded`, for callers who would rather turn work away than let it pile up.
   */
  readonly whenFull?: "wait" | "fail" | undefined
}

type Appended = NonEmptyReadonlyArray<EventStore.AppendResult>
type AppendFailure = VersionConflict | StreamTombstoned | CommandIdConflict | StaleClaim | Overloaded | EventStoreError
type Submission = GroupCommit.Submission<AppendStatement.Command, Appended, AppendFailure>

/** One group is stored by the server while the answers to the other are dealt with here. */
export const groupsUnderWay = 2

/** What a commit costs whatever it holds is worth about as much as this many appends cost the client. */
const smallestShare = 16

/** About what an append takes client and server in milliseconds, each for itself. */
const appendTime = 0.04

const limits = (
  { capacity = 10_000, groupSize = 128, groupWeight = 4 * 1024 * 1024 }: AppendLimits
): GroupCommit.Limits<AppendStatement.Command> => ({
  size: groupSize,
  weight: groupWeight,
  weigh: (command) => command.weight,
  key: (command) => command.context.commandId,
  capacity,
  share: smallestShare,
  worth: appendTime,
  lanes: groupsUnderWay
})

/** A limit that is none, if there is one. */
export const badLimit = ({ capacity = 1, groupSize = 1, groupWeight = 1 }: AppendLimits): string | undefined =>
  Object.entries({ capacity, groupSize, groupWeight }).find(([, limit]) => !(Number.isSafeInteger(limit) && limit > 0))
    ?.join(" of ")

interface Appending extends Writing {
  readonly codec: Codec.Codec | undefined
  readonly limits: AppendLimits
  readonly metrics: AppendMetrics.AppendMetrics
}

/** Appends, in groups, and how many there are to do. */
export const makeAppend = (
  { call, client, codec, limits: given, metrics, patience, schema, storedBy }: Appending
) => {
  const statement = AppendStatement.make(schema)
  const maxRowBytes = Database.maxMessageSize(client)

  const send = (commands: ReadonlyArray<AppendStatement.Command>) => {
    const { answers, parameters, text } = statement(commands)
    return Effect.map(call(text, parameters), ([row]) => answers(row!))
  }

  /** The outcome of a command whose id the log knows: stored by an earlier command, or by ours before its answer was lost. */
  const known = ({ context, parts }: AppendStatement.Command): Effect.Effect<Appended, AppendFailure> =>
    Effect.flatMap(storedBy(context.commandId), (events) => {
      const duplicate = events[0]?.eventId !== parts[0].eventIds[0]
      const first = EventStore.firstOutcomes(context, parts.map(AppendStatement.sent), events)
      if (duplicate && Result.isSuccess(first)) metrics.duplicate()
      return Effect.fromResult(
        Result.map(first, (results) => results.map((result) => ({ ...result, duplicate })) as unknown as Appended)
      )
    })

  const outcome = (
    command: AppendStatement.Command,
    answer: AppendStatement.Answer
  ): Effect.Effect<Appended, AppendFailure> => {
    switch (answer._tag) {
      case "Stored":
        return Effect.succeed(answer.results)
      case "Known":
        return known(command)
      case "Conflict": {
        metrics.conflict()
        const { expected, streamId } = command.parts[answer.part]!
        return Effect.fail(new VersionConflict({ streamId, expected, actual: answer.actual }))
      }
      case "Tombstoned": {
        const { streamId } = command.parts[answer.part]!
        return Effect.fail(new StreamTombstoned({ streamId, version: answer.version }))
      }
      case "Stale": {
        const { settles = [] } = command.context
        return Effect.fail(
          new StaleClaim({ entries: settles.map(({ globalPosition, index }) => ({ globalPosition, index })) })
        )
      }
    }
  }

  const flush = (group: ReadonlyArray<Submission>): Effect.Effect<void> => {
    const sending = sendGroup<Submission, AppendStatement.Answer>({
      patience,
      send: (members) => {
        let tries = 0
        const statement = send(members.map(({ input }) => input))
        return Effect.suspend(() => {
          if (tries++ > 0) metrics.resend()
          return statement
        })
      },
      answered: ({ complete, input }, answer) => complete(outcome(input, answer)),
      failed: ({ complete }, cause) => complete(Effect.mapError(Effect.failCause(cause), failed("append")))
    }, group)
    return commitSpan(group.map(({ input }) => input), sending)
  }

  const full: GroupCommit.WhenFull<Overloaded> = {
    fail: () => {
      metrics.overload()
      return new Overloaded({ capacity: limits(given).capacity })
    }
  }
  const whenFull = given.whenFull === "fail" ? full : "wait"
  return Effect.map(
    GroupCommit.make<AppendStatement.Command, Appended, AppendFailure>(limits(given), flush, {
      whenFull,
      observer: metrics
    }),
    ({ queue, submit }) => {
      const transact: EventStore.Operations["transact"] = (appends, context) =>
        Effect.withFiber((fiber): Effect.Effect<Appended, AppendError> => {
          const time = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
          const command = AppendStatement.command(appends, context, { time, codec, maxRowBytes, span: spanOf(fiber) })
          return Result.isSuccess(command) ? submit(command.success) : Effect.fail(command.failure)
        })
      return { queue, transact }
    }
  )
}
