/**
 * The order-processing program as its users run it: a process with arguments, input, output and an exit code.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const sources = fileURLToPath(new URL("../../examples/order-processing/src/", import.meta.url))

/** How a process ended: with an exit code, or by a signal. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A process that runs. Its standard input is open. */
export interface Running {
  readonly process: ChildProcess
  readonly ended: Promise<Ended>
}

/** The tests' own environment, less what would take the program elsewhere than its data folder. */
const environment = () => {
  const { COMPOSABLE_TEST_SERVER_URL: _s, DATABASE_URL: _d, INIT_CWD: _i, ...rest } = process.env
  return rest
}

const run = (program: string, folder: string, args: ReadonlyArray<string>): Running => {
  const child = spawn(process.execPath, [`${sources}${program}`, ...args], {
    cwd: folder,
    env: environment(),
    stdio: "pipe"
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text)
  // A process that was killed leaves its input broken; how it ended is what counts.
  child.stdin.on("error", () => {})
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { process: child, ended }
}

/** Starts `orders` in a folder, which then holds its data folder `.orders`. */
export const start = (folder: string, ...args: ReadonlyArray<string>): Running => run("main.ts", folder, args)

/** Runs `orders` to its end, with nothing on standard input. */
export const orders = (folder: string, ...args: ReadonlyArray<string>): Promise<Ended> => {
  const { ended, process } = start(folder, ...args)
  process.stdin?.end()
  return ended
}

/** Runs `orders` to its end, with this text on standard input. */
export const ordersReading = (folder: string, input: string, ...args: ReadonlyArray<string>): Promise<Ended> => {
  const { ended, process } = start(folder, ...args)
  process.stdin?.end(input)
  return ended
}

/** Runs the chaos script to its end. */
export const chaos = (folder: string, ...args: ReadonlyArray<string>): Promise<Ended> =>
  run("chaos.ts", folder, args).ended

/** Runs the tour to its end. */
export const demo = (folder: string): Promise<Ended> => run("demo.ts", folder, []).ended
