/**
 * What is said of a series of measurements: its median, and how far they lie apart.
 */

/** The median of a series, and its ends. */
export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
}

const ascending = (values: ReadonlyArray<number>): Float64Array => {
  if (values.length === 0) throw new RangeError("there is nothing to say of a series without values")
  return Float64Array.from(values).sort()
}

/** The lowest value that this share of the series does not exceed, by the nearest rank: always one that was measured. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`a quantile's share lies between 0 and 1, not ${share}`)
  const sorted = ascending(values)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
}

/** The middle of the series; of an even number of values, halfway between the two in the middle. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = ascending(values)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** The median and the ends of a series. */
export const summarise = (values: ReadonlyArray<number>): Summary => ({
  median: median(values),
  min: quantile(values, 0),
  max: quantile(values, 1)
})

/**
 * How one series compares with another that was measured round by round beside it: the summary of each round's ratio.
 * Whatever slows the machine down slows down both halves of a pair, so this spreads far less than the figures do.
 */
export const paired = (ours: ReadonlyArray<number>, others: ReadonlyArray<number>): Summary => {
  if (ours.length !== others.length) {
    throw new RangeError(`pairs need as many values on either side, not ${ours.length} and ${others.length}`)
  }
  return summarise(ours.map((value, round) => value / others[round]!))
}
