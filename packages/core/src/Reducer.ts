/**
 * A reducer is the only place where decisions and state changes live. It is pure and total: everything it wants done it
 * returns as data.
 */
import type { Meta } from "./Action.ts"
import type { Fx } from "./Fx.ts"

/** The next state, and what to do. */
export type Step<S, E = never, R = never> = readonly [state: S, effects: Fx<E, R>]

/** `S` the state, `A` the actions it understands, `E` the events it may append, `R` the reasons for which it may refuse. */
export type Reducer<S, A, E = never, R = never> = (state: S, action: A, meta: Meta) => Step<S, E, R>
