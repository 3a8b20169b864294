/**
 * Sends a group until the outcome of each member is known.
 *
 * Sending again is safe at any time: the log knows a command by its id. So a lost connection, whatever had reached the
 * server, is resolved by asking again.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { SqlError } from "effect/sql/SqlError"
import { isTooMuch, isTransient } from "./transient.ts"

/** How long to try to find out what became of what was sent. Taken from the context in which the store is made. */
export const Patience: Context.Reference<Duration.Input> = Context.Reference(
  "@composable-ts/postgres/sendGroup/Patience",
  {
    defaultValue: (): Duration.Input => "10 seconds"
  }
)

/** When to send again what a lost connection or a passing failure left unanswered, until patience ends. */
export const resend = (patience: Duration.Input) =>
  Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("500 millis")]).pipe(
    Schedule.jittered,
    Schedule.upTo({ duration: patience })
  )

/** How a group is sent, and what becomes of its members. */
export interface Sending<Member, Answer> {
  readonly patience: Duration.Input
  /** Stores what the members ask for, or nothing; an answer for each. */
  readonly send: (members: ReadonlyArray<Member>) => Effect.Effect<ReadonlyArray<Answer>, SqlError>
  readonly answered: (member: Member, answer: Answer) => void
  readonly failed: (member: Member, cause: Cause.Cause<SqlError>) => void
}

/** Most first attempts succeed, so a schedule is only set up when one has failed, which then counts. */
const persistently = <A>(
  patience: Duration.Input,
  attempt: Effect.Effect<A, SqlError>,
  mayPass: (error: SqlError) => boolean
): Effect.Effect<A, SqlError> =>
  Effect.catchIf(attempt, mayPass, (error) => {
    let next: Effect.Effect<A, SqlError> = Effect.fail(error)
    const attempts = Effect.suspend(() => {
      const current = next
      next = attempt
      return current
    })
    return Effect.retry(attempts, { schedule: resend(patience), while: mayPass })
  })

/**
 * A group that fails as a whole is halved, and so on, so that what spoils it fails alone and all else is stored: be it
 * one member that the database refuses, or too much for the time or room that it gives a statement. No culprit is looked
 * for when the database stays away: all would wait for each. A full disk is such a case: whichever member met it first,
 * the others need room as well, and it may be made any moment. So the whole group waits, and fails together.
 */
export const sendGroup = <Member, Answer>(
  { answered, failed, patience, send }: Sending<Member, Answer>,
  group: ReadonlyArray<Member>
): Effect.Effect<void> => {
  let away: Cause.Cause<SqlError> | undefined

  const fail = (members: ReadonlyArray<Member>, cause: Cause.Cause<SqlError>) =>
    Effect.sync(() => members.forEach((member) => failed(member, cause)))

  const sendPart = (members: ReadonlyArray<Member>): Effect.Effect<void> => {
    if (away !== undefined) return fail(members, away)
    // A part of a group has been given its chance to pass by itself, and others wait behind it.
    const isWhole = members === group
    const mayPass = (error: SqlError) => isTransient(error) && !(isTooMuch(error) && (members.length > 1 || !isWhole))
    return Effect.matchCauseEffect(persistently(patience, send(members), mayPass), {
      onSuccess: (answers) => Effect.sync(() => answers.forEach((answer, i) => answered(members[i]!, answer))),
      onFailure: (cause) => {
        const error = Option.getOrUndefined(Cause.findErrorOption(cause))
        if (error !== undefined && isTransient(error) && !isTooMuch(error)) away = cause
        if (away !== undefined || members.length === 1) return fail(members, cause)
        const half = members.length >> 1
        return Effect.andThen(
          sendPart(members.slice(0, half)),
          Effect.suspend(() => sendPart(members.slice(half)))
        )
      }
    })
  }
  return Effect.suspend(() => sendPart(group))
}
