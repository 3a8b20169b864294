/**
 * What runs and can be ended from outside, by where it stands and by the id that it goes by there.
 */
import type { Entry, Running } from "./underWay.ts"

export class Registry {
  readonly #running: Map<number, Running>
  readonly #byKey: Map<string, number>

  constructor(running: ReadonlyMap<number, Running> = new Map(), byKey: ReadonlyMap<string, number> = new Map()) {
    this.#running = new Map(running)
    this.#byKey = new Map(byKey)
  }

  copy(): Registry {
    return new Registry(this.#running, this.#byKey)
  }

  has(id: number): boolean {
    return this.#running.has(id)
  }

  /** What goes by this id at its place, if anything does. */
  byKey(key: string): number | undefined {
    return this.#byKey.get(key)
  }

  get groups(): ReadonlyArray<number> {
    return this.#groupsOf([...this.#running])
  }

  /**
   * All that stands within a place, but for one; groups come first, and again among the rest: what is left of a group would
   * begin when its member ends.
   */
  within(place: string, except: number | undefined): ReadonlyArray<number> {
    const gone = [...this.#running].filter(([id, entry]) => id !== except && entry.place.startsWith(place))
    return [...this.#groupsOf(gone), ...gone.map(([id]) => id)]
  }

  add(id: number, entry: Entry, isGroup: boolean): void {
    if (entry.key !== undefined) this.#byKey.set(entry.key, id)
    this.#running.set(id, { ...entry, isGroup })
  }

  /** It can no longer be ended by its id, which is free for another. */
  release(id: number): void {
    const entry = this.#running.get(id)
    if (entry?.key !== undefined && this.#byKey.get(entry.key) === id) this.#byKey.delete(entry.key)
  }

  remove(id: number): void {
    this.release(id)
    this.#running.delete(id)
  }

  #groupsOf(running: ReadonlyArray<readonly [number, Running]>): ReadonlyArray<number> {
    return running.filter(([, { isGroup }]) => isGroup).map(([id]) => id)
  }
}
