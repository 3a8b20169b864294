/**
 * How far read models are, told to whoever waits for it: in this process directly, in others by NOTIFY.
 *
 * The notification goes out behind the commit and not with it: PostgreSQL commits transactions that notify one after the
 * other, and those of the appends with them. What was committed meanwhile is announced together. A process that dies in
 * between announces nothing, so who waits also looks from time to time.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { Held, Part, Subscriber } from "../Lease.ts"
import { keyOf, partKey } from "./assignment.ts"
import { patiently } from "./failures.ts"
import { schema } from "./schema.ts"

/** Where everybody is told that a subscriber's checkpoint moved; the payload names the subscriber. */
export const channel = `${schema}_progress`

/** What is announced of a subscriber. */
export const payloadOf = (subscriber: Subscriber): string => keyOf(subscriber).slice(0, 1_000)

/** What this process knows. */
export interface Progress {
  /** Tells that a checkpoint of a part that this process holds has moved there. */
  readonly moved: (held: Held, position: bigint) => void
  /** Tells that this process does not hold the part any more. */
  readonly left: (part: Part) => void
  /** How far a part is that this process holds. */
  readonly positionOf: (part: Part) => bigint | undefined
  /** Has a function called after each move in this process, until the scope closes. */
  readonly onMove: (wake: () => void) => Effect.Effect<void, never, Scope.Scope>
}

/** Begins to announce what moves, through a client. */
export const make = (client: PgClient): Effect.Effect<Progress, never, Scope.Scope> =>
  Effect.gen(function*() {
    const positions = new Map<string, bigint>()
    const watchers = new Set<() => void>()
    const due = new Set<string>()
    const calls = yield* Queue.sliding<void>(1)

    const announce = Effect.suspend(() => {
      const subscribers = [...due]
      due.clear()
      return client.unsafe("SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name", [
        channel,
        subscribers
      ])
    })
    yield* Effect.addFinalizer(() =>
      due.size === 0 ? Effect.void : announce.pipe(
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
        due.add(payloadOf(held))
        Queue.offerUnsafe(calls, undefined)
        for (const wake of watchers) wake()
      },
      left: (part) => void positions.delete(partKey(part)),
      positionOf: (part) => positions.get(partKey(part)),
      onMove: (wake) =>
        Effect.acquireRelease(
          Effect.sync(() => void watchers.add(wake)),
          () => Effect.sync(() => watchers.delete(wake))
        )
    }
  })
