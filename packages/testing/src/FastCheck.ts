/**
 * Arbitraries of fast-check, for those who have some: they take their place among those of Effect, in `ModelTest`, in
 * `Laws` and wherever else an `Arbitrary` is asked for, and are shrunk by fast-check's own rules.
 *
 * This package does not depend on fast-check: its `sample` is all that is needed of it.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/** Which value to make: what fast-check's `sample` takes. */
export interface Draw {
  readonly seed: number
  /** The steps from the value of the seed to a simpler one, as fast-check writes them: `0:2:1`. */
  readonly path: string
  readonly numRuns: 1
}

const isDraw = (value: unknown): value is Draw => typeof value === "object" && value !== null && "path" in value

const root = (seed: number): Draw => ({ seed, path: "0", numRuns: 1 })

/** Draws are made of seeds alone; those further down their trees come about by shrinking. */
const Draws = Schema.declare(isDraw, {
  toCodecArbitrary: () =>
    Schema.link<Draw>()(Schema.Int.check(Schema.isInt32()), {
      decode: SchemaGetter.transform(root),
      encode: SchemaGetter.transform(({ seed }) => seed)
    })
})

/** How many simpler values to look at. fast-check lists the simplest first. */
const breadth = 64

const simpler = (sample: (draw: Draw) => ReadonlyArray<unknown>, { path, seed }: Draw): ReadonlyArray<Draw> => {
  const draws: Array<Draw> = []
  for (let i = 0; i < breadth; i++) {
    const draw: Draw = { seed, path: `${path}:${i}`, numRuns: 1 }
    // There are no more.
    if (sample(draw).length === 0) break
    draws.push(draw)
  }
  return draws
}

/**
 * An arbitrary of fast-check as one of Effect. `sample` makes the value of a draw.
 *
 * @example
 * ```ts no-run
 * import * as FastCheck from "@composable-ts/testing/FastCheck"
 * import * as fc from "fast-check"
 *
 * export const emails = FastCheck.arbitrary((draw) => fc.sample(fc.emailAddress(), draw))
 * ```
 */
export const arbitrary = <A>(sample: (draw: Draw) => ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(
    Arbitrary.schema(Draws, { shrink: (draw) => simpler(sample, draw) }),
    (draw) => sample(draw)[0] as A
  )
