/**
 * A store owns one state. It reduces actions one at a time, in order of arrival, and interprets the effects that the
 * reducer describes. {@link aggregate} is its event-sourced sibling: the store of an aggregate's instances.
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Meta } from "./Action.ts"
import { embed, type Misdirected, outcomeOf, type Unanswered } from "./Compose.ts"
import type * as Fx from "./Fx.ts"
import { tell } from "./internal/instrumentation.ts"
import { Interpreter } from "./internal/Interpreter.ts"
import { type Strategy, Subscribers } from "./internal/Subscribers.ts"
import type { ActionOf, AnyReducer, FxOf, Instrumented, StateOf } from "./Reducer.ts"
import { type Problem, ReducerDefect, RejectedUnheard, StoreClosed } from "./StoreError.ts"
import * as UuidV7 from "./UuidV7.ts"

export {
  type AggregateStore,
  type AggregateStoreOptions,
  type DispatchError,
  layer,
  make as aggregate,
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

interface Waiting<S, A, R> {
  readonly action: A
  /** What accompanied the action that an effect came from which sent this one. */
  readonly cause: Meta | undefined
  /** Told the state after the action, or why there is none; nobody is when an effect sent it. */
  settle: ((outcome: Effect.Effect<S, R | ReducerDefect>) => void) | undefined
}

/** Ids are made when a reducer looks at them: most do not, and making one costs more than many a step. */
class DispatchMeta implements Meta {
  readonly time: number
  readonly #cause: Meta | undefined
  #id: string | undefined
  constructor(time: number, cause: Meta | undefined) {
    this.time = time
    this.#cause = cause
  }
  get id(): string {
    return this.#id ??= UuidV7.make(this.time)
  }
  get correlationId(): string {
    return this.#cause?.correlationId ?? this.id
  }
  get causationId(): string {
    return this.#cause?.id ?? this.id
  }
}

/** Finer than the clock, whose milliseconds a reduction rarely fills. */
declare const performance: { readonly now: () => number }

const tagOf = (action: unknown): string => String((action as { readonly _tag?: unknown } | null)?._tag ?? action)

const follow = ({ capacity = 16, strategy = "sliding" }: Follow = {}) => ({ capacity, strategy })

/** A reducer that a store can run: what it asks for is answered, and what it sends it understands. */
type Runnable<R extends AnyReducer> = [Unanswered<R>] extends [never]
  ? [Misdirected<R>] extends [never] ? [OfAggregates<FxOf<R>>] extends [never] ? R
    : { readonly "only an aggregate can have this done": OfAggregates<FxOf<R>> }
  : { readonly "sends actions that it does not understand": Misdirected<R> }
  : { readonly "tasks without outcomes (Reducer.withOutcomes)": Unanswered<R>["name"] }

/** Events belong to a stream, snapshots to an instance. */
type OfAggregates<F> = Fx.LeafOf<F> extends infer L ? L extends Fx.Append<unknown> | Fx.SaveSnapshot ? L["_tag"] : never
  : never

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

/**
 * The store of a part of a composed feature: it sees the part's state, and dispatches the part's actions. `id` names the
 * element of a collection, or the case.
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
export const scope = <S extends object, A, R, const K extends keyof S & string>(
  store: Store<S, A, R>,
  key: K
): Store<S[K], ActionAt<A, K>, R> => view(store, (state) => state[key], (action) => ({ _tag: key, action }) as A)

/** The store of one element of a collection, of which there may be none. See {@link scope}. */
export const scopeOne = <S extends object, A, R, const K extends keyof S & string>(
  store: Store<S, A, R>,
  key: K,
  id: string
): Store<Option.Option<ElementOf<S[K]>>, ActionAt<A, K>, R> =>
  view(
    store,
    (state) => HashMap.get(state[key] as HashMap.HashMap<string, ElementOf<S[K]>>, id),
    (action) => ({ _tag: key, id, action }) as A
  )

type ElementOf<T> = T extends HashMap.HashMap<string, infer Element> ? Element : never

const view = <S, A, R, T, B>(
  store: Store<S, A, R>,
  select: (state: S) => T,
  wrap: (action: B) => A
): Store<T, B, R> => {
  const place = JSON.stringify(wrap(undefined as B))
  return {
    ...store,
    dispatch: (action) => Effect.map(store.dispatch(wrap(action)), select),
    dispatchAndAwait: (action, predicate, timeout) =>
      Effect.map(
        store.dispatchAndAwait(wrap(action), (state) => predicate(select(state)), timeout),
        Option.map(select)
      ),
    state: Effect.map(store.state, select),
    changes: (how) => store.select(select, how),
    select: (selector, how) => store.select((state) => selector(select(state)), how),
    actions: (how) =>
      Stream.filterMap(store.actions(how), (action) => {
        const { action: inner, ...rest } = action as A & { readonly action?: B }
        return JSON.stringify({ ...rest }) === place ? Result.succeed(inner as B) : Result.fail(action)
      })
  }
}

/** Reduces, plans, starts: one store at work. */
class Running<S, A, R> {
  #state: S
  #status: Health["status"] = "running"
  #inbox: Array<Waiting<S, A, R>> = []
  #reducing = false
  /** Whoever waits outside is told once the turn is over: it would otherwise run in the middle of it. */
  #news: Array<() => void> = []
  readonly #reducer: AnyReducer
  /** The name under which actions are told of; none, when they are not. */
  readonly #feature: string | undefined
  readonly #context: Context.Context<never>
  readonly #now: () => number
  readonly #interpreter: Interpreter
  readonly #changes = new Subscribers<S>()
  readonly #actions = new Subscribers<A>()
  readonly #problems = new Subscribers<Problem>()
  readonly #awaited = new Set<Awaited<S>>()

  constructor(reducer: AnyReducer, initial: S, context: Context.Context<never>, now: () => number) {
    this.#reducer = reducer
    this.#feature = (reducer as Partial<Instrumented>).instrumented
    this.#state = initial
    this.#context = context
    this.#now = now
    this.#interpreter = new Interpreter({
      context,
      now,
      feed: (at, action, cause) => {
        this.#receive({ action: embed(at, action) as A, cause, settle: undefined })
        return this.#room
      },
      outcomeOf: (at, name) => outcomeOf(reducer, at, name),
      saveSnapshot: () => Effect.void,
      report: (problem) => this.#report(problem)
    })
  }

  get store(): Store<S, A, R> {
    const changes = (how?: Follow) => this.#changes.stream(follow(how), () => [this.#state])
    const dispatch = (action: A) => Effect.suspend(() => this.#dispatch(action))
    return {
      dispatch,
      dispatchAndAwait: (action, predicate, timeout) =>
        Effect.suspend(() => {
          const awaited = new Awaited(predicate)
          this.#awaited.add(awaited)
          return dispatch(action).pipe(
            Effect.flatMap((state) => predicate(state) ? Effect.succeed(state) : awaited.state),
            Effect.timeoutOption(timeout),
            Effect.ensuring(Effect.sync(() => this.#awaited.delete(awaited)))
          )
        }),
      state: Effect.sync(() => this.#state),
      changes,
      select: (selector, how) => Stream.changes(Stream.map(changes(how), selector)),
      actions: (how) => this.#actions.stream(follow(how), () => []),
      problems: (how) => this.#problems.stream(follow(how), () => []),
      idle: this.#interpreter.idle,
      health: Effect.sync(() => ({
        status: this.#status,
        inFlight: this.#interpreter.size,
        mailbox: this.#inbox.length
      }))
    }
  }

  #dispatch(action: A): Effect.Effect<S, R | StoreClosed | ReducerDefect> {
    if (this.#status !== "running") return Effect.fail(new StoreClosed({ action: tagOf(action) }))
    let outcome: Effect.Effect<S, R | ReducerDefect> | undefined
    const waiting: Waiting<S, A, R> = {
      action,
      cause: undefined,
      settle: (settled) => {
        outcome = settled
      }
    }
    this.#receive(waiting)
    // Reduced by now, unless this very call came from within a reduction: then it waits for its turn.
    const settled = outcome ?? Effect.callback<S, R | ReducerDefect>((resume) => {
      waiting.settle = (late) => {
        this.#news.push(() => resume(late))
      }
    })
    const room = this.#room
    return room === undefined ? settled : Effect.andThen(room, settled)
  }

  /** Takes an action in; unless a reduction is under way, which will come to it, reduces all that waits. */
  #receive(waiting: Waiting<S, A, R>): void {
    this.#inbox.push(waiting)
    if (this.#reducing) return
    this.#reducing = true
    try {
      do {
        for (let i = 0; i < this.#inbox.length; i++) this.#reduce(this.#inbox[i]!)
        this.#inbox.length = 0
        if (this.#interpreter.hasPlans) this.#interpreter.carryOut()
      } while (this.#inbox.length > 0)
    } finally {
      this.#reducing = false
    }
    const news = this.#news
    if (news.length === 0) return
    this.#news = []
    for (const tell of news) tell()
  }

  #reduce({ action, cause, settle }: Waiting<S, A, R>): void {
    const meta = new DispatchMeta(this.#now(), cause)
    const before = this.#state
    const begun = this.#feature === undefined ? 0 : performance.now()
    let state: S
    let fx: Fx.AnyFx
    try {
      ;[state, fx] = this.#reducer(this.#state, action, meta)
    } catch (thrown) {
      const defect = new ReducerDefect({ action: tagOf(action), cause: thrown })
      return settle === undefined ? this.#report(defect) : settle(Effect.fail(defect))
    }
    if (fx._tag === "Reject") {
      return settle === undefined
        ? this.#report(new RejectedUnheard({ action: tagOf(action), reason: fx.reason }))
        : settle(Effect.fail(fx.reason as R))
    }
    if (this.#changes.some && state !== this.#state) this.#news.push(() => this.#changes.publish(state))
    if (this.#actions.some) this.#news.push(() => this.#actions.publish(action))
    if (this.#awaited.size > 0) {
      this.#news.push(() => {
        for (const awaited of this.#awaited) awaited.see(state)
      })
    }
    this.#state = state
    if (this.#feature !== undefined) {
      const millis = performance.now() - begun
      const reduction = { feature: this.#feature, action: tagOf(action), before, after: state, effects: fx, millis }
      this.#news.push(() => Effect.runForkWith(this.#context)(tell(reduction)))
    }
    if (fx._tag !== "None") this.#interpreter.plan(fx, meta)
    settle?.(Effect.succeed(state))
  }

  #report(problem: Problem): void {
    const tell = () => {
      this.#problems.publish(problem)
      Effect.runForkWith(this.#context)(Effect.logError(problem))
    }
    if (this.#reducing) this.#news.push(tell)
    else tell()
  }

  get #room(): Effect.Effect<void> | undefined {
    const changes = this.#changes.room
    const actions = this.#actions.room
    return changes === undefined ? actions : actions === undefined ? changes : Effect.andThen(changes, actions)
  }

  close(deadline: Duration.Input): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.#status = "draining"
      const unfinished = yield* this.#interpreter.close(deadline)
      this.#status = "closed"
      if (unfinished.length > 0) yield* Effect.logWarning("A store closed with unfinished effects", unfinished)
    })
  }
}

/** Somebody who waits for a state. */
class Awaited<S> {
  readonly #predicate: (state: S) => boolean
  #found: { readonly state: S } | undefined
  #resume: ((state: Effect.Effect<S>) => void) | undefined

  constructor(predicate: (state: S) => boolean) {
    this.#predicate = predicate
  }

  see(state: S): void {
    if (this.#found !== undefined || !this.#predicate(state)) return
    this.#found = { state }
    this.#resume?.(Effect.succeed(state))
  }

  readonly state: Effect.Effect<S> = Effect.callback((resume) => {
    if (this.#found === undefined) this.#resume = resume
    else resume(Effect.succeed(this.#found.state))
  })
}
