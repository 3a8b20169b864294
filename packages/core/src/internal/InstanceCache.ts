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
    const { idle, make, now } = this.#limits
    const used = now()
    const known = this.#entries.get(key)
    const entry = known ?? { value: make(key), used }
    this.#entries.delete(key)
    entry.used = used
    this.#evict(used - idle)
    this.#entries.set(key, entry)
    return entry.value
  }

  #evict(unusedSince: number): void {
    for (const [key, { used }] of this.#entries) {
      if (this.#entries.size < this.#limits.capacity && used >= unusedSince) return
      this.#entries.delete(key)
    }
  }
}

export interface Limits<K, V> {
  /** How many instances at the most. */
  readonly capacity: number
  /** How long one may go unused, in milliseconds. */
  readonly idle: number
  readonly now: () => number
  readonly make: (key: K) => V
}
