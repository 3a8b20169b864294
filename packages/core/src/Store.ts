/**
 * A store owns one state. It reduces actions one at a time, in order of arrival, and interprets the effects that the
 * reducer describes. {@link aggregate} is its event-sourced sibling: the store of an aggregate's instances.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Meta } from "./Action.ts"
import { embed, outcomeOf, type Unanswered } from "./Compose.ts"
import * as Fx from "./Fx.ts"
import { InFlight } from "./internal/InFlight.ts"
import { type Strategy, Subscribers } from "./internal/Subscribers.ts"
import type { ActionOf, AnyReducer, FxOf, StateOf } from "./Reducer.ts"
import { type Problem, ReducerDefect, RejectedUnheard, SequenceStopped, StoreClosed, TaskDefect } from "./StoreError.ts"
import { type AnyTask, handlerKey, type HandlerOf, type Perform } from "./Task.ts"
import * as UuidV7 from "./UuidV7.ts"

export { type AggregateStore, type AggregateStoreOptions, make as aggregate } from "./AggregateStore.ts"

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
  /** Told the state after the action, or why there is none; nobody is when an effect sent it. */
  settle: ((outcome: Effect.Effect<S, R | ReducerDefect>) => void) | undefined
}

/** Ids are made when a reducer looks at them: most do not, and making one costs more than many a step. */
class DispatchMeta implements Meta {
  readonly time: number
  #id: string | undefined
  constructor(time: number) {
    this.time = time
  }
  get id(): string {
    return this.#id ??= UuidV7.make(this.time)
  }
  get correlationId(): string {
    return this.id
  }
  get causationId(): string {
    return this.id
  }
}

const tagOf = (action: unknown): string => String((action as { readonly _tag?: unknown } | null)?._tag ?? action)

/** A reducer whose tasks all have outcomes. */
type Answered<R extends AnyReducer> = [Unanswered<R>] extends [never] ? R
  : { readonly "tasks without outcomes (Reducer.withOutcomes)": Unanswered<R>["name"] }

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
  reducer: R & Answered<R>,
  options: Options<StateOf<R>>
): Effect.Effect<
  Store<StateOf<R>, ActionOf<R>, Fx.ReasonOf<FxOf<R>>>,
  never,
  Scope.Scope | HandlerOf<Fx.TaskOf<FxOf<R>>>
> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<HandlerOf<Fx.TaskOf<FxOf<R>>>>()
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const running = new Running<StateOf<R>, ActionOf<R>, Fx.ReasonOf<FxOf<R>>>(reducer, options.initial, context, now)
    yield* Effect.addFinalizer(() => running.close(options.deadline ?? "5 seconds"))
    return running.store
  })

/** Reduces, plans, starts: one store at work. */
class Running<S, A, R> {
  #state: S
  #status: Health["status"] = "running"
  #inbox: Array<Waiting<S, A, R>> = []
  #reducing = false
  readonly #reducer: AnyReducer
  readonly #context: Context.Context<never>
  readonly #now: () => number
  readonly #inFlight: InFlight
  readonly #throttled = new Map<string, number>()
  readonly #changes = new Subscribers<S>()
  readonly #actions = new Subscribers<A>()
  readonly #problems = new Subscribers<Problem>()
  readonly #awaited = new Set<Awaited<S>>()

  constructor(reducer: AnyReducer, initial: S, context: Context.Context<never>, now: () => number) {
    this.#reducer = reducer
    this.#state = initial
    this.#context = context
    this.#now = now
    this.#inFlight = new InFlight(Effect.runForkWith(context))
  }

  get store(): Store<S, A, R> {
    const follow = ({ capacity = 16, strategy = "sliding" }: Follow = {}) => ({ capacity, strategy })
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
      idle: Effect.suspend(() => this.#idle()),
      health: Effect.sync(() => ({
        status: this.#status,
        inFlight: this.#inFlight.size,
        mailbox: this.#inbox.length
      }))
    }
  }

  #dispatch(action: A): Effect.Effect<S, R | StoreClosed | ReducerDefect> {
    if (this.#status !== "running") return Effect.fail(new StoreClosed({ action: tagOf(action) }))
    let outcome: Effect.Effect<S, R | ReducerDefect> | undefined
    const waiting: Waiting<S, A, R> = {
      action,
      settle: (settled) => {
        outcome = settled
      }
    }
    this.#receive(waiting)
    // Reduced by now, unless this very call came from within a reduction: then it waits for its turn.
    const settled = outcome ?? Effect.callback<S, R | ReducerDefect>((resume) => {
      waiting.settle = resume
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
        if (this.#inFlight.hasPlans) this.#inFlight.carryOut((fx) => this.#effectOf(fx))
      } while (this.#inbox.length > 0)
    } finally {
      this.#reducing = false
    }
  }

  #reduce({ action, settle }: Waiting<S, A, R>): void {
    let state: S
    let fx: Fx.AnyFx
    try {
      ;[state, fx] = this.#reducer(this.#state, action, new DispatchMeta(this.#now()))
    } catch (cause) {
      const defect = new ReducerDefect({ action: tagOf(action), cause })
      return settle === undefined ? this.#report(defect) : settle(Effect.fail(defect))
    }
    if (fx._tag === "Reject") {
      return settle === undefined
        ? this.#report(new RejectedUnheard({ action: tagOf(action), reason: fx.reason }))
        : settle(Effect.fail(fx.reason as R))
    }
    if (state !== this.#state) {
      this.#state = state
      this.#changes.publish(state)
    }
    this.#actions.publish(action)
    if (fx._tag !== "None") this.#plan(fx)
    for (const awaited of this.#awaited) awaited.see(state)
    settle?.(Effect.succeed(state))
  }

  #plan(fx: Fx.AnyFx): void {
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        return
      case "Send":
        return this.#send(fx)
      case "Throttle":
        return this.#throttle(fx)
      case "Parallel":
        if (fx.concurrency === null) return fx.fx.forEach((member) => this.#plan(member))
        return this.#inFlight.plan(fx)
      default:
        return this.#inFlight.plan(fx)
    }
  }

  #send({ action, at }: { readonly at: Fx.Path; readonly action: unknown }): void {
    this.#receive({ action: embed(at, action) as A, settle: undefined })
  }

  #throttle(fx: Fx.Throttle<unknown>): void {
    const key = JSON.stringify([fx.at, fx.id])
    const now = this.#now()
    const last = this.#throttled.get(key)
    if (last !== undefined && now - last < fx.millis) return
    this.#throttled.set(key, now)
    this.#send(fx)
  }

  /** What a description amounts to, as a whole; tells whether a sequence may go on behind it. */
  #effectOf(fx: Fx.AnyFx): Effect.Effect<boolean> {
    switch (fx._tag) {
      case "Perform":
        return this.#perform(fx)
      case "Delay":
        return Effect.andThen(Effect.sleep(fx.millis), this.#then(() => this.#send(fx)))
      case "Parallel":
        return Effect.map(
          Effect.forEach(fx.fx, (member) => this.#member(member), { concurrency: fx.concurrency ?? "unbounded" }),
          (ended) => ended.every((well) => well)
        )
      case "Sequential":
        return this.#sequence(fx)
      default:
        return this.#then(() => this.#plan(fx))
    }
  }

  /** Does something to the store, then waits for those who asked the store to wait for them. */
  #then(change: () => void): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      change()
      const room = this.#room
      return room === undefined ? Effect.succeed(true) : Effect.as(room, true)
    })
  }

  #perform({ at, input, task }: Fx.Perform<AnyTask>): Effect.Effect<boolean> {
    const handler = this.#context.mapUnsafe.get(handlerKey(task)) as Perform<AnyTask>
    const outcome = outcomeOf(this.#reducer, at, task)!
    return Effect.matchCauseEffect(Effect.suspend(() => handler(input)), {
      onSuccess: (value) => this.#then(() => this.#send({ at, action: outcome.success(value, input) })),
      onFailure: (cause) => {
        const failure = Cause.findErrorOption(cause)
        if (Option.isSome(failure)) {
          return Effect.as(this.#then(() => this.#send({ at, action: outcome.failure(failure.value, input) })), false)
        }
        if (!Cause.hasInterruptsOnly(cause)) this.#report(new TaskDefect({ task, input, cause: Cause.squash(cause) }))
        return Effect.succeed(false)
      }
    })
  }

  /** A member of a group runs on its own, so that it can be cancelled on its own. */
  #member(fx: Fx.AnyFx): Effect.Effect<boolean> {
    return fx._tag === "Perform" || fx._tag === "Delay"
      ? Effect.suspend(() => {
        const fiber = this.#inFlight.start(fx, this.#effectOf(fx))
        return Effect.onInterrupt(
          Effect.map(Fiber.await(fiber), (exit) => exit._tag === "Success" && exit.value === true),
          () => Fiber.interrupt(fiber)
        )
      })
      : this.#effectOf(fx)
  }

  #sequence({ fx }: Fx.Sequential<Fx.AnyFx>): Effect.Effect<boolean> {
    return Effect.gen({ self: this }, function*() {
      for (const [index, member] of fx.entries()) {
        if (yield* this.#member(member)) continue
        const left = fx.slice(index + 1).map(Fx.render)
        if (left.length > 0) this.#report(new SequenceStopped({ failed: Fx.render(member), index, left }))
        return false
      }
      return true
    })
  }

  #report(problem: Problem): void {
    this.#problems.publish(problem)
    Effect.runForkWith(this.#context)(Effect.logError(problem))
  }

  get #room(): Effect.Effect<void> | undefined {
    const changes = this.#changes.room
    const actions = this.#actions.room
    return changes === undefined ? actions : actions === undefined ? changes : Effect.andThen(changes, actions)
  }

  #idle(): Effect.Effect<void> {
    const fibers = this.#inFlight.fibers
    return fibers.length === 0
      ? Effect.void
      : Effect.andThen(Fiber.awaitAll(fibers), Effect.suspend(() => this.#idle()))
  }

  close(deadline: Duration.Input): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.#status = "draining"
      const timers = this.#inFlight.cancelTimers()
      const drained = yield* Effect.timeoutOption(this.#idle(), deadline)
      const unfinished = Option.isSome(drained) ? timers : [...timers, ...this.#inFlight.describe()]
      yield* Fiber.interruptAll(this.#inFlight.fibers)
      this.#status = "closed"
      if (unfinished.length > 0) yield* Effect.logWarning(`A store closed with unfinished effects`, unfinished)
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
