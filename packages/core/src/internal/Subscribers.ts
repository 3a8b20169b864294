/**
 * Those who follow a store, each with the back-pressure of its choice. Publishing costs nothing while there are none.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** What happens when a subscriber is slower than the store. */
export type Strategy = "sliding" | "dropping" | "suspend"

interface Subscriber<A> {
  readonly queue: Queue.Queue<A, Cause.Done>
  readonly publish: (value: A) => void
  /** Waits until all that was published has found room; nothing when it has. */
  readonly room: () => Effect.Effect<unknown> | undefined
}

export class Subscribers<A> {
  readonly #all = new Set<Subscriber<A>>()

  get some(): boolean {
    return this.#all.size > 0
  }

  /** Hands a value to every subscriber; what some cannot take yet waits until {@link room} is run. */
  publish(value: A): void {
    for (const subscriber of this.#all) subscriber.publish(value)
  }

  /** Waits until every subscriber has room for what it has not been given yet; nothing when all have. */
  get room(): Effect.Effect<void> | undefined {
    if (this.#all.size === 0) return undefined
    const waits = [...this.#all].flatMap(({ room }) => room() ?? [])
    return waits.length === 0 ? undefined : Effect.all(waits, { discard: true })
  }

  /** No more values: those who follow get what waits for them, and are at the end. */
  end(): void {
    for (const { queue, room } of this.#all) {
      const wait = room()
      if (wait === undefined) Queue.endUnsafe(queue)
      else Effect.runFork(Effect.andThen(wait, Queue.end(queue)))
    }
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
      Effect.map(make<A, Cause.Done>(capacity), (queue) => {
        const subscriber = strategy === "suspend" ? waitedFor(queue) : leftBehind(queue)
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

/** A subscriber that misses values when it is slower. */
const leftBehind = <A>(queue: Queue.Queue<A, Cause.Done>): Subscriber<A> => ({
  queue,
  publish: (value) => {
    Queue.offerUnsafe(queue, value)
  },
  room: () => undefined
})

/**
 * A subscriber for which those who publish wait. What does not fit is handed over by a fiber of its own, so that nothing
 * is lost when they give up waiting.
 */
const waitedFor = <A>(queue: Queue.Queue<A, Cause.Done>): Subscriber<A> => {
  const backlog: Array<A> = []
  let handingOver: Fiber.Fiber<void> | undefined
  const handOver = Effect.gen(function*() {
    while (backlog.length > 0) yield* Queue.offer(queue, backlog.shift() as A)
    handingOver = undefined
  })
  return {
    queue,
    publish: (value) => {
      if (handingOver === undefined && Queue.offerUnsafe(queue, value)) return
      backlog.push(value)
      handingOver ??= Effect.runFork(handOver)
    },
    room: () => handingOver && Fiber.await(handingOver)
  }
}
