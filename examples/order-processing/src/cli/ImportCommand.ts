/**
 * `orders import FILE`: places and ships the orders of a file, one JSON document a line.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Console, Duration, Effect, Stream } from "effect"
import { Argument, Command } from "effect/cli"
import { importOrders, type LineResult } from "../import/Import.ts"
import * as ImportSummary from "../import/ImportSummary.ts"
import { orderSummary } from "../readModel/OrderSummary.ts"
import { onOrders } from "./DataFolder.ts"
import { LinesRefused } from "./Failure.ts"
import * as ImportSource from "./ImportSource.ts"
import { jsonFlag, printJson } from "./Output.ts"
import * as ProgressBar from "./ProgressBar.ts"

/** How many refused lines the JSON document lists; standard error has them all. */
const listedRefusals = 1000

const description =
  "Import orders from newline-delimited JSON: one order a line, placed, and shipped where it has a shipping date. " +
  "A line that cannot be imported is reported with its number and the reason, and the others are imported; the exit " +
  "code is then 1, and 2 when the file cannot be read. Importing a file again changes nothing."

export const ImportCommand = Command.make(
  "import",
  {
    file: Argument.String("file").pipe(Argument.withDescription("The file to import; - is standard input")),
    json: jsonFlag
  },
  Effect.fn(function*({ file, json }) {
    const source = yield* ImportSource.open(file)
    const [duration, { refusals, summary }] = yield* Effect.timed(onOrders(importFrom(source)))
    const milliseconds = Math.round(Duration.toMillis(duration))
    yield* json
      ? printJson({ ...summary, refusedLines: refusals, milliseconds })
      : Console.log(toText(summary, milliseconds))
    if (summary.refused > 0) return yield* new LinesRefused()
  })
).pipe(Command.withDescription(description), Command.withShortDescription("Import orders from newline-delimited JSON"))

/** Imports with a progress bar, naming refused lines as they come, and brings the read model up to date. */
const importFrom = ({ bytes, size }: ImportSource.ImportSource) =>
  Effect.scoped(Effect.gen(function*() {
    let bytesRead = 0
    let summary = ImportSummary.empty
    const refusals: Array<{ readonly line: number; readonly reason: string }> = []

    const printAbove = yield* ProgressBar.show(() => ({
      fraction: size === undefined ? undefined : bytesRead / size,
      label: `${summary.lines} lines`
    }))
    const counted = Stream.map(bytes, (chunk) => {
      bytesRead += chunk.length
      return chunk
    })
    const record = (result: LineResult) => {
      summary = ImportSummary.add(summary, result)
      if (result._tag !== "Refused") return Effect.void
      const { line, reason } = result
      if (refusals.length < listedRefusals) refusals.push({ line, reason })
      return printAbove(`line ${line}: ${reason}`)
    }

    // The read model follows while the import runs. It only ever stops by failing, and then the import does, too.
    yield* Effect.raceFirst(Stream.runForEach(importOrders(counted), record), Projection.run(orderSummary))
    yield* Projection.catchUp(orderSummary)
    return { summary, refusals }
  }))

/** The outcome for people to read. */
export const toText = (summary: ImportSummary.ImportSummary, milliseconds: number): string => {
  const { alreadyThere, lines, placed, refused, shipped } = summary
  return `${lines} lines in ${(milliseconds / 1000).toFixed(1)} s: ` +
    `${placed} orders placed, ${shipped} shipped, ${alreadyThere} there already, ${refused} refused`
}
