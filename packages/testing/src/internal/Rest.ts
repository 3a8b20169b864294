/**
 * Tells when fibers have come to rest: what can run has run, and what is left waits for the clock or for the test.
 *
 * Fibers run what their scheduler is given. A scheduler that is watched counts what it was given and has not run yet, so
 * rest is a fact and not a guess after some milliseconds. What fibers wait for outside, a database for instance, is
 * counted by who asks for it ({@link Rest.outside}).
 */
import * as Effect from "effect/Effect"
import * as Scheduler from "effect/Scheduler"
import type * as Scope from "effect/Scope"

interface Tally {
  given: number
  run: number
  users: number
}

/** Several stores of a test share its scheduler. */
const tallies = new WeakMap<Scheduler.Scheduler, Tally>()

const watch = (scheduler: Scheduler.Scheduler, original: () => Scheduler.SchedulerDispatcher): Tally => {
  const tally = tallies.get(scheduler) ?? { given: 0, run: 0, users: 0 }
  tallies.set(scheduler, tally)
  tally.users += 1
  if (tally.users === 1) scheduler.makeDispatcher = () => counting(tally, original.call(scheduler))
  return tally
}

const counting = (tally: Tally, dispatcher: Scheduler.SchedulerDispatcher): Scheduler.SchedulerDispatcher => ({
  scheduleTask: (task, priority) => {
    tally.given += 1
    dispatcher.scheduleTask(() => {
      try {
        task()
      } finally {
        tally.run += 1
      }
    }, priority)
  },
  flush: () => dispatcher.flush()
})

/**
 * A promise's answer, and what hangs on it, comes before the next turn. A fiber that was there before its scheduler was
 * watched, in the service of a handler, takes a turn for each step of its own that we do not see; these are few.
 */
const quietTurns = 50

/** Some seconds of turns without a rest: whatever goes on will not end by itself. */
const mostTurns = 200_000

export class Rest {
  readonly #tally: Tally
  #outside = 0
  #onReturn: (() => void) | undefined

  constructor(tally: Tally) {
    this.#tally = tally
  }

  /** An effect that waits for something outside: there is no rest until it has ended. */
  outside<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.#outside += 1
      return Effect.ensuring(
        effect,
        Effect.sync(() => {
          this.#outside -= 1
          this.#onReturn?.()
        })
      )
    })
  }

  /** Waits until there is rest; false when there is none to be expected. */
  readonly reached: Effect.Effect<boolean> = Effect.callback((resume) => {
    let quiet = 0
    let turns = 0
    let seen = -1
    let next: NodeJS.Immediate | undefined
    const look = () => {
      this.#onReturn = undefined
      if (this.#outside > 0) {
        quiet = 0
        this.#onReturn = again
        return
      }
      const { given, run } = this.#tally
      quiet = given === run && run === seen ? quiet + 1 : 0
      seen = run
      turns += 1
      if (quiet >= quietTurns) return resume(Effect.succeed(true))
      if (turns >= mostTurns) return resume(Effect.succeed(false))
      again()
    }
    const again = () => {
      this.#onReturn = undefined
      next = setImmediate(look)
    }
    again()
    return Effect.sync(() => {
      this.#onReturn = undefined
      clearImmediate(next)
    })
  })
}

/** Watches the scheduler of the calling fiber for the length of the scope. */
export const make: Effect.Effect<Rest, never, Scope.Scope> = Effect.gen(function*() {
  const scheduler = yield* Scheduler.Scheduler
  const original = scheduler.makeDispatcher
  const tally = yield* Effect.acquireRelease(
    Effect.sync(() => watch(scheduler, original)),
    (tally) =>
      Effect.sync(() => {
        tally.users -= 1
        if (tally.users === 0) scheduler.makeDispatcher = original
      })
  )
  return new Rest(tally)
})
