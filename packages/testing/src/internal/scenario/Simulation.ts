/**
 * A store without a runtime: the same rules about what is reduced when, what starts, what is cancelled and what follows
 * what, over plain data. Time is a number, and tasks wait until they are told how they ended. It can be copied at any
 * point, so that several futures can be followed from one present.
 */
import type { Meta } from "@composable-ts/core/Action"
import type * as Fx from "@composable-ts/core/Fx"
import type { Machine } from "./Machine.ts"
import type { Origin } from "./Origin.ts"
import { type Present, Undertaking } from "./Undertaking.ts"
import type { Ended, Fed, Leaf, Reduction, Sender, Stopped } from "./underWay.ts"

const nobody: Fx.Path = []

export class Simulation implements Present {
  state: unknown
  now: number
  inbox: ReadonlyArray<Fed> = []
  stopped: ReadonlyArray<Stopped> = []
  readonly #machine: Machine
  #until: number
  #reduced = 0
  #undertaking: Undertaking

  constructor(machine: Machine, state: unknown, now: number) {
    this.#machine = machine
    this.state = state
    this.now = now
    this.#until = now
    this.#undertaking = new Undertaking(this)
  }

  /** The same present, from which another future can follow. */
  copy(): Simulation {
    const copy = new Simulation(this.#machine, this.state, this.now)
    copy.inbox = this.inbox
    copy.stopped = this.stopped
    copy.#until = this.#until
    copy.#reduced = this.#reduced
    copy.#undertaking = this.#undertaking.copy(copy)
    return copy
  }

  /** What waits for an answer, a time or a value, oldest first. */
  get underWay(): ReadonlyArray<Leaf> {
    return this.#undertaking.waiting
  }

  /** What stands behind something under way in its group, and is not begun. */
  get queued(): ReadonlyArray<Fx.AnyFx> {
    return this.#undertaking.queued
  }

  /** The throttles that hold something back, and how long each still does. */
  get throttles(): ReadonlyArray<readonly [key: string, still: number]> {
    return this.#undertaking.throttles
  }

  get place(): string {
    return this.#machine.place
  }

  get isFed(): boolean {
    return this.inbox.length > 0
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
    this.#undertaking.end(leaf, ended, report)
    this.#proceed()
  }

  /** A subscription yields values, each as the action that reports it. */
  yield(leaf: Leaf, actions: ReadonlyArray<unknown>): void {
    this.#undertaking.yield(leaf, actions)
    this.#proceed()
  }

  /** Time passes. It stands still at each due timer until what the timer sent is reduced. */
  advance(millis: number): void {
    this.#until = this.now + millis
    this.#proceed()
  }

  /** An effect sends an action to the part that wanted it. It waits behind those that were sent before. */
  feed({ cause, fx, origin }: Sender, action: unknown): void {
    const at = "at" in fx ? fx.at : nobody
    this.inbox = [...this.inbox, { action: this.#machine.embed(at, action), cause, origin }]
  }

  /** A sequence has ended before its last member. */
  stop(stopped: Stopped): void {
    this.stopped = [...this.stopped, stopped]
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
      this.#undertaking.plan({ fx: stepped.fx, root: undefined, cause: meta, origin })
    }
    if (this.#machine.starts === "with each step") this.#undertaking.carryOut()
    this.#proceed()
    return { ...stepped, action, before }
  }

  /** Goes on until an action waits or nothing is left to do. */
  #proceed(): void {
    for (;;) {
      if (this.#machine.starts === "with each step") this.#undertaking.workOn()
      if (this.isFed) return
      if (this.#undertaking.advance()) continue
      const timer = this.#undertaking.nextTimer(this.#until)
      if (timer === undefined) break
      this.now = timer.due
      this.#undertaking.end(timer, "well", { action: (timer.fx as Fx.Delay<unknown>).action })
    }
    this.now = this.#until
  }
}
