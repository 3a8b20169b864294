/**
 * The end of all work: every saga has ended, and no effect is left.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import { Outbox } from "@composable-ts/core/Outbox"
import * as SagaStatus from "@composable-ts/projections/SagaStatus"
import { Clock, Effect } from "effect"

/** For how long the log may stand still, in milliseconds, with nothing that is to happen later, before nobody waits. */
export const patience = 90_000

const look = (saga: SagaStatus.Watched) =>
  Effect.gen(function*() {
    const { dead, ended, open, refused } = yield* SagaStatus.of(saga, "1 minute")
    const outbox = yield* Outbox
    const counts = yield* outbox.counts
    const left = counts.reduce((sum, { claimed, delayed, due }) => sum + due + delayed + claimed, 0)
    const { next } = yield* outbox.agenda(counts.map(({ kind }) => kind))
    const { head } = yield* (yield* EventStore).readAll({ after: 0n, limit: 1 })
    return { dead, ended, head, left, next, open, refused }
  })

/**
 * Waits until so many instances of a saga have ended and no effect is left, and says what is wrong then: what was given
 * up, or refused; or, when the log stands still before, what has not ended.
 */
export const settled = (saga: SagaStatus.Watched, count: number) =>
  Effect.gen(function*() {
    let moved = { at: yield* Clock.currentTimeMillis, head: -1n }
    while (true) {
      const { dead, ended, head, left, next, open, refused } = yield* look(saga)
      const wrong = [
        ...dead > 0 ? [`${dead} effects of ${saga.name} were given up`] : [],
        ...refused > 0 ? [`${refused} inputs of ${saga.name} were refused`] : []
      ]
      if (ended >= count && open === 0 && left === 0) return wrong
      const now = yield* Clock.currentTimeMillis
      // A timer or a retry that is to come is nothing to worry about.
      if (head > moved.head || (next ?? 0) > 0) moved = { at: now, head }
      if (now - moved.at > patience) {
        return [
          ...wrong,
          `${ended} of ${count} have ended, ${open} are open and ${left} effects are left, and nothing moves`
        ]
      }
      yield* Effect.sleep("200 millis")
    }
  })
