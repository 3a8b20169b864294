/**
 * `pnpm bench --growth`: how costs grow, with the log, with streams, callers, processes, the size of events, and on a slow
 * disk.
 */
import * as Effect from "effect/Effect"
import { loadavg } from "node:os"
import * as Bodies from "./growth/Bodies.ts"
import * as Callers from "./growth/Callers.ts"
import * as Logs from "./growth/Logs.ts"
import * as Processes from "./growth/Processes.ts"
import * as SlowDisk from "./growth/SlowDisk.ts"
import * as Streams from "./growth/Streams.ts"
import type { Study, Studying } from "./growth/Study.ts"
import { svg } from "./Plot.ts"
import type { Profile } from "./Profile.ts"
import type { Server } from "./Server.ts"
import { format, markdownTable } from "./Table.ts"

/** What was found, and how much else the machine had to do meanwhile. */
export interface Growth {
  readonly studies: ReadonlyArray<Study>
  readonly loadBefore: number
  readonly loadAfter: number
}

const all: ReadonlyArray<Studying> = [
  Logs.study,
  Streams.study,
  Callers.study,
  Processes.study,
  Bodies.study,
  SlowDisk.study
]

/** Does all studies, each with databases of its own, which are gone before the next begins. */
export const measure = (profile: Profile): Effect.Effect<Growth, Error, Server> =>
  Effect.gen(function*() {
    const loadBefore = loadavg()[0]!
    // A study has many more turns than a row, so it gets along with half the rounds.
    const halved = { ...profile, rounds: Math.ceil(profile.rounds / 2) }
    const studies: Array<Study> = []
    for (const [index, study] of all.entries()) {
      console.error(`measuring growth, ${index + 1} of ${all.length} …`)
      studies.push(yield* Effect.scoped(study(halved)))
    }
    return { studies, loadBefore, loadAfter: loadavg()[0]! }
  })

/** The plots: the names of their files, and what these hold. */
export const plots = ({ studies }: Growth): ReadonlyArray<readonly [file: string, content: string]> =>
  studies.flatMap((study) => study.plots.map((plot) => [plot.file, svg(plot)] as const))

/** The studies in Markdown, one section each. The plots are expected in the folder `plots`, seen from the document. */
export const sections = ({ loadAfter, loadBefore, studies }: Growth, plots: string): ReadonlyArray<string> => [
  `Medians of the rounds. Load average ${loadBefore.toFixed(1)} at the start, ${loadAfter.toFixed(1)} at the end.`,
  "",
  ...studies.flatMap(({ about, columns, rows, title, ...study }) => [
    `## ${title}`,
    "",
    about,
    "",
    ...markdownTable(columns, rows.map((row) => row.map((value) => value === null ? "–" : format(value)))),
    "",
    ...study.plots.flatMap((plot) => [`![${plot.title}](${plots}${plot.file})`, ""])
  ])
]
