/**
 * Those who follow a store, each with the back-pressure of its choice. Publishing costs nothing while there are none.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"

/** What happens when a subscriber is slower than the store. */
export type Strategy = "sliding" | "dropping" | "suspend"

interface Subscriber<A> {
  readonly queue: Queue.Queue<A>
  /** Only where the store is to wait: what did not fit, in order. */
  readonly backlog: Array<A> | undefined
  readonly flush: Effect.Effect<void>
}

export class Subscribers<A> {
  readonly #all = new Set<Subscriber<A>>()

  get some(): boolean {
    return this.#all.size > 0
  }

  /** Hands a value to every subscriber; what some cannot take yet waits until {@link room} is run. */
  publish(value: A): void {
    for (const { backlog, queue } of this.#all) {
      if (backlog === undefined) Queue.offerUnsafe(queue, value)
      else if (backlog.length > 0 || !Queue.offerUnsafe(queue, value)) backlog.push(value)
    }
  }

  /** Waits until every subscriber has room for what it has not been given yet; nothing when all have. */
  get room(): Effect.Effect<void> | undefined {
    if (this.#all.size === 0) return undefined
    const full = [...this.#all].filter(({ backlog }) => backlog !== undefined && backlog.length > 0)
    return full.length === 0 ? undefined : Effect.forEach(full, ({ flush }) => flush, { discard: true })
  }

  /** The values from now on, behind those that `first` gives. */
  stream(
    options: { readonly capacity: number; readonly strategy: Strategy },
    first: () => ReadonlyArray<A>
  ): Stream.Stream<A> {
    return Stream.unwrap(Effect.map(this.#subscribe(options, first), ({ queue }) => Stream.fromQueue(queue)))
  }

  #subscribe(
    { capacity, strategy }: { readonly capacity: number; readonly strategy: Strategy },
    first: () => ReadonlyArray<A>
  ): Effect.Effect<Subscriber<A>, never, Scope.Scope> {
    const make = strategy === "sliding" ? Queue.sliding : strategy === "dropping" ? Queue.dropping : Queue.bounded
    return Effect.acquireRelease(
      Effect.map(make<A>(capacity), (queue) => {
        const subscriber = strategy === "suspend" ? waitedFor(queue) : { queue, backlog: undefined, flush: Effect.void }
        for (const value of first()) Queue.offerUnsafe(queue, value)
        this.#all.add(subscriber)
        return subscriber
      }),
      (subscriber) => {
        this.#all.delete(subscriber)
        return Queue.shutdown(subscriber.queue)
      }
    )
  }
}

/** A subscriber for which those who publish wait. */
const waitedFor = <A>(queue: Queue.Queue<A>): Subscriber<A> => {
  const backlog: Array<A> = []
  const turn = Semaphore.makeUnsafe(1)
  const flush = turn.withPermit(Effect.gen(function*() {
    while (backlog.length > 0) {
      yield* Queue.offer(queue, backlog[0]!)
      backlog.shift()
    }
  }))
  return { queue, backlog, flush }
}
