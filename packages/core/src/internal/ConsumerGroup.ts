/**
 * The messages that wait for a group, in order: each is handed to one member at a time, and is gone when that one says
 * that it is done. While a message of a key is in hand, no other of the key is handed out.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type { Delivery } from "../EventBus.ts"

/** A fiber that is resumed runs at once, in the middle of whatever resumed it, unless it first gives way. */
const later = Effect.yieldNow

export class ConsumerGroup {
  readonly topics: ReadonlyArray<string>
  /** In order of publishing; one in hand keeps its place until it is done. */
  readonly #waiting = new Set<Delivery>()
  readonly #inHand = new Set<string>()
  readonly #members = new Set<() => void>()

  constructor(topics: ReadonlyArray<string>) {
    this.topics = topics
  }

  offer(delivery: Delivery): void {
    this.#waiting.add(delivery)
    this.#wake()
  }

  /**
   * The first message of whose key none is in hand; waits for one. It is in hand until {@link release}, from the moment at
   * which `taken` is told, so that who is interrupted right then knows what to put back.
   */
  take(taken: (delivery: Delivery) => void): Effect.Effect<Delivery> {
    return Effect.suspend(() => {
      for (const delivery of this.#waiting) {
        const { key } = delivery.message
        if (this.#inHand.has(key)) continue
        this.#inHand.add(key)
        taken(delivery)
        return Effect.succeed(delivery)
      }
      return Effect.andThen(this.#change, this.take(taken))
    })
  }

  /** Puts a message out of hand; it is gone if it is done, and waits at its place if not. */
  release(delivery: Delivery, isDone: boolean): void {
    this.#inHand.delete(delivery.message.key)
    if (isDone) this.#waiting.delete(delivery)
    this.#wake()
  }

  #wake(): void {
    const members = [...this.#members]
    this.#members.clear()
    for (const wake of members) wake()
  }

  readonly #change: Effect.Effect<void> = Effect.suspend(() => {
    const changed = Deferred.makeUnsafe<void>()
    const wake = () => void Deferred.doneUnsafe(changed, later)
    this.#members.add(wake)
    return Effect.onInterrupt(Deferred.await(changed), () => Effect.sync(() => void this.#members.delete(wake)))
  })
}
