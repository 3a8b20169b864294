/**
 * What a simulation keeps: what is under way, what waits to be reduced, what is still to be done.
 */
import type { Meta } from "@composable-ts/core/Action"
import type * as Fx from "@composable-ts/core/Fx"
import type { Stepped } from "./Machine.ts"
import type { Origin } from "./Origin.ts"

/** An action that an effect sent, and that waits to be reduced. */
export interface Fed {
  readonly action: unknown
  readonly cause: Meta
  readonly origin: Origin
}

/** What an action changed. */
export interface Reduction extends Stepped {
  readonly action: unknown
  readonly before: unknown
}

/** A sequence that ended before its last member, because one failed. */
export interface Stopped {
  readonly failed: Fx.AnyFx
  readonly left: ReadonlyArray<Fx.AnyFx>
  readonly origin: Origin
}

export interface Common {
  readonly id: number
  /** The group that it is a member of, if any. */
  readonly parent: number | undefined
  /** The outermost group that it is in, itself if it is that; what is cancelled of it is kept under this number. */
  readonly root: number | undefined
  readonly cause: Meta
  readonly origin: Origin
}

/** Something under way: a request that waits for its answer, a timer, a subscription. */
export interface Leaf extends Common {
  readonly kind: "Leaf"
  readonly fx: Fx.AnyFx
  /** When a timer is due. */
  readonly due: number
  /** While it feeds an action back it cannot be answered again; what ends it then shows once the action is reduced. */
  readonly phase: "waiting" | "feeding" | "ended"
  /** The values that a subscription yields next. */
  readonly coming: ReadonlyArray<unknown>
}

/** Several things, one after the other or a few at a time. */
export interface Group extends Common {
  readonly kind: "Sequential" | "Parallel"
  readonly members: ReadonlyArray<Fx.AnyFx>
  readonly next: number
  readonly active: number
  readonly most: number
  readonly ended: Ended
}

/** How something went. What is cancelled ends its sequence without a word: whoever cancels knows. */
export type Ended = "well" | "failed" | "cancelled"

export type Node = Leaf | Group

/** An effect that sends an action, and where it came from. */
export type Sender = Pick<Leaf, "cause" | "origin" | "fx">
export type Context = Omit<Common, "id">

/** What can be ended from outside, where it stands, and the name it goes by there. */
export interface Entry {
  readonly place: string
  readonly key: string | undefined
}

/** What of that is running. */
export interface Running extends Entry {
  readonly isGroup: boolean
}

export interface Planned {
  readonly fx: Fx.AnyFx
  /** The number that a group will have. */
  readonly root: number | undefined
  readonly cause: Meta
  readonly origin: Origin
}

/** What is still to be done before the simulation rests; the last is done first, as calls within calls would be. */
export type Todo =
  | { readonly _tag: "CarryOut"; readonly planned: Planned }
  | { readonly _tag: "Begin"; readonly fx: Fx.AnyFx; readonly parent: number }
  | { readonly _tag: "StartLeaf"; readonly fx: Fx.AnyFx; readonly context: Context; readonly entry: Entry }
  | { readonly _tag: "Register"; readonly id: number; readonly entry: Entry }
  | { readonly _tag: "BeginMore"; readonly id: number }
  | { readonly _tag: "Report"; readonly id: number; readonly ended: Ended }
  | { readonly _tag: "Yield"; readonly id: number }
  | { readonly _tag: "Settle"; readonly id: number; readonly member: Fx.AnyFx; readonly ended: Ended }
  | { readonly _tag: "EndEach"; readonly ids: ReadonlyArray<number> }
