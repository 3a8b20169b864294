/**
 * What the figures are meant to reach: ratios to the floor and to peers, measured round by round in one run, and a few
 * figures by themselves.
 */
import type { Row } from "./Row.ts"
import { format } from "./Table.ts"

/** What a bar is about: our figure, or our figure divided by another's. */
type Subject = "ours" | "floor" | "emmett" | "emmett, tuned" | "redux" | "@reduxjs/toolkit" | "xstate"

interface Bar {
  readonly id: string
  readonly subject: Subject
  readonly limit: number
  readonly side: "least" | "most"
}

const least = (id: string, subject: Subject, limit: number): Bar => ({ id, subject, limit, side: "least" })
const most = (id: string, subject: Subject, limit: number): Bar => ({ id, subject, limit, side: "most" })

/** `emmett` stands for both of its set-ups: the one that does better counts. */
const bars: ReadonlyArray<Bar> = [
  most("append1.seq", "floor", 1.35),
  most("append1.seq", "emmett", 0.6),
  least("append1.c32", "floor", 2.5),
  least("append1.c32", "emmett", 10),
  least("append10.c32", "floor", 0.7),
  least("append10.c32", "emmett", 3.5),
  least("command.warm.c32", "emmett", 12),
  most("load.100", "emmett", 1 / 4),
  most("load.1000", "emmett", 1 / 6),
  least("reducer.step", "ours", 2_000_000),
  least("store.dispatch", "redux", 0.5),
  least("store.dispatch", "@reduxjs/toolkit", 2),
  least("store.dispatch", "xstate", 5),
  least("store.memory", "ours", 100_000),
  least("catchup.noop", "emmett, tuned", 50),
  least("projection.row", "emmett, tuned", 5),
  least("projection.batch", "emmett, tuned", 50),
  most("lag.p50", "ours", 2),
  most("lag.p99", "ours", 15)
]

/** Whether a bar is met. */
export interface Verdict {
  readonly id: string
  /** The bar in words, `≥ 2.5 × floor`. */
  readonly bar: string
  readonly measured: number
  readonly met: boolean
}

/** A verdict on a figure; for bars that no row has. */
export const judge = (
  { id, limit, side, what }: Pick<Bar, "id" | "limit" | "side"> & { readonly what: string },
  measured: number
): Verdict => ({
  id,
  bar: `${side === "least" ? "≥" : "≤"} ${format(limit)} ${what}`,
  measured,
  met: side === "least" ? measured >= limit : measured <= limit
})

const measuredOf = ({ ours, ratios }: Row, { side, subject }: Bar): number | undefined => {
  if (subject === "ours") return ours
  if (subject === "floor") return ratios.floor?.median
  if (subject !== "emmett") return ratios.peers[subject]?.median
  const both = ["emmett", "emmett, tuned"].flatMap((name) => ratios.peers[name]?.median ?? [])
  if (both.length === 0) return undefined
  return side === "least" ? Math.min(...both) : Math.max(...both)
}

/** The verdicts on these rows. A bar whose peer gave no figure has none. */
export const verdicts = (rows: ReadonlyArray<Row>): ReadonlyArray<Verdict> =>
  bars.flatMap((bar) => {
    const row = rows.find(({ id }) => id === bar.id)
    const measured = row === undefined ? undefined : measuredOf(row, bar)
    if (row === undefined || measured === undefined) return []
    return [judge({ ...bar, what: bar.subject === "ours" ? row.unit : `× ${bar.subject}` }, measured)]
  })
