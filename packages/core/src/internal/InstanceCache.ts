/**
 * The instances in use, made on first sight. Effect's Cache is built around effects; here a look-up must cost no more
 * than a Map's, because it stands before every command.
 */
export class InstanceCache<K, V> {
  readonly #entries = new Map<K, V>()
  readonly #capacity: number
  readonly #make: (key: K) => V

  constructor(capacity: number, make: (key: K) => V) {
    this.#capacity = Math.max(1, capacity)
    this.#make = make
  }

  /** A Map keeps the order of insertion: what is used moves to the end, so the first is the least recently used. */
  get(key: K): V {
    let value = this.#entries.get(key)
    if (value === undefined) {
      value = this.#make(key)
      if (this.#entries.size >= this.#capacity) this.#entries.delete(this.#entries.keys().next().value as K)
    } else {
      this.#entries.delete(key)
    }
    this.#entries.set(key, value)
    return value
  }
}
