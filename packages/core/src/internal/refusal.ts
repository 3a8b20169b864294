/**
 * An aggregate's refusal, marked. Its reasons are its own, of whatever shape, the tag of one of our errors among them: so
 * it is the store that says what is a refusal, and nobody guesses by what it looks like.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"

const IsRefusal: Context.Reference<boolean> = Context.Reference("@composable-ts/core/internal/refusal", {
  defaultValue: () => false
})

const mark = Context.make(IsRefusal, true)

/** Fails with an aggregate's reason. */
export const refuse = <R>(reason: R): Effect.Effect<never, R> =>
  Effect.failCause(Cause.annotate(Cause.fail(reason), mark))

/** The reason of a refusal; nothing where something else went wrong. */
export const reasonOf = (cause: Cause.Cause<unknown>): Option.Option<unknown> =>
  Context.get(Cause.annotations(cause), IsRefusal) ? Cause.findErrorOption(cause) : Option.none()
