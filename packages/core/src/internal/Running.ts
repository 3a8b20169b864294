/**
 * A store at work: reduces what arrives, plans what that wants done, and starts it when nothing is left to reduce.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type { Meta } from "../Action.ts"
import { embed, outcomeOf } from "../Compose.ts"
import * as Fx from "../Fx.ts"
import type { AnyReducer, Instrumented } from "../Reducer.ts"
import type { Follow, Health, Store } from "../Store.ts"
import { type Problem, ReducerDefect, RejectedUnheard, StoreClosed } from "../StoreError.ts"
import * as UuidV7 from "../UuidV7.ts"
import { tell } from "./instrumentation.ts"
import { Interpreter } from "./Interpreter.ts"
import { News } from "./News.ts"
import { Subscribers } from "./Subscribers.ts"

interface Waiting<S, A, R> {
  readonly action: A
  /** What accompanied the action that an effect came from which sent this one. */
  readonly cause: DispatchMeta | undefined
  /** Whoever dispatched it; nobody, when an effect sent it. */
  readonly caller: Caller<S, R> | undefined
}

/** Told the state after an action, or why there is none. */
class Caller<S, R> {
  #outcome: Exit.Exit<S, R | ReducerDefect> | undefined
  #resume: ((outcome: Exit.Exit<S, R | ReducerDefect>) => void) | undefined

  tell(outcome: Exit.Exit<S, R | ReducerDefect>): void {
    this.#outcome = outcome
    this.#resume?.(outcome)
  }

  /** What it was told, or is told `later`, when the store may resume it. */
  heard(later: (resume: () => void) => void): Effect.Effect<S, R | ReducerDefect> {
    return this.#outcome ?? Effect.callback((resume) => {
      if (this.#outcome !== undefined) return resume(this.#outcome)
      this.#resume = (outcome) => later(() => resume(outcome))
    })
  }
}

/** An id that is made when somebody looks at it. */
class LateId {
  readonly #time: number
  #id: string | undefined
  constructor(time: number) {
    this.#time = time
  }
  get id(): string {
    return this.#id ??= UuidV7.make(this.#time)
  }
}

/**
 * Time and ids are made when a reducer looks at them: most do not, and either costs as much as many a step. Of what came
 * before only ids are kept, so a conversation that goes on for ever stays small.
 */
class DispatchMeta implements Meta {
  readonly #now: () => number
  readonly #cause: LateId | undefined
  readonly #conversation: LateId | undefined
  #time: number | undefined
  #own: LateId | undefined
  constructor(now: () => number, cause: DispatchMeta | undefined) {
    this.#now = now
    this.#cause = cause?.own
    this.#conversation = cause === undefined ? undefined : cause.#conversation ?? cause.own
  }
  /** The same, for those who look later: they see the time of the action and not their own. */
  kept(): this {
    this.#time ??= this.#now()
    return this
  }
  get own(): LateId {
    return this.#own ??= new LateId(this.time)
  }
  get time(): number {
    return this.#time ??= this.#now()
  }
  get id(): string {
    return this.own.id
  }
  get correlationId(): string {
    return (this.#conversation ?? this.own).id
  }
  get causationId(): string {
    return (this.#cause ?? this.own).id
  }
}

/** Finer than the clock, whose milliseconds a reduction rarely fills. */
declare const performance: { readonly now: () => number }

const tagOf = (action: unknown): string => String((action as { readonly _tag?: unknown } | null)?._tag ?? action)

const follow = ({ capacity = 16, strategy = "sliding" }: Follow = {}) => ({ capacity, strategy })

/**
 * Reduces, plans, starts: one store at work. It must not have more than fifteen private fields, of which its private
 * methods together count as one: with more of them V8 keeps the fields of a store in a hash table if the stores before it
 * are gone, and a dispatch takes four times as long.
 */
export class Running<S, A, R> {
  #state: S
  #status: Health["status"] = "running"
  #inbox: Array<Waiting<S, A, R>> = []
  #reducing = false
  readonly #reducer: AnyReducer
  /** The name under which actions are told of; none, when they are not. */
  readonly #feature: string | undefined
  readonly #context: Context.Context<never>
  readonly #now: () => number
  readonly #interpreter: Interpreter
  readonly #news = new News()
  readonly #followers = {
    changes: new Subscribers<S>(),
    actions: new Subscribers<A>(),
    problems: new Subscribers<Problem>()
  }
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
        // The interpreter hands back what this store gave it.
        this.#receive({ action: embed(at, action) as A, cause: cause as DispatchMeta, caller: undefined })
        return this.#room
      },
      follow: (at, action, cause) =>
        Effect.suspend(() => {
          this.#receive({ action: embed(at, action) as A, cause: cause as DispatchMeta, caller: undefined })
          const room = Effect.suspend(() => this.#room ?? Effect.void)
          // Within a turn nobody has been told yet, so nobody can say that there is no room: it ends first.
          return this.#reducing ? Effect.andThen(Effect.yieldNow, room) : room
        }),
      outcomeOf: (at, name) => outcomeOf(reducer, at, name),
      saveSnapshot: () => Effect.fail(new Error("only an instance of an aggregate has snapshots")),
      report: (problem) => this.#report(problem)
    })
  }

  get store(): Store<S, A, R> {
    const changes = (how?: Follow) => this.#followers.changes.stream(follow(how), () => [this.#state])
    const dispatch = (action: A) => Effect.suspend(() => this.#dispatch(action))
    return {
      dispatch,
      send: (action) => this.#send(action),
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
      actions: (how) => this.#followers.actions.stream(follow(how), () => []),
      problems: (how) => this.#followers.problems.stream(follow(how), () => []),
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
    const settled = this.#reducing ? this.#later(action) : this.#atOnce(action)
    const room = this.#room
    return room === undefined ? settled : Effect.andThen(room, settled)
  }

  /** Reduces an action for a caller who does not wait: at once, or behind the turn under way. */
  #send(action: A): void {
    if (this.#status !== "running") return this.#report(new StoreClosed({ action: tagOf(action) }))
    if (this.#reducing) {
      this.#inbox.push({ action, cause: undefined, caller: undefined })
      return
    }
    const outcome = this.#atOnce(action)
    if (Exit.isFailure(outcome)) this.#reportUnheard(action, Cause.squash(outcome.cause))
  }

  /** Reduces the action, and all that it sends on. */
  #atOnce(action: A): Exit.Exit<S, R | ReducerDefect> {
    this.#reducing = true
    let outcome: Exit.Exit<S, R | ReducerDefect>
    try {
      outcome = this.#reduce(action, undefined)
      this.#reduceWaiting()
    } finally {
      this.#reducing = false
    }
    this.#news.tell()
    return outcome
  }

  /** A dispatch from within a reduction waits for its turn. */
  #later(action: A): Effect.Effect<S, R | ReducerDefect> {
    const caller = new Caller<S, R>()
    this.#inbox.push({ action, cause: undefined, caller })
    return caller.heard((resume) => this.#news.add(resume))
  }

  /** Takes in what an effect sends; unless a reduction is under way, which will come to it, reduces all that waits. */
  #receive(waiting: Waiting<S, A, R>): void {
    this.#inbox.push(waiting)
    if (this.#reducing) return
    this.#reducing = true
    try {
      this.#reduceWaiting()
    } finally {
      this.#reducing = false
    }
    this.#news.tell()
  }

  /** Reduces what waits and starts what is planned, until there is neither. */
  #reduceWaiting(): void {
    while (this.#inbox.length > 0 || this.#interpreter.hasPlans) {
      for (let i = 0; i < this.#inbox.length; i++) {
        const { action, caller, cause } = this.#inbox[i]!
        const outcome = this.#reduce(action, cause)
        if (caller !== undefined) caller.tell(outcome)
        else if (Exit.isFailure(outcome)) this.#reportUnheard(action, Cause.squash(outcome.cause))
      }
      this.#inbox.length = 0
      if (this.#interpreter.hasPlans) this.#interpreter.carryOut()
    }
  }

  /** Nobody waits to be told what becomes of the action. */
  #reportUnheard(action: A, error: unknown): void {
    this.#report(
      error instanceof ReducerDefect ? error : new RejectedUnheard({ action: tagOf(action), reason: error })
    )
  }

  #reduce(action: A, cause: DispatchMeta | undefined): Exit.Exit<S, R | ReducerDefect> {
    const meta = new DispatchMeta(this.#now, cause)
    const before = this.#state
    const begun = this.#feature === undefined ? 0 : performance.now()
    let state: S
    let fx: Fx.AnyFx
    try {
      ;[state, fx] = this.#reducer(this.#state, action, meta)
    } catch (thrown) {
      return Exit.fail(new ReducerDefect({ action: tagOf(action), cause: thrown }))
    }
    const refusal = Fx.refusalOf(fx)
    if (this.#feature !== undefined) {
      const millis = performance.now() - begun
      const after = refusal === undefined ? state : before
      const reduction = { feature: this.#feature, action: tagOf(action), before, after, effects: fx, millis }
      this.#news.add(() => Effect.runForkWith(this.#context)(tell(reduction)))
    }
    if (refusal !== undefined) return Exit.fail(refusal.reason as R)
    if (this.#followers.changes.some && state !== this.#state) {
      this.#news.add(() => this.#followers.changes.publish(state))
    }
    if (this.#followers.actions.some) this.#news.add(() => this.#followers.actions.publish(action))
    if (this.#awaited.size > 0) {
      this.#news.add(() => {
        for (const awaited of this.#awaited) awaited.see(state)
      })
    }
    this.#state = state
    if (fx._tag !== "None") this.#interpreter.plan(fx, meta.kept())
    return Exit.succeed(state)
  }

  #report(problem: Problem): void {
    const tell = () => {
      this.#followers.problems.publish(problem)
      Effect.runForkWith(this.#context)(Effect.logError(problem))
    }
    this.#news.add(tell)
    if (!this.#reducing) this.#news.tell()
  }

  get #room(): Effect.Effect<void> | undefined {
    const changes = this.#followers.changes.room
    const actions = this.#followers.actions.room
    return changes === undefined ? actions : actions === undefined ? changes : Effect.andThen(changes, actions)
  }

  close(deadline: Duration.Input): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      this.#status = "draining"
      const unfinished = yield* this.#interpreter.close(deadline)
      this.#status = "closed"
      for (const subscribers of Object.values(this.#followers)) subscribers.end()
      if (unfinished.length > 0) yield* Effect.logWarning("A store closed with unfinished effects", unfinished)
    })
  }
}

/** Somebody who waits for a state. */
class Awaited<S> {
  readonly #predicate: (state: S) => boolean
  #found: Effect.Effect<S> | undefined
  #resume: ((state: Effect.Effect<S>) => void) | undefined

  constructor(predicate: (state: S) => boolean) {
    this.#predicate = predicate
  }

  /** A predicate that throws is a defect of whoever waits, not of whoever dispatched. */
  see(state: S): void {
    if (this.#found !== undefined) return
    try {
      if (!this.#predicate(state)) return
      this.#found = Effect.succeed(state)
    } catch (thrown) {
      this.#found = Effect.die(thrown)
    }
    this.#resume?.(this.#found)
  }

  readonly state: Effect.Effect<S> = Effect.callback((resume) => {
    if (this.#found === undefined) this.#resume = resume
    else resume(this.#found)
  })
}
