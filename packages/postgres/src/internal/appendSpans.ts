/**
 * How the spans of appends and of the commits that they share find each other.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** The span that the fiber is in; none when nobody traces. */
export const spanOf = (fiber: Fiber.Fiber<unknown, unknown>): Tracer.AnySpan | undefined =>
  fiber.getRef(Tracer.Tracer) === Tracer.nativeTracer
    ? undefined
    : Option.getOrUndefined(Context.getOption(fiber.context, Tracer.ParentSpan))

/** Puts a commit into a span of its own, with a link to each append whose span is known. */
export const commitSpan = (
  commands: ReadonlyArray<{ readonly span: Tracer.AnySpan | undefined }>,
  commit: Effect.Effect<void>
): Effect.Effect<void> => {
  const links = commands.flatMap(({ span }) => span === undefined ? [] : [{ span, attributes: {} }])
  return links.length === 0
    ? commit
    : Effect.withSpan(commit, "EventStore.commit", {
      root: true,
      links,
      attributes: { "composable.size": commands.length }
    })
}
