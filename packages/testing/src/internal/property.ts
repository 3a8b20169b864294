/**
 * A property: something that must hold whatever the input.
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"

/** Fails with the smallest input found for which the property fails or throws. */
export const holdsForAll = <A, E, R>(
  inputs: Arbitrary.Arbitrary<A>,
  property: (input: A) => Effect.Effect<void, E, R>,
  runs: number
): Effect.Effect<void, Error, R> =>
  Effect.flatMap(
    Arbitrary.checkEffect(
      inputs,
      (input) =>
        Effect.as(Effect.catchDefect(Effect.suspend(() => property(input)), (defect) => Effect.fail(defect)), true),
      { runs }
    ),
    (result) => {
      const failure = Arbitrary.formatCheckFailure(result)
      return failure === undefined ? Effect.void : Effect.fail(new Error(failure))
    }
  )
