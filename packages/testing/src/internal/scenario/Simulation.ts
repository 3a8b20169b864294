/**
 * A store without a runtime: the same rules about what is reduced when, what starts, what is cancelled and what follows
 * what, over plain data. Time is a number, and tasks wait until they are told how they ended. It can be copied at any
 * point, so that several futures can be followed from one present.
 */
import type { Meta } from "@composable-ts/core/Action"
import type * as Fx from "@composable-ts/core/Fx"
import type { Machine, Stepped } from "./Machine.ts"
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

/** A sequence that ended before its last member. */
export interface Stopped {
  readonly failed: Fx.AnyFx
  readonly left: ReadonlyArray<Fx.AnyFx>
  readonly origin: Origin
}

interface Common {
  readonly id: number
  /** The group that it is a member of, if any. */
  readonly parent: number | undefined
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
  readonly well: boolean
}

type Node = Leaf | Group
type Context = Omit<Common, "id">

/** What can be ended from outside, where it stands, and the name it goes by there. */
interface Entry {
  readonly place: string
  readonly key: string | undefined
}

interface Planned {
  readonly fx: Fx.AnyFx
  readonly cause: Meta
  readonly origin: Origin
}

/** What is still to be done before the simulation rests; the last is done first, as calls within calls would be. */
type Todo =
  | { readonly _tag: "CarryOut"; readonly planned: Planned }
  | { readonly _tag: "Begin"; readonly fx: Fx.AnyFx; readonly parent: number }
  | { readonly _tag: "StartLeaf"; readonly fx: Fx.AnyFx; readonly context: Context; readonly entry: Entry }
  | { readonly _tag: "Register"; readonly id: number; readonly entry: Entry }
  | { readonly _tag: "BeginMore"; readonly id: number }
  | { readonly _tag: "Report"; readonly id: number; readonly well: boolean }
  | { readonly _tag: "Yield"; readonly id: number }
  | { readonly _tag: "Settle"; readonly id: number; readonly member: Fx.AnyFx; readonly well: boolean }
  | { readonly _tag: "EndWithin"; readonly place: string }

/** A place as text: each segment stands between `/[` and `]`, so a place begins with another only if it lies within. */
const placeOf = (at: Fx.Path): string => at.map(({ id, key }) => `/${JSON.stringify([key, id])}`).join("")

const nobody: Fx.Path = []

export class Simulation {
  state: unknown
  now: number
  inbox: ReadonlyArray<Fed> = []
  stopped: ReadonlyArray<Stopped> = []
  readonly #machine: Machine
  #until: number
  #reduced = 0
  #made = 0
  #nodes: Map<number, Node> = new Map()
  #running: Map<number, Entry> = new Map()
  #byKey: Map<string, number> = new Map()
  #throttled: Map<string, number> = new Map()
  #planned: Array<Planned> = []
  #todo: Array<Todo> = []

  constructor(machine: Machine, state: unknown, now: number) {
    this.#machine = machine
    this.state = state
    this.now = now
    this.#until = now
  }

  /** The same present, from which another future can follow. */
  copy(): Simulation {
    const copy = new Simulation(this.#machine, this.state, this.now)
    copy.inbox = this.inbox
    copy.stopped = this.stopped
    copy.#until = this.#until
    copy.#reduced = this.#reduced
    copy.#made = this.#made
    copy.#nodes = new Map(this.#nodes)
    copy.#running = new Map(this.#running)
    copy.#byKey = new Map(this.#byKey)
    copy.#throttled = new Map(this.#throttled)
    copy.#planned = [...this.#planned]
    copy.#todo = [...this.#todo]
    return copy
  }

  /** What waits for an answer, a time or a value, oldest first. */
  get underWay(): ReadonlyArray<Leaf> {
    return [...this.#nodes.values()].filter((node) => node.kind === "Leaf" && node.phase === "waiting") as Array<Leaf>
  }

  /** What stands behind something under way in its group, and is not begun. */
  get queued(): ReadonlyArray<Fx.AnyFx> {
    return [...this.#nodes.values()].flatMap((node) => node.kind === "Leaf" ? [] : node.members.slice(node.next))
  }

  /** The throttles that hold something back, and how long each still does. */
  get throttles(): ReadonlyArray<readonly [key: string, since: number]> {
    return [...this.#throttled].map(([key, at]) => [key, this.now - at] as const)
  }

  /** Reduces an action from outside. Nothing may wait. */
  send(action: unknown, origin: Origin): Reduction {
    return this.#reduce(action, undefined, origin)
  }

  /** Reduces the action that waits longest. */
  receive({ action, cause, origin }: Fed): Reduction {
    this.inbox = this.inbox.slice(1)
    return this.#reduce(action, cause, origin)
  }

  /** Something ends; with an action, unless there is none to report it. */
  end(leaf: Leaf, well: boolean, report?: { readonly action: unknown }): void {
    this.#nodes.set(leaf.id, { ...leaf, phase: "feeding" })
    this.#todo.push({ _tag: "Report", id: leaf.id, well })
    if (report !== undefined) this.#feed(leaf, report.action)
    this.#proceed()
  }

  /** A subscription yields values, each as the action that reports it. */
  yield(leaf: Leaf, actions: ReadonlyArray<unknown>): void {
    this.#nodes.set(leaf.id, { ...leaf, phase: "feeding", coming: actions })
    this.#todo.push({ _tag: "Yield", id: leaf.id })
    this.#proceed()
  }

  /** Time passes. It stands still at each due timer until what the timer sent is reduced. */
  advance(millis: number): void {
    this.#until = this.now + millis
    this.#proceed()
  }

  #reduce(action: unknown, cause: Meta | undefined, origin: Origin): Reduction {
    const id = `action-${this.#reduced += 1}`
    const meta: Meta = {
      id,
      time: this.now,
      correlationId: cause?.correlationId ?? id,
      causationId: cause?.id ?? id
    }
    const before = this.state
    const stepped = this.#machine.step(before, action, meta)
    if (stepped.refusal === undefined) {
      this.state = stepped.state
      this.#plan({ fx: stepped.fx, cause: meta, origin })
    }
    if (this.#machine.starts === "with each step") this.#carryOut()
    this.#proceed()
    return { ...stepped, action, before }
  }

  /** Goes on until an action waits or nothing is left to do. */
  #proceed(): void {
    for (;;) {
      if (this.#machine.starts === "with each step") this.#work(0)
      if (this.inbox.length > 0) return
      if (this.#planned.length > 0) {
        this.#carryOut()
      } else if (this.#todo.length > 0) {
        this.#do(this.#todo.pop()!)
      } else {
        const timer = this.#nextTimer()
        if (timer === undefined) break
        this.now = timer.due
        this.#nodes.set(timer.id, { ...timer, phase: "feeding" })
        this.#todo.push({ _tag: "Report", id: timer.id, well: true })
        this.#feed(timer, (timer.fx as Fx.Delay<unknown>).action)
      }
    }
    this.now = this.#until
  }

  #nextTimer(): Leaf | undefined {
    let first: Leaf | undefined
    for (const leaf of this.underWay) {
      if (leaf.due <= this.#until && (first === undefined || leaf.due < first.due)) first = leaf
    }
    return first
  }

  #feed({ cause, origin, fx }: Pick<Leaf, "cause" | "origin" | "fx">, action: unknown): void {
    const at = "at" in fx ? fx.at : nobody
    this.inbox = [...this.inbox, { action: this.#machine.embed(at, action), cause, origin }]
  }

  #plan(planned: Planned): void {
    const { fx } = planned
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        return
      case "Send":
        return this.#feed(planned, fx.action)
      case "Throttle":
        if (this.#passes(fx)) this.#feed(planned, fx.action)
        return
      case "Parallel":
        if (fx.concurrency === null) return fx.fx.forEach((member) => this.#plan({ ...planned, fx: member }))
    }
    const { key, place } = this.#identity(fx)
    if (fx._tag === "CancelAll") {
      this.#planned = this.#planned.filter((other) => !this.#identity(other.fx).place.startsWith(place))
    } else if (key !== undefined) {
      this.#planned = this.#planned.filter((other) => this.#identity(other.fx).key !== key)
    }
    this.#planned.push(planned)
  }

  #identity(fx: Fx.AnyFx): Entry {
    const place = "at" in fx ? this.#machine.place + placeOf(fx.at) : ""
    return { place, key: "at" in fx && "id" in fx && fx.id !== null ? `${place}#${fx.id}` : undefined }
  }

  /** Whether the throttle lets an action through now. */
  #passes({ at, id, millis }: Fx.Throttle<unknown>): boolean {
    const key = JSON.stringify([at, id])
    const last = this.#throttled.get(key)
    if (last !== undefined && this.now - last < millis) return false
    this.#throttled.set(key, this.now)
    return true
  }

  #carryOut(): void {
    const planned = this.#planned
    this.#planned = []
    for (const one of planned) {
      const before = this.#todo.length
      this.#todo.push({ _tag: "CarryOut", planned: one })
      this.#work(before)
    }
  }

  /** Does all that was added since, whatever waits to be reduced. */
  #work(before: number): void {
    while (this.#todo.length > before) this.#do(this.#todo.pop()!)
  }

  #do(todo: Todo): void {
    switch (todo._tag) {
      case "CarryOut":
        return this.#start(todo.planned)
      case "Begin": {
        const parent = this.#nodes.get(todo.parent)
        return parent === undefined ? undefined : this.#begin(todo.fx, parent)
      }
      case "StartLeaf":
        return this.#register(this.#leaf(todo.fx, todo.context), todo.entry)
      case "Register":
        // A group of which all ended at once is gone.
        if (this.#nodes.has(todo.id)) this.#register(todo.id, todo.entry)
        return
      case "BeginMore":
        return this.#beginMore(todo.id)
      case "Report": {
        const leaf = this.#nodes.get(todo.id) as Leaf | undefined
        if (leaf !== undefined) this.#finish(leaf, leaf.fx, todo.well && leaf.phase !== "ended")
        return
      }
      case "Yield":
        return this.#yieldNext(todo.id)
      case "Settle":
        return this.#settle(todo.id, todo.member, todo.well)
      case "EndWithin":
        return this.#endWithin(todo.place)
    }
  }

  /** Starts something that was asked for on its own. */
  #start({ cause, fx, origin }: Planned): void {
    switch (fx._tag) {
      case "Cancel":
      case "CancelAll":
        return this.#cancel(fx)
      case "Transact":
      case "Publish":
      case "Dispatch":
      case "SaveSnapshot":
        // Nothing depends on how it ends.
        return
      case "Sequential":
      case "Parallel": {
        const id = this.#group(fx, { parent: undefined, cause, origin })
        // What is done at once is done before the group as a whole can be ended.
        this.#todo.splice(-1, 0, { _tag: "Register", id, entry: this.#identity(fx) })
        return
      }
      default:
        return this.#startLeaf(fx, { parent: undefined, cause, origin })
    }
  }

  /** Begins a member of a group. */
  #begin(fx: Fx.AnyFx, { cause, id: parent, origin }: Node): void {
    const context = { parent, cause, origin }
    const ended = (well: boolean): Todo => ({ _tag: "Settle", id: parent, member: fx, well })
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        this.#todo.push(ended(true))
        return
      case "Send":
        this.#todo.push(ended(true))
        return this.#feed({ fx, cause, origin }, fx.action)
      case "Throttle":
        this.#todo.push(ended(true))
        if (this.#passes(fx)) this.#feed({ fx, cause, origin }, fx.action)
        return
      case "Cancel":
      case "CancelAll":
        this.#todo.push(ended(true))
        return this.#cancel(fx)
      case "Sequential":
      case "Parallel":
        this.#group(fx, context)
        return
      case "Perform":
      case "Subscribe":
      case "Delay":
        // It can be ended on its own; so can one before it under the same id.
        return this.#startLeaf(fx, context)
      default:
        this.#leaf(fx, context)
    }
  }

  /** Starts what can be ended on its own, once the one before it under the same id is ended. */
  #startLeaf(fx: Fx.AnyFx, context: Context): void {
    const entry = this.#identity(fx)
    this.#todo.push({ _tag: "StartLeaf", fx, context, entry })
    if (entry.key !== undefined) this.#endKey(entry.key)
  }

  #leaf(fx: Fx.AnyFx, context: Context): number {
    const id = this.#made += 1
    const due = fx._tag === "Delay" ? this.now + fx.millis : Number.POSITIVE_INFINITY
    this.#nodes.set(id, { kind: "Leaf", id, fx, due, phase: "waiting", coming: [], ...context })
    return id
  }

  #group(fx: Fx.Parallel<unknown> | Fx.Sequential<unknown>, context: Context): number {
    const id = this.#made += 1
    this.#nodes.set(id, {
      kind: fx._tag,
      id,
      members: fx.fx as ReadonlyArray<Fx.AnyFx>,
      next: 0,
      active: 0,
      most: fx._tag === "Sequential" ? 1 : fx.concurrency ?? Number.POSITIVE_INFINITY,
      well: true,
      ...context
    })
    this.#todo.push({ _tag: "BeginMore", id })
    return id
  }

  #beginMore(id: number): void {
    const group = this.#nodes.get(id) as Group | undefined
    if (group === undefined) return
    const { active, members, most, next } = group
    if (next < members.length && active < most) {
      this.#nodes.set(id, { ...group, next: next + 1, active: active + 1 })
      this.#todo.push({ _tag: "BeginMore", id }, { _tag: "Begin", fx: members[next]!, parent: id })
    } else if (next === members.length && active === 0) {
      this.#finish(group, undefined, group.well)
    }
  }

  /** A member of a group has ended. */
  #settle(id: number, member: Fx.AnyFx, well: boolean): void {
    const group = this.#nodes.get(id) as Group | undefined
    if (group === undefined) return
    if (group.kind === "Sequential" && !well) {
      const left = group.members.slice(group.next)
      if (left.length > 0) this.stopped = [...this.stopped, { failed: member, left, origin: group.origin }]
      return this.#finish(group, undefined, false)
    }
    this.#nodes.set(id, { ...group, active: group.active - 1, well: group.well && well })
    // While its first members begin, it goes on by itself.
    const beginning = this.#todo.some((todo) => todo._tag === "BeginMore" && todo.id === id)
    if (!beginning) this.#todo.push({ _tag: "BeginMore", id })
  }

  /** Something has come to its end. */
  #finish(node: Node, fx: Fx.AnyFx | undefined, well: boolean): void {
    this.#nodes.delete(node.id)
    this.#forget(node.id)
    if (node.parent === undefined) return
    const member = fx ?? groupOf(node as Group)
    this.#todo.push({ _tag: "Settle", id: node.parent, member, well })
  }

  #yieldNext(id: number): void {
    const leaf = this.#nodes.get(id) as Leaf | undefined
    if (leaf === undefined) return
    if (leaf.phase === "ended") return this.#finish(leaf, leaf.fx, false)
    const [action, ...coming] = leaf.coming
    if (leaf.coming.length === 0) {
      this.#nodes.set(id, { ...leaf, phase: "waiting" })
      return
    }
    this.#nodes.set(id, { ...leaf, coming })
    this.#todo.push({ _tag: "Yield", id })
    this.#feed(leaf, action)
  }

  #cancel(fx: Fx.Cancel | Fx.CancelAll): void {
    const { key, place } = this.#identity(fx)
    if (fx._tag === "CancelAll") this.#todo.push({ _tag: "EndWithin", place })
    else if (key !== undefined) this.#endKey(key)
  }

  /** Ends one after the other, in the order of their starts; what the end of one begins comes last. */
  #endWithin(place: string): void {
    for (const [id, entry] of this.#running) {
      if (!entry.place.startsWith(place)) continue
      this.#todo.push({ _tag: "EndWithin", place })
      return this.#endRunning(id)
    }
  }

  #endKey(key: string): void {
    const id = this.#byKey.get(key)
    if (id !== undefined) this.#endRunning(id)
  }

  #endRunning(id: number): void {
    this.#forget(id)
    const node = this.#nodes.get(id)!
    if (node.kind !== "Leaf") return this.#drop(id)
    if (node.phase === "feeding") this.#nodes.set(id, { ...node, phase: "ended" })
    else this.#finish(node, node.fx, false)
  }

  /** Drops a group and all in it: nobody is told how they ended. */
  #drop(id: number): void {
    this.#nodes.delete(id)
    this.#forget(id)
    for (const node of this.#nodes.values()) if (node.parent === id) this.#drop(node.id)
  }

  #register(id: number, entry: Entry): void {
    if (entry.key !== undefined) this.#byKey.set(entry.key, id)
    this.#running.set(id, entry)
  }

  #forget(id: number): void {
    const entry = this.#running.get(id)
    this.#running.delete(id)
    if (entry?.key !== undefined && this.#byKey.get(entry.key) === id) this.#byKey.delete(entry.key)
  }
}

const groupOf = ({ kind, members, most }: Group): Fx.AnyFx =>
  (kind === "Sequential"
    ? { _tag: kind, fx: members }
    : { _tag: kind, fx: members, concurrency: Number.isFinite(most) ? most : null }) as Fx.AnyFx
