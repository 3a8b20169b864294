/**
 * The search for an input that has a flaw, and for a smaller one that has it still.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"

/** How to search. */
export interface Search {
  /** How many inputs to try. */
  readonly runs?: number | undefined
  /**
   * Where to begin: the same seed tries the same inputs. Default 0, so that a test that passes keeps passing; a nightly run
   * may give another each time.
   */
  readonly seed?: string | number | undefined
}

/** An input with a flaw. */
export interface Found<out A, out F> {
  /** The smallest found. */
  readonly input: A
  readonly flaw: F
  /** How many inputs were tried until the first with the flaw. */
  readonly runs: number
  readonly seed: string | number
}

/** A flaw on its way through the search, which knows failures only. */
interface Reported<out F> {
  readonly flaw: F
}

/** Enough for histories of twenty commands with records of some size. Each candidate costs one more evaluation. */
const maxShrinks = 5000

/** An input for which `flawOf` says something; nothing when all that were tried are good. */
export const search = <A, F, R = never>(
  inputs: Arbitrary.Arbitrary<A>,
  flawOf: (input: A) => Effect.Effect<F | undefined, never, R>,
  { runs, seed = 0 }: Search,
  size: number
): Effect.Effect<Found<A, F> | undefined, never, R> =>
  Effect.flatMap(
    Arbitrary.checkEffect<A, Reported<F>, R>(
      inputs,
      (input) =>
        Effect.flatMap(flawOf(input), (flaw) => flaw === undefined ? Effect.succeed(true) : Effect.fail({ flaw })),
      { runs, seed, size, maxShrinks }
    ),
    (result) => {
      switch (result._tag) {
        case "Passed":
          return Effect.undefined
        case "Falsified":
          return result.failure._tag === "PropertyError"
            ? Effect.succeed({ input: result.shrunkInput, flaw: result.failure.error.flaw, runs: result.runs, seed })
            : Effect.die(new Error("a property that only fails has returned false"))
        default:
          return Effect.die(new Error(Arbitrary.formatCheckFailure(result)))
      }
    }
  )

/** The same for what needs no runtime. */
export const searchSync = <A, F>(
  inputs: Arbitrary.Arbitrary<A>,
  flawOf: (input: A) => F | undefined,
  how: Search,
  size: number
): Found<A, F> | undefined => Effect.runSync(search(inputs, (input) => Effect.sync(() => flawOf(input)), how, size))
