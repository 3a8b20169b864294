/**
 * Tests of a running feature: its real store, its real handlers, a clock that the test moves. For what a pure test cannot
 * see: handlers, cancellation, retries, and the order in which things come back.
 *
 * Each claim waits until what can run has run, and never for real time. A test says everything: what came back and was
 * not received, what is still under way at the end, and problems that nobody claimed fail it.
 */
import type * as Aggregate from "@composable-ts/core/Aggregate"
import { EventStore } from "@composable-ts/core/EventStore"
import type * as Fx from "@composable-ts/core/Fx"
import type { ActionOf, AnyReducer, Asked, FxOf, StateOf } from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import type { Problem } from "@composable-ts/core/StoreError"
import * as Task from "@composable-ts/core/Task"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type Commanded, Commands } from "./internal/Commands.ts"
import { isLike } from "./internal/likeness.ts"
import { broken, type Came, type ClaimBroken, claimEqual, claimLike, inline, TestBench } from "./internal/TestBench.ts"
import type { Some } from "./Scenario.ts"

export { ClaimBroken } from "./internal/TestBench.ts"

/** The state that a step leads to. Leaving it out claims that it stays. */
export interface ThenState<S> {
  readonly state?: S
}

/** As much of the state as the test says. Leaving it out claims nothing. */
export interface ThenSomeState<S> {
  readonly state?: Some<S>
}

/** The reason for which an action is refused. */
export interface ThenRejected<R> {
  readonly rejected: R
  readonly state?: never
  readonly events?: never
}

/** As much of a problem as the test says. */
export type SomeProblem<P = Problem> = P extends Problem ? Partial<P> : never

/** What every store under test can do. */
export interface Common {
  /** Moves the clock, and runs what is due, in order. */
  readonly advance: (duration: Duration.Input) => Effect.Effect<void, ClaimBroken>
  /** A problem was reported of which this is true: `{ _tag: "TaskDefect", task: "ChargeCard" }`. Each is claimed once. */
  readonly problem: (some: SomeProblem) => Effect.Effect<void, ClaimBroken>
  /** Ends the claim on what is under way now: it may stay so. */
  readonly leave: Effect.Effect<void, ClaimBroken>
  /**
   * Nothing came back unreceived, nothing is under way, nothing went wrong unclaimed. The end of the scope claims it by
   * itself, and dies when it does not hold.
   */
  readonly finish: Effect.Effect<void, ClaimBroken>
}

/** A store under test: `S` its state, `A` its actions, `R` the reasons for which it refuses one. */
export interface TestStore<S, A, R> extends Common {
  /** Sends an action. Leaving out a state claims that it stays; leaving out `rejected`, that the action is accepted. */
  readonly send: (action: A, then?: ThenState<S> | ThenRejected<R>) => Effect.Effect<void, ClaimBroken>
  /** The same, of whose state only a part is said. */
  readonly sendPartial: (action: A, then?: ThenSomeState<S>) => Effect.Effect<void, ClaimBroken>
  /** The next action that an effect sent back is this one. Leaving out a state claims that it stayed. */
  readonly receive: (action: A, then?: ThenState<S>) => Effect.Effect<A, ClaimBroken>
  /** The same, of whose action and state only a part is said. */
  readonly receivePartial: (action: Some<A>, then?: ThenSomeState<S>) => Effect.Effect<A, ClaimBroken>
  /** Takes out what came back so far, unclaimed. */
  readonly skip: Effect.Effect<ReadonlyArray<A>, ClaimBroken>
  /** The store itself, for its streams. What is dispatched to it directly is not claimed. */
  readonly store: Store.Store<S, A, R>
}

/** How a store is tested. */
export interface Options<S> {
  readonly initial: S
  /**
   * Whether claims say only what matters, and not all there is: states that are left out are not compared, what is not
   * received is passed over, and what is under way at the end may be so. Problems are to be claimed all the same.
   */
  readonly partial?: boolean
}

/** What a store that ends asks nobody to wait for: the test's clock would never move. */
const atOnce = "0 millis"

interface Received<S, A> extends Came {
  readonly action: A
  readonly before: S
  readonly after: S
}

const hintOfState =
  "Leaving out `state` claims that it stays as it is; sendPartial and receivePartial claim only what they say."
const hintOfNext =
  "What effects send back is received strictly in order, and each once. Likely an earlier one was forgotten, " +
  "or the handler answered otherwise."

/**
 * Runs a reducer in the real store, under the clock of the test. Handlers of its tasks come from the context.
 *
 * @example
 * ```ts
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Reducer from "@composable-ts/core/Reducer"
 * import * as TestStore from "@composable-ts/testing/TestStore"
 * import * as Effect from "effect/Effect"
 * import * as TestClock from "effect/testing/TestClock"
 *
 * type Action = { readonly _tag: "Start" } | { readonly _tag: "Rang" }
 * const egg = (_: string, action: Action) =>
 *   action._tag === "Start"
 *     ? Reducer.step("boiling", Fx.delay("timer", 240_000, { _tag: "Rang" }))
 *     : Reducer.step("done", Fx.none)
 *
 * const test = Effect.scoped(Effect.gen(function*() {
 *   const store = yield* TestStore.make(egg, { initial: "raw" })
 *   yield* store.send({ _tag: "Start" }, { state: "boiling" })
 *   yield* store.advance("4 minutes")
 *   yield* store.receive({ _tag: "Rang" }, { state: "done" })
 * }))
 *
 * await Effect.runPromise(Effect.provide(test, TestClock.layer()))
 * ```
 */
export const make = <R extends AnyReducer>(
  reducer: R & Parameters<typeof Store.make<R>>[0],
  { initial, partial = false }: Options<StateOf<R>>
): Effect.Effect<
  TestStore<StateOf<R>, ActionOf<R>, Fx.ReasonOf<FxOf<R>>>,
  never,
  Scope.Scope | Fx.NeedsOf<FxOf<R>>
> =>
  Effect.gen(function*() {
    type S = StateOf<R>
    type A = ActionOf<R>
    const bench = yield* TestBench.make<Received<S, A>>(partial)
    const names = new Map<string, string>()
    /** The reducer, and beside it a note of each step. */
    const noted: AnyReducer = (before: S, action: A, meta) => {
      const step = reducer(before, action, meta)
      const [after, fx] = step
      if (fx._tag === "Reject") return step
      const what = inline(action)
      names.set(meta.id, what)
      bench.underWay.want(fx, what)
      if (meta.causationId !== meta.id) {
        bench.came({ what, by: names.get(meta.causationId) ?? meta.causationId, action, before, after })
      }
      return step
    }
    const context = bench.observing(yield* Effect.context<Scope.Scope | Fx.NeedsOf<FxOf<R>>>())
    const store = yield* Effect.provideContext(
      Store.make<R>(Object.assign(noted as R, reducer), { initial, deadline: atOnce }),
      context
    )
    yield* bench.watch(store.problems({ capacity: 10_000 }), Effect.map(store.health, ({ inFlight }) => inFlight))

    const claimState = (
      what: string,
      { claim, claimed }: { readonly claim: typeof claimEqual; readonly claimed: { readonly state?: unknown } },
      { after, before }: { readonly before: S; readonly after: S }
    ) => {
      if ("state" in claimed) return claim(what, { expected: claimed.state, actual: after, hint: hintOfState })
      return partial || claim === claimLike
        ? Effect.void
        : claimEqual(what, { expected: before, actual: after, hint: hintOfState })
    }

    const receive = (
      expected: unknown,
      claim: typeof claimEqual,
      then: { readonly state?: unknown }
    ): Effect.Effect<A, ClaimBroken> =>
      Effect.gen(function*() {
        const step = yield* bench.next({
          among: () => true,
          fits: ({ action }) => isLike(expected, action),
          expected: inline(expected)
        })
        yield* claim(`the next action to come back (${step.what}, started by ${step.by})`, {
          expected,
          actual: step.action,
          hint: hintOfNext
        })
        yield* claimState(`the state after ${step.what} came back`, { claim, claimed: then }, step)
        return step.action
      })

    const send = (
      action: A,
      claim: typeof claimEqual,
      then: { readonly state?: unknown }
    ): Effect.Effect<void, ClaimBroken> =>
      Effect.gen(function*() {
        yield* bench.settle
        yield* bench.nothingWaits
        const before = yield* store.state
        const outcome = yield* Effect.result(store.dispatch(action))
        yield* bench.settle
        const what = inline(action)
        const after = yield* claimOutcome(what, outcome, then)
        if (after !== undefined) {
          yield* claimState(`the state after ${what}`, { claim, claimed: then }, { before, after: after.value })
        }
      })

    return {
      store,
      advance: (duration) => bench.advance(duration),
      problem: (some) => bench.problem(some),
      leave: bench.leave,
      finish: bench.finish,
      skip: Effect.map(bench.skip, (steps) => steps.map(({ action }) => action)),
      send: (action, then = {}) => send(action, claimEqual, then),
      sendPartial: (action, then = {}) => send(action, claimLike, then),
      receive: (action, then = {}) => receive(action, claimEqual, then),
      receivePartial: (action, then = {}) => receive(action, claimLike, then)
    }
  })

/** Accepted or refused, as the test says; yields what came of it when it was accepted. */
const claimOutcome = <A>(
  what: string,
  outcome: Result.Result<A, unknown>,
  then: object
): Effect.Effect<{ readonly value: A } | undefined, ClaimBroken> => {
  const expected: unknown = "rejected" in then ? then.rejected : undefined
  if (Result.isSuccess(outcome)) {
    return expected === undefined ? Effect.succeed({ value: outcome.success }) : broken(
      `${what} was to be refused with ${inline(expected)}, but it was accepted.\n` +
        "Likely a guard is missing, or the state before is not the one the test means.",
      { rejected: expected },
      { accepted: outcome.success }
    )
  }
  if (expected !== undefined) {
    return Effect.as(
      claimEqual(`the reason for refusing ${what}`, {
        expected,
        actual: outcome.failure,
        hint: "Another guard refuses it first, or this one gives another reason."
      }),
      undefined
    )
  }
  return broken(
    `${what} was to be accepted, but it failed: ${inline(outcome.failure)}\n` +
      "If it is meant to be refused, claim { rejected: … }; else look at what comes before it.",
    "accepted",
    { rejected: outcome.failure }
  )
}

/** A task was performed, or a source subscribed to, for which the test provides nothing. */
export class Unprovided extends Schema.TaggedError<Unprovided>()("Unprovided", {
  name: Schema.String,
  input: Schema.Unknown
}) {
  override get message(): string {
    return `${this.name} was asked for with ${Formatter.format(this.input)}, and this test does not provide it. ` +
      `Likely the test takes a way that it does not mean to. If it does mean to, provide ${this.name} by Task.layer ` +
      "(or Source.layer) in place of TestStore.unprovided."
  }
}

/** The handlers of some tasks and sources. */
type HandlersOf<T extends Asked> = T extends Source.AnySource ? Source.HandlerOf<T>
  : T extends Task.AnyTask ? Task.HandlerOf<T>
  : never

/**
 * Stands for tasks and sources that a test does not provide. Asking for one is a problem, named {@link Unprovided}.
 *
 * @example
 * ```ts
 * import * as Task from "@composable-ts/core/Task"
 * import * as TestStore from "@composable-ts/testing/TestStore"
 * import * as Schema from "effect/Schema"
 *
 * const ChargeCard = Task.define("ChargeCard", { input: Schema.Int, success: Schema.String, failure: Schema.Never })
 *
 * export const Handlers = TestStore.unprovided(ChargeCard)
 * ```
 */
export const unprovided = <const T extends ReadonlyArray<Asked>>(...asked: T): Layer.Layer<HandlersOf<T[number]>> =>
  Layer.succeedContext(Context.makeUnsafe<HandlersOf<T[number]>>(
    new Map<string, unknown>(asked.map((one): readonly [string, unknown] =>
      "kind" in one
        ? [Source.handlerKey(one.name), (input: unknown) => Stream.die(new Unprovided({ name: one.name, input }))]
        : [Task.handlerKey(one.name), (input: unknown) => Effect.die(new Unprovided({ name: one.name, input }))]
    ))
  ))

/** What a command leads to. Leaving out the events claims that there are none; the state follows from them. */
export interface ThenEvents<S, E> extends ThenState<S> {
  readonly events?: ReadonlyArray<E>
}

/** As much of it as the test says. Leaving something out claims nothing. */
export interface ThenSomeEvents<S, E> extends ThenSomeState<S> {
  readonly events?: ReadonlyArray<Some<E>>
}

/** The instances of an aggregate under test. */
export interface AggregateTestStore<S, C, E, R> extends Common {
  /** Dispatches a command to an instance, and claims the events that it stores, or its refusal. */
  readonly dispatch: (
    id: string,
    command: C,
    then?: ThenEvents<S, E> | ThenRejected<R>
  ) => Effect.Effect<void, ClaimBroken>
  /** The same, of whose events and state only a part is said. */
  readonly dispatchPartial: (id: string, command: C, then?: ThenSomeEvents<S, E>) => Effect.Effect<void, ClaimBroken>
  /**
   * The next command that an effect sent to this instance, and the events that it stored. Between instances there is no
   * order: which of two is stored first, the event store decides.
   */
  readonly receive: (id: string, command: C, then?: ThenEvents<S, E>) => Effect.Effect<C, ClaimBroken>
  /** The same, of whose command, events and state only a part is said. */
  readonly receivePartial: (id: string, command: Some<C>, then?: ThenSomeEvents<S, E>) => Effect.Effect<C, ClaimBroken>
  /** Takes out the commands that came back so far, unclaimed. */
  readonly skip: Effect.Effect<ReadonlyArray<C>, ClaimBroken>
  /** The store itself. What is dispatched to it directly is not claimed. */
  readonly store: Store.AggregateStore<S, C, E, R>
}

type Tag = { readonly _tag: string }

/**
 * Runs an aggregate in its real store, over the event store of the context, under the clock of the test. Commands that
 * effects send come back and are received; a refused one is a problem (`CommandFailed`).
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
 * import * as TestStore from "@composable-ts/testing/TestStore"
 * import * as Effect from "effect/Effect"
 * import * as TestClock from "effect/testing/TestClock"
 *
 * const Door = Action.define("Door", {
 *   commands: { Open: {}, Shut: {} },
 *   events: { Opened: Event.v1({}), Closed: Event.v1({}) }
 * })
 * const door = Aggregate.define(Door, {
 *   initial: { open: false },
 *   decide: (_state, command) => Fx.append(command._tag === "Open" ? Door.Opened() : Door.Closed()),
 *   evolve: (_state, event) => ({ open: event._tag === "Opened" }),
 *   react: (_state, event) => event._tag === "Opened" ? Fx.delay("shut", 10_000, Door.Shut()) : Fx.none
 * })
 *
 * const test = Effect.scoped(Effect.gen(function*() {
 *   const doors = yield* TestStore.aggregate(door)
 *   yield* doors.dispatch("front", Door.Open(), { events: [Door.Opened()] })
 *   yield* doors.advance("10 seconds")
 *   yield* doors.receive("front", Door.Shut(), { events: [Door.Closed()], state: { open: false } })
 * }))
 *
 * await Effect.runPromise(Effect.provide(test, [MemoryEventStore.layer, TestClock.layer()]))
 * ```
 */
export const aggregate = <S, C extends Tag, E extends Tag, R, N>(
  definition: Aggregate.Aggregate<S, C, E, R, N>,
  { partial = false }: { readonly partial?: boolean } = {}
): Effect.Effect<AggregateTestStore<S, C, E, R>, never, EventStore | Scope.Scope | N> =>
  Effect.gen(function*() {
    const bench = yield* TestBench.make<Commanded<S, C, E>>(partial)
    const commands = new Commands(definition, bench)
    const events = commands.observed(yield* EventStore)
    const context = bench.observing(
      Context.add(yield* Effect.context<EventStore | Scope.Scope | N>(), EventStore, events)
    )
    const store = yield* Effect.provideContext(Store.aggregate(commands.noted, { deadline: atOnce }), context)
    yield* bench.watch(store.problems, Effect.succeed(0))

    const claimStep = (
      what: string,
      { claim, claimed }: { readonly claim: typeof claimEqual; readonly claimed: SomethingStored },
      step: { readonly events: ReadonlyArray<E>; readonly state: S }
    ): Effect.Effect<void, ClaimBroken> =>
      Effect.gen(function*() {
        if (claimed.events !== undefined || !(partial || claim === claimLike)) {
          yield* claim(`the events of ${what}`, {
            expected: claimed.events ?? [],
            actual: step.events,
            hint: "Leaving out `events` claims that there are none."
          })
        }
        if ("state" in claimed) {
          yield* claim(`the state after ${what}`, {
            expected: claimed.state,
            actual: step.state,
            hint: "It follows from the events: look at `evolve`, or at what the instance had stored before."
          })
        }
      })

    const receive = (
      id: string,
      expected: unknown,
      claim: typeof claimEqual,
      then: SomethingStored
    ): Effect.Effect<C, ClaimBroken> =>
      Effect.gen(function*() {
        const step = yield* bench.next({
          among: (step) => step.id === id,
          fits: ({ command }) => isLike(expected, command),
          expected: `${inline(expected)} to ${id}`
        })
        yield* claim(`the next command to come back (${step.what}, started by ${step.by})`, {
          expected,
          actual: step.command,
          hint: hintOfNext
        })
        yield* claimStep(step.what, { claim, claimed: then }, step)
        return step.command
      })

    const dispatch = (
      id: string,
      command: C,
      claim: typeof claimEqual,
      then: SomethingStored
    ): Effect.Effect<void, ClaimBroken> =>
      Effect.gen(function*() {
        yield* bench.settle
        yield* bench.nothingWaits
        const what = `${inline(command)} to ${id}`
        const outcome = yield* Effect.result(store.dispatch(id, command, commands.sending(id)))
        yield* bench.settle
        const stored = yield* claimOutcome(what, outcome, then)
        if (stored !== undefined) yield* claimStep(what, { claim, claimed: then }, stored.value)
      })

    return {
      store,
      advance: (duration) => bench.advance(duration),
      problem: (some) => bench.problem(some),
      leave: bench.leave,
      finish: bench.finish,
      skip: Effect.map(bench.skip, (steps) => steps.map(({ command }) => command)),
      dispatch: (id, command, then = {}) => dispatch(id, command, claimEqual, then),
      dispatchPartial: (id, command, then = {}) => dispatch(id, command, claimLike, then),
      receive: (id, command, then = {}) => receive(id, command, claimEqual, then),
      receivePartial: (id, command, then = {}) => receive(id, command, claimLike, then)
    }
  })

/** What a claim says of a step, in whatever detail. */
interface SomethingStored {
  readonly events?: ReadonlyArray<unknown>
  readonly state?: unknown
}
