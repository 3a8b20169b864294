/**
 * Effect descriptions: what a reducer wants done, as plain data.
 *
 * Because no description holds a function, two are equal exactly when they mean the same, a test can compare and print
 * them, and a store can keep them. Only the {@link Store} interprets them. The constructors normalise: whatever does
 * nothing is {@link none}, and groups of one are their member, so equal meaning is equal structure.
 */
import type * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import type * as Scope from "effect/Scope"
import type { EventBus } from "./EventBus.ts"
import type { EventStore, StreamAppend } from "./EventStore.ts"
import { type ExpectedVersion, format as formatExpected } from "./ExpectedVersion.ts"
import type { Current } from "./History.ts"
import type { EncodedEvent } from "./RecordedEvent.ts"
import type { AnySource, HandlerOf as SourceHandlerOf, InputOf as SourceInputOf } from "./Source.ts"
import type { StreamId } from "./StreamId.ts"
import type { AnyTask, HandlerOf, InputOf } from "./Task.ts"

/** Where in a composed feature a description was made, outermost part first; empty for the feature itself. */
export type Path = ReadonlyArray<Segment>

/** A part of a composed feature: its key, and the element's id when the part is a collection. */
export interface Segment {
  readonly key: string
  readonly id?: string
}

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

/** Reduce an action next, behind those that already wait. */
export interface Send<out A> {
  readonly _tag: "Send"
  readonly at: Path
  readonly action: A
}

/** Perform a task, and report its outcome as an action. */
export interface Perform<out T extends AnyTask> {
  readonly _tag: "Perform"
  readonly at: Path
  readonly task: T["name"]
  readonly input: InputOf<T>
  /** Names the task while it runs; starting another under the same id cancels the first. */
  readonly id: string | null
  /** The declaration itself is not part of the data; this only carries its type. */
  readonly "~task"?: T
}

/** Follow a source, and report each of its values as an action. */
export interface Subscribe<out T extends AnySource> {
  readonly _tag: "Subscribe"
  readonly at: Path
  readonly source: T["name"]
  readonly input: SourceInputOf<T>
  /** Names the subscription while it runs; starting another under the same id ends the first. */
  readonly id: string
  /** The declaration itself is not part of the data; this only carries its type. */
  readonly "~source"?: T
}

/** Append events to other streams, all of them in one commit or none. */
export interface Transact {
  readonly _tag: "Transact"
  readonly appends: readonly [StreamAppend, ...ReadonlyArray<StreamAppend>]
}

/** Send a message to all who listen to a topic of the event bus. */
export interface Publish {
  readonly _tag: "Publish"
  readonly topic: string
  readonly event: EncodedEvent
  /** Messages of one key are handled in order by a group; null for the key of whoever publishes, see {@link publish}. */
  readonly key: string | null
}

/** Dispatch a command to an instance of another aggregate. */
export interface Dispatch<out C> {
  readonly _tag: "Dispatch"
  /** The aggregate's category. */
  readonly category: string
  readonly id: string
  readonly command: C
}

/** Load the state of an instance of another aggregate, and report it as an action. */
export interface Load<out A, out D> {
  readonly _tag: "Load"
  readonly at: Path
  /** The aggregate's category. */
  readonly category: string
  readonly id: string
  /** The tag of the action that reports what was loaded: `{ _tag, id, current }`. */
  readonly as: string
  /** Only types: the action, and the service that loads. */
  readonly "~action"?: A
  readonly "~dispatcher"?: D
}

/** Keep a snapshot of the instance's state. */
export interface SaveSnapshot {
  readonly _tag: "SaveSnapshot"
  readonly at: Path
}

/**
 * Run an effect that was written on the spot, and send the action that it yields. It is not data: it cannot be compared,
 * printed or stored, so aggregates do not accept it.
 */
export interface Run<out A, out N> {
  readonly _tag: "Run"
  readonly at: Path
  readonly effect: Effect.Effect<A, never, N>
}

/** Send an action after a while, unless cancelled; another under the same id takes its place. */
export interface Delay<out A> {
  readonly _tag: "Delay"
  readonly at: Path
  readonly millis: number
  readonly action: A
  readonly id: string
}

/** Send an action at once, then none under the same id for a while. */
export interface Throttle<out A> {
  readonly _tag: "Throttle"
  readonly at: Path
  readonly millis: number
  readonly action: A
  readonly id: string
}

/** End the task or timer with this id. */
export interface Cancel {
  readonly _tag: "Cancel"
  readonly at: Path
  readonly id: string
}

/** End every task and timer of a part, and of its parts. */
export interface CancelAll {
  readonly _tag: "CancelAll"
  readonly at: Path
}

/** Do several things at the same time, at most `concurrency` of them at once. `L` is what it comes down to. */
export interface Parallel<out L> {
  readonly _tag: "Parallel"
  readonly fx: ReadonlyArray<Nested<L>>
  readonly concurrency: number | null
}

/** Do several things one after the other; a failure ends it. `L` is what it comes down to. */
export interface Sequential<out L> {
  readonly _tag: "Sequential"
  readonly fx: ReadonlyArray<Nested<L>>
}

/** Something that is done as a whole, or a group of such, however deep. */
export type Nested<L> = L | Parallel<L> | Sequential<L>

/** A description that is done as a whole. */
export type Leaf<E, R, A, T extends AnyTask, U extends AnySource> =
  | None
  | Append<E>
  | Reject<R>
  | Send<A>
  | Perform<T>
  | Subscribe<U>
  | Transact
  | Publish
  | Dispatch<unknown>
  | Load<A, unknown>
  | SaveSnapshot
  | Delay<A>
  | Throttle<A>
  | Cancel
  | CancelAll

/**
 * An effect description: `E` the events it may append, `R` the reasons with which it may refuse, `A` the actions it may
 * send, `T` the tasks it may perform, `U` the sources it may follow.
 */
export type Fx<E = never, R = never, A = never, T extends AnyTask = never, U extends AnySource = never> = Nested<
  Leaf<E, R, A, T, U>
>

/** What a command comes to when nothing else is done: events, a refusal, or nothing. */
export type Decision<E = never, R = never> = None | Append<E> | Reject<R>

/** Any effect description. */
export type AnyFx = Nested<AnyLeaf>
type AnyLeaf = Leaf<unknown, unknown, unknown, AnyTask, AnySource> | Run<unknown, unknown>

/** What a description comes down to. */
export type LeafOf<F> = F extends Parallel<infer L> | Sequential<infer L> ? L : F
/** The events that a description may append. */
export type EventOf<F> = LeafOf<F> extends infer L ? L extends Append<infer E> ? E : never : never
/** The reasons with which a description may refuse. */
export type ReasonOf<F> = LeafOf<F> extends infer L ? L extends Reject<infer R> ? R : never : never
/** The actions that a description may send. */
export type ActionOf<F> = LeafOf<F> extends infer L
  ? L extends Send<infer A> | Delay<infer A> | Throttle<infer A> | Run<infer A, unknown> ? A
  : L extends Load<infer A, unknown> ? A
  : never
  : never
/** The tasks that a description may perform. */
export type TaskOf<F> = LeafOf<F> extends infer L ? L extends Perform<infer T> ? T : never : never

/** The sources that a description may follow. */
export type SourceOf<F> = LeafOf<F> extends infer L ? L extends Subscribe<infer U> ? U : never : never

/** What must be there for a description to be carried out: handlers, stores, and a scope for what goes on. */
export type NeedsOf<F> = LeafOf<F> extends infer L ? L extends None | Append<unknown> | Reject<unknown> ? never
  : Scope.Scope | LeafNeedsOf<L>
  : never
type LeafNeedsOf<L> = L extends Perform<infer T> ? HandlerOf<T>
  : L extends Subscribe<infer U> ? SourceHandlerOf<U>
  : L extends Transact ? EventStore
  : L extends Publish ? EventBus
  : L extends Dispatch<infer C> ? Dispatcher<C>
  : L extends Load<unknown, infer D> ? D
  : L extends Run<unknown, infer N> ? N
  : never

/** The service that dispatches commands to an aggregate, told apart by its commands. `Store.layer` provides it. */
export interface Dispatcher<in out C> {
  readonly _tag: "@composable-ts/core/Fx/Dispatcher"
  readonly "~commands": (command: C) => C
}

const root: Path = Object.freeze([])

/** Does nothing: the action is accepted, and there is nothing more to do. */
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

/** Sends an action to the feature itself: it is reduced next, behind those that already wait. */
export const send = <const A>(action: A): Send<A> => ({ _tag: "Send", at: root, action })

/**
 * Performs a task. Its outcome comes back as the action that the feature's outcomes say ({@link Reducer.withOutcomes}).
 * With an `id` it can be cancelled; performing another under the same id cancels the first.
 */
export const perform = <T extends AnyTask>(
  task: T,
  input: InputOf<T>,
  options: { readonly id?: string } = {}
): Perform<T> => ({
  _tag: "Perform",
  at: root,
  task: task.name,
  input,
  id: options.id ?? null
})

/**
 * Follows a source. Each of its values comes back as the action that the feature's outcomes say; so does its failure,
 * and its end where they say one. It goes on until it ends or is cancelled by its id.
 */
export const subscribe = <T extends AnySource>(source: T, input: SourceInputOf<T>, id: string): Subscribe<T> => ({
  _tag: "Subscribe",
  at: root,
  source: source.name,
  input,
  id
})

/**
 * Appends events to the streams of other aggregates, all of them in one commit or none. The events come encoded
 * (`Order.encode`), so a command cannot be among them.
 */
export const transact = (...appends: readonly [StreamAppend, ...ReadonlyArray<StreamAppend>]): Transact => ({
  _tag: "Transact",
  appends
})

/** Appends events to the stream of another aggregate. */
export const appendTo = (
  streamId: StreamId,
  expected: ExpectedVersion,
  ...events: readonly [EncodedEvent, ...ReadonlyArray<EncodedEvent>]
): Transact => transact({ streamId, expected, events: events as StreamAppend["events"] })

/**
 * Sends an event to all who listen to a topic of the event bus. It comes encoded, so it cannot be a command.
 *
 * Messages of one key are handled in order by a group that consumes. Without a key of its own a message has the id of
 * the stream of the aggregate that publishes it; where that is no aggregate, the correlation id of what caused it.
 */
export const publish = (topic: string, event: EncodedEvent, options?: { readonly key?: string }): Publish => ({
  _tag: "Publish",
  topic,
  event,
  key: options?.key ?? null
})

/** Dispatches a command to an instance of another aggregate. Its ids say what caused it. */
export const dispatch = <C>(
  aggregate: { readonly category: string; readonly "~commands"?: C },
  id: string,
  command: NoInfer<C>
): Dispatch<C> => ({ _tag: "Dispatch", category: aggregate.category, id, command })

/**
 * Loads the state of an instance of another aggregate. It comes back as the action `{ _tag, id, current }` with the tag
 * given here. What another aggregate's state says is true when it is read, and may have changed since.
 */
export const load = <S, C, const As extends string>(
  aggregate: { readonly category: string; readonly initial: S; readonly "~commands"?: C },
  id: string,
  as: As
): Load<{ readonly _tag: As; readonly id: string; readonly current: Current<S> }, Dispatcher<C>> => ({
  _tag: "Load",
  at: root,
  category: aggregate.category,
  id,
  as
})

/** Keeps a snapshot of the instance's state behind the events of this step. */
export const saveSnapshot: SaveSnapshot = Object.freeze({ _tag: "SaveSnapshot", at: root })

/**
 * Runs an effect and sends the action that it yields: for what is not worth a task. It is not data, so tests cannot look
 * inside, and it is lost with the process.
 */
export const run = <A, N>(effect: Effect.Effect<A, never, N>): Run<A, N> => ({ _tag: "Run", at: root, effect })

const checkedMillis = (millis: number): number => {
  if (millis >= 0 && millis < Number.POSITIVE_INFINITY) return millis
  throw new RangeError(`a time is a number of milliseconds, 0 or more and finite, not ${millis}`)
}

/** Sends an action after `millis` milliseconds. Under the id of a timer that still runs, it takes its place. */
export const delay = <const A>(id: string, millis: number, action: A): Delay<A> => ({
  _tag: "Delay",
  at: root,
  millis: checkedMillis(millis),
  action,
  id
})

/**
 * Sends an action once nothing was debounced under this id for `millis` milliseconds: the last call counts. It is a
 * {@link delay} that starts anew each time.
 */
export const debounce: typeof delay = delay

/**
 * Sends an action at once, and then ignores what is throttled under this id for `millis` milliseconds: the first call
 * counts.
 */
export const throttle = <const A>(id: string, millis: number, action: A): Throttle<A> => ({
  _tag: "Throttle",
  at: root,
  millis: checkedMillis(millis),
  action,
  id
})

/** Ends the task or timer with this id, if there is one; also one that this very step was about to start before. */
export const cancel = (id: string): Cancel => ({ _tag: "Cancel", at: root, id })

/** Ends every task and timer of the feature and of its parts. */
export const cancelAll: CancelAll = Object.freeze({ _tag: "CancelAll", at: root })

const members = <L>(fx: ReadonlyArray<Nested<L>>): ReadonlyArray<Nested<L>> =>
  fx.filter((f) => (f as AnyFx)._tag !== "None")

/** Does several things at the same time. Members that are such groups themselves are taken apart. */
export const all = <const F extends ReadonlyArray<AnyFx>>(...fx: F): None | Nested<LeafOf<F[number]>> => {
  const flat = members<AnyLeaf>(fx).flatMap((f) => f._tag === "Parallel" && f.concurrency === null ? f.fx : [f])
  return group(flat, { _tag: "Parallel", fx: flat, concurrency: null }) as Nested<LeafOf<F[number]>>
}

/** Does several things at the same time, at most `concurrency` of them at once, begun in their order. */
export const parallel = <const F extends ReadonlyArray<AnyFx>>(
  concurrency: number,
  ...fx: F
): None | Nested<LeafOf<F[number]>> => {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new RangeError(`concurrency is a number of things, 1 or more, not ${concurrency}`)
  }
  const some = members<AnyLeaf>(fx)
  return group(some, { _tag: "Parallel", fx: some, concurrency }) as Nested<LeafOf<F[number]>>
}

/** Does several things one after the other. When a task among them fails, those behind it are not begun. */
export const sequential = <const F extends ReadonlyArray<AnyFx>>(...fx: F): None | Nested<LeafOf<F[number]>> => {
  const flat = members<AnyLeaf>(fx).flatMap((f) => f._tag === "Sequential" ? f.fx : [f])
  return group(flat, { _tag: "Sequential", fx: flat }) as Nested<LeafOf<F[number]>>
}

const group = (fx: ReadonlyArray<AnyFx>, several: AnyFx): AnyFx => fx.length < 2 ? fx[0] ?? none : several

/** The description of a part, as its whole makes it: what it sends and reports goes to the part, its ids are its own. */
export const within = <F extends AnyFx>(segment: Segment, fx: F): F => place(segment, fx) as F

/** The description, with this key for all that it publishes and that has none. */
export const keyed = <F extends AnyFx>(key: string, fx: F): F => withKey(key, fx) as F

const withKey = (key: string, fx: AnyFx): AnyFx => {
  if (fx._tag === "Publish") return fx.key === null ? { ...fx, key } : fx
  return "fx" in fx ? { ...fx, fx: fx.fx.map((f) => withKey(key, f)) } : fx
}

const place = (segment: Segment, fx: AnyFx): AnyFx => {
  if ("at" in fx) return { ...fx, at: [segment, ...fx.at] }
  return "fx" in fx ? { ...fx, fx: fx.fx.map((f) => place(segment, f)) } : fx
}

/** Applies a function to every action that a description holds. What tasks, sources and loads report is not among them. */
export const map = <F extends AnyFx, B>(
  fx: F,
  f: (action: ActionOf<F>) => B
): Fx<EventOf<F>, ReasonOf<F>, B, TaskOf<F>, SourceOf<F>> =>
  mapped(fx, f as (action: unknown) => B) as Fx<EventOf<F>, ReasonOf<F>, B, TaskOf<F>, SourceOf<F>>

const mapped = (fx: AnyFx, f: (action: unknown) => unknown): AnyFx => {
  switch (fx._tag) {
    case "Send":
    case "Delay":
    case "Throttle":
      return { ...fx, action: f(fx.action) }
    case "Parallel":
    case "Sequential":
      return { ...fx, fx: fx.fx.map((g) => mapped(g, f)) }
    default:
      // What a load or a task reports is not part of the description.
      return fx
  }
}

/** The refusal in a description: one anywhere refuses the whole. */
export const refusalOf = (fx: AnyFx): Reject<unknown> | undefined => {
  if (fx._tag === "Reject") return fx
  if (!("fx" in fx)) return undefined
  for (const member of fx.fx) {
    const refusal = refusalOf(member)
    if (refusal !== undefined) return refusal
  }
  return undefined
}

/** Where a description reports to; a group, to the innermost place that all of it has in common. */
export const pathOf = (fx: AnyFx): Path | undefined => {
  if ("at" in fx) return fx.at
  if (!("fx" in fx)) return undefined
  return fx.fx.map(pathOf).filter((path) => path !== undefined).reduce<Path | undefined>(common, undefined)
}

const common = (a: Path | undefined, b: Path): Path => {
  if (a === undefined) return b
  const apart = a.findIndex(({ id, key }, i) => key !== b[i]?.key || id !== b[i]!.id)
  return apart === -1 ? a : a.slice(0, apart)
}

/** A place as text: each segment stands between `/[` and `]`, so a place begins with another only if it lies within. */
export const placeOf = (at: Path): string => at.map(({ id, key }) => `/${JSON.stringify([key, id])}`).join("")

/** A description in words, one line for each thing to do, for messages. */
export const render = (fx: AnyFx): string => lines(fx).join("\n")

const lines = (fx: AnyFx): ReadonlyArray<string> => {
  switch (fx._tag) {
    case "None":
      return ["nothing"]
    case "Append":
      return [`append ${fx.events.map((event) => Formatter.format(event)).join(", ")}`]
    case "Reject":
      return [`reject ${Formatter.format(fx.reason)}`]
    case "Send":
      return [`send ${Formatter.format(fx.action)}${where(fx.at)}`]
    case "Perform":
      return [`perform ${fx.task} ${Formatter.format(fx.input)}${under(fx.id)}${where(fx.at)}`]
    case "Subscribe":
      return [`subscribe to ${fx.source} ${Formatter.format(fx.input)}${under(fx.id)}${where(fx.at)}`]
    case "Transact":
      return fx.appends.map(({ events, expected, streamId }) =>
        `append to ${streamId}, expecting ${formatExpected(expected)}: ${events.map(({ type }) => type).join(", ")}`
      )
    case "Publish":
      return [`publish ${fx.event.type} on ${fx.topic}`]
    case "Dispatch":
      return [`dispatch ${Formatter.format(fx.command)} to ${fx.category} ${fx.id}`]
    case "Load":
      return [`load ${fx.category} ${fx.id} as ${fx.as}${where(fx.at)}`]
    case "SaveSnapshot":
      return ["save a snapshot"]
    case "Run":
      return [`run an effect that is not data${where(fx.at)}`]
    case "Delay":
      return [`send ${Formatter.format(fx.action)} in ${fx.millis} ms${under(fx.id)}${where(fx.at)}`]
    case "Throttle":
      return [`send ${Formatter.format(fx.action)} at most every ${fx.millis} ms${under(fx.id)}${where(fx.at)}`]
    case "Cancel":
      return [`cancel ${JSON.stringify(fx.id)}${where(fx.at)}`]
    case "CancelAll":
      return [`cancel everything${where(fx.at)}`]
    case "Parallel":
      return [fx.concurrency === null ? "at the same time:" : `at most ${fx.concurrency} at once:`, ...indented(fx.fx)]
    case "Sequential":
      return ["one after the other:", ...indented(fx.fx)]
  }
}

const indented = (fx: ReadonlyArray<AnyFx>) =>
  fx.flatMap((f) => lines(f).map((line, i) => `${i === 0 ? "- " : "  "}${line}`))
const under = (id: string | null) => id === null ? "" : ` as ${JSON.stringify(id)}`
const where = (at: Path) =>
  at.length === 0 ? "" : ` within ${at.map(({ id, key }) => id === undefined ? key : `${key}(${id})`).join(" / ")}`
