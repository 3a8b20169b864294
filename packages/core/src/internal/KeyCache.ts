/**
 * A bounded cache of what is known of subjects, which forgets in time, and at once when told to: then also what is being
 * read at that moment, because it may have been read before.
 */

/** What the cache was told when a look-up began. */
export type Ticket = number

interface Entry<A> {
  readonly value: A
  readonly until: number
}

export class KeyCache<A> {
  readonly #entries = new Map<string, Entry<A>>()
  readonly #capacity: number
  readonly #timeToLive: number
  #forgotten: Ticket = 0

  constructor({ capacity, timeToLive }: { readonly capacity: number; readonly timeToLive: number }) {
    this.#capacity = capacity
    this.#timeToLive = timeToLive
  }

  get(subject: string, now: number): A | undefined {
    const entry = this.#entries.get(subject)
    if (entry === undefined) return undefined
    if (now < entry.until) return entry.value
    this.#entries.delete(subject)
    return undefined
  }

  /** To be drawn before a look-up begins, and shown when its answer is to be kept. */
  ticket(): Ticket {
    return this.#forgotten
  }

  /** Keeps what was read, unless anything was forgotten since the look-up began. */
  set(subject: string, value: A, { readAt, ticket }: { readonly readAt: number; readonly ticket: Ticket }): void {
    if (ticket !== this.#forgotten || this.#timeToLive <= 0) return
    this.#entries.delete(subject)
    this.#entries.set(subject, { value, until: readAt + this.#timeToLive })
    if (this.#entries.size <= this.#capacity) return
    // A map remembers the order in which its entries were put in: the first is the one read longest ago.
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      break
    }
  }

  forget(subject: string): void {
    this.#forgotten += 1
    this.#entries.delete(subject)
  }
}
