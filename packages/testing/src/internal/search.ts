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

/** How often to begin anew with an input that misses a check of its schema, before going on to the next. */
const maxDiscards = 100

const tooFew = (made: number, runs: number): Error =>
  new Error(
    `Only ${made} of ${runs} inputs could be generated: the others missed a check of their schema each time. ` +
      `Say where better ones come from: { arbitraries: … }, with the constructors of effect/Arbitrary.`
  )

/**
 * An input for which `flawOf` says something; nothing when all that were tried are good. Inputs grow from small ones to
 * the given size.
 */
export const search = <A, F, R = never>(
  inputs: Arbitrary.Arbitrary<A>,
  flawOf: (input: A) => Effect.Effect<F | undefined, never, R>,
  { runs = 100, seed = 0 }: Search,
  size: number
): Effect.Effect<Found<A, F> | undefined, never, R> => {
  const property = (input: A) =>
    Effect.flatMap(
      flawOf(input),
      (flaw): Effect.Effect<boolean, Reported<F>> => flaw === undefined ? Effect.succeed(true) : Effect.fail({ flaw })
    )
  return Effect.gen(function*() {
    let made = 0
    // Each input is a check of its own: in one that grows them itself, one size that no input can have ends it all.
    for (let run = 1; run <= runs; run++) {
      const result = yield* Arbitrary.checkEffect<A, Reported<F>, R>(inputs, property, {
        runs: 1,
        seed: `${seed}/${run}`,
        size: Math.ceil(size * run / runs),
        maxDiscards,
        maxShrinks
      })
      if (result._tag === "Falsified" && result.failure._tag === "PropertyError") {
        return { input: result.shrunkInput, flaw: result.failure.error.flaw, runs: run, seed }
      }
      if (result._tag === "Passed") made += 1
    }
    if (made < runs / 2) return yield* Effect.die(tooFew(made, runs))
    return undefined
  })
}

/** The same for what needs no runtime. */
export const searchSync = <A, F>(
  inputs: Arbitrary.Arbitrary<A>,
  flawOf: (input: A) => F | undefined,
  how: Search,
  size: number
): Found<A, F> | undefined => Effect.runSync(search(inputs, (input) => Effect.sync(() => flawOf(input)), how, size))
