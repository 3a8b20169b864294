/**
 * A chaos script, as its users run it: a process with arguments, output and an exit code.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { fileURLToPath } from "node:url"

/** How it ended. */
export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a script to its end. */
export const run = async (file: URL, ...args: ReadonlyArray<string>): Promise<Ended> => {
  const child = spawn(process.execPath, [fileURLToPath(file), ...args], { stdio: ["ignore", "pipe", "pipe"] })
  const ended = once(child, "close")
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await ended
  return { code: typeof code === "number" ? code : null, stdout, stderr }
}
