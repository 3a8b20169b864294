/**
 * The instances in use, made on first sight. Effect's Cache is built around effects; here a look-up must cost no more
 * than a Map's, because it stands before every command.
 */
export class InstanceCache<K, V> {
  readonly #entries = new Map<K, { readonly value: V; used: number }>()
  readonly #limits: Limits<K, V>

  constructor(limits: Limits<K, V>) {
    this.#limits = limits
  }

  /** A Map keeps the order of insertion: what is used moves to the end, so the first is the least recently used. */
  get(key: K): V {
    const used = this.#limits.now()
    const known = this.#entries.get(key)
    const entry = known ?? { value: this.#limits.make(key), used }
    entry.used = used
    this.#entries.delete(key)
    this.#evict(used)
    this.#entries.set(key, entry)
    return entry.value
  }

  /**
   * What is in use stays, also beyond the capacity: a second instance of it would only run into conflicts with it. It
   * counts as used now, so that what waits long does not stand before what could go.
   */
  #evict(now: number): void {
    let looked = 0
    for (const [key, entry] of this.#entries) {
      const isRecent = now - entry.used <= this.#limits.idle
      if ((this.#entries.size < this.#limits.capacity && isRecent) || looked++ === lookAtMost) return
      this.#entries.delete(key)
      if (!this.#limits.inUse(entry.value)) continue
      entry.used = now
      this.#entries.set(key, entry)
    }
  }
}

/** So that a look-up does not grow with how many are in use. */
const lookAtMost = 8

export interface Limits<K, V> {
  /** How many instances at the most. */
  readonly capacity: number
  /** How long one may go unused, in milliseconds. */
  readonly idle: number
  readonly now: () => number
  readonly inUse: (value: V) => boolean
  readonly make: (key: K) => V
}
