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
}

/** A place as text: each segment stands between `/[` and `]`, so a place begins with another only if it lies within. */
const placeOf = (at: Fx.Path): string => at.map(({ id, key }) => `/${JSON.stringify([key, id])}`).join("")

const keyOf = (at: Fx.Path, id: string): string => `${placeOf(at)}#${id}`

/** The place and the id of a description that may be cancelled by them. */
const identity = (fx: Fx.AnyFx): readonly [place: string, key: string | undefined] =>
  "at" in fx && "id" in fx && fx.id !== null
    ? [placeOf(fx.at), keyOf(fx.at, fx.id)]
    : [placeOf("at" in fx ? fx.at : []), undefined]

/** A start or an end that the turn under way has asked for, and the action that asked. */
interface Planned {
  readonly fx: Fx.AnyFx
  readonly cause: Meta
}

export class InFlight {
  readonly #running = new Set<Entry>()
  readonly #byKey = new Map<string, Entry>()
  #planned: Array<Planned> = []
  readonly #fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>

  constructor(fork: (effect: Effect.Effect<unknown>) => Fiber.Fiber<unknown>) {
    this.#fork = fork
  }

  get size(): number {
    return this.#running.size
  }

  get hasPlans(): boolean {
    return this.#planned.length > 0
  }

  /** What is under way, in words. */
  describe(): ReadonlyArray<string> {
    return [...this.#running].map(({ fx }) => Fx.render(fx))
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
    this.#planned.push({ fx, cause })
  }

  /** Ends and starts what was planned. */
  carryOut(effectOf: (fx: Fx.AnyFx, cause: Meta) => Effect.Effect<unknown>): void {
    const planned = this.#planned
    this.#planned = []
    for (const { cause, fx } of planned) {
      switch (fx._tag) {
        case "Cancel":
          this.cancel(fx)
          break
        case "CancelAll":
          this.cancelAll(fx)
          break
        default:
          this.start(fx, effectOf(fx, cause))
      }
    }
  }

  start(fx: Fx.AnyFx, effect: Effect.Effect<unknown>): Fiber.Fiber<unknown> {
    const [place, key] = identity(fx)
    if (key !== undefined) this.#end(this.#byKey.get(key))
    const fiber = this.#fork(effect)
    if (fiber.pollUnsafe() !== undefined) return fiber
    const entry: Entry = { fx, place, key, fiber }
    this.#running.add(entry)
    if (key !== undefined) this.#byKey.set(key, entry)
    fiber.addObserver(() => this.#forget(entry))
    return fiber
  }

  cancel({ at, id }: Fx.Cancel): void {
    this.#end(this.#byKey.get(keyOf(at, id)))
  }

  cancelAll({ at }: Fx.CancelAll): void {
    const place = placeOf(at)
    for (const entry of this.#running) if (entry.place.startsWith(place)) this.#end(entry)
  }

  /** Ends all that merely waits for its time. */
  cancelTimers(): ReadonlyArray<string> {
    const timers = [...this.#running].filter(({ fx }) => fx._tag === "Delay")
    for (const timer of timers) this.#end(timer)
    return timers.map(({ fx }) => Fx.render(fx))
  }

  get fibers(): ReadonlyArray<Fiber.Fiber<unknown>> {
    return [...this.#running].map(({ fiber }) => fiber)
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
