/**
 * What the work on a part of a projection tells the metrics. `docs/projections.md` lists them.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type { Part } from "../Lease.ts"

const by = "by projection, version and partition"

const running = Metric.gauge("composable_projection_running", {
  description: `1 while this process works on it, 0 when it has ceased to, ${by}`
})
const takeOvers = Metric.counter("composable_projection_takeovers", {
  description: `How often this process has begun to work on it, ${by}`,
  incremental: true
})
const waiting = Metric.gauge("composable_projection_waiting", {
  description: `1 while it waits for a database that is away, ${by}`
})
const restarts = Metric.counter("composable_projection_restarts", {
  description: `How often it has begun again at its checkpoint after a database was away, ${by}`,
  incremental: true
})
const failures = Metric.counter("composable_projection_failures", {
  description: `How often it has stopped in this process, by error, and ${by}`,
  incremental: true
})
const lastError = Metric.gauge("composable_projection_last_error_timestamp_seconds", {
  description: `When it stopped last by this kind of failure in this process, since 1970, ${by}`
})
const parkedStreams = Metric.gauge("composable_projection_parked_streams", {
  description: `Streams that are parked, as of this process's last heartbeat, ${by}`
})
const lagEvents = Metric.gauge("composable_projection_lag_events", {
  description: `Positions of the log behind its checkpoint, as of its last batch, ${by}`
})
const lagSeconds = Metric.gauge("composable_projection_lag_seconds", {
  description: `Age of the first event of its last batch when that was read; 0 at the log's end, ${by}`
})
const events = Metric.counter("composable_projection_events", {
  description: `Events applied and committed, ${by}`,
  incremental: true
})
const batchSize = Metric.histogram("composable_projection_batch_size", {
  description: `Events in one transaction, ${by}`,
  boundaries: Metric.exponentialBoundaries({ start: 1, factor: 2, count: 12 })
})
const batchDuration = Metric.timer("composable_projection_batch_duration", {
  description: `Time for one transaction, handlers included, ${by}`
})

/** A batch that was committed. */
export interface Batch {
  readonly events: number
  readonly milliseconds: number
  /** How many positions the log goes on behind it. */
  readonly left: bigint
  /** How old its first event was when it was taken up, in milliseconds, if it held one. */
  readonly age: number | undefined
}

/** Updates them. They are plain calls. */
export interface WorkerMetrics {
  readonly begun: () => void
  readonly ceased: () => void
  /** By which error, and what kind of failure that is at bottom. */
  readonly failed: (error: string, kind: string) => void
  readonly isWaiting: () => boolean
  readonly waiting: () => void
  /** The work begins again at the checkpoint, or for the first time. */
  readonly follows: () => void
  readonly applied: (batch: Batch) => void
  /** The log's end is reached. */
  readonly caughtUp: () => void
}

const attributesOf = ({ name, partition, version }: Part) => ({
  projection: name,
  version: `${version}`,
  partition: `${partition}`
})

/** Tells how many streams of a part are parked. */
export const parked = (part: Part, streams: number): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(parkedStreams, attributesOf(part)), streams)

/** The metrics of a part, in the registry of the context. */
export const make = (
  part: Part,
  context: Context.Context<never>
): WorkerMetrics => {
  const attributes = attributesOf(part)
  const of = <Input, State>(metric: Metric.Metric<Input, State>) => {
    const own = Metric.withAttributes(metric, attributes)
    return (input: Input) => own.updateUnsafe(input, context)
  }
  const [isRunning, begins, isWaiting, restarted] = [of(running), of(takeOvers), of(waiting), of(restarts)]
  const [behind, late, count, size, lasted] = [
    of(lagEvents),
    of(lagSeconds),
    of(events),
    of(batchSize),
    of(batchDuration)
  ]
  let wasAway = false
  return {
    begun: () => {
      isRunning(1)
      isWaiting(0)
      begins(1)
    },
    ceased: () => {
      isRunning(0)
      isWaiting(0)
    },
    failed: (error, kind) => {
      Metric.withAttributes(failures, { ...attributes, error }).updateUnsafe(1, context)
      const now = Context.get(context, Clock.Clock).currentTimeMillisUnsafe() / 1_000
      Metric.withAttributes(lastError, { ...attributes, kind }).updateUnsafe(now, context)
    },
    isWaiting: () => wasAway,
    waiting: () => {
      wasAway = true
      isWaiting(1)
    },
    follows: () => {
      if (wasAway) restarted(1)
      wasAway = false
      isWaiting(0)
    },
    applied: ({ age, events, left, milliseconds }) => {
      behind(Number(left))
      if (age !== undefined) late(Math.max(0, age) / 1_000)
      count(events)
      size(events)
      lasted(Duration.millis(milliseconds))
    },
    caughtUp: () => {
      behind(0)
      late(0)
    }
  }
}
