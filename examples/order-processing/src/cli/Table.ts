/**
 * Tables of text, aligned in columns.
 */

/** A column: its title, and the cell of each row. */
export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
  /** Numbers stand at the right. Default: left. */
  readonly align?: "left" | "right"
}

/** How many characters a person sees. */
const width = (text: string): number => [...text].length

/** A line with the titles, then one for each row. */
export const render = <Row>(columns: ReadonlyArray<Column<Row>>, rows: ReadonlyArray<Row>): string => {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => columns.map(({ cell }) => cell(row)))]
  const widths = columns.map((_, i) => cells.reduce((most, line) => Math.max(most, width(line[i]!)), 0))
  const pad = (text: string, i: number): string => {
    const blanks = " ".repeat(widths[i]! - width(text))
    return columns[i]!.align === "right" ? blanks + text : text + blanks
  }
  return cells.map((line) => line.map(pad).join("  ").trimEnd()).join("\n")
}

/** Names and values, one pair a line. */
export const pairs = (rows: ReadonlyArray<readonly [name: string, value: string]>): string => {
  const widest = rows.reduce((most, [name]) => Math.max(most, width(name)), 0)
  return rows.map(([name, value]) => `${name.padEnd(widest)}  ${value}`).join("\n")
}
