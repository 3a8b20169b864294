/**
 * Effect descriptions: what a reducer wants done, as plain data.
 *
 * Because no description holds a function, two are equal exactly when they mean the same, a test can compare and print
 * them, and a store can keep them. Only the {@link Store} interprets them.
 */

/** Do nothing. */
export interface None {
  readonly _tag: "None"
}

/** Append events to the aggregate instance's own stream, at the version of the state that decided it. */
export interface Append<out E> {
  readonly _tag: "Append"
  readonly events: readonly [E, ...ReadonlyArray<E>]
}

/** Refuse the command, with the reason. */
export interface Reject<out R> {
  readonly _tag: "Reject"
  readonly reason: R
}

/** An effect description: `E` the events it may append, `R` the reasons with which it may refuse. */
export type Fx<E = never, R = never> = None | Append<E> | Reject<R>

/** Any effect description. */
export type AnyFx = Fx<unknown, unknown>

/** The reasons with which a description may refuse. */
export type ReasonOf<F extends AnyFx> = F extends Reject<infer R> ? R : never

/** Does nothing: the command is accepted and there is nothing to record. */
export const none: None = Object.freeze({ _tag: "None" })

/**
 * Appends events, in the order given, all or none.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 *
 * Fx.append({ _tag: "Opened" }) // => { _tag: "Append", events: [{ _tag: "Opened" }] }
 * ```
 */
export const append = <const E, const Rest extends ReadonlyArray<unknown>>(
  first: E,
  ...rest: Rest
): Append<E | Rest[number]> => ({ _tag: "Append", events: [first, ...rest] })

/**
 * Refuses the command. The reason is a plain tagged record, so that the caller can tell reasons apart and tests can
 * compare them.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 *
 * Fx.reject({ _tag: "AlreadyOpen" }) // => { _tag: "Reject", reason: { _tag: "AlreadyOpen" } }
 * ```
 */
export const reject = <const R extends { readonly _tag: string }>(reason: R): Reject<R> => ({ _tag: "Reject", reason })
