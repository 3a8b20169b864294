/**
 * What a store's appends tell the metrics.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Metric from "effect/Metric"
import { binding } from "./boundMetric.ts"

const groupSize = Metric.histogram("composable_append_group_size", {
  description: "Appends in one commit, by schema",
  boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 12 })
})
const queued = Metric.gauge("composable_append_queued", { description: "Appends that wait for a commit, by schema" })
const duration = Metric.timer("composable_append_duration", {
  description: "Time from an append's submission to its outcome, waiting included, by schema"
})
const conflicts = Metric.counter("composable_append_conflicts", {
  description: "Appends whose stream stood elsewhere than expected, by schema",
  incremental: true
})
const duplicates = Metric.counter("composable_append_duplicates", {
  description: "Appends that an earlier one with the same command id had stored, by schema",
  incremental: true
})
const resends = Metric.counter("composable_append_resends", {
  description: "Groups sent again, after a lost connection or a failure that passes, by schema",
  incremental: true
})
const overloads = Metric.counter("composable_append_overloads", {
  description: "Appends refused because the queue was full, by schema",
  incremental: true
})

/** Updates them. They are plain calls: an append is too short for an effect of their own. */
export interface AppendMetrics {
  readonly grouped: (size: number, waiting: number) => void
  readonly completed: (milliseconds: number) => void
  readonly conflict: () => void
  readonly duplicate: () => void
  readonly resend: () => void
  readonly overload: () => void
}

/** The metrics of the store on this schema, in the registry of the context. */
export const make = (schema: string, context: Context.Context<never>): AppendMetrics => {
  const of = binding(context, { schema })
  const size = of(groupSize)
  const waits = of(queued)
  const lasted = of(duration)
  const count = (metric: Metric.Counter<number>) => {
    const update = of(metric)
    return () => update(1)
  }
  return {
    grouped: (members, waiting) => {
      size(members)
      waits(waiting)
    },
    completed: (milliseconds) => lasted(Duration.millis(milliseconds)),
    conflict: count(conflicts),
    duplicate: count(duplicates),
    resend: count(resends),
    overload: count(overloads)
  }
}
