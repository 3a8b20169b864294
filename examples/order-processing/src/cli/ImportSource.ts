/**
 * Where an import reads from: a file, a pipe or standard input.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Effect, FileSystem, type PlatformError, Stdio, Stream } from "effect"
import { createReadStream } from "node:fs"
import { fromUser } from "../WorkingDirectory.ts"
import { InputUnusable } from "./Failure.ts"

/** The input's bytes, and how many there are, where that is known. */
export interface ImportSource {
  readonly bytes: Stream.Stream<Uint8Array, InputUnusable>
  readonly size: number | undefined
}

/** Opens a file by the path that the user gave, or standard input for `-`. Fails at once when there is no such file. */
export const open = (
  file: string
): Effect.Effect<ImportSource, InputUnusable, FileSystem.FileSystem | Stdio.Stdio> =>
  Effect.gen(function*() {
    if (file === "-") {
      const { stdin } = yield* Stdio.Stdio
      return { bytes: Stream.mapError(stdin, unusable("Standard input")), size: undefined }
    }
    const fs = yield* FileSystem.FileSystem
    const path = fromUser(file)
    const info = yield* Effect.mapError(fs.stat(path), unusable(path))
    if (info.type === "Directory") return yield* because(path, "it is a folder")
    yield* Effect.mapError(fs.access(path, { readable: true }), unusable(path))
    // A stream of Node's, because Effect's reads at positions, which a pipe does not have.
    const bytes = NodeStream.fromReadable<Uint8Array, InputUnusable>({
      evaluate: () => createReadStream(path),
      onError: (error) => because(path, error instanceof Error ? error.message : String(error))
    })
    return { bytes, size: info.type === "File" ? Number(info.size) : undefined }
  })

const because = (input: string, issue: string): InputUnusable =>
  new InputUnusable({ message: `${input} cannot be imported: ${issue}.` })

const unusable = (input: string) => ({ message, reason }: PlatformError.PlatformError): InputUnusable => {
  switch (reason._tag) {
    case "NotFound":
      return because(input, "there is no such file")
    case "PermissionDenied":
      return because(input, "permission denied")
    default:
      return because(input, message)
  }
}
