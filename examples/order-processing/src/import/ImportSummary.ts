/**
 * What an import has come to so far.
 */
import type { LineResult } from "./Import.ts"

/** Counts of lines, blank ones apart. */
export interface ImportSummary {
  readonly lines: number
  /** Lines that placed an order. */
  readonly placed: number
  /** Lines that shipped one; mostly the same that placed it. */
  readonly shipped: number
  /** Lines whose order was there already, with all they say of it. */
  readonly alreadyThere: number
  readonly refused: number
}

/** Before the first line. */
export const empty: ImportSummary = { lines: 0, placed: 0, shipped: 0, alreadyThere: 0, refused: 0 }

/** After one more line. */
export const add = (summary: ImportSummary, result: LineResult): ImportSummary => {
  const lines = summary.lines + 1
  if (result._tag === "Refused") return { ...summary, lines, refused: summary.refused + 1 }
  return {
    ...summary,
    lines,
    placed: summary.placed + Number(result.events.includes("OrderPlaced")),
    shipped: summary.shipped + Number(result.events.includes("OrderShipped")),
    alreadyThere: summary.alreadyThere + Number(result.events.length === 0)
  }
}
