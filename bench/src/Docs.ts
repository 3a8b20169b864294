/**
 * `docs/benchmarks.md`, which nobody writes by hand.
 */
import * as Experiments from "./Experiments.ts"
import * as Growth from "./Growth.ts"
import * as Report from "./Report.ts"
import { markdownTable } from "./Table.ts"

const title = "# Benchmarks"

const reading = [
  "`pnpm bench` measures on an embedded PostgreSQL with its default durability, or on the server of `DATABASE_URL`. Nothing " +
  "else should run meanwhile. It takes less than two minutes; `--full` takes less than fifteen and spreads less. " +
  "`pnpm bench --help` tells the rest.",
  "",
  "```sh",
  "pnpm bench                                # all rows: prints them, and writes bench/results/latest.json and latest.md",
  "pnpm bench --only append1.seq,load.100    # some rows",
  "pnpm bench --profile append1.c32          # where one row's time and memory go",
  "pnpm bench --growth                       # how costs grow",
  "pnpm bench --full --docs docs             # all of it, and writes this page with its plots",
  "```",
  "",
  "## How to read it",
  "",
  "Contestants take turns, round by round, so whatever else the machine does hits all of them alike. A ratio is taken in " +
  "each round, and the median of the ratios is shown with the lowest and the highest. Compare ratios; a figure by itself " +
  "says as much about the machine as about the program. Rounds of warm-up do not count.",
  "",
  "- The **floor** is the least that the work can cost: plain SQL with the `pg` driver, or a bare loop, without checks.",
  "- A **peer** runs in a process of its own, which stands still while it is not its turn. `emmett` is " +
  "`@event-driven-io/emmett-postgresql` with its defaults: a pool of ten connections, batches of 100 events, a look every " +
  "50 ms, read models as documents of Pongo. `emmett, tuned` has the best settings that were found: a connection for " +
  "each caller, no look at the schema before each call, batches of 10 000 events without a pause between two, read models by prepared " +
  "statements in its transaction. It is timed from the start to the last event handled, its last commit not included. Its " +
  "handlers take one event at a time, so it has the same figure beside our handlers of batches.",
  "- Results are checked after each round: events missed, repeated or out of order, states that are not what they must be. " +
  "A wrong result of ours or of the floor leaves no figure; a peer's is told beside its figure.",
  "- **GC** is our time that went into collecting garbage; **loop delay** is how late our event loop came round to a timer.",
  "- A **bar** is what we mean to reach. Against `emmett`, the set-up that does better counts."
]

const rows = (report: Report.Report): ReadonlyArray<string> =>
  Experiments.all
    .flatMap(({ measures }) => measures)
    .filter(({ id }) => report.rows.some((row) => row.id === id))
    .map(({ about, id }) => `- \`${id}\`: ${about ?? "see `bench/src/experiments`."}`)

/** The page. Its plots lie in the folder `benchmarks` beside it. */
export const page = (report: Report.Report, growth: Growth.Growth): string => {
  const [head, ...bars] = Report.barTable([...report.bars, ...growth.studies.flatMap((study) => study.bars)])
  return [
    title,
    "",
    "What this library costs, beside the floor and beside peers, and how that grows. This page is written by " +
    "`pnpm bench --full --docs docs`.",
    "",
    ...Report.setting(report),
    "",
    ...reading,
    "",
    "## What the rows do",
    "",
    "An order is placed once and then revised again and again; an event's body takes about 313 bytes of JSON.",
    "",
    ...rows(report),
    "",
    ...Report.tables({ ...report, bars: [] }),
    ...(head === undefined ? [] : ["## Bars", "", ...markdownTable(head, bars), ""]),
    "## How costs grow",
    "",
    ...Growth.sections(growth, "benchmarks/")
  ].join("\n")
}
