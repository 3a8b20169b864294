/**
 * What the live stores under test have in common: they wait for rest, remember what came back and what went wrong, and
 * see to it that nothing of it is left unsaid.
 */
import type { Problem } from "@composable-ts/core/StoreError"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { differences, equal } from "./differences.ts"
import { isLike, likeOf } from "./likeness.ts"
import * as Rest from "./Rest.ts"
import { UnderWay } from "./UnderWay.ts"

/**
 * A claim of a test does not hold, or the test has left something unsaid. The message says what happened, the likely
 * cause and the way out. Test runners show `expected` and `actual` as a diff.
 */
export class ClaimBroken extends Schema.TaggedError<ClaimBroken>()("ClaimBroken", {
  message: Schema.String,
  expected: Schema.Unknown,
  actual: Schema.Unknown
}) {}

/** Something that came back to the store. */
export interface Came {
  /** In words. */
  readonly what: string
  /** The action that started what sent it. */
  readonly by: string
}

/** A problem that nobody has claimed yet. */
interface Trouble {
  readonly problem: Problem
  readonly by: string | undefined
}

export const inline = (value: unknown): string => Formatter.format(value)
const block = (value: unknown): string => Formatter.format(value, { space: 2 })
const listed = (lines: ReadonlyArray<string>): string =>
  lines.map((line) => `  - ${line.replaceAll("\n", "\n    ")}`).join("\n")
const because = (by: string | undefined): string => by === undefined ? "" : `, started by ${by}`

export const broken = (message: string, expected?: unknown, actual?: unknown): Effect.Effect<never, ClaimBroken> =>
  Effect.fail(new ClaimBroken({ message, expected, actual }))

/** Succeeds when two values are equal by structure; says otherwise where they differ, and how that comes. */
export const claimEqual = (
  what: string,
  { actual, expected, hint }: { readonly expected: unknown; readonly actual: unknown; readonly hint: string }
): Effect.Effect<void, ClaimBroken> =>
  equal(expected, actual) ? Effect.void : broken(
    `Not ${what} that the test expects:\n${
      differences(expected, actual).map((line) => `  ${line}`).join("\n")
    }\nexpected: ${block(expected)}\nactual:   ${block(actual)}\n${hint}`,
    expected,
    actual
  )

/** The same for a value of which only a part is said. */
export const claimLike = (
  what: string,
  { actual, expected, hint }: { readonly expected: unknown; readonly actual: unknown; readonly hint: string }
): Effect.Effect<void, ClaimBroken> =>
  isLike(expected, actual)
    ? Effect.void
    : claimEqual(what, { expected, actual: likeOf(expected, actual), hint })

/** The clock of the calling fiber must be one that a test moves. */
const requireTestClock = Effect.flatMap(Clock.Clock, (clock) =>
  "adjust" in clock ? Effect.void : Effect.die(
    new TypeError(
      "A TestStore was made under the live clock, on which it would have to wait for real time. " +
        "Use it.effect of @effect/vitest, or provide TestClock.layer() of effect/testing."
    )
  ))

/** A store at work under a test. */
export class TestBench<C extends Came> {
  readonly underWay = new UnderWay()
  /** Whether the test says only what it chooses to, and not all there is. */
  readonly partial: boolean
  readonly #rest: Rest.Rest
  readonly #came: Array<C> = []
  readonly #troubles: Array<Trouble> = []
  #finished = false
  /** What is under way that only the store knows of. */
  #others: Effect.Effect<number> = Effect.succeed(0)
  #left = false

  constructor(rest: Rest.Rest, partial: boolean) {
    this.#rest = rest
    this.partial = partial
  }

  static readonly make = <C extends Came>(partial: boolean): Effect.Effect<TestBench<C>, never, Scope.Scope> =>
    Effect.andThen(requireTestClock, Effect.map(Rest.make, (rest) => new TestBench<C>(rest, partial)))

  /** From now on, to the end of the scope, problems are collected; at its end nothing may be left. */
  watch(problems: Stream.Stream<Problem>, inFlight: Effect.Effect<number>): Effect.Effect<void, never, Scope.Scope> {
    this.#others = inFlight
    const collect = Stream.runForEach(problems, (problem) =>
      Effect.sync(() => {
        this.#troubles.push({ problem, by: this.#causeOf(problem) })
      }))
    return Effect.andThen(
      Effect.forkScoped(collect, { startImmediately: true }),
      // A test that has failed already says why itself.
      Effect.addFinalizer((exit) => Exit.isSuccess(exit) && !this.#finished ? Effect.orDie(this.finish) : Effect.void)
    )
  }

  /** An effect that waits for something outside of the test's clock. */
  outside<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.#rest.outside(effect)
  }

  observing<R>(context: Context.Context<R>): Context.Context<R> {
    return this.underWay.observing(context)
  }

  came(step: C): void {
    this.#came.push(step)
  }

  /** Takes out what was taken, or turned out not to have come. */
  retract(step: C): void {
    const index = this.#came.indexOf(step)
    if (index !== -1) this.#came.splice(index, 1)
  }

  /** Waits until what can run has run. */
  readonly settle: Effect.Effect<void, ClaimBroken> = Effect.suspend(() =>
    Effect.flatMap(this.#rest.reached, (reached) =>
      reached ? Effect.void : broken(
        `The store does not come to rest: something runs on and on.\n${this.#describeRunning()}` +
          "Likely a handler repeats without a pause, or two actions send each other in turn. " +
          "Pause with Effect.sleep, or end the repetition."
      ))
  )

  advance(duration: Duration.Input): Effect.Effect<void, ClaimBroken> {
    return Effect.andThen(TestClock.adjust(duration), this.settle)
  }

  /** Before anything else is sent, what came back is to be received. */
  readonly nothingWaits: Effect.Effect<void, ClaimBroken> = Effect.suspend(() =>
    this.partial || this.#came.length === 0 ? Effect.void : broken(
      `Something came back that the test has not received:\n${this.#describeCame()}\n` +
        "Receive it before the next send, or `skip` it."
    )
  )

  /**
   * The next that came back, among those that have an order; in a partial test, the first of them that fits. Those before
   * it are passed over then.
   */
  next(
    { among, expected, fits }: {
      readonly among: (step: C) => boolean
      readonly fits: (step: C) => boolean
      readonly expected: string
    }
  ): Effect.Effect<C, ClaimBroken> {
    return Effect.andThen(
      this.settle,
      Effect.suspend(() => {
        const ordered = this.#came.filter(among)
        const step = this.partial ? ordered.find(fits) : ordered[0]
        if (step !== undefined) {
          for (const taken of ordered.slice(0, ordered.indexOf(step) + 1)) this.retract(taken)
          return Effect.succeed(step)
        }
        return broken(
          `${expected} was to come back, and ${this.#came.length === 0 ? "nothing" : "only something else"} has.\n` +
            (this.#came.length === 0 ? "" : `${this.#describeCame()}\n`) +
            this.#describeRunning() + this.#describeTroubles() + this.#waysToCome()
        )
      })
    )
  }

  problem(like: unknown): Effect.Effect<void, ClaimBroken> {
    return Effect.andThen(
      this.settle,
      Effect.suspend(() => {
        const index = this.#troubles.findIndex(({ problem }) => isLike(like, problem))
        if (index === -1) {
          return broken(
            `A problem like ${inline(like)} was to be reported, and ${
              this.#troubles.length === 0 ? "none has been" : "only others have been"
            }.\n${this.#describeTroubles()}${this.#describeRunning()}` +
              "Likely the effect has not run yet, which `advance` would let it, or it succeeded after all."
          )
        }
        this.#troubles.splice(index, 1)
        return Effect.void
      })
    )
  }

  readonly skip: Effect.Effect<ReadonlyArray<C>, ClaimBroken> = Effect.andThen(
    this.settle,
    Effect.sync(() => this.#came.splice(0))
  )

  readonly leave: Effect.Effect<void, ClaimBroken> = Effect.andThen(
    Effect.suspend(() => this.settle),
    Effect.sync(() => {
      this.underWay.forget()
      this.#left = true
    })
  )

  /** Nothing has come that was not received, nothing is under way, nothing has gone wrong unheard. */
  get finish(): Effect.Effect<void, ClaimBroken> {
    const others = this.#others
    return Effect.gen({ self: this }, function*() {
      this.#finished = true
      yield* this.settle
      const inFlight = yield* others
      const unnamed = this.#left ? 0 : inFlight
      const { partial } = this
      const running = this.underWay.running.length
      const parts = [
        this.#came.length === 0 || partial ?
          "" :
          `Came back and was not received:\n${this.#describeCame()}\n` +
          "Receive each, in this order; `skip` them if they are of no interest.\n",
        (running === 0 && unnamed === 0) || partial ?
          "" :
          (running > 0
            ? this.#describeRunning()
            : `Under way: ${unnamed} effects that are no tasks, sources or timers.\n`) +
          "Advance the clock until they end, send what cancels them, or `leave` them under way.\n",
        this.#troubles.length === 0 ?
          "" :
          `${this.#describeTroubles()}Claim a problem with \`problem\` if it is meant to happen.\n`
      ].filter((part) => part !== "")
      if (parts.length > 0) {
        return yield* broken(`The test ends, and has left something unsaid.\n${parts.join("")}`.trimEnd())
      }
    })
  }

  #describeCame(): string {
    return listed(this.#came.map(({ by, what }) => `${what}${because(by)}`))
  }

  #describeRunning(): string {
    const { running } = this.underWay
    return running.length === 0
      ? ""
      : `Under way:\n${listed(running.map(({ by, what }) => `${what}${because(by)}`))}\n`
  }

  #describeTroubles(): string {
    return this.#troubles.length === 0
      ? ""
      : `Went wrong, and nobody claims it:\n${
        listed(this.#troubles.map(({ by, problem }) => `${problem._tag}${because(by)}: ${problem.message}`))
      }\n`
  }

  #waysToCome(): string {
    if (this.#troubles.length > 0) return "Likely the problem kept it from coming: mend it, or claim it with `problem`."
    const { running } = this.underWay
    if (running.some(({ kind }) => kind === "timer")) return "Likely it is not due yet: `advance` the clock."
    return running.length > 0
      ? "Likely its handler waits for the clock, which `advance` moves, or for something outside the test, " +
        "which a handler that answers at once would replace."
      : "Nothing is under way, so nothing will come. Likely the action before did not ask for it, or it was received already."
  }

  #causeOf(problem: Problem): string | undefined {
    return problem._tag === "TaskDefect" ? this.underWay.startedBy(problem.task, problem.input) : undefined
  }
}
