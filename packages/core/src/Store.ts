/**
 * A store owns one state. It reduces actions one at a time, in order of arrival, and interprets the effects that the
 * reducer describes. {@link aggregate} is its event-sourced sibling: the store of an aggregate's instances.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { embed, type Misdirected, type Unanswered } from "./Compose.ts"
import type * as Fx from "./Fx.ts"
import { Running } from "./internal/Running.ts"
import type { Strategy } from "./internal/Subscribers.ts"
import type { ActionOf, AnyReducer, FxOf, StateOf } from "./Reducer.ts"
import type { Problem, ReducerDefect, StoreClosed } from "./StoreError.ts"

export {
  type AggregateStore,
  type AggregateStoreOptions,
  type DispatchError,
  type DurableNeeds,
  layer,
  layerDurable,
  make as aggregate,
  makeDurable as durable,
  type Merging,
  type Outcome,
  type Overtaken,
  service
} from "./AggregateStore.ts"

/** How a subscriber follows: how much may wait for it, and what happens beyond. */
export interface Follow {
  /** How many values may wait for the subscriber. Default 16. */
  readonly capacity?: number
  /**
   * When the subscriber is slower: forget the oldest that wait (`sliding`, the default), ignore new ones (`dropping`), or
   * let those who dispatch wait (`suspend`).
   */
  readonly strategy?: Strategy
}

/** How a store is. */
export interface Health {
  readonly status: "running" | "draining" | "closed"
  /** Tasks and timers under way. */
  readonly inFlight: number
  /** Actions that wait to be reduced. */
  readonly mailbox: number
}

/** A running feature: `S` its state, `A` its actions, `R` the reasons for which it refuses one. */
export interface Store<S, A, R> {
  /**
   * Reduces an action and what it sends on, and starts what that wants done. Yields the state right after the action;
   * fails with the reducer's reason when it refuses.
   */
  readonly dispatch: (action: A) => Effect.Effect<S, R | StoreClosed | ReducerDefect>
  /**
   * Dispatches from outside of Effect, such as from an event handler of a page: reduces the action at once, or behind the
   * turn under way, and waits for nobody. What {@link dispatch} would fail with is among the {@link problems}.
   */
  readonly send: (action: A) => void
  /** Dispatches, then waits until a state fulfils the predicate, and yields that state; none when time runs out. */
  readonly dispatchAndAwait: (
    action: A,
    predicate: (state: S) => boolean,
    timeout: Duration.Input
  ) => Effect.Effect<Option.Option<S>, R | StoreClosed | ReducerDefect>
  readonly state: Effect.Effect<S>
  /** The state as it is, then every next one. */
  readonly changes: (follow?: Follow) => Stream.Stream<S>
  /** A value that follows from the state, as it is, then whenever it changes. */
  readonly select: <V>(selector: (state: S) => V, follow?: Follow) => Stream.Stream<V>
  /** Every action from now on, once it is reduced. */
  readonly actions: (follow?: Follow) => Stream.Stream<A>
  /** What went wrong where nobody waits for it, from now on. Each is logged as an error, too. */
  readonly problems: (follow?: Follow) => Stream.Stream<Problem>
  /** Waits until nothing is under way: no task, no timer. */
  readonly idle: Effect.Effect<void>
  readonly health: Effect.Effect<Health>
}

/** How a store works. */
export interface Options<S> {
  readonly initial: S
  /** How long the end of the scope waits for tasks under way before it interrupts them. Default 5 seconds. */
  readonly deadline?: Duration.Input
}

/** A reducer that a store can run: what it asks for is answered, and what it sends it understands. */
type Runnable<R extends AnyReducer> = [Unanswered<R>] extends [never]
  ? [Misdirected<R>] extends [never] ?
    [OfAggregates<FxOf<R>>] extends [never] ? [ReturnType<R>[0]] extends [StateOf<R>] ? R
      : { readonly "returns states that are not its own": Exclude<ReturnType<R>[0], StateOf<R>> }
    : { readonly "only an aggregate can have this done": OfAggregates<FxOf<R>> }
  : { readonly "sends actions that it does not understand": Misdirected<R> }
  : { readonly "tasks without outcomes (Reducer.withOutcomes)": Unanswered<R>["name"] }

/** Events belong to a stream. */
type OfAggregates<F> = [Fx.EventOf<F>] extends [never] ? never : "Append"

/**
 * Runs a reducer as a store, for as long as the scope lasts. Handlers of its tasks come from the context: a missing one
 * is a missing service, by its name.
 *
 * Effects are carried out once all that waits has been reduced, so a later cancel of the same turn wins over an earlier
 * start, and no reply overtakes it. At the end of the scope new actions are refused, timers end, tasks under way get
 * until the deadline; what did not finish is logged.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Store from "@composable-ts/core/Store"
 * import * as Effect from "effect/Effect"
 *
 * const counter = (count: number, _action: { readonly _tag: "Increment" }) => [count + 1, Fx.none] as const
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const store = yield* Store.make(counter, { initial: 0 })
 *   yield* store.dispatch({ _tag: "Increment" })
 *   return yield* store.dispatch({ _tag: "Increment" })
 * }))
 *
 * await Effect.runPromise(program) // => 2
 * ```
 */
export const make = <R extends AnyReducer>(
  reducer: R & Runnable<R>,
  options: Options<StateOf<R>>
): Effect.Effect<
  Store<StateOf<R>, ActionOf<R>, Fx.ReasonOf<FxOf<R>>>,
  never,
  Scope.Scope | Fx.NeedsOf<FxOf<R>>
> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<Fx.NeedsOf<FxOf<R>>>()
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const running = new Running<StateOf<R>, ActionOf<R>, Fx.ReasonOf<FxOf<R>>>(reducer, options.initial, context, now)
    yield* Effect.addFinalizer(() => running.close(options.deadline ?? "5 seconds"))
    return running.store
  })

/** The action of a part, in the union of the whole's actions. */
type ActionAt<A, K> = Extract<A, { readonly _tag: K }> extends infer Wrapped
  ? Wrapped extends { readonly action: infer Inner } ? Inner : never
  : never

/** The keys of parts of which there is one: their actions have no id. */
type SingleOf<A> = A extends { readonly _tag: infer K; readonly action: unknown } ?
  A extends { readonly id: unknown } ? never : K
  : never

/**
 * The store of a part of a composed feature: it sees the part's state, and dispatches the part's actions. For an element
 * of a collection see {@link scopeOne}.
 *
 * @example
 * ```ts
 * import * as Compose from "@composable-ts/core/Compose"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Store from "@composable-ts/core/Store"
 * import * as Effect from "effect/Effect"
 *
 * const counter = (count: number, _action: { readonly _tag: "Increment" }) => [count + 1, Fx.none] as const
 *
 * const program = Effect.scoped(Effect.gen(function*() {
 *   const both = yield* Store.make(Compose.compose({ left: counter, right: counter }), { initial: { left: 0, right: 0 } })
 *   return yield* Store.scope(both, "left").dispatch({ _tag: "Increment" })
 * }))
 *
 * await Effect.runPromise(program) // => 1
 * ```
 */
export const scope = <S extends object, A, R, const K extends SingleOf<A> & keyof S & string>(
  store: Store<S, A, R>,
  key: K
): Store<S[K], ActionAt<A, K>, R> => view(store, { key }, (state) => state[key])

/** The store of one element of a collection, of which there may be none. See {@link scope}. */
export const scopeOne = <S extends object, A, R, const K extends ManyOf<S>>(
  store: Store<S, A, R>,
  key: K,
  id: string
): Store<Option.Option<ElementOf<S[K]>>, ActionAt<A, K>, R> =>
  view(store, { key, id }, (state) => HashMap.get(state[key] as HashMap.HashMap<string, ElementOf<S[K]>>, id))

/** The keys of collections. */
type ManyOf<S> = {
  readonly [K in keyof S & string]: S[K] extends HashMap.HashMap<string, unknown> ? K : never
}[keyof S & string]

type ElementOf<T> = T extends HashMap.HashMap<string, infer Element> ? Element : never

const view = <S, A, R, T, B>(store: Store<S, A, R>, at: Fx.Segment, select: (state: S) => T): Store<T, B, R> => {
  const wrap = (action: B) => embed([at], action) as A
  const unwrap = (action: A): Result.Result<B, A> => {
    const { _tag, action: inner, id } = action as { readonly _tag: string; readonly id?: string; readonly action: B }
    return _tag === at.key && id === at.id ? Result.succeed(inner) : Result.fail(action)
  }
  return {
    ...store,
    dispatch: (action) => Effect.map(store.dispatch(wrap(action)), select),
    send: (action) => store.send(wrap(action)),
    dispatchAndAwait: (action, predicate, timeout) =>
      Effect.map(
        store.dispatchAndAwait(wrap(action), (state) => predicate(select(state)), timeout),
        Option.map(select)
      ),
    state: Effect.map(store.state, select),
    changes: (how) => store.select(select, how),
    select: (selector, how) => store.select((state) => selector(select(state)), how),
    actions: (how) => Stream.filterMap(store.actions(how), unwrap)
  }
}
