/**
 * What a store has under way: tasks and timers, found by their place and id.
 */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Meta } from "../Action.ts"
import * as Fx from "../Fx.ts"

interface Entry {
  readonly fx: Fx.AnyFx
  readonly place: string
  readonly key: string | undefined
  readonly fiber: Fiber.Fiber<unknown>
  /** Of a group. */
  readonly cancelled: Cancelled | undefined
}

/** A place and an id as text. */
export const keyOf = (at: Fx.Path, id: string): string => `${Fx.placeOf(at)}#${id}`

/** The place and the id of a description that may be cancelled by them. */
const identity = (fx: Fx.AnyFx): readonly [place: string, key: string | undefined] =>
  "at" in fx && "id" in fx && fx.id !== null && fx._tag !== "Load"
    ? [Fx.placeOf(fx.at), keyOf(fx.at, fx.id)]
    : [Fx.placeOf(Fx.pathOf(fx) ?? []), undefined]

/** A start or an end that the turn under way has asked for, and the action that asked. */
interface Planned {
  readonly fx: Fx.AnyFx
  readonly cause: Meta
  readonly cancelled: Cancelled | undefined
}

const isGroup = (fx: Fx.AnyFx): boolean => fx._tag === "Parallel" || fx._tag === "Sequential"

/** What was cancelled of a group: those of its members that had not begun by then never do. */
export class Cancelled {
  readonly #keys = new Set<string>()
  readonly #places: Array<string> = []

  add(fx: Fx.Cancel | Fx.CancelAll): void {
    if (fx._tag === "Cancel") this.#keys.add(keyOf(fx.at, fx.id))
    else this.#places.push(Fx.placeOf(fx.at))
  }

  has(fx: Fx.AnyFx): boolean {
    if (fx._tag === "Cancel" || fx._tag === "CancelAll") return false
    const [place, key] = identity(fx)
    return (key !== undefined && this.#keys.has(key)) || this.#places.some((gone) => place.startsWith(gone))
  }
}

export class InFlight {
  readonly #running = new Set<Entry>()
  readonly #byKey = new Map<string, Entry>()
  /** Actions on their way, in words. */
  readonly #sent = new Map<Fiber.Fiber<unknown>, string>()
  #planned: Array<Planned> = []
  readonly #fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>

  constructor(fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>) {
    this.#fork = fork
  }

  /** How many tasks and timers are under way; a group is what it has under way. */
  get size(): number {
    let size = 0
    for (const { cancelled } of this.#running) if (cancelled === undefined) size += 1
    return size
  }

  get isIdle(): boolean {
    return this.#running.size === 0 && this.#sent.size === 0
  }

  get hasPlans(): boolean {
    return this.#planned.length > 0
  }

  /** What is under way, in words. */
  describe(): ReadonlyArray<string> {
    return [...[...this.#running].map(({ fx }) => Fx.render(fx)), ...this.#sent.values()]
  }

  /** An action is on its way, for as long as the fiber runs. It is waited for; no cancel ends it. */
  sending(fx: Fx.AnyFx, fiber: Fiber.Fiber<unknown>): void {
    this.#sent.set(fiber, Fx.render(fx))
    fiber.addObserver(() => this.#sent.delete(fiber))
  }

  /**
   * Nothing starts before all that waits has been reduced; what is cancelled until then never starts, nor does what is
   * replaced under its id.
   */
  plan(fx: Fx.AnyFx, cause: Meta): void {
    const [place, key] = identity(fx)
    if (fx._tag === "CancelAll") {
      this.#planned = this.#planned.filter((other) => !identity(other.fx)[0].startsWith(place))
    } else if (key !== undefined) {
      this.#planned = this.#planned.filter((other) => identity(other.fx)[1] !== key)
    }
    if (fx._tag === "CancelAll" || fx._tag === "Cancel") {
      for (const { cancelled } of this.#planned) cancelled?.add(fx)
      // Before any cancel is carried out: a group goes on at once when one of its members ends.
      this.#mark(fx)
    }
    this.#planned.push({ fx, cause, cancelled: isGroup(fx) ? new Cancelled() : undefined })
  }

  /** Ends and starts what was planned. */
  carryOut(effectOf: (fx: Fx.AnyFx, cause: Meta, cancelled: Cancelled) => Effect.Effect<unknown>): void {
    const planned = this.#planned
    this.#planned = []
    for (const { cancelled, cause, fx } of planned) {
      switch (fx._tag) {
        case "Cancel":
          this.cancel(fx)
          break
        case "CancelAll":
          this.cancelAll(fx)
          break
        default:
          this.start(fx, effectOf(fx, cause, cancelled ?? new Cancelled()), cancelled)
      }
    }
  }

  start(fx: Fx.AnyFx, effect: Effect.Effect<unknown>, cancelled?: Cancelled): Fiber.Fiber<unknown> {
    const [place, key] = identity(fx)
    if (key !== undefined) this.#end(this.#byKey.get(key))
    const fiber = this.#fork(effect)
    if (fiber.pollUnsafe() !== undefined) return fiber
    const entry: Entry = { fx, place, key, fiber, cancelled }
    this.#running.add(entry)
    if (key !== undefined) this.#byKey.set(key, entry)
    fiber.addObserver(() => this.#forget(entry))
    return fiber
  }

  /** `within` is the group that asks for it, if one does: what it has yet to begin, it asks for behind the cancel. */
  cancel(fx: Fx.Cancel, within?: Cancelled): void {
    this.#mark(fx, within)
    this.#end(this.#byKey.get(keyOf(fx.at, fx.id)))
  }

  cancelAll(fx: Fx.CancelAll, within?: Cancelled): void {
    this.#mark(fx, within)
    const place = Fx.placeOf(fx.at)
    const gone = [...this.#running].filter((entry) =>
      entry.place.startsWith(place) && (within === undefined || entry.cancelled !== within)
    )
    // Groups first: what is left of one would begin when its member ends.
    for (const entry of gone) if (entry.cancelled !== undefined) this.#end(entry)
    for (const entry of gone) this.#end(entry)
  }

  #mark(fx: Fx.Cancel | Fx.CancelAll, within?: Cancelled): void {
    for (const { cancelled } of this.#running) if (cancelled !== within) cancelled?.add(fx)
  }

  /** Ends all that merely waits for its time, and says what; and all that would go on without an end. */
  cancelTimers(): ReadonlyArray<string> {
    const timers = [...this.#running].filter(({ fx }) => fx._tag === "Delay")
    const endless = [...this.#running].filter(({ fx }) => fx._tag === "Subscribe")
    for (const entry of [...timers, ...endless]) this.#end(entry)
    return timers.map(({ fx }) => Fx.render(fx))
  }

  get fibers(): ReadonlyArray<Fiber.Fiber<unknown>> {
    return [...[...this.#running].map(({ fiber }) => fiber), ...this.#sent.keys()]
  }

  /** What is over but for its report can no longer be cancelled by its id: the report may lead to that very cancel. */
  release(fx: Fx.AnyFx): void {
    const [, key] = identity(fx)
    if (key !== undefined && this.#byKey.get(key)?.fx === fx) this.#byKey.delete(key)
  }

  #end(entry: Entry | undefined): void {
    if (entry === undefined) return
    this.#forget(entry)
    entry.fiber.interruptUnsafe()
  }

  #forget(entry: Entry): void {
    this.#running.delete(entry)
    if (entry.key !== undefined && this.#byKey.get(entry.key) === entry) this.#byKey.delete(entry.key)
  }
}
