/**
 * What was cancelled of each group: those of its members that had not begun by then never do.
 */
import type * as Fx from "@composable-ts/core/Fx"
import type { Entry } from "./underWay.ts"

interface Cancelled {
  readonly keys: ReadonlyArray<string>
  readonly places: ReadonlyArray<string>
}

const nothing: Cancelled = { keys: [], places: [] }

export class Cancellations {
  readonly #ofGroup: Map<number, Cancelled>

  constructor(ofGroup: ReadonlyMap<number, Cancelled> = new Map()) {
    this.#ofGroup = new Map(ofGroup)
  }

  copy(): Cancellations {
    return new Cancellations(this.#ofGroup)
  }

  /** From now on what is cancelled counts for the group with this number. */
  open(group: number): void {
    this.#ofGroup.set(group, nothing)
  }

  close(group: number): void {
    this.#ofGroup.delete(group)
  }

  /** A cancel, or the end of all at a place, counts for the group, unless it has been closed. */
  add(group: number | undefined, { _tag }: Fx.Cancel | Fx.CancelAll, { key, place }: Entry): void {
    const cancelled = this.#of(group)
    if (group === undefined || cancelled === undefined) return
    this.#ofGroup.set(
      group,
      _tag === "Cancel"
        ? { ...cancelled, keys: [...cancelled.keys, key!] }
        : { ...cancelled, places: [...cancelled.places, place] }
    )
  }

  /** Whether a member of the group that stands here never begins. */
  has(group: number | undefined, { key, place }: Entry): boolean {
    const cancelled = this.#of(group)
    if (cancelled === undefined) return false
    return (key !== undefined && cancelled.keys.includes(key)) ||
      cancelled.places.some((gone) => place.startsWith(gone))
  }

  #of(group: number | undefined): Cancelled | undefined {
    return group === undefined ? undefined : this.#ofGroup.get(group)
  }
}
