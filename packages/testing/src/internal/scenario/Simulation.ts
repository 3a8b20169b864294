/**
 * A store without a runtime: the same rules about what is reduced when, what starts, what is cancelled and what follows
 * what, over plain data. Time is a number, and tasks wait until they are told how they ended. It can be copied at any
 * point, so that several futures can be followed from one present.
 */
import type { Meta } from "@composable-ts/core/Action"
import * as Fx from "@composable-ts/core/Fx"
import type { Machine } from "./Machine.ts"
import type { Origin } from "./Origin.ts"
import type {
  Cancelled,
  Context,
  Ended,
  Entry,
  Fed,
  Group,
  Leaf,
  Node,
  Planned,
  Reduction,
  Running,
  Stopped,
  Todo
} from "./underWay.ts"

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
  #running: Map<number, Running> = new Map()
  #byKey: Map<string, number> = new Map()
  #cancelled: Map<number, Cancelled> = new Map()
  /** Until when each throttle lets nothing through. */
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
    copy.#cancelled = new Map(this.#cancelled)
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
  get throttles(): ReadonlyArray<readonly [key: string, still: number]> {
    return [...this.#throttled].filter(([, until]) => until > this.now).map(([key, until]) => [key, until - this.now])
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
  end(leaf: Leaf, ended: Ended, report?: { readonly action: unknown }): void {
    this.#nodes.set(leaf.id, { ...leaf, phase: "feeding" })
    // What a task's outcome leads to may cancel its id, or use it anew: the task is over.
    if (leaf.fx._tag === "Perform") this.#release(leaf.id)
    this.#todo.push({ _tag: "Report", id: leaf.id, ended })
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
      this.#plan({ fx: stepped.fx, root: undefined, cause: meta, origin })
    }
    if (this.#machine.starts === "with each step") this.#carryOut()
    this.#proceed()
    return { ...stepped, action, before }
  }

  /** Goes on until an action waits or nothing is left to do. */
  #proceed(): void {
    for (;;) {
      if (this.#machine.starts === "with each step") this.#workOn()
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
        this.#todo.push({ _tag: "Report", id: timer.id, ended: "well" })
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
      this.#unthrottle(place)
      this.#planned = this.#planned.filter((other) => !this.#identity(other.fx).place.startsWith(place))
    } else if (key !== undefined) {
      this.#planned = this.#planned.filter((other) => this.#identity(other.fx).key !== key)
    }
    if (fx._tag === "Cancel" || fx._tag === "CancelAll") {
      for (const { root } of this.#planned) this.#mark(root, fx)
      // Before any cancel is carried out: a group goes on at once when one of its members ends.
      this.#markRunning(fx, undefined)
    }
    if (fx._tag !== "Sequential" && fx._tag !== "Parallel") {
      this.#planned.push(planned)
    } else {
      const root = this.#made += 1
      this.#cancelled.set(root, { keys: [], places: [] })
      this.#planned.push({ ...planned, root })
    }
  }

  #identity(fx: Fx.AnyFx): Entry {
    const path = Fx.pathOf(fx)
    const place = path === undefined ? "" : this.#machine.place + Fx.placeOf(path)
    const named = "at" in fx && "id" in fx && fx.id !== null && fx._tag !== "Load"
    return { place, key: named ? `${place}#${fx.id}` : undefined }
  }

  #markRunning(fx: Fx.Cancel | Fx.CancelAll, within: number | undefined): void {
    for (const [id, { isGroup }] of this.#running) if (isGroup && id !== within) this.#mark(id, fx)
  }

  /** Those members of a group that have not begun never do. */
  #mark(root: number | undefined, fx: Fx.Cancel | Fx.CancelAll): void {
    const cancelled = root === undefined ? undefined : this.#cancelled.get(root)
    if (root === undefined || cancelled === undefined) return
    const { key, place } = this.#identity(fx)
    this.#cancelled.set(
      root,
      fx._tag === "Cancel"
        ? { ...cancelled, keys: [...cancelled.keys, key!] }
        : { ...cancelled, places: [...cancelled.places, place] }
    )
  }

  #isCancelled(fx: Fx.AnyFx, root: number | undefined): boolean {
    const cancelled = root === undefined ? undefined : this.#cancelled.get(root)
    if (cancelled === undefined || fx._tag === "Cancel" || fx._tag === "CancelAll") return false
    const { key, place } = this.#identity(fx)
    return (key !== undefined && cancelled.keys.includes(key)) ||
      cancelled.places.some((gone) => place.startsWith(gone))
  }

  #unthrottle(place: string): void {
    for (const key of this.#throttled.keys()) if (key.startsWith(place)) this.#throttled.delete(key)
  }

  /** Whether the throttle lets an action through now. */
  #passes(fx: Fx.Throttle<unknown>): boolean {
    const key = this.#identity(fx).key!
    const until = this.#throttled.get(key)
    if (until !== undefined && this.now < until) return false
    this.#throttled.set(key, this.now + fx.millis)
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

  /** Does all there is, whatever waits to be reduced; but a source waits until what it yielded is. */
  #workOn(): void {
    while (this.#todo.length > 0 && (this.inbox.length === 0 || this.#todo.at(-1)!._tag !== "Yield")) {
      this.#do(this.#todo.pop()!)
    }
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
        return this.#register(this.#leaf(todo.fx, todo.context), { ...todo.entry, isGroup: false })
      case "Register":
        // A group of which all ended at once is gone.
        if (this.#nodes.has(todo.id)) this.#register(todo.id, { ...todo.entry, isGroup: true })
        return
      case "BeginMore":
        return this.#beginMore(todo.id)
      case "Report": {
        const leaf = this.#nodes.get(todo.id) as Leaf | undefined
        if (leaf !== undefined) this.#finish(leaf, leaf.fx, leaf.phase === "ended" ? "cancelled" : todo.ended)
        return
      }
      case "Yield":
        return this.#yieldNext(todo.id)
      case "Settle":
        return this.#settle(todo.id, todo.member, todo.ended)
      case "EndEach":
        return this.#endEach(todo.ids)
    }
  }

  /** Starts something that was asked for on its own. */
  #start({ cause, fx, origin, root }: Planned): void {
    switch (fx._tag) {
      case "Cancel":
      case "CancelAll":
        return this.#cancel(fx, undefined)
      case "Transact":
      case "Publish":
      case "Dispatch":
      case "SaveSnapshot":
        // Nothing depends on how it ends.
        return
      case "Sequential":
      case "Parallel": {
        const id = root ?? (this.#made += 1)
        this.#group(id, fx, { parent: undefined, root: id, cause, origin })
        // What is done at once is done before the group as a whole can be ended.
        this.#todo.splice(-1, 0, { _tag: "Register", id, entry: this.#identity(fx) })
        return
      }
      default:
        return this.#startLeaf(fx, { parent: undefined, root: undefined, cause, origin })
    }
  }

  /** Begins a member of a group. */
  #begin(fx: Fx.AnyFx, { cause, id: parent, origin, root }: Node): void {
    const context = { parent, root, cause, origin }
    const settled = (ended: Ended): Todo => ({ _tag: "Settle", id: parent, member: fx, ended })
    if (this.#isCancelled(fx, root)) {
      this.#todo.push(settled("cancelled"))
      return
    }
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        this.#todo.push(settled("well"))
        return
      case "Send":
        this.#todo.push(settled("well"))
        return this.#feed({ fx, cause, origin }, fx.action)
      case "Throttle":
        this.#todo.push(settled("well"))
        if (this.#passes(fx)) this.#feed({ fx, cause, origin }, fx.action)
        return
      case "Cancel":
      case "CancelAll":
        this.#todo.push(settled("well"))
        return this.#cancel(fx, root)
      case "Sequential":
      case "Parallel":
        this.#group(this.#made += 1, fx, context)
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

  #group(id: number, fx: Fx.Parallel<unknown> | Fx.Sequential<unknown>, context: Context): void {
    this.#nodes.set(id, {
      kind: fx._tag,
      id,
      members: fx.fx as ReadonlyArray<Fx.AnyFx>,
      next: 0,
      active: 0,
      most: fx._tag === "Sequential" ? 1 : fx.concurrency ?? Number.POSITIVE_INFINITY,
      ended: "well",
      ...context
    })
    this.#todo.push({ _tag: "BeginMore", id })
  }

  #beginMore(id: number): void {
    const group = this.#nodes.get(id) as Group | undefined
    if (group === undefined) return
    const { active, members, most, next } = group
    if (next < members.length && active < most) {
      this.#nodes.set(id, { ...group, next: next + 1, active: active + 1 })
      this.#todo.push({ _tag: "BeginMore", id }, { _tag: "Begin", fx: members[next]!, parent: id })
    } else if (next === members.length && active === 0) {
      this.#finish(group, undefined, group.ended)
    }
  }

  /** A member of a group has ended. */
  #settle(id: number, member: Fx.AnyFx, ended: Ended): void {
    const group = this.#nodes.get(id) as Group | undefined
    if (group === undefined) return
    if (group.kind === "Sequential" && ended !== "well") {
      const left = group.members.slice(group.next)
      if (ended === "failed" && left.length > 0) {
        this.stopped = [...this.stopped, { failed: member, left, origin: group.origin }]
      }
      return this.#finish(group, undefined, ended)
    }
    this.#nodes.set(id, { ...group, active: group.active - 1, ended: worse(group.ended, ended) })
    // While its first members begin, it goes on by itself.
    const beginning = this.#todo.some((todo) => todo._tag === "BeginMore" && todo.id === id)
    if (!beginning) this.#todo.push({ _tag: "BeginMore", id })
  }

  /** Something has come to its end. */
  #finish(node: Node, fx: Fx.AnyFx | undefined, ended: Ended): void {
    this.#nodes.delete(node.id)
    this.#forget(node.id)
    if (node.parent === undefined) return
    const member = fx ?? groupOf(node as Group)
    this.#todo.push({ _tag: "Settle", id: node.parent, member, ended })
  }

  #yieldNext(id: number): void {
    const leaf = this.#nodes.get(id) as Leaf | undefined
    if (leaf === undefined) return
    if (leaf.phase === "ended") return this.#finish(leaf, leaf.fx, "cancelled")
    const [action, ...coming] = leaf.coming
    if (leaf.coming.length === 0) {
      this.#nodes.set(id, { ...leaf, phase: "waiting" })
      return
    }
    this.#nodes.set(id, { ...leaf, coming })
    this.#todo.push({ _tag: "Yield", id })
    this.#feed(leaf, action)
  }

  /** `within` is the group that asks for it, if one does: what it has yet to begin, it asks for behind the cancel. */
  #cancel(fx: Fx.Cancel | Fx.CancelAll, within: number | undefined): void {
    const { key, place } = this.#identity(fx)
    if (fx._tag === "CancelAll" && within !== undefined) this.#unthrottle(place)
    this.#markRunning(fx, within)
    if (fx._tag === "Cancel") return this.#endKey(key!)
    const gone = [...this.#running].filter(([id, entry]) => id !== within && entry.place.startsWith(place))
    // Groups first: what is left of one would begin when its member ends.
    const groups = gone.filter(([, { isGroup }]) => isGroup)
    this.#todo.push({ _tag: "EndEach", ids: [...groups, ...gone].map(([id]) => id) })
  }

  #endEach([id, ...others]: ReadonlyArray<number>): void {
    if (id === undefined) return
    this.#todo.push({ _tag: "EndEach", ids: others })
    if (this.#running.has(id)) this.#endRunning(id)
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
    else this.#finish(node, node.fx, "cancelled")
  }

  /** Drops a group and all in it: nobody is told how they ended. */
  #drop(id: number): void {
    this.#nodes.delete(id)
    this.#forget(id)
    for (const node of this.#nodes.values()) if (node.parent === id) this.#drop(node.id)
  }

  #register(id: number, entry: Running): void {
    if (entry.key !== undefined) this.#byKey.set(entry.key, id)
    this.#running.set(id, entry)
  }

  #forget(id: number): void {
    this.#release(id)
    this.#running.delete(id)
    this.#cancelled.delete(id)
  }

  /** It can no longer be ended by its id, which is free for another. */
  #release(id: number): void {
    const entry = this.#running.get(id)
    if (entry?.key !== undefined && this.#byKey.get(entry.key) === id) this.#byKey.delete(entry.key)
  }
}

const severity: Readonly<Record<Ended, number>> = { well: 0, cancelled: 1, failed: 2 }
const worse = (a: Ended, b: Ended): Ended => severity[a] < severity[b] ? b : a

const groupOf = ({ kind, members, most }: Group): Fx.AnyFx =>
  (kind === "Sequential"
    ? { _tag: kind, fx: members }
    : { _tag: kind, fx: members, concurrency: Number.isFinite(most) ? most : null }) as Fx.AnyFx
