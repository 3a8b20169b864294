/**
 * What an instrumented reducer's store tells of every action: to the log, the tracer and the metrics.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Metric from "effect/Metric"
import * as Fx from "../Fx.ts"

const reduced = Metric.counter("composable_actions_reduced", {
  description: "Actions reduced, by feature and action",
  incremental: true
})
const duration = Metric.timer("composable_reduce_duration", { description: "Time to reduce an action, by feature" })

/** One reduction. */
export interface Reduction {
  readonly feature: string
  readonly action: string
  readonly before: unknown
  readonly after: unknown
  readonly effects: Fx.AnyFx
  readonly millis: number
}

/** Tells of a reduction. */
export const tell = ({ action, after, before, effects, feature, millis }: Reduction): Effect.Effect<void> =>
  Effect.gen(function*() {
    yield* Metric.update(Metric.withAttributes(reduced, { feature, action }), 1)
    yield* Metric.update(Metric.withAttributes(duration, { feature }), Duration.millis(millis))
    yield* Effect.logDebug(`${feature} reduced ${action}`).pipe(
      Effect.annotateLogs({
        changed: changes(before, after).join(", ") || "nothing",
        effects: Fx.render(effects),
        millis
      })
    )
  }).pipe(Effect.withSpan(`${feature}.${action}`, { attributes: { "composable.reduce.millis": millis } }))

/** The places of a state that differ, such as `cart.lines`: as deep as plain records and maps go. */
export const changes = (before: unknown, after: unknown, place = ""): ReadonlyArray<string> => {
  if (Object.is(before, after)) return []
  const was = members(before)
  const is = members(after)
  if (was === undefined || is === undefined) return [place === "" ? "state" : place]
  const keys = new Set([...was.keys(), ...is.keys()])
  return [...keys].flatMap((key) => changes(was.get(key), is.get(key), place === "" ? key : `${place}.${key}`))
}

const members = (value: unknown): ReadonlyMap<string, unknown> | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  if (HashMap.isHashMap(value)) return new Map([...value].map(([key, element]) => [String(key), element]))
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? new Map(Object.entries(value)) : undefined
}
