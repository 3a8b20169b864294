/**
 * What the programs of peers have in common: each waits for its turn, works for as long as it is told, has its result
 * checked and tells how fast it was. Nothing of ours and nothing of Effect is at work in them, save in `Appender`, which
 * is ourselves in several processes.
 */
import * as Garbage from "./Garbage.ts"

/** What a peer is told. */
export interface Turn {
  readonly round: number
  /** How long to work, where the work has no end. */
  readonly milliseconds: number
  /** How many events to go through, where it has one. */
  readonly events: number
}

/** What a peer tells. */
export interface Answer {
  /** In the unit of the row. */
  readonly figure: number
  /** What is wrong with its result, if anything. */
  readonly fault: string | undefined
}

/** What it tells when it could not do its turn. */
export interface Failure {
  readonly failure: string
}

/** The environment variable by which a peer learns the URL of its database, if its row needs one. */
export const databaseVariable = "BENCH_PEER_DATABASE_URL"

/** Does the work of one turn, checks the result, and tells what it came to. */
export type Player = (turn: Turn) => Promise<Answer>

/** A peer at work: it does one thing after the other, and its result can be checked. */
export interface Work {
  readonly doOne: (index: number) => void
  /** What is wrong with the result after so many, if anything. May be as late as it likes. */
  readonly faultAfter: (count: number) => string | undefined | Promise<string | undefined>
}

/** How many to do between two looks at the clock. */
const block = 1_000

const blocks = (begin: () => Work): Player => async ({ milliseconds }) => {
  const { doOne, faultAfter } = begin()
  Garbage.collect()
  let count = 0
  const begun = performance.now()
  while (performance.now() - begun < milliseconds) for (let i = 0; i < block; i++) doOne(count++)
  const perSecond = count / (performance.now() - begun) * 1_000
  return { figure: perSecond, fault: await faultAfter(count) }
}

/** Serves the parent process: the turns of the row that it has named. */
export const serveTurns = (rows: Readonly<Record<string, Player>>): void => {
  const id = process.argv[2] ?? ""
  const player = rows[id]
  if (player === undefined) throw new Error(`this peer has nothing for the row "${id}"`)
  // A pool of connections would keep it alive for as long as it cares to.
  process.on("disconnect", () => process.exit())
  process.on("message", async (message) => {
    try {
      process.send!(await player(message as Turn))
    } catch (reason) {
      process.send!({ failure: reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason) })
    }
  })
}

/** Like {@link serveTurns}, for work in memory, begun anew in each round. */
export const serve = (rows: Readonly<Record<string, () => Work>>): void =>
  serveTurns(Object.fromEntries(Object.entries(rows).map(([id, begin]) => [id, blocks(begin)])))
