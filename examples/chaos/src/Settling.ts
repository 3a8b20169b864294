/**
 * The end of all work: every saga has ended, and no effect is left.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as SagaStatus from "@composable-ts/projections/SagaStatus"
import { Clock, Effect } from "effect"

/** For how long the log may stand still, in milliseconds, before nobody waits for it any more. */
export const patience = 90_000

const look = (saga: SagaStatus.Watched) =>
  Effect.gen(function*() {
    const { dead, ended, open, refused } = yield* SagaStatus.of(saga, "1 minute")
    const left = (yield* (yield* Outbox).counts).reduce((sum, kind) => sum + kind.due + kind.delayed + kind.claimed, 0)
    const { head } = yield* (yield* EventStore).readAll({ after: 0n, limit: 1 })
    return { dead, ended, head, left, open, refused }
  })

/**
 * Waits until so many instances of a saga have ended and no effect is left, and says what is wrong then: what was given
 * up, or refused; or, when the log stands still before, what has not ended.
 */
export const settled = (saga: SagaStatus.Watched, count: number) =>
  Effect.gen(function*() {
    let moved = { at: yield* Clock.currentTimeMillis, head: -1n }
    while (true) {
      const { dead, ended, head, left, open, refused } = yield* look(saga)
      const wrong = [
        ...dead > 0 ? [`${dead} effects of ${saga.name} were given up`] : [],
        ...refused > 0 ? [`${refused} inputs of ${saga.name} were refused`] : []
      ]
      if (ended >= count && open === 0 && left === 0) return wrong
      const now = yield* Clock.currentTimeMillis
      if (head > moved.head) moved = { at: now, head }
      if (now - moved.at > patience) {
        return [
          ...wrong,
          `${ended} of ${count} have ended, ${open} are open and ${left} effects are left, and nothing moves`
        ]
      }
      yield* Effect.sleep("200 millis")
    }
  })
