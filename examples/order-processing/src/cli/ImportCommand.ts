/**
 * `orders import FILE`: places and ships the orders of a file, one JSON document a line.
 */
import * as Projection from "@composable-ts/projections/Projection"
import { Clock, Console, Effect, FileSystem, type PlatformError, Stdio, Stream } from "effect"
import { Argument, Command } from "effect/cli"
import { importOrders, type LineResult } from "../import/Import.ts"
import * as ImportSummary from "../import/ImportSummary.ts"
import { orderSummary } from "../readModel/OrderSummary.ts"
import { fromUser } from "../WorkingDirectory.ts"
import { onOrders } from "./DataFolder.ts"
import { InputUnusable, LinesRefused } from "./Failure.ts"
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
    const { bytes, size } = yield* open(file)
    const start = yield* Clock.currentTimeMillis
    let bytesRead = 0
    let summary = ImportSummary.empty
    const refusals: Array<Extract<LineResult, { readonly _tag: "Refused" }>> = []
    const progress = () => ({
      fraction: size === undefined ? undefined : bytesRead / size,
      label: `${summary.lines} lines`
    })

    yield* Effect.scoped(Effect.gen(function*() {
      const printAbove = yield* ProgressBar.show(progress)
      const counted = Stream.map(bytes, (chunk) => {
        bytesRead += chunk.length
        return chunk
      })
      const record = (result: LineResult) => {
        summary = ImportSummary.add(summary, result)
        if (result._tag !== "Refused") return Effect.void
        if (refusals.length < listedRefusals) refusals.push(result)
        return printAbove(`line ${result.line}: ${result.reason}`)
      }
      yield* onOrders(Effect.gen(function*() {
        // The read model follows while the import runs. It only ever stops by failing, and then the import does, too.
        yield* Effect.raceFirst(Stream.runForEach(importOrders(counted), record), Projection.run(orderSummary))
        yield* Projection.catchUp(orderSummary)
      }))
    }))

    const milliseconds = (yield* Clock.currentTimeMillis) - start
    yield* json
      ? printJson({ ...summary, refusedLines: refusals.map(({ line, reason }) => ({ line, reason })), milliseconds })
      : Console.log(toText(summary, milliseconds))
    if (summary.refused > 0) return yield* new LinesRefused()
  })
).pipe(Command.withDescription(description), Command.withShortDescription("Import orders from newline-delimited JSON"))

/** The outcome for people to read. */
export const toText = (summary: ImportSummary.ImportSummary, milliseconds: number): string => {
  const { alreadyThere, lines, placed, refused, shipped } = summary
  return `${lines} lines in ${(milliseconds / 1000).toFixed(1)} s: ` +
    `${placed} orders placed, ${shipped} shipped, ${alreadyThere} there already, ${refused} refused`
}

/** The input's bytes, and how many there are, where that is known. Fails at once when there is no such file. */
const open = (file: string) =>
  Effect.gen(function*() {
    if (file === "-") {
      const { stdin } = yield* Stdio.Stdio
      return { bytes: Stream.mapError(stdin, unusable("Standard input")), size: undefined }
    }
    const fs = yield* FileSystem.FileSystem
    const path = fromUser(file)
    const info = yield* Effect.mapError(fs.stat(path), unusable(path))
    if (info.type === "Directory") {
      return yield* new InputUnusable({ message: `${path} cannot be imported: it is a folder.` })
    }
    yield* Effect.mapError(fs.access(path, { readable: true }), unusable(path))
    return {
      bytes: Stream.mapError(fs.stream(path), unusable(path)),
      size: info.type === "File" ? Number(info.size) : undefined
    }
  })

const unusable = (input: string) => ({ message, reason }: PlatformError.PlatformError): InputUnusable => {
  const issue = reason._tag === "NotFound"
    ? "there is no such file"
    : reason._tag === "PermissionDenied"
    ? "permission denied"
    : message
  return new InputUnusable({ message: `${input} cannot be imported: ${issue}.` })
}
