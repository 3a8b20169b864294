/**
 * What a worker tells the metrics of the effects that it carries out.
 */
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"

const claimed = Metric.counter("composable_effects_claimed", {
  description: "Stored effects that workers began, every attempt counted, by kind",
  incremental: true
})
const ended = Metric.counter("composable_effects_ended", {
  description:
    "Attempts at stored effects that ended, by kind and how: completed, retried, dead, or lost to another worker",
  incremental: true
})
const overdue = Metric.gauge("composable_effects_overdue", {
  description: "For how many milliseconds the stored effect is due that is due for longest, by worker"
})

/** How an attempt ended. */
export type Ended = "completed" | "retried" | "dead" | "lost"

/** Updates them. They are plain calls: an effect may be shorter than one of their own. */
export interface EffectMetrics {
  readonly claimed: (kind: string) => void
  readonly ended: (kind: string, how: Ended) => void
  readonly overdue: (milliseconds: number) => void
}

/** The metrics of a worker, in the registry of the context. */
export const make = (worker: string, context: Context.Context<never>): EffectMetrics => {
  const counters = new Map<string, (count: number) => void>()
  const counter = (metric: Metric.Counter<number>, attributes: Readonly<Record<string, string>>) => {
    const key = Object.values(attributes).join(" ")
    const known = counters.get(key)
    if (known !== undefined) return known
    const own = Metric.withAttributes(metric, attributes)
    const update = (count: number) => own.updateUnsafe(count, context)
    counters.set(key, update)
    return update
  }
  const age = Metric.withAttributes(overdue, { worker })
  return {
    claimed: (kind) => counter(claimed, { kind })(1),
    ended: (kind, how) => counter(ended, { kind, how })(1),
    overdue: (milliseconds) => age.updateUnsafe(milliseconds, context)
  }
}
