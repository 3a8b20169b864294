/**
 * What a piece of work does to its own process: time spent collecting garbage, and how late the event loop got round to
 * a timer. A throughput that blocks the loop for long is dearly bought.
 */
import * as Effect from "effect/Effect"
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks"
import { setTimeout } from "node:timers/promises"
import * as Garbage from "./Garbage.ts"

/** What one round of work did to the process. */
export interface Pressure {
  /** How long it lasted, in milliseconds. */
  readonly elapsed: number
  /** How much of that went into collecting garbage, in milliseconds. */
  readonly collecting: number
  /** The 99th percentile of the event loop's delay, in milliseconds. */
  readonly loopDelayP99: number
}

const resolution = 2

/** Measures the pressure while the effect runs. It begins with a clean heap, so that nobody pays for others' garbage. */
export const during = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, Pressure], E, R> =>
  Effect.scoped(Effect.gen(function*() {
    Garbage.collect()
    const collections: Array<PerformanceEntry> = []
    const observer = new PerformanceObserver((list) => void collections.push(...list.getEntries()))
    const delay = monitorEventLoopDelay({ resolution })
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        observer.observe({ entryTypes: ["gc"] })
        delay.enable()
      }),
      () =>
        Effect.sync(() => {
          observer.disconnect()
          delay.disable()
        })
    )
    // The timer must have ticked: it tells how late it is by its last tick, so before the first it sees nothing.
    yield* Effect.promise(() => setTimeout(3 * resolution))
    const start = performance.now()
    const result = yield* work
    const end = performance.now()
    // Both are told of late: after the loop has come round again.
    yield* Effect.promise(() => setTimeout(3 * resolution))
    const collecting = collections
      .filter(({ startTime }) => startTime >= start && startTime < end)
      .reduce((sum, { duration }) => sum + duration, 0)
    return [result, {
      elapsed: end - start,
      collecting,
      loopDelayP99: Math.max(0, delay.percentile(99) / 1e6 - resolution)
    }]
  }))
