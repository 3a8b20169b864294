/**
 * What the command line asks for.
 */
import { resolve } from "node:path"
import { parseArgs } from "node:util"
import * as Profile from "./Profile.ts"

/** What to do. */
export interface Request {
  readonly profile: Profile.Profile
  /** The rows to measure. */
  readonly only: ReadonlyArray<string>
  /** The row to take a CPU profile of, instead of measuring. */
  readonly cpuProfileOf: string | undefined
  /** What to measure: the table's rows, or how costs grow. */
  readonly subject: "rows" | "growth"
  /** The folder of documents to write the page to, for which both are measured. */
  readonly docs: string | undefined
  /** The folder to write to. */
  readonly results: string
}

/** What `--help` prints, and what follows a mistake. */
export const usage = (ids: ReadonlyArray<string>): string =>
  `Usage: pnpm bench [--quick | --full | --smoke] [--only ID,…] [--profile ID] [--growth]
                  [--docs FOLDER] [--results FOLDER]

  --quick         under two minutes; the default
  --full          under fifteen minutes, with less spread
  --smoke         seconds: shows that everything runs and is right, its figures mean nothing
  --only ID,…     only these rows
  --profile ID    writes ID.cpuprofile and ID.heapprofile of this row, and prints the functions with most self time and
                  those that allocate most
  --growth        instead of the rows, how costs grow: with the log (10^3 and 10^6 events, with --full also 10^7), with
                  streams, callers, processes, the size of events, and on a slow disk; writes growth.json, growth.md
                  and plots
  --docs FOLDER   the rows and growth, and writes benchmarks.md with its plots to this folder
  --results DIR   where to write latest.json and latest.md; default bench/results

It measures on the server of DATABASE_URL, or on an embedded PostgreSQL.
Rows: ${ids.join(", ")}`

/** A mistake in the command line. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

const options = {
  quick: { type: "boolean" },
  full: { type: "boolean" },
  smoke: { type: "boolean" },
  only: { type: "string" },
  profile: { type: "string" },
  growth: { type: "boolean" },
  docs: { type: "string" },
  results: { type: "string" },
  help: { type: "boolean" }
} as const

const values = (args: ReadonlyArray<string>) => {
  try {
    // `pnpm bench -- --full` hands the dashes on.
    return parseArgs({ args: args.filter((arg) => arg !== "--"), options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** pnpm runs the script in bench/, but a path is meant from where the command was typed. */
const typed = (path: string): string => resolve(process.env["INIT_CWD"] ?? process.cwd(), path)

/** Reads the arguments; `ids` are the rows there are. Undefined when help was asked for. */
export const parse = (
  args: ReadonlyArray<string>,
  ids: ReadonlyArray<string>,
  resultsByDefault: string
): Request | undefined => {
  const given = values(args)
  if (given.help === true) return undefined
  const chosen = [Profile.quick, Profile.full, Profile.smoke].filter(({ name }) => given[name] === true)
  if (chosen.length > 1) throw new UsageError(`choose one of ${chosen.map(({ name }) => `--${name}`).join(" and ")}`)
  const only = given.only?.split(",").map((id) => id.trim()) ?? ids
  for (const id of given.profile === undefined ? only : [...only, given.profile]) {
    if (!ids.includes(id)) throw new UsageError(`there is no row "${id}"`)
  }
  if (given.growth === true && (given.only ?? given.profile) !== undefined) {
    throw new UsageError("--growth has no rows to choose from")
  }
  if (given.docs !== undefined && (given.only ?? given.profile) !== undefined) {
    throw new UsageError("--docs takes all rows")
  }
  return {
    profile: chosen[0] ?? Profile.quick,
    only,
    cpuProfileOf: given.profile,
    subject: given.growth === true ? "growth" : "rows",
    docs: given.docs === undefined ? undefined : typed(given.docs),
    results: given.results === undefined ? resultsByDefault : typed(given.results)
  }
}
