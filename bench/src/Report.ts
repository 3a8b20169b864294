/**
 * What a run found, as JSON and as tables.
 */
import type { Verdict } from "./Bars.ts"
import type { Machine } from "./Host.ts"
import type { Range, Refused, Row } from "./Row.ts"
import type { Facts } from "./Server.ts"
import type { Summary } from "./Statistics.ts"
import { format, markdownTable, textTable } from "./Table.ts"

/** A whole run: what `latest.json` holds. */
export interface Report {
  readonly machine: Machine & {
    /** Settings of the server; null when none was needed. */
    readonly postgres: Facts["settings"] | null
  }
  readonly versions: Readonly<Record<string, string>>
  readonly profile: string
  /** When the run began, as an ISO date. */
  readonly date: string
  readonly rows: ReadonlyArray<Row>
  /** What gave no figure, because a result was wrong or the work failed. */
  readonly refused: ReadonlyArray<Refused>
  /** Which bars are met. */
  readonly bars: ReadonlyArray<Verdict>
}

type Lines = ReadonlyArray<ReadonlyArray<string>>

const figure = (value: number, { max, min }: Range): string => `${format(value)} (${format(min)}–${format(max)})`

const digits = (value: number): string => value < 0.1 || value >= 1_000 ? format(value) : value.toFixed(2)

const ratio = ({ max, median, min }: Summary): string => `${digits(median)} (${digits(min)}–${digits(max)})`

const unitOf = ({ better, unit }: Row): string => `${unit} ${better === "higher" ? "↑" : "↓"}`

/** Ours beside the floor: the head, then a line for each row. */
export const table = (rows: ReadonlyArray<Row>): Lines => [
  ["row", "unit", "ours (min–max)", "floor (min–max)", "ours ÷ floor", "GC", "loop delay p99, ms"],
  ...rows.map((row) => {
    const { floor, id, ours, pressure, ratios, spread } = row
    return [
      id,
      unitOf(row),
      figure(ours, spread.ours),
      floor === null || spread.floor === null ? "–" : figure(floor, spread.floor),
      ratios.floor === null ? "–" : ratio(ratios.floor),
      `${(pressure.ours.gcShare * 100).toFixed(1)} %`,
      pressure.ours.loopDelayP99.toFixed(1)
    ]
  })
]

/** Ours beside peers: the head, then a line for each peer of each row. Empty when there are none. */
export const peerTable = (rows: ReadonlyArray<Row>): Lines => {
  const lines = rows.flatMap((row) =>
    [...new Set([...Object.keys(row.peers), ...Object.keys(row.faults)])].map((peer) => {
      const theirs = row.peers[peer]
      const fault = row.faults[peer]
      return [
        row.id,
        peer,
        unitOf(row),
        theirs === undefined ? "–" : figure(theirs, row.spread.peers[peer]!),
        theirs === undefined ? "–" : ratio(row.ratios.peers[peer]!),
        fault === undefined ? "right" : `wrong: ${fault}`
      ]
    })
  )
  return lines.length === 0
    ? []
    : [["row", "peer", "unit", "theirs (min–max)", "ours ÷ theirs", "its result"], ...lines]
}

/** The bars: the head, then a line for each. Empty when there are none. */
export const barTable = (bars: ReadonlyArray<Verdict>): Lines =>
  bars.length === 0 ? [] : [
    ["row", "bar", "measured", "met"],
    ...bars.map(({ bar, id, measured, met }) => [id, bar, digits(measured), met ? "yes" : "no"])
  ]

/** All tables in columns, for a terminal. */
export const text = ({ bars, rows }: Pick<Report, "bars" | "rows">): string =>
  [table(rows), peerTable(rows), barTable(bars)].filter((lines) => lines.length > 0).map(textTable).join("\n\n")

const section = (title: string, lines: Lines): ReadonlyArray<string> => {
  const [head, ...body] = lines
  return head === undefined ? [] : [`## ${title}`, "", ...markdownTable(head, body), ""]
}

const refusals = (refused: ReadonlyArray<Refused>): ReadonlyArray<string> =>
  refused.map(({ id, reason }) => `- \`${id}\`: no figure, because ${reason.split("\n")[0]}`)

/** On what it was measured, as a paragraph in Markdown. */
export const setting = ({ date, machine, profile, versions }: Report): ReadonlyArray<string> => {
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")
  const settings = Object.entries(machine.postgres ?? {}).map(([name, value]) => `${name} ${value}`).join(", ")
  return [
    `Measured on ${
      date.slice(0, 10)
    }, profile ${profile}: ${machine.cpus} × ${machine.cpu}, ${machine.memoryGiB} GiB, ` +
    `${machine.platform}; load average at the start ${machine.loadAverage.toFixed(1)}.`,
    "",
    `${names}.${settings === "" ? "" : ` PostgreSQL's settings: ${settings}.`}`
  ]
}

/** The tables in Markdown. */
export const tables = ({ bars, refused, rows }: Report): ReadonlyArray<string> => [
  "Medians of the rounds with the lowest and the highest; ↑ more is better, ↓ less is better. Ratios are taken round by " +
  "round: compare them, not figures of different runs.",
  "",
  ...section("Beside the floor", table(rows)),
  ...section("Beside peers", peerTable(rows)),
  ...section("Bars", barTable(bars)),
  ...(refused.length === 0 ? [] : [...refusals(refused), ""])
]

/** The report as Markdown. */
export const markdown = (report: Report): string =>
  ["# What it costs", "", ...setting(report), "", ...tables(report)].join("\n")
