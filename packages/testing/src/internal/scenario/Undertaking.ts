/**
 * What a simulation has under way, and what is to be done next of it: tasks, timers, sources, and groups of them, each
 * begun, ended and cancelled by the rules of the live store.
 */
import * as Fx from "@composable-ts/core/Fx"
import { Cancellations } from "./Cancellations.ts"
import { Registry } from "./Registry.ts"
import { Throttles } from "./Throttles.ts"
import type { Context, Ended, Entry, Group, Leaf, Node, Planned, Sender, Stopped, Todo } from "./underWay.ts"

/** The simulation that it is all done for. */
export interface Present {
  readonly now: number
  /** Where the effects of the whole stand among those of others. */
  readonly place: string
  /** Whether an action waits to be reduced. */
  readonly isFed: boolean
  readonly feed: (sender: Sender, action: unknown) => void
  readonly stop: (stopped: Stopped) => void
}

export class Undertaking {
  readonly #present: Present
  #made = 0
  #nodes: Map<number, Node> = new Map()
  #registry = new Registry()
  #cancellations = new Cancellations()
  #throttles = new Throttles()
  #planned: Array<Planned> = []
  #todo: Array<Todo> = []

  constructor(present: Present) {
    this.#present = present
  }

  copy(present: Present): Undertaking {
    const copy = new Undertaking(present)
    copy.#made = this.#made
    copy.#nodes = new Map(this.#nodes)
    copy.#registry = this.#registry.copy()
    copy.#cancellations = this.#cancellations.copy()
    copy.#throttles = this.#throttles.copy()
    copy.#planned = [...this.#planned]
    copy.#todo = [...this.#todo]
    return copy
  }

  /** What waits for an answer, a time or a value, oldest first. */
  get waiting(): ReadonlyArray<Leaf> {
    return [...this.#nodes.values()].filter((node) => node.kind === "Leaf" && node.phase === "waiting") as Array<Leaf>
  }

  /** What stands behind something under way in its group, and is not begun. */
  get queued(): ReadonlyArray<Fx.AnyFx> {
    return [...this.#nodes.values()].flatMap((node) => node.kind === "Leaf" ? [] : node.members.slice(node.next))
  }

  /** The throttles that hold something back, and how long each still does. */
  get throttles(): ReadonlyArray<readonly [key: string, still: number]> {
    return this.#throttles.holding(this.#present.now)
  }

  /** The timer that is due first, up to a time. */
  nextTimer(until: number): Leaf | undefined {
    let first: Leaf | undefined
    for (const leaf of this.waiting) {
      if (leaf.due <= until && (first === undefined || leaf.due < first.due)) first = leaf
    }
    return first
  }

  /** Something ends; with an action, unless there is none to report it. */
  end(leaf: Leaf, ended: Ended, report?: { readonly action: unknown }): void {
    this.#nodes.set(leaf.id, { ...leaf, phase: "feeding" })
    // What its end leads to may cancel its id, or use it anew: the task or source is over.
    if (leaf.fx._tag === "Perform" || leaf.fx._tag === "Subscribe") this.#registry.release(leaf.id)
    this.#todo.push({ _tag: "Report", id: leaf.id, ended })
    if (report !== undefined) this.#present.feed(leaf, report.action)
  }

  /** A subscription yields values, each as the action that reports it. */
  yield(leaf: Leaf, actions: ReadonlyArray<unknown>): void {
    this.#nodes.set(leaf.id, { ...leaf, phase: "feeding", coming: actions })
    this.#todo.push({ _tag: "Yield", id: leaf.id })
  }

  /** Sends at once what is to be sent at once; the rest waits for {@link carryOut}. */
  plan(planned: Planned): void {
    const { fx } = planned
    switch (fx._tag) {
      case "None":
      case "Append":
      case "Reject":
        return
      case "Send":
        return this.#present.feed(planned, fx.action)
      case "Throttle":
        return this.#throttle(fx, planned)
      case "Parallel":
        if (fx.concurrency === null) return fx.fx.forEach((member) => this.plan({ ...planned, fx: member }))
    }
    const { key, place } = this.#entryOf(fx)
    if (fx._tag === "CancelAll") {
      this.#throttles.dropWithin(place)
      this.#planned = this.#planned.filter((other) => !this.#entryOf(other.fx).place.startsWith(place))
    } else if (key !== undefined) {
      this.#planned = this.#planned.filter((other) => this.#entryOf(other.fx).key !== key)
    }
    if (fx._tag === "Cancel" || fx._tag === "CancelAll") {
      for (const { root } of this.#planned) this.#cancellations.add(root, fx, this.#entryOf(fx))
      // Before any cancel is carried out: a group goes on at once when one of its members ends.
      this.#markRunning(fx, undefined)
    }
    if (fx._tag !== "Sequential" && fx._tag !== "Parallel") {
      this.#planned.push(planned)
    } else {
      const root = this.#made += 1
      this.#cancellations.open(root)
      this.#planned.push({ ...planned, root })
    }
  }

  /** Ends and starts what was planned. */
  carryOut(): void {
    const planned = this.#planned
    this.#planned = []
    for (const one of planned) {
      const before = this.#todo.length
      this.#todo.push({ _tag: "CarryOut", planned: one })
      while (this.#todo.length > before) this.#do(this.#todo.pop()!)
    }
  }

  /** Does all there is, whatever waits to be reduced; but a source waits until what it yielded is. */
  workOn(): void {
    while (this.#todo.length > 0 && (!this.#present.isFed || this.#todo.at(-1)!._tag !== "Yield")) {
      this.#do(this.#todo.pop()!)
    }
  }

  /** Does the next thing; says whether there was one. */
  advance(): boolean {
    if (this.#planned.length > 0) {
      this.carryOut()
      return true
    }
    const todo = this.#todo.pop()
    if (todo !== undefined) this.#do(todo)
    return todo !== undefined
  }

  #entryOf(fx: Fx.AnyFx): Entry {
    const path = Fx.pathOf(fx)
    const place = path === undefined ? "" : this.#present.place + Fx.placeOf(path)
    const named = "at" in fx && "id" in fx && fx.id !== null && fx._tag !== "Load"
    return { place, key: named ? `${place}#${fx.id}` : undefined }
  }

  #throttle(fx: Fx.Throttle<unknown>, sender: Sender): void {
    const { now } = this.#present
    if (this.#throttles.passes(this.#entryOf(fx).key!, now, fx.millis)) this.#present.feed(sender, fx.action)
  }

  #markRunning(fx: Fx.Cancel | Fx.CancelAll, within: number | undefined): void {
    const entry = this.#entryOf(fx)
    for (const id of this.#registry.groups) if (id !== within) this.#cancellations.add(id, fx, entry)
  }

  #isCancelled(fx: Fx.AnyFx, root: number | undefined): boolean {
    return fx._tag !== "Cancel" && fx._tag !== "CancelAll" && this.#cancellations.has(root, this.#entryOf(fx))
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
        return this.#registry.add(this.#leaf(todo.fx, todo.context), todo.entry, false)
      case "Register":
        // A group of which all ended at once is gone.
        if (this.#nodes.has(todo.id)) this.#registry.add(todo.id, todo.entry, true)
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
        this.#todo.splice(-1, 0, { _tag: "Register", id, entry: this.#entryOf(fx) })
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
        return this.#present.feed({ fx, cause, origin }, fx.action)
      case "Throttle":
        this.#todo.push(settled("well"))
        return this.#throttle(fx, { fx, cause, origin })
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
    const entry = this.#entryOf(fx)
    this.#todo.push({ _tag: "StartLeaf", fx, context, entry })
    if (entry.key !== undefined) this.#endKey(entry.key)
  }

  #leaf(fx: Fx.AnyFx, context: Context): number {
    const id = this.#made += 1
    const due = fx._tag === "Delay" ? this.#present.now + fx.millis : Number.POSITIVE_INFINITY
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
        this.#present.stop({ failed: member, left, origin: group.origin })
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
    this.#present.feed(leaf, action)
  }

  /** `within` is the group that asks for it, if one does: what it has yet to begin, it asks for behind the cancel. */
  #cancel(fx: Fx.Cancel | Fx.CancelAll, within: number | undefined): void {
    const { key, place } = this.#entryOf(fx)
    if (fx._tag === "CancelAll" && within !== undefined) this.#throttles.dropWithin(place)
    this.#markRunning(fx, within)
    if (fx._tag === "Cancel") return this.#endKey(key!)
    this.#todo.push({ _tag: "EndEach", ids: this.#registry.within(place, within) })
  }

  #endEach([id, ...others]: ReadonlyArray<number>): void {
    if (id === undefined) return
    this.#todo.push({ _tag: "EndEach", ids: others })
    if (this.#registry.has(id)) this.#endRunning(id)
  }

  #endKey(key: string): void {
    const id = this.#registry.byKey(key)
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

  #forget(id: number): void {
    this.#registry.remove(id)
    this.#cancellations.close(id)
  }
}

const severity: Readonly<Record<Ended, number>> = { well: 0, cancelled: 1, failed: 2 }
const worse = (a: Ended, b: Ended): Ended => severity[a] < severity[b] ? b : a

const groupOf = ({ kind, members, most }: Group): Fx.AnyFx =>
  (kind === "Sequential"
    ? { _tag: kind, fx: members }
    : { _tag: kind, fx: members, concurrency: Number.isFinite(most) ? most : null }) as Fx.AnyFx
