/**
 * Metrics that are updated by plain calls, where what they tell of is too short for an effect of their own.
 */
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"

/** Binds metrics to the registry of a context, with these attributes. */
export const binding =
  (context: Context.Context<never>, attributes: Readonly<Record<string, string>>) =>
  <Input, State>(metric: Metric.Metric<Input, State>): (input: Input) => void => {
    const own = Metric.withAttributes(metric, attributes)
    return (input) => own.updateUnsafe(input, context)
  }
