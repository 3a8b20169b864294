/**
 * What befalls the programs of a system while it works: workers are killed, stopped or suspended, providers stand still.
 */
import { Effect, Latch, Random } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type { EndedByItself, Program } from "./Program.ts"

/** What may befall a worker, and for how many milliseconds it is away then, at least and at most. */
export interface Fate {
  readonly name: "killed" | "stopped" | "suspended"
  readonly away: readonly [least: number, most: number]
}

/** How often what befell workers, and how often a provider stood still. */
export interface Toll extends Readonly<Record<Fate["name"], number>> {
  readonly stalls: number
}

/** Whom it befalls. */
export interface Victims {
  /** One of the fates befalls them every few seconds, one or all of them. */
  readonly workers: NonEmptyReadonlyArray<Program>
  readonly fates: NonEmptyReadonlyArray<Fate>
  /** Stand still for a second now and then. */
  readonly providers: ReadonlyArray<Program>
  /** The same fates for the same seed; their moments differ. */
  readonly seed: number
}

/** A worker is killed, and started again at once. */
export const killed: Fate = { name: "killed", away: [0, 0] }

const befall = (worker: Program, name: Fate["name"], millis: number): Effect.Effect<void, EndedByItself> => {
  switch (name) {
    case "killed":
      return worker.kill(millis)
    case "stopped":
      return worker.stop(millis)
    case "suspended":
      return worker.stall(millis)
  }
}

/**
 * Has the work done amid all that. It is given an effect to run when it is under way, with which the workers' fates begin,
 * so that there is something to interrupt, however little work there is. Fails when a program ends by itself.
 */
export const during = <A, E, R>(
  { fates, providers, seed, workers }: Victims,
  work: (underWay: Effect.Effect<void>) => Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Toll], E | EndedByItself, R> =>
  Effect.gen(function*() {
    const toll = { killed: 0, stopped: 0, suspended: 0, stalls: 0 }
    const isUnderWay = Latch.makeUnsafe()

    const befalling = Effect.gen(function*() {
      yield* isUnderWay.await
      while (true) {
        const doomed = (yield* Random.nextIntBetween(1, 5)) === 1 ? workers : [yield* Random.choice(workers)]
        const { away: [least, most], name } = yield* Random.choice(fates)
        const millis = yield* Random.nextIntBetween(least, most)
        toll[name] += doomed.length
        // Whoever has been ended is started again, or there would be fewer and fewer.
        yield* Effect.uninterruptible(
          Effect.forEach(doomed, (worker) => befall(worker, name, millis), { concurrency: "unbounded", discard: true })
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

    const all = [
      Random.withSeed(befalling, seed),
      ...providers.map((provider, index) => Random.withSeed(stalling(provider), seed + index + 1)),
      ...[...workers, ...providers].map(({ watched }) => watched)
    ]
    const result = yield* Effect.raceFirst(
      work(isUnderWay.open),
      Effect.andThen(Effect.all(all, { concurrency: "unbounded", discard: true }), Effect.never)
    )
    return [result, toll] as const
  })
