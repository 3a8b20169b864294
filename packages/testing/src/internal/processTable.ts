/** The system's processes: from `/proc` on Linux, where `ps` may be missing, else from `ps`. */
import { execFile } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"
import { promisify } from "node:util"

export interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  /** Ended, but not yet collected by its parent. */
  readonly isZombie: boolean
}

export const processTable = async (): Promise<ReadonlyArray<ProcessEntry>> => {
  if (process.platform === "linux") {
    const pids = (await readdir("/proc")).map(Number).filter(Number.isInteger)
    return (await Promise.all(pids.map(fromProc))).filter((entry) => entry !== undefined)
  }
  const { stdout } = await promisify(execFile)("ps", ["-axo", "pid=,ppid=,state="])
  return stdout.trim().split("\n").map((line) => {
    const [pid, parent, state] = line.trim().split(/\s+/)
    return { pid: Number(pid), parent: Number(parent), isZombie: state?.startsWith("Z") ?? false }
  })
}

const fromProc = async (pid: number): Promise<ProcessEntry | undefined> => {
  // A process that ended since the folder was read has no entry.
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
  // The name, in parentheses, may hold anything; the fields after its end do not.
  const [state, parent] = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return parent === undefined ? undefined : { pid, parent: Number(parent), isZombie: state === "Z" || state === "X" }
}

/** Whether the process still runs. Where nobody collects the dead, an orphan stays on as a zombie: that is ended. */
export const isRunning = async (pid: number): Promise<boolean> =>
  (await processTable()).some((entry) => entry.pid === pid && !entry.isZombie)
