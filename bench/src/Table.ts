/**
 * Tables of figures, for a terminal and in Markdown.
 */

/** A number as tables show it. */
export const format = (value: number): string =>
  value.toLocaleString("en-GB", value >= 1_000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 })

/** A table in Markdown. */
export const markdownTable = (
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): ReadonlyArray<string> =>
  [head, head.map(() => "---"), ...rows].map((row) =>
    `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
  )

/** A table in columns, for a terminal; the first two are names. */
export const textTable = (lines: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  return lines
    .map((line) =>
      line.map((cell, column) => column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("  ")
        .trimEnd()
    )
    .join("\n")
}
