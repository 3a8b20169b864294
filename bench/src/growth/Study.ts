/**
 * How one cost grows with one quantity: figures, and plots of them.
 */
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Verdict } from "../Bars.ts"
import type { Plot } from "../Plot.ts"
import type { Profile } from "../Profile.ts"
import type { Server } from "../Server.ts"
import { median } from "../Statistics.ts"

/** What a study found. */
export interface Study {
  /** By this name its figures stand in `growth.json`. */
  readonly name: string
  readonly title: string
  /** What was done, and how to read it. */
  readonly about: string
  /** The names of the columns, with their units. */
  readonly columns: ReadonlyArray<string>
  /** The figures; null where the system does not tell. */
  readonly rows: ReadonlyArray<ReadonlyArray<number | null>>
  readonly plots: ReadonlyArray<Plot>
  readonly bars: ReadonlyArray<Verdict>
}

/** Does a study. */
export type Studying = (profile: Profile) => Effect.Effect<Study, Error, Server | Scope.Scope>

/** The points of a plot: two columns of the rows, those left out that are unknown. */
export const points = (rows: Study["rows"], x: number, y: number): ReadonlyArray<readonly [number, number]> =>
  rows.flatMap((row) => {
    const [at, value] = [row[x], row[y]]
    return typeof at === "number" && typeof value === "number" ? [[at, value] as const] : []
  })

/** The medians of figures that were taken round by round, for each of those that took turns. */
export class Rounds {
  readonly #figures = new Map<number, Array<ReadonlyArray<number>>>()

  add(key: number, figures: ReadonlyArray<number>): void {
    const all = this.#figures.get(key)
    if (all === undefined) this.#figures.set(key, [figures])
    else all.push(figures)
  }

  /** The key, and for each column its median. */
  row(key: number): ReadonlyArray<number> {
    return [key].concat(this.medians(key))
  }

  /** For each column its median. */
  medians(key: number): ReadonlyArray<number> {
    const all = this.#figures.get(key) ?? []
    return (all[0] ?? []).map((_, column) => median(all.map((figures) => figures[column]!)))
  }
}
