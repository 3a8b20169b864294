/**
 * What reading an event store tells the tracer and the metrics. Spans are made only where a tracer is installed.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type { LogPage, Operations } from "../EventStore.ts"
import { EventStoreError } from "../EventStoreError.ts"
import { inLess } from "../LogRead.ts"
import type { RecordedEvent } from "../RecordedEvent.ts"
import * as TraceContext from "../TraceContext.ts"

type Attributes = Readonly<Record<string, unknown>>

const eventsRead = Metric.counter("composable_events_read", {
  description: "Events read from the store, by operation",
  incremental: true
})
const lag = Metric.gauge("composable_subscription_lag", {
  description: "How many positions of the log a subscription had yet to read when it last read, by subscription"
})

const traced = <A, E>(
  effect: Effect.Effect<A, E>,
  { after, before, name }: {
    readonly name: string
    readonly before: () => Attributes
    readonly after: (result: A) => Attributes
  }
): Effect.Effect<A, E> =>
  Effect.withFiber((fiber) =>
    TraceContext.isTraced(fiber.context)
      ? Effect.useSpan(name, { kind: "client", attributes: before() }, (span) =>
        Effect.tap(Effect.withParentSpan(effect, span), (result) =>
          Effect.sync(() => {
            for (const [key, value] of Object.entries(after(result))) span.attribute(key, value)
          })))
      : effect
  )

const counting = (operation: string) => {
  const metric = Metric.withAttributes(eventsRead, { operation })
  return (events: ReadonlyArray<RecordedEvent>) => Metric.update(metric, events.length)
}

const countRead = counting("read")
const countReadAll = counting("readAll")
const countSubscribed = counting("subscribe")

const pageAttributes = ({ events, head, position }: LogPage): Attributes => ({
  "composable.count": events.length,
  "composable.position": position,
  "composable.head": head
})

/** Reads of a stream. */
export const read = (read: Operations["read"]): Operations["read"] => (streamId, options) =>
  traced(read(streamId, options), {
    name: "EventStore.read",
    before: () => ({
      "composable.stream": streamId,
      "composable.from": options?.from ?? 0,
      "composable.direction": options?.direction ?? "forwards"
    }),
    after: (events) => ({ "composable.count": events.length })
  }).pipe(Effect.tap(countRead))

/** Reads of the log. */
export const readAll = (readAll: Operations["readAll"]): Operations["readAll"] => (options) =>
  traced(readAll(options), {
    name: "EventStore.readAll",
    before: () => ({ "composable.after": options.after, "composable.limit": options.limit }),
    after: pageAttributes
  }).pipe(Effect.tap(({ events }) => countReadAll(events)))

/** While the store is away there is nothing to do but to wait for it, and not all at the same moment. */
const outage = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")]).pipe(Schedule.jittered)

const passes = (error: unknown): boolean => error instanceof EventStoreError && error.retryable

const betweenWarnings = 10_000

/** For one subscription: however often the store goes and comes, the log is not flooded. */
const patiently = (name: string) => {
  let lastWarning = -Infinity
  return <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      let warned = false
      const warn = (error: E) =>
        Effect.clockWith((clock) => {
          const now = clock.currentTimeMillisUnsafe()
          if (!passes(error) || now - lastWarning < betweenWarnings) return Effect.void
          lastWarning = now
          warned = true
          return Effect.logWarning(`Subscription ${name} waits for the store`, error)
        })
      return effect.pipe(
        Effect.tapError(warn),
        Effect.retry({ schedule: outage, while: passes }),
        Effect.tap(() => warned ? Effect.logInfo(`Subscription ${name} goes on`) : Effect.void)
      )
    })
}

/** Pages of the log for a subscription, which waits for a store that is away. */
export const subscribe = (name: string, operation: Operations["readAll"]): Operations["readAll"] => {
  const readAll = inLess(operation)
  const patient = patiently(name)
  const subscriptionLag = Metric.withAttributes(lag, { subscription: name })
  return (options) =>
    traced(readAll(options), {
      name: "EventStore.subscribe",
      before: () => ({ "composable.subscription": name, "composable.after": options.after }),
      after: pageAttributes
    }).pipe(
      patient,
      Effect.tap(({ events, head, position }) =>
        Effect.andThen(countSubscribed(events), Metric.update(subscriptionLag, Number(head - position)))
      )
    )
}
