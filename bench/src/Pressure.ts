/**
 * What a piece of work does to its own process: time spent collecting garbage, and how late the event loop got round to
 * a timer. A throughput that blocks the loop for long is dearly bought.
 */
import * as Effect from "effect/Effect"
import { monitorEventLoopDelay, PerformanceObserver } from "node:perf_hooks"
import { setTimeout } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

/** What one round of work did to the process. */
export interface Pressure {
  /** The share of the time that went into collecting garbage, from 0 to 1. */
  readonly gcShare: number
  /** The 99th percentile of the event loop's delay, in milliseconds. */
  readonly loopDelayP99: number
}

const resolution = 2

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Measures the pressure while the effect runs. It begins with a clean heap, so that nobody pays for others' garbage. */
export const during = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<readonly [A, Pressure], E, R> =>
  Effect.scoped(Effect.gen(function*() {
    collectGarbage()
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
    // The timer must be ticking, or work that never yields would pass between two ticks unseen.
    yield* Effect.promise(() => setTimeout(3 * resolution))
    delay.reset()
    const start = performance.now()
    const result = yield* work
    const end = performance.now()
    // Both are told of late: after the loop has come round again.
    yield* Effect.promise(() => setTimeout(3 * resolution))
    const collecting = collections
      .filter(({ startTime }) => startTime >= start && startTime < end)
      .reduce((sum, { duration }) => sum + duration, 0)
    return [result, {
      gcShare: collecting / (end - start),
      loopDelayP99: Math.max(0, delay.percentile(99) / 1e6 - resolution)
    }]
  }))
