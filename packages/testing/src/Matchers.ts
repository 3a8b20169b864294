/**
 * Matchers for vitest about what a reducer or an aggregate wants done. `expect.extend(matchers)`, in a test file or in one
 * of vitest's `setupFiles`, teaches them to `expect`, that of vitest and of `@effect/vitest`; the types come with the
 * import.
 *
 * They look at an effect description ({@link Fx.AnyFx}), at a reducer's step `[state, effects]`, at an aggregate's
 * ({@link Aggregate.step}), and, as far as events go, at the outcome of a dispatch. Groups are looked into, and whichever
 * part of a composed feature wants it done counts. What is expected may hold asymmetric matchers, such as
 * `expect.any(Number)`.
 *
 * @example
 * ```ts no-run
 * import * as Fx from "@composable-ts/core/Fx"
 * import { matchers } from "@composable-ts/testing/Matchers"
 * import { expect, it } from "@effect/vitest"
 *
 * expect.extend(matchers)
 *
 * const door = (open: boolean) => open ? Fx.reject({ _tag: "AlreadyOpen" }) : Fx.append({ _tag: "Opened" })
 *
 * it("opens once", () => {
 *   expect(door(false)).toHaveAppended({ _tag: "Opened" })
 *   expect(door(true)).toReject({ _tag: "AlreadyOpen" })
 * })
 * ```
 */
import type * as Aggregate from "@composable-ts/core/Aggregate"
import type { Outcome } from "@composable-ts/core/AggregateStore"
import type * as Fx from "@composable-ts/core/Fx"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import type { AnySource, InputOf as SourceInputOf } from "@composable-ts/core/Source"
import type { AnyTask, InputOf } from "@composable-ts/core/Task"
import type { expect } from "@effect/vitest"
import { appended, contains, nothing, rejected } from "./internal/expectations.ts"

type FxIn<T> = T extends Fx.AnyFx ? T : T extends readonly [unknown, infer F extends Fx.AnyFx] ? F : never

/** The events that a value may tell of. */
export type EventIn<T> = unknown extends T ? unknown
  : T extends Aggregate.Step<infer _S, infer E, infer _R> ? E
  : T extends Outcome<infer _S, infer E> ? E
  : Fx.EventOf<FxIn<T>>

/** The reasons for a refusal that a value may tell of. */
export type ReasonIn<T> = unknown extends T ? unknown
  : T extends Aggregate.Step<infer _S, infer _E, infer R> ? R
  : Fx.ReasonOf<FxIn<T>>

/** What vitest's `expect` learns; `R` what a matcher returns, `T` the type of the value looked at. */
export interface FxMatchers<R, T = unknown> {
  /** Exactly these events are appended, in this order; none, when none are given. */
  readonly toHaveAppended: (...events: ReadonlyArray<EventIn<T>>) => R
  /**
   * The command is refused, for this reason; for any, when none is given. It is not jest-extended's matcher of the same
   * name, which waits for a promise and for which linters demand an `await`: set `asyncMatchers: []` for `valid-expect`.
   */
  readonly toReject: (reason?: ReasonIn<T>) => R
  /** The task is performed, with this input and under this id where they are given. */
  readonly toPerform: <K extends AnyTask>(task: K, input?: InputOf<K>, options?: { readonly id: string }) => R
  /** The source is followed, with this input and under this id where they are given. */
  readonly toSubscribe: <K extends AnySource>(source: K, input?: SourceInputOf<K>, id?: string) => R
  /** The action is sent to the feature itself. */
  readonly toSend: (action: unknown) => R
  /** An action is to come after so many milliseconds under this id; this one, where it is given. */
  readonly toDelay: (id: string, millis: number, action?: unknown) => R
  /** The task, subscription or timer with this id is ended. */
  readonly toCancel: (id: string) => R
  /** The command is dispatched to an instance of another aggregate. */
  readonly toDispatch: <C>(
    aggregate: { readonly category: string; readonly "~commands"?: C },
    id: string,
    command: NoInfer<C>
  ) => R
  /** An event is published on the topic; this one, where it is given. */
  readonly toPublish: (topic: string, event?: EncodedEvent) => R
  /** Nothing is appended, refused or otherwise done. */
  readonly toDoNothing: () => R
}

declare module "@effect/vitest" {
  // Merges with vitest's own interface, which it re-exports and whose parameters have to be repeated. Through it, because a
  // user's vitest is a peer of `@effect/vitest`, and only that is a peer of this package.
  interface Matchers<R extends void | Promise<void> = void | Promise<void>, T = unknown> extends FxMatchers<R, T> {}
}

/** The matchers, for `expect.extend`. */
export const matchers: Parameters<typeof expect.extend>[0] = {
  toHaveAppended(received: unknown, ...events: ReadonlyArray<unknown>) {
    return appended(this, received, events)
  },
  toReject(received: unknown, ...reason: ReadonlyArray<unknown>) {
    return rejected(this, received, reason)
  },
  toPerform(received: unknown, task: AnyTask, input?: unknown, options?: { readonly id: string }) {
    return contains(this, received, { _tag: "Perform", task: task.name, input, id: options?.id })
  },
  toSubscribe(received: unknown, source: AnySource, input?: unknown, id?: string) {
    return contains(this, received, { _tag: "Subscribe", source: source.name, input, id })
  },
  toSend(received: unknown, action: unknown) {
    return contains(this, received, { _tag: "Send", action })
  },
  toDelay(received: unknown, id: string, millis: number, action?: unknown) {
    return contains(this, received, { _tag: "Delay", id, millis, action })
  },
  toCancel(received: unknown, id: string) {
    return contains(this, received, { _tag: "Cancel", id })
  },
  toDispatch(received: unknown, aggregate: { readonly category: string }, id: string, command: unknown) {
    return contains(this, received, { _tag: "Dispatch", category: aggregate.category, id, command })
  },
  toPublish(received: unknown, topic: string, event?: EncodedEvent) {
    return contains(this, received, { _tag: "Publish", topic, event })
  },
  toDoNothing(received: unknown) {
    return nothing(received)
  }
}
