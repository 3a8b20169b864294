/**
 * What a run found, as JSON and as a table.
 */
import type { Machine } from "./Host.ts"
import type { Range, Refused, Row } from "./Row.ts"
import type { Facts } from "./Server.ts"
import type { Summary } from "./Statistics.ts"

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
}

const format = (value: number): string =>
  value.toLocaleString("en-GB", value >= 1_000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 })

const figure = (value: number, { max, min }: Range): string => `${format(value)} (${format(min)}–${format(max)})`

const ratio = ({ max, median, min }: Summary): string => `${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`

const cells = (row: Row, peers: ReadonlyArray<string>): ReadonlyArray<string> => {
  const { better, floor, id, ours, pressure, ratios, spread, unit } = row
  return [
    id,
    `${unit} ${better === "higher" ? "↑" : "↓"}`,
    figure(ours, spread.ours),
    floor === null || spread.floor === null ? "–" : figure(floor, spread.floor),
    ratios.floor === null ? "–" : ratio(ratios.floor),
    ...peers.flatMap((peer) => {
      const theirs = row.peers[peer]
      if (theirs === undefined) return ["–", "–"]
      const fault = row.faults[peer]
      const wrong = fault === undefined ? "" : ` wrong: ${fault}`
      return [`${figure(theirs, row.spread.peers[peer]!)}${wrong}`, ratio(ratios.peers[peer]!)]
    }),
    `${(pressure.ours.gcShare * 100).toFixed(1)} %`,
    pressure.ours.loopDelayP99.toFixed(1)
  ]
}

/** The table: its head, then its rows. */
export const table = (rows: ReadonlyArray<Row>): ReadonlyArray<ReadonlyArray<string>> => {
  const peers = [...new Set(rows.flatMap((row) => Object.keys(row.peers)))]
  const head = [
    "row",
    "unit",
    "ours (min–max)",
    "floor (min–max)",
    "ours ÷ floor",
    ...peers.flatMap((peer) => [peer, `ours ÷ ${peer}`]),
    "GC",
    "loop delay p99, ms"
  ]
  return [head, ...rows.map((row) => cells(row, peers))]
}

/** The table in columns, for a terminal. */
export const text = (rows: ReadonlyArray<Row>): string => {
  const lines = table(rows)
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines
    .map((line) =>
      line.map((cell, column) => column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("  ")
        .trimEnd()
    )
    .join("\n")
}

const refusals = (refused: ReadonlyArray<Refused>): ReadonlyArray<string> =>
  refused.map(({ id, reason }) => `- \`${id}\`: no figure, because ${reason.split("\n")[0]}`)

/** The report as Markdown. */
export const markdown = ({ date, machine, profile, refused, rows, versions }: Report): string => {
  const [head, ...body] = table(rows).map((line) =>
    `| ${line.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
  )
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ")
  const settings = Object.entries(machine.postgres ?? {}).map(([name, value]) => `${name} ${value}`).join(", ")
  return [
    `# Measured on ${date.slice(0, 10)}, profile ${profile}`,
    "",
    `${machine.cpus} × ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.platform}; ` +
    `load average at the start ${machine.loadAverage.toFixed(1)}.`,
    "",
    `${names}.${settings === "" ? "" : ` PostgreSQL's settings: ${settings}.`}`,
    "",
    "Medians of the rounds with the lowest and the highest; ↑ more is better, ↓ less is better. Ratios are taken round by",
    "round: compare them, not figures of different runs.",
    "",
    head,
    `|${"---|".repeat(table(rows)[0]!.length)}`,
    ...body,
    ...(refused.length === 0 ? [] : ["", ...refusals(refused)]),
    ""
  ].join("\n")
}
