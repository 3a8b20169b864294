/**
 * A row of the table: what the rounds of a contest say of one measure.
 */
import type { Measure } from "./Contest.ts"
import type { Results, Series } from "./Rounds.ts"
import { median, paired, summarise, type Summary } from "./Statistics.ts"

/** The lowest and the highest figure of a series. */
export interface Range {
  readonly min: number
  readonly max: number
}

/** What a contestant did to its process over all rounds. */
export interface Strain {
  /** The share of the time that went into collecting garbage, from 0 to 1. */
  readonly gcShare: number
  /** The event loop's delay in milliseconds: each round's 99th percentile, and of those the median. */
  readonly loopDelayP99: number
}

/** One value for each of the contestants. */
interface Each<A> {
  readonly ours: A
  readonly floor: A | null
  readonly peers: Readonly<Record<string, A>>
}

/** A row, as it stands in the JSON. `ours`, `floor` and `peers` are the medians of the rounds. */
export interface Row extends Measure, Each<number> {
  readonly spread: Each<Range>
  /** Our figure divided by theirs, round by round. */
  readonly ratios: Omit<Each<Summary>, "ours">
  /** Which peers' results were wrong, and how; those that failed have no figure. */
  readonly faults: Readonly<Record<string, string>>
  /** What we and the floor did to the process. */
  readonly pressure: Omit<Each<Strain>, "peers">
}

/** There is no figure for a wrong result. */
export interface Refused {
  readonly id: string
  readonly reason: string
}

const figuresOf = (series: Series, id: string): ReadonlyArray<number> => {
  const figures = series.figures[id]
  if (figures === undefined) throw new TypeError(`no round gave a figure for ${id}`)
  return figures
}

const rangeOf = (figures: ReadonlyArray<number>): Range => {
  const { max, min } = summarise(figures)
  return { min, max }
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

const strainOf = ({ pressures }: Series): Strain => ({
  gcShare: sum(pressures.map(({ collecting }) => collecting)) / sum(pressures.map(({ elapsed }) => elapsed)),
  loopDelayP99: median(pressures.map(({ loopDelayP99 }) => loopDelayP99))
})

const mapValues = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]))

/** The row of a measure. A peer's wrong result is told beside its figure; ours or the floor's leaves none. */
export const of = ({ better, id, unit }: Measure, { floor, ours, peers }: Results): Row | Refused => {
  if (ours.fault !== undefined) return { id, reason: `our result is wrong: ${ours.fault}` }
  if (floor?.fault !== undefined) return { id, reason: `the floor's result is wrong: ${floor.fault}` }
  const figures = figuresOf(ours, id)
  const floorFigures = floor === undefined ? undefined : figuresOf(floor, id)
  // A peer that failed has a fault instead of figures.
  const peerFigures = mapValues(
    Object.fromEntries(Object.entries(peers).filter(([, { figures }]) => figures[id] !== undefined)),
    (series) => figuresOf(series, id)
  )
  return {
    id,
    unit,
    better,
    ours: median(figures),
    floor: floorFigures === undefined ? null : median(floorFigures),
    peers: mapValues(peerFigures, median),
    spread: {
      ours: rangeOf(figures),
      floor: floorFigures === undefined ? null : rangeOf(floorFigures),
      peers: mapValues(peerFigures, rangeOf)
    },
    ratios: {
      floor: floorFigures === undefined ? null : paired(figures, floorFigures),
      peers: mapValues(peerFigures, (other) => paired(figures, other))
    },
    faults: Object.fromEntries(
      Object.entries(peers).flatMap(([name, { fault }]) => fault === undefined ? [] : [[name, fault]])
    ),
    pressure: { ours: strainOf(ours), floor: floor === undefined ? null : strainOf(floor) }
  }
}

/** Whether there is no figure. */
export const isRefused = (row: Row | Refused): row is Refused => "reason" in row
