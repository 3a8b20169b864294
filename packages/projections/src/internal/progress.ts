/**
 * How far read models are, told to whoever waits for it: in this process directly, in others by NOTIFY.
 *
 * A notification for every commit would be a second statement for each, and a look of everybody who listens; what that
 * costs the server was lost in the noise when it was measured. It is sent only while somebody waits. Who waits looks at the checkpoint, and when that is not far enough says so to all who
 * work ({@link waiting}), again in every second; a process that works remembers it for {@link remembered}. It is exact:
 *
 * - *What is committed after the process has heard of the wait* is announced.
 * - *What was committed before*, and not announced, is announced when it hears of it. What was announced before was so
 *   either after the wait had begun, and then woke it, or before its look, which then saw it.
 *
 * What is lost with a connection is made up for: when a process begins to listen again it announces whatever moved, and
 * takes everything to be waited for, for as long as it would remember. And who waits looks in every second.
 *
 * The notification goes out behind the commit and not with it: PostgreSQL commits transactions that notify one after the
 * other, and those of the appends with them. What was committed meanwhile is announced together.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Lease from "../Lease.ts"
import { keyOf, partKey } from "./assignment.ts"
import { patiently } from "./failures.ts"
import { schema } from "./schema.ts"

/** Where everybody is told that a subscriber's checkpoint moved; the payload names the subscriber. */
export const channel = `${schema}_progress`

/** As much of a text as a notification carries in any case. */
const short = (text: string): string => text.slice(0, 1_000)

/** What is announced of a subscriber. */
export const payloadOf = (subscriber: Lease.Subscriber): string => short(keyOf(subscriber))

/** What is waited for when it is not known yet which version serves. */
export const servingOf = (name: string): string => short(`${name} serving`)

/** What to wait for that a move of this subscriber may bring, by what is announced of it. */
export const awaitedBy = (payload: string): ReadonlyArray<string> => [
  payload,
  servingOf(payload.replace(/ v\d+$/, ""))
]

/** How long a process remembers that something is waited for, in milliseconds. */
const remembered = 3_000

/** How often to say that one still waits, in milliseconds. */
const repeated = 900

/** How a notification on the channel of the leases begins that says what is waited for. */
const prefix = "waits for "

/** What a notification on the channel of the leases says to be waited for. */
export const awaitedIn = (payload: string): string | undefined =>
  payload.startsWith(prefix) ? payload.slice(prefix.length) : undefined

/** Says that something is waited for; to be called behind each look that was in vain. Says it only when it is due. */
export const waiting = (client: PgClient): (awaited: string) => Effect.Effect<void, SqlError> => {
  const said = new Map<string, number>()
  return (awaited) =>
    Effect.clockWith((clock) => {
      const now = clock.currentTimeMillisUnsafe()
      if (now - (said.get(awaited) ?? -Infinity) < repeated) return Effect.void
      for (const [each, at] of said) if (now - at >= repeated) said.delete(each)
      return Effect.map(
        client.unsafe("SELECT pg_notify($1, $2)", [Lease.channel, prefix + awaited]),
        () => void said.set(awaited, now)
      )
    })
}

/** What this process knows. */
export interface Progress {
  /** Tells that a checkpoint of a part that this process holds has moved there. */
  readonly moved: (held: Lease.Held, position: bigint) => void
  /** Tells that this process does not hold the part any more. */
  readonly left: (part: Lease.Part) => void
  /** How far a part is that this process holds. */
  readonly positionOf: (part: Lease.Part) => bigint | undefined
  /** Has a function called after each move in this process, until the scope closes. */
  readonly onMove: (wake: () => void) => Effect.Effect<void, never, Scope.Scope>
  /** Tells that this is waited for; `undefined`: that it is not known what is. */
  readonly awaited: (what: string | undefined) => void
}

/** Begins to announce, through a client, what moves and is waited for. */
export const make = (client: PgClient): Effect.Effect<Progress, never, Scope.Scope> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const positions = new Map<string, bigint>()
    const watchers = new Set<() => void>()
    /** Until when something is waited for. */
    const until = new Map<string, number>()
    let everythingUntil = now() + remembered
    /** What has moved since it was announced last. */
    const moved = new Set<string>()
    const calls = yield* Queue.sliding<void>(1)

    const isAwaited = (payload: string): boolean => {
      const at = now()
      return at < everythingUntil || awaitedBy(payload).some((each) => at < (until.get(each) ?? 0))
    }
    const due = () => [...moved].filter(isAwaited)

    const announce = Effect.suspend(() => {
      const subscribers = due()
      if (subscribers.length === 0) return Effect.void
      for (const each of subscribers) moved.delete(each)
      return Effect.tapError(
        client.unsafe("SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name", [channel, subscribers]),
        () => Effect.sync(() => subscribers.forEach((each) => moved.add(each)))
      )
    })
    yield* Effect.addFinalizer(() =>
      due().length === 0 ? Effect.void : announce.pipe(
        Effect.interruptible,
        Effect.timeoutOption("1 second"),
        Effect.catchCause((cause) => Effect.logDebug("The last moves of checkpoints were not announced", cause))
      )
    )
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(Queue.take(calls), patiently("Announcement of progress")(announce))).pipe(
        Effect.catchCause((cause) => Effect.logError("Moves of checkpoints are not announced any more", cause))
      )
    )
    return {
      moved: (held, position) => {
        positions.set(partKey(held), position)
        const payload = payloadOf(held)
        moved.add(payload)
        if (isAwaited(payload)) Queue.offerUnsafe(calls, undefined)
        for (const wake of watchers) wake()
      },
      left: (part) => void positions.delete(partKey(part)),
      positionOf: (part) => positions.get(partKey(part)),
      onMove: (wake) =>
        Effect.acquireRelease(
          Effect.sync(() => void watchers.add(wake)),
          () => Effect.sync(() => watchers.delete(wake))
        ),
      awaited: (what) => {
        const at = now()
        for (const [each, end] of until) if (end < at) until.delete(each)
        if (what === undefined) everythingUntil = at + remembered
        else until.set(what, at + remembered)
        if (moved.size > 0) Queue.offerUnsafe(calls, undefined)
      }
    }
  })
