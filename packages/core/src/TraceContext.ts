/**
 * The tracing context of an append travels with its events: whoever handles one, in whatever process and however late,
 * can link its span to the one in which the event was caused.
 *
 * It stands in the events' metadata as a W3C trace parent, and only where a tracer is installed and has sampled the
 * span: who does not trace stores and pays nothing.
 */
import * as Context from "effect/Context"
import * as References from "effect/References"
import type * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import type { RecordedEvent } from "./RecordedEvent.ts"

/** The field of an event's metadata that holds the trace parent. One that the appender set is left alone. */
export const field = "traceparent"

const shape = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

const isZero = /^0+$/

/** Whether somebody looks at spans. Effect's own tracer, which is there when none is installed, shows them to nobody. */
export const isTraced = (context: Context.Context<never>): boolean =>
  Context.get(context, References.TracerEnabled) && Context.get(context, Tracer.Tracer) !== Tracer.nativeTracer

/** A span as a W3C trace parent; undefined when its ids have another form, which some tracers' have. */
export const format = ({ sampled, spanId, traceId }: Tracer.AnySpan): string | undefined => {
  const text = `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`
  return shape.test(text) ? text : undefined
}

/** The span that a W3C trace parent names; undefined for anything else. */
export const parse = (text: unknown): Tracer.ExternalSpan | undefined => {
  const [, traceId, spanId, flags] = (typeof text === "string" && shape.exec(text)) || []
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined
  if (isZero.test(traceId) || isZero.test(spanId)) return undefined
  return Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 })
}

/** The trace parent of the span that is active, if that is sampled and somebody looks at it. */
export const current = (context: Context.Context<never>): string | undefined => {
  if (!isTraced(context)) return undefined
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  if (span === undefined || !span.sampled || Context.get(span.annotations, Tracer.DisablePropagation)) return undefined
  return format(span)
}

/** The metadata with the trace parent of the span that is active, if that is sampled and somebody looks at it. */
export const annotate = (
  metadata: Schema.JsonObject,
  context: Context.Context<never>
): Schema.JsonObject => {
  if (Object.hasOwn(metadata, field)) return metadata
  const parent = current(context)
  return parent === undefined ? metadata : { ...metadata, [field]: parent }
}

/**
 * Links to the spans in which these events were caused, each once.
 *
 * @example
 * ```ts
 * import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
 * import * as TraceContext from "@composable-ts/core/TraceContext"
 * import * as Effect from "effect/Effect"
 *
 * export const handle = (event: RecordedEvent) =>
 *   Effect.log(event.type).pipe(Effect.withSpan("handle", { links: TraceContext.links([event]) }))
 * ```
 */
export const links = (events: Iterable<Pick<RecordedEvent, "metadata">>): Array<Tracer.SpanLink> => {
  const spans = new Map<unknown, Tracer.ExternalSpan>()
  for (const { metadata } of events) {
    const text = metadata[field]
    if (text === undefined || spans.has(text)) continue
    const span = parse(text)
    if (span !== undefined) spans.set(text, span)
  }
  return [...spans.values()].map((span) => ({ span, attributes: {} }))
}
