/**
 * Does what effect descriptions say, on behalf of a store.
 */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Meta } from "../Action.ts"
import { EventBus } from "../EventBus.ts"
import { type AppendOptions, EventStore } from "../EventStore.ts"
import * as Fx from "../Fx.ts"
import * as Message from "../Message.ts"
import type { AnyOutcomes, Outcome, Yields } from "../Reducer.ts"
import { type AnySource, handlerKey as sourceKey, type Open } from "../Source.ts"
import { EffectFailed, type Problem, SequenceStopped, TaskDefect } from "../StoreError.ts"
import { type AnyTask, Attempt, handlerKey, type Perform } from "../Task.ts"
import * as UuidV7 from "../UuidV7.ts"
import { type Cancelled, InFlight, keyOf } from "./InFlight.ts"

/** The name under which a context holds the store that dispatches to an aggregate of this category. */
export const dispatcherKey = (category: string): string => `@composable-ts/core/Store/${category}`

/** What a {@link Fx.Dispatcher} can do. */
interface Dispatching {
  readonly dispatch: (id: string, command: unknown, options: AppendOptions) => Effect.Effect<unknown, unknown>
  readonly state: (id: string) => Effect.Effect<unknown, unknown>
}

/** The ids of what an action causes. */
const idsOf = (cause: Meta) => ({ correlationId: cause.correlationId, causationId: cause.id })

const message = ({ event, key }: Fx.Publish, cause: Meta, time: number): Message.Message =>
  Message.make(event, { id: UuidV7.make(time), time, ...idsOf(cause), key: key ?? undefined })

/** The store that an interpreter works for. */
export interface Host {
  /** Handlers of tasks, and all else that effects need. */
  readonly context: Context.Context<never>
  readonly now: () => number
  /**
   * Takes in an action that an effect sends, and the meta of the action that the effect came from. What it returns, if
   * anything, whoever sent it must wait for.
   */
  readonly feed: (at: Fx.Path, action: unknown, cause: Meta) => Effect.Effect<void> | undefined
  /** Takes in an action of a source, and waits until there is room for the next: a source may be faster than all else. */
  readonly follow: (at: Fx.Path, action: unknown, cause: Meta) => Effect.Effect<unknown>
  /** How the outcome of a task, or what a source yields, is reported where it was asked for. */
  readonly outcomeOf: (at: Fx.Path, name: string) => AnyOutcomes[string] | undefined
  /** Keeps a snapshot of the instance at a place. */
  readonly saveSnapshot: (at: Fx.Path) => Effect.Effect<void, unknown>
  readonly report: (problem: Problem) => void
}

/** How something went: well, with a failure, or not to its end because it was cancelled. */
type Ended = boolean | "cancelled"

export class Interpreter {
  readonly #host: Host
  readonly #inFlight: InFlight
  /** Until when each throttle lets nothing through, in the order in which they were set. */
  readonly #throttled = new Map<string, number>()
  /** The timers that did not come to fire because the store closes, in words; none before it does. */
  #unfired: Array<string> | undefined

  constructor(host: Host) {
    this.#host = host
    this.#inFlight = new InFlight(Effect.runForkWith(host.context))
  }

  /** How many tasks and timers are under way. */
  get size(): number {
    return this.#inFlight.size
  }

  get hasPlans(): boolean {
    return this.#inFlight.hasPlans
  }

  /** Sends at once what is to be sent at once; the rest waits for {@link carryOut}. */
  plan(fx: Fx.AnyFx, cause: Meta): void {
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        return
      case "Send":
        this.#host.feed(fx.at, fx.action, cause)
        return
      case "Throttle":
        if (this.#passes(fx)) this.#host.feed(fx.at, fx.action, cause)
        return
      case "Parallel":
        if (fx.concurrency === null) return fx.fx.forEach((member) => this.plan(member, cause))
        return this.#inFlight.plan(fx, cause)
      case "CancelAll":
        this.#unthrottle(fx)
        return this.#inFlight.plan(fx, cause)
      default:
        return this.#inFlight.plan(fx, cause)
    }
  }

  /** Starts what was planned and not cancelled since. */
  carryOut(): void {
    this.#inFlight.carryOut((fx, cause, cancelled) => this.#effectOf(fx, cause, cancelled))
  }

  /** Says that an action, which it had fed, is on its way until the fiber ends. */
  sending(at: Fx.Path, action: unknown, fiber: Fiber.Fiber<unknown>): void {
    this.#inFlight.sending({ _tag: "Send", at, action }, fiber)
  }

  /** Waits until nothing is under way. */
  readonly idle: Effect.Effect<void> = Effect.gen({ self: this }, function*() {
    while (!this.#inFlight.isIdle) yield* Fiber.awaitAll(this.#inFlight.fibers)
  })

  /** Ends timers at once and tasks at the deadline; tells, in words, what did not finish. */
  close(deadline: Duration.Input): Effect.Effect<ReadonlyArray<string>> {
    return Effect.gen({ self: this }, function*() {
      const unfired = this.#unfired = [...this.#inFlight.cancelTimers()]
      const drained = yield* Effect.timeoutOption(this.idle, deadline)
      const unfinished = Option.isSome(drained) ? [] : this.#inFlight.describe()
      yield* Fiber.interruptAll(this.#inFlight.fibers)
      return [...unfired, ...unfinished]
    })
  }

  /** Whether the throttle lets an action through now. */
  #passes({ at, id, millis }: Fx.Throttle<unknown>): boolean {
    const key = keyOf(at, id)
    const now = this.#host.now()
    const until = this.#throttled.get(key)
    if (until !== undefined && now < until) return false
    this.#throttled.delete(key)
    for (const [other, over] of this.#throttled) {
      if (over > now) break
      this.#throttled.delete(other)
    }
    this.#throttled.set(key, now + millis)
    return true
  }

  /** What is there under the same ids later is something new. */
  #unthrottle({ at }: Fx.CancelAll): void {
    const place = Fx.placeOf(at)
    for (const key of this.#throttled.keys()) if (key.startsWith(place)) this.#throttled.delete(key)
  }

  /** An effect as a whole: whatever goes wrong in it that nothing else reports is a problem. */
  #effectOf(fx: Fx.AnyFx, cause: Meta, cancelled: Cancelled): Effect.Effect<Ended> {
    return Effect.catchDefect(this.#carriedOut(fx, cause, cancelled), (defect) =>
      Effect.sync(() => {
        this.#host.report(new EffectFailed({ effect: Fx.render(fx), cause: defect }))
        return false
      }))
  }

  /** What a description amounts to, as a whole; tells whether a sequence may go on behind it. */
  #carriedOut(fx: Fx.AnyFx, cause: Meta, cancelled: Cancelled): Effect.Effect<Ended> {
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        return Effect.succeed(true)
      case "Send":
        return this.#feed(fx.at, fx.action, cause)
      case "Throttle":
        return Effect.suspend(() => this.#passes(fx) ? this.#feed(fx.at, fx.action, cause) : Effect.succeed(true))
      case "Perform":
        return this.#perform(fx, cause)
      case "Subscribe":
        return this.#subscribe(fx, cause)
      case "Run":
        return this.#contained(
          fx,
          Effect.flatMap(this.#provided(fx.effect), (action) => this.#feed(fx.at, action, cause))
        )
      case "Transact":
        return this.#contained(
          fx,
          Effect.flatMap(EventStore, (events) => events.transact(fx.appends as never, idsOf(cause)))
        )
      case "Publish":
        return this.#contained(
          fx,
          Effect.flatMap(EventBus, (bus) => bus.publish(fx.topic, message(fx, cause, this.#host.now())))
        )
      case "Dispatch":
        return this.#contained(fx, this.#dispatch(fx, cause))
      case "Load":
        return this.#contained(fx, this.#load(fx, cause))
      case "SaveSnapshot":
        return this.#contained(fx, this.#host.saveSnapshot(fx.at))
      case "Delay":
        return this.#delay(fx, cause)
      case "Cancel":
        return Effect.sync(() => {
          this.#inFlight.cancel(fx, cancelled)
          return true
        })
      case "CancelAll":
        return Effect.sync(() => {
          this.#unthrottle(fx)
          this.#inFlight.cancelAll(fx, cancelled)
          return true
        })
      case "Parallel":
        return this.#parallel(fx, cause, cancelled)
      case "Sequential":
        return this.#sequence(fx, cause, cancelled)
    }
  }

  #feed(at: Fx.Path, action: unknown, cause: Meta): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const room = this.#host.feed(at, action, cause)
      return room === undefined ? Effect.succeed(true) : Effect.as(room, true)
    })
  }

  #perform(fx: Fx.Perform<AnyTask>, meta: Meta): Effect.Effect<boolean> {
    const { at, input, task } = fx
    // The store's type holds both: its context has the handler, and its reducer the outcome.
    const handler = this.#host.context.mapUnsafe.get(handlerKey(task)) as Perform<AnyTask>
    const outcome = this.#host.outcomeOf(at, task) as Outcome<AnyTask, unknown>
    const attempt = Effect.suspend(() =>
      Effect.provideService(handler(input), Attempt, { idempotencyKey: UuidV7.make(this.#host.now()), number: 1 })
    )
    return Effect.matchCauseEffect(attempt, {
      onSuccess: (value) => {
        this.#inFlight.release(fx)
        return this.#feed(at, outcome.success(value, input), meta)
      },
      onFailure: (cause) => {
        this.#inFlight.release(fx)
        const failure = Cause.findErrorOption(cause)
        if (Option.isSome(failure)) return Effect.as(this.#feed(at, outcome.failure(failure.value, input), meta), false)
        if (!Cause.hasInterruptsOnly(cause)) {
          this.#host.report(new TaskDefect({ task, input, cause: Cause.squash(cause) }))
        }
        return Effect.succeed(false)
      }
    })
  }

  #subscribe(fx: Fx.Subscribe<AnySource>, cause: Meta): Effect.Effect<boolean> {
    const { at, input, source } = fx
    // As for a task: the store's type holds both.
    const open = this.#host.context.mapUnsafe.get(sourceKey(source)) as Open<AnySource>
    const yields = this.#host.outcomeOf(at, source) as Yields<AnySource, unknown>
    const each = (value: unknown) => this.#host.follow(at, yields.value(value, input), cause)
    return Effect.matchCauseEffect(Stream.runForEach(Stream.suspend(() => open(input)), each), {
      onSuccess: () => {
        this.#inFlight.release(fx)
        return yields.end === undefined ? Effect.succeed(true) : this.#feed(at, yields.end(input), cause)
      },
      onFailure: (failed) => {
        this.#inFlight.release(fx)
        const failure = Cause.findErrorOption(failed)
        if (Option.isSome(failure)) return Effect.as(this.#feed(at, yields.failure(failure.value, input), cause), false)
        if (!Cause.hasInterruptsOnly(failed)) {
          this.#host.report(new TaskDefect({ task: source, input, cause: Cause.squash(failed) }))
        }
        return Effect.succeed(false)
      }
    })
  }

  #dispatch({ category, command, id }: Fx.Dispatch<unknown>, cause: Meta): Effect.Effect<unknown, unknown> {
    const dispatch = this.#host.context.mapUnsafe.get(dispatcherKey(category)) as Dispatching
    return dispatch.dispatch(id, command, idsOf(cause))
  }

  #load({ as, at, category, id }: Fx.Load<unknown, unknown>, cause: Meta): Effect.Effect<unknown, unknown> {
    const store = this.#host.context.mapUnsafe.get(dispatcherKey(category)) as Dispatching
    return Effect.flatMap(store.state(id), (current) => this.#feed(at, { _tag: as, id, current }, cause))
  }

  #provided<A, E>(effect: Effect.Effect<A, E, unknown>): Effect.Effect<A, E> {
    return Effect.provideContext(effect, this.#host.context as Context.Context<unknown>)
  }

  /** An effect whose failure no action reports: it is reported as a problem, and ends a sequence. */
  #contained(fx: Fx.AnyFx, effect: Effect.Effect<unknown, unknown, EventStore | EventBus>): Effect.Effect<boolean> {
    return Effect.matchCause(this.#provided(effect), {
      onSuccess: () => true,
      onFailure: (cause) => {
        if (!Cause.hasInterruptsOnly(cause)) {
          this.#host.report(new EffectFailed({ effect: Fx.render(fx), cause: Cause.squash(cause) }))
        }
        return false
      }
    })
  }

  /** While the store closes, nothing waits for its time any more. */
  #delay(fx: Fx.Delay<unknown>, cause: Meta): Effect.Effect<Ended> {
    return Effect.suspend((): Effect.Effect<Ended> => {
      if (this.#unfired === undefined) {
        return Effect.andThen(Effect.sleep(fx.millis), this.#feed(fx.at, fx.action, cause))
      }
      this.#unfired.push(Fx.render(fx))
      return Effect.succeed("cancelled")
    })
  }

  /** A member of a group that has an id of its own can be cancelled on its own. */
  #member(fx: Fx.AnyFx, cause: Meta, cancelled: Cancelled): Effect.Effect<Ended> {
    return Effect.suspend((): Effect.Effect<Ended> => {
      if (cancelled.has(fx)) return Effect.succeed("cancelled")
      const effect = this.#effectOf(fx, cause, cancelled)
      if (fx._tag !== "Perform" && fx._tag !== "Delay" && fx._tag !== "Subscribe") return effect
      const fiber = this.#inFlight.start(fx, effect)
      const ended = Effect.map(
        Fiber.await(fiber),
        (exit) => exit._tag === "Success" ? exit.value as Ended : "cancelled"
      )
      return Effect.onInterrupt(ended, () => Fiber.interrupt(fiber))
    })
  }

  /**
   * Each worker takes the next member that none has taken, so a member begins once, whatever its beginning leads to: it
   * may end a sibling, or the whole group.
   */
  #parallel({ concurrency, fx }: Fx.Parallel<unknown>, cause: Meta, cancelled: Cancelled): Effect.Effect<Ended> {
    const members = fx as ReadonlyArray<Fx.AnyFx>
    const ended: Array<Ended> = []
    let next = 0
    const worker = Effect.gen({ self: this }, function*() {
      while (next < members.length) ended.push(yield* this.#member(members[next++]!, cause, cancelled))
    })
    return Effect.gen(function*() {
      const workers: Array<Fiber.Fiber<void>> = []
      while (workers.length < (concurrency ?? Infinity) && next < members.length) {
        workers.push(yield* Effect.forkChild(worker, { startImmediately: true }))
      }
      yield* Fiber.awaitAll(workers)
      return !ended.includes(false) && (ended.includes("cancelled") ? "cancelled" : true)
    })
  }

  #sequence({ fx }: Fx.Sequential<unknown>, cause: Meta, cancelled: Cancelled): Effect.Effect<Ended> {
    const members = fx as ReadonlyArray<Fx.AnyFx>
    return Effect.gen({ self: this }, function*() {
      for (const [index, member] of members.entries()) {
        const ended = yield* this.#member(member, cause, cancelled)
        if (ended === true) continue
        const left = members.slice(index + 1).map(Fx.render)
        // Whoever cancels a member knows; a failure would go unseen.
        if (ended === false && left.length > 0) {
          this.#host.report(new SequenceStopped({ failed: Fx.render(member), index, left }))
        }
        return ended
      }
      return true
    })
  }
}
