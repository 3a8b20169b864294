/**
 * An aggregate whose effects survive a crash: they are stored in the commit of the events that they come from, and workers
 * carry them out. Here it is said once what storing them takes: the tasks that it performs, and the aggregates that it
 * dispatches to, because a description holds only their names.
 */
import type * as Schema from "effect/Schema"
import type { Aggregate } from "./Aggregate.ts"
import type * as Fx from "./Fx.ts"
import * as DurableFx from "./internal/durableFx.ts"
import { idempotencyKey, type StoredEntry } from "./Outbox.ts"
import type { Handler as SourceHandler } from "./Source.ts"
import type { AnyTask, Handler } from "./Task.ts"

type Tag = { readonly _tag: string }

/** Why another aggregate refused a command, and which. */
export interface Refusal<out C, out R> {
  readonly reason: R
  readonly command: C
  /** The instance that refused. */
  readonly id: string
}

/** An aggregate to which commands are dispatched; `C` its commands, `A` what its refusals become. */
export interface Target<in out C, out A> {
  readonly category: string
  readonly commands: Schema.Codec<unknown, unknown>
  readonly refused: ((refusal: Refusal<never, never>) => A) | undefined
  /** Only types. */
  readonly "~commands"?: (command: C) => C
}

/**
 * Names an aggregate to which commands are dispatched. Its refusals come back as the command that `refused` makes of them;
 * without it, a refused command is a dead letter.
 */
export const target = <S, C extends Tag, E extends Tag, R, N, A = never>(
  aggregate: Aggregate<S, C, E, R, N>,
  refused?: (refusal: Refusal<C, R>) => A
): Target<C, A> => ({
  category: aggregate.category,
  commands: aggregate.actions.Command as Schema.Codec<unknown, unknown>,
  refused: refused as Target<C, A>["refused"]
})

// eslint-disable-next-line typescript/no-explicit-any -- a bound that every target must fit, whatever its commands
type AnyTarget<A> = Target<any, A>

/** Nobody can provide this: it stands among the needs of a durable aggregate that performs a task that it does not name. */
export interface TaskMissing<out Task extends string> {
  readonly _tag: "@composable-ts/core/DurableAggregate/TaskMissing"
  readonly task: Task
}

/** Nobody can provide this: it stands among the needs of a durable aggregate that does not name one of its targets. */
export interface TargetMissing<in out C> {
  readonly _tag: "@composable-ts/core/DurableAggregate/TargetMissing"
  readonly commands: (command: C) => C
}

/** Nobody can provide this: it stands among the needs of a durable aggregate that follows a source, which is not stored. */
export interface SourceNotDurable<out Source extends string> {
  readonly _tag: "@composable-ts/core/DurableAggregate/SourceNotDurable"
  readonly source: Source
}

type MissingTask<N, Declared> = N extends Handler<infer Name> ? Name extends Declared ? never : TaskMissing<Name>
  : never
type MissingTarget<N, Declared> = N extends Fx.Dispatcher<infer C> ? N extends Declared ? never : TargetMissing<C>
  : never
type NotDurable<N> = N extends SourceHandler<infer Name> ? SourceNotDurable<Name> : never
type DispatcherOf<T> = T extends Target<infer C, unknown> ? Fx.Dispatcher<C> : never

/** What of its needs nobody can provide. */
export type Unmet<N> = Extract<
  N,
  | TaskMissing<string>
  | { readonly _tag: TargetMissing<never>["_tag"] }
  | SourceNotDurable<string>
  | { readonly _tag: "@composable-ts/core/Aggregate/OutcomesMissing" }
>

/** An aggregate, and what it takes to store its effects. Its parameters are those of the aggregate. */
export interface DurableAggregate<S, C extends Tag, E extends Tag, R, out N = never> {
  readonly aggregate: Aggregate<S, C, E, R, N>
  readonly targets: ReadonlyMap<string, AnyTarget<C>>
  /** The kinds of its entries that this program knows: of every version of its tasks' inputs up to the present one. */
  readonly kinds: ReadonlyArray<string>
  readonly "~effects": DurableFx.DurableFx
}

/** Any durable aggregate. */
// eslint-disable-next-line typescript/no-explicit-any -- a bound that every one must fit, whatever it is about
export type AnyDurableAggregate = DurableAggregate<any, any, any, any, any>

/**
 * Says what it takes to store an aggregate's effects. Every task that it performs and every aggregate that it dispatches
 * to is named; what is missing stands among the needs of its store and of its workers, where nobody can provide it.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Aggregate from "@composable-ts/core/Aggregate"
 * import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Fx from "@composable-ts/core/Fx"
 * import * as Task from "@composable-ts/core/Task"
 * import * as Schema from "effect/Schema"
 *
 * const Greet = Task.define("Greet", { input: Schema.String, success: Schema.Void, failure: Schema.Never })
 * const Guest = Action.define("Guest", {
 *   commands: { Come: { name: Schema.String }, Sit: {} },
 *   events: { Came: Event.v1({ name: Schema.String }), Sat: Event.v1({}) }
 * })
 * const guest = Aggregate.define(Guest, {
 *   initial: null,
 *   decide: (_state, command) => Fx.append(command._tag === "Come" ? Guest.Came(command) : Guest.Sat()),
 *   evolve: () => null,
 *   react: (_state, event) => event._tag === "Came" ? Fx.perform(Greet, event.name) : Fx.none,
 *   outcomes: { Greet: { success: () => Guest.Sit(), failure: (never) => never } }
 * })
 *
 * const durableGuest = DurableAggregate.make(guest, { tasks: [Greet] })
 * durableGuest.kinds.includes("guest/perform/Greet.v1") // => true
 * ```
 */
export const make = <
  S,
  C extends Tag,
  E extends Tag,
  R,
  N,
  const T extends ReadonlyArray<AnyTask> = readonly [],
  const G extends ReadonlyArray<AnyTarget<C>> = readonly []
>(
  aggregate: Aggregate<S, C, E, R, N>,
  { targets, tasks }: { readonly tasks?: T; readonly targets?: G } = {}
): DurableAggregate<
  S,
  C,
  E,
  R,
  | N
  | MissingTask<N, T[number]["name"]>
  | MissingTarget<N, DispatcherOf<G[number]> | Fx.Dispatcher<C>>
  | NotDurable<N>
> => {
  const own: AnyTarget<C> = target(aggregate)
  const all = new Map([own, ...targets ?? []].map((one) => [one.category, one] as const))
  const effects = DurableFx.make({
    category: aggregate.category,
    tasks: tasks ?? [],
    commands: new Map([...all].map(([category, { commands }]) => [category, commands]))
  })
  return { aggregate, targets: all, kinds: effects.kinds, "~effects": effects }
}

/**
 * The id of the command that an entry leads to: the same for every attempt, so that what is dispatched twice is stored
 * once. An entry that was given up and revived begins anew.
 */
export const commandId = (entry: Pick<StoredEntry, "globalPosition" | "index" | "revivals">): string =>
  `effect:${idempotencyKey(entry)}${entry.revivals === 0 ? "" : `:r${entry.revivals}`}`
