/**
 * What the programs of peers have in common: each waits for its turn, works for as long as it is told, has its result
 * checked and tells how fast it was. Nothing of ours and nothing of Effect is at work in them.
 */
import * as Garbage from "./Garbage.ts"

/** What a peer is told. */
export interface Turn {
  readonly milliseconds: number
}

/** What a peer tells. */
export interface Answer {
  readonly perSecond: number
  /** What is wrong with its result, if anything. */
  readonly fault: string | undefined
}

/** A peer at work: it does one thing after the other, and its result can be checked. */
export interface Work {
  readonly doOne: (index: number) => void
  /** What is wrong with the result after so many, if anything. May be as late as it likes. */
  readonly faultAfter: (count: number) => string | undefined | Promise<string | undefined>
}

/** How many to do between two looks at the clock. */
const block = 1_000

const turn = async ({ doOne, faultAfter }: Work, { milliseconds }: Turn): Promise<Answer> => {
  Garbage.collect()
  let count = 0
  const begun = performance.now()
  while (performance.now() - begun < milliseconds) for (let i = 0; i < block; i++) doOne(count++)
  const perSecond = count / (performance.now() - begun) * 1_000
  return { perSecond, fault: await faultAfter(count) }
}

/** Serves the parent process: the work of the row that it has named, begun anew in each round. */
export const serve = (rows: Readonly<Record<string, () => Work>>): void => {
  const id = process.argv[2] ?? ""
  const work = rows[id]
  if (work === undefined) throw new Error(`this peer has nothing for the row "${id}"`)
  process.on("message", async (message) => process.send!(await turn(work(), message as Turn)))
}
