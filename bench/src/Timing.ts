/**
 * Loops that do something over and over for a given time. The floor's are plain promises: it must not pay for a runtime
 * that it does not use.
 */
import * as Effect from "effect/Effect"
import { quantile } from "./Statistics.ts"

/** How often something was done in a given time. */
export interface Rate {
  readonly count: number
  readonly perSecond: number
}

/** The rate of so many in the time since `start`, a reading of `performance.now()`. */
export const rate = (count: number, start: number): Rate => ({
  count,
  perSecond: count / (performance.now() - start) * 1_000
})

/** Each call's duration in milliseconds. */
export type Durations = ReadonlyArray<number>

/** The duration that half of the calls stay below. */
export const p50 = (durations: Durations): number => quantile(durations, 0.5)

/** The duration that all but one in a hundred stay below. */
export const p99 = (durations: Durations): number => quantile(durations, 0.99)

/** Calls one after the other for so long, at least once. */
export const sequence = <E, R>(
  milliseconds: number,
  call: (index: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<Durations, E, R> =>
  Effect.gen(function*() {
    const durations: Array<number> = []
    const deadline = performance.now() + milliseconds
    do {
      const start = performance.now()
      yield* call(durations.length)
      durations.push(performance.now() - start)
    } while (performance.now() < deadline)
    return durations
  })

/** Like {@link sequence}, with promises. */
export const sequenceAsync = async (
  milliseconds: number,
  call: (index: number) => Promise<unknown>
): Promise<Durations> => {
  const durations: Array<number> = []
  const deadline = performance.now() + milliseconds
  do {
    const start = performance.now()
    await call(durations.length)
    durations.push(performance.now() - start)
  } while (performance.now() < deadline)
  return durations
}

/** So many callers at once, each calling one after the other for so long, at least once. */
export const crowd = <E, R>(
  milliseconds: number,
  callers: number,
  call: (caller: number, index: number) => Effect.Effect<unknown, E, R>
): Effect.Effect<Rate, E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    const deadline = start + milliseconds
    let count = 0
    return Effect.forEach(numbers(callers), (caller) =>
      Effect.gen(function*() {
        let index = 0
        do {
          yield* call(caller, index++)
          count++
        } while (performance.now() < deadline)
      }), { concurrency: "unbounded", discard: true }).pipe(Effect.map(() => rate(count, start)))
  })

/** Like {@link crowd}, with promises. */
export const crowdAsync = async (
  milliseconds: number,
  callers: number,
  call: (caller: number, index: number) => Promise<unknown>
): Promise<Rate> => {
  const start = performance.now()
  const deadline = start + milliseconds
  let count = 0
  await Promise.all(
    numbers(callers).map(async (caller) => {
      let index = 0
      do {
        await call(caller, index++)
        count++
      } while (performance.now() < deadline)
    })
  )
  return rate(count, start)
}

/** The numbers from 0, so many. */
export const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, number) => number)
