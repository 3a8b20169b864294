/**
 * Until when each throttle lets nothing through.
 */
export class Throttles {
  readonly #until: Map<string, number>

  constructor(until: ReadonlyMap<string, number> = new Map()) {
    this.#until = new Map(until)
  }

  copy(): Throttles {
    return new Throttles(this.#until)
  }

  /** Whether the throttle lets an action through now; if so, it lets no other through for a while. */
  passes(key: string, now: number, millis: number): boolean {
    const until = this.#until.get(key)
    if (until !== undefined && now < until) return false
    this.#until.set(key, now + millis)
    return true
  }

  /** Those that hold something back, and how long each still does. */
  holding(now: number): ReadonlyArray<readonly [key: string, still: number]> {
    return [...this.#until].filter(([, until]) => until > now).map(([key, until]) => [key, until - now])
  }

  /** What is there under the same ids later is something new. */
  dropWithin(place: string): void {
    for (const key of this.#until.keys()) if (key.startsWith(place)) this.#until.delete(key)
  }
}
