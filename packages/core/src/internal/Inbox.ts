/**
 * What waits for the subscribers who share it, in order, with the back-pressure of their choice.
 *
 * Effect's queue hands out in batches, or leaves a publisher's place in line to the moment its fiber runs. Here a value
 * has its place as soon as it is offered, and leaves it when a taker has it, one at a time: what one of several takers
 * leaves undone is then one value and not a batch.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as MutableList from "effect/MutableList"
import type { Strategy } from "../EventBus.ts"

/** A value that has its place in line, and for which there is no room yet. */
export interface Postponed {
  /** Waits until there is room for it, or nobody left to take it. */
  readonly admitted: Effect.Effect<void>
  /** Takes it out of the line, unless it was admitted. */
  readonly withdraw: () => void
}

interface Pending<A> {
  readonly value: A
  readonly admitted: Deferred.Deferred<void>
}

/** One of those who take. */
export interface Taker<out A> {
  /** The next value, when there is one; done once the taker has left. */
  readonly take: Effect.Effect<A, Cause.Done>
  /** What waits when the last one has left is gone. */
  readonly leave: () => void
}

/** A fiber that is resumed runs at once, in the middle of whatever resumed it, unless it first gives way. */
const later = Effect.yieldNow

export class Inbox<A> {
  readonly #capacity: number
  readonly #strategy: Strategy
  readonly #values = MutableList.make<A>()
  /** Behind the values, in order; only while there is no room. */
  readonly #pending = new Set<Pending<A>>()
  readonly #takers = new Set<Taker<A>>()
  readonly #waiting = new Set<() => void>()

  constructor(options: { readonly capacity: number; readonly strategy: Strategy }) {
    this.#capacity = options.capacity
    this.#strategy = options.strategy
  }

  get isAbandoned(): boolean {
    return this.#takers.size === 0
  }

  /** Gives the value its place at once. Only when there is no room, and its publisher is to wait, something is returned. */
  offer(value: A): Postponed | undefined {
    if (this.#values.length >= this.#capacity) {
      if (this.#strategy === "dropping") return undefined
      if (this.#strategy === "suspend") return this.#postpone(value)
      MutableList.take(this.#values)
    }
    MutableList.append(this.#values, value)
    this.#wake()
    return undefined
  }

  join(): Taker<A> {
    let left = false
    const take: Effect.Effect<A, Cause.Done> = Effect.suspend(() => {
      if (left) return Cause.done()
      const value = MutableList.take(this.#values)
      if (value === MutableList.Empty) return Effect.andThen(this.#arrival(() => left), take)
      this.#admitNext()
      return Effect.succeed(value)
    })
    const taker: Taker<A> = {
      take,
      leave: () => {
        left = true
        this.#takers.delete(taker)
        if (this.isAbandoned) this.#admitAll()
        this.#wake()
      }
    }
    this.#takers.add(taker)
    return taker
  }

  #postpone(value: A): Postponed {
    const pending: Pending<A> = { value, admitted: Deferred.makeUnsafe() }
    this.#pending.add(pending)
    return { admitted: Deferred.await(pending.admitted), withdraw: () => this.#pending.delete(pending) }
  }

  /** There was just room made for one. */
  #admitNext(): void {
    for (const pending of this.#pending) {
      this.#pending.delete(pending)
      MutableList.append(this.#values, pending.value)
      Deferred.doneUnsafe(pending.admitted, later)
      return
    }
  }

  /** Nobody is left for whom the values could wait. */
  #admitAll(): void {
    for (const { admitted } of this.#pending) Deferred.doneUnsafe(admitted, later)
  }

  /**
   * Every taker wakes and looks; one finds the value. To wake one only would lose the value for the others when that one
   * is interrupted before it looks.
   */
  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const wake of waiting) wake()
  }

  #arrival(left: () => boolean): Effect.Effect<void> {
    return Effect.callback((resume) => {
      // Its fiber may have given way since it looked.
      if (this.#values.length > 0 || left()) return resume(Effect.void)
      const wake = () => resume(later)
      this.#waiting.add(wake)
      return Effect.sync(() => void this.#waiting.delete(wake))
    })
  }
}
