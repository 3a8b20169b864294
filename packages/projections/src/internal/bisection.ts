/**
 * How much to try at once where a batch has failed: half as much each time until the event that fails is alone; and behind
 * it twice as much each time, until all of the batch is passed.
 *
 * What a failed batch says is not forgotten when its first half is applied: the culprit is in the other half, which is
 * not tried as a whole again. So one culprit among n events costs log n attempts, and of many that stand together each
 * costs one.
 */

/** What is known of the events behind the checkpoint. */
export interface Bisection {
  /** How many positions to try behind this one; `undefined` where nothing is known to fail. */
  readonly limitBehind: (position: bigint) => number | undefined
  /** What was tried, up to this position, has failed. */
  readonly failed: (upTo: bigint) => void
  /** What was tried, up to this position, was applied. */
  readonly applied: (upTo: bigint) => void
  /** An event that has failed alone was dealt with. */
  readonly settled: () => void
}

export const make = (): Bisection => {
  /** Up to where to be careful. */
  let until = 0n
  /** There is an event that fails behind the last position that was applied, and not behind this one. */
  let culpritBy = 0n
  let next = 1
  return {
    limitBehind: (position) => {
      if (position >= until) return undefined
      if (position >= culpritBy) return Math.min(next, Number(until - position))
      return Math.max(1, Math.floor(Number(culpritBy - position) / 2))
    },
    failed: (upTo) => {
      culpritBy = upTo
      if (upTo > until) until = upTo
    },
    applied: (upTo) => {
      if (upTo >= culpritBy) next *= 2
    },
    settled: () => {
      next = 1
    }
  }
}
