/**
 * Completes claims in groups: those that come while some are being completed go together next.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { type ClaimRef, idempotencyKey, type OutboxError, type Service, StaleClaim } from "../Outbox.ts"

type Completed = Effect.Effect<void, StaleClaim | OutboxError>

interface Waiting {
  readonly claim: ClaimRef
  readonly resume: (completed: Completed) => void
}

/** As many as one statement completes. */
const most = 1_000

export class Completions {
  readonly #outbox: Pick<Service, "complete">
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  #waiting: Array<Waiting> = []
  #underWay = false

  constructor(outbox: Pick<Service, "complete">, fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>) {
    this.#outbox = outbox
    this.#fork = fork
  }

  /** Completes a claim. Once it is under way, it cannot be taken back. */
  complete(claim: ClaimRef): Completed {
    return Effect.uninterruptible(Effect.callback((resume) => {
      this.#waiting.push({ claim, resume })
      if (this.#underWay) return
      this.#underWay = true
      this.#fork(this.#drain)
    }))
  }

  readonly #drain: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    // What is done in this very turn is completed together.
    yield* Effect.yieldNow
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, most)
      const exit = yield* Effect.exit(Effect.result(this.#outbox.complete(group.map(({ claim }) => claim))))
      for (const { claim, resume } of group) resume(outcomeOf(claim, exit))
    }
    this.#underWay = false
  })
}

const outcomeOf = (
  claim: ClaimRef,
  exit: Exit.Exit<Result.Result<void, StaleClaim | OutboxError>>
): Completed => {
  if (Exit.isFailure(exit)) return Effect.failCause(exit.cause)
  if (Result.isSuccess(exit.value)) return Effect.void
  const { failure } = exit.value
  if (!(failure instanceof StaleClaim)) return Effect.fail(failure)
  const key = idempotencyKey(claim)
  const entries = failure.entries.filter((entry) => idempotencyKey(entry) === key)
  return entries.length === 0 ? Effect.void : Effect.fail(new StaleClaim({ entries }))
}
