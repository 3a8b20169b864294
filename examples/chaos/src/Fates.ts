/**
 * What befalls the programs of a system while it works: workers are killed, providers stand still.
 */
import { Effect, Latch, Random } from "effect"
import type { EndedByItself, Program } from "./Program.ts"

/** How often what befell them. */
export interface Toll {
  readonly kills: number
  readonly stalls: number
}

/** Whom it befalls. */
export interface Victims {
  /** Killed by SIGKILL every few seconds, one or all of them, and started again. */
  readonly workers: readonly [Program, ...ReadonlyArray<Program>]
  /** Stand still for a second now and then. */
  readonly providers: ReadonlyArray<Program>
  /** The same fates for the same seed; their moments differ. */
  readonly seed: number
}

/**
 * Has the work done amid all that. It is given an effect to run when it is under way, with which killing begins, so that
 * there is something to interrupt, however little work there is. Fails when a program ends by itself.
 */
export const during = <A, E, R>(
  { providers, seed, workers }: Victims,
  work: (underWay: Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Toll], E | EndedByItself, R> =>
  Effect.gen(function*() {
    const toll = { kills: 0, stalls: 0 }
    const isUnderWay = Latch.makeUnsafe()

    const killing = Effect.gen(function*() {
      yield* isUnderWay.await
      while (true) {
        const doomed = (yield* Random.nextIntBetween(1, 5)) === 1 ? workers : [yield* Random.choice(workers)]
        toll.kills += doomed.length
        // Whoever has been killed is started again, or there would be fewer and fewer.
        yield* Effect.uninterruptible(
          Effect.forEach(doomed, ({ kill }) => kill, { concurrency: "unbounded", discard: true })
        )
        yield* Effect.sleep(yield* Random.nextIntBetween(500, 4_000))
      }
    })
    const stalling = ({ stall }: Program) =>
      Effect.gen(function*() {
        while (true) {
          yield* Effect.sleep(yield* Random.nextIntBetween(1_000, 10_000))
          toll.stalls += 1
          yield* stall(yield* Random.nextIntBetween(200, 1_000))
        }
      })

    const fates = [
      Random.withSeed(killing, seed),
      ...providers.map((provider, index) => Random.withSeed(stalling(provider), seed + index + 1)),
      ...[...workers, ...providers].map(({ watched }) => watched)
    ]
    const result = yield* Effect.raceFirst(
      work(isUnderWay.open),
      Effect.andThen(Effect.all(fates, { concurrency: "unbounded", discard: true }), Effect.never)
    )
    return [result, toll] as const
  })
