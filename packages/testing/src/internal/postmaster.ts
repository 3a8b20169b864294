/** PostgreSQL's own processes: making a cluster, starting, stopping and killing a server, finding one left behind. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { chown, mkdir, open, readFile, readlink, rename, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { basename, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { promisify } from "node:util"
import { errorCode } from "./errorCode.ts"
import { HostFailure, type Settings } from "./hostProtocol.ts"
import type { PostgresBinaries } from "./postgresBinaries.ts"
import { isRunning, processTable } from "./processTable.ts"
import type { ServiceUser } from "./serviceUser.ts"

/** Everything that stays the same from one start of a server to the next. */
export interface Cluster {
  readonly folder: string
  readonly binaries: PostgresBinaries
  readonly user: ServiceUser | undefined
  readonly settings: Settings
  readonly logFile: string
}

export interface Postmaster {
  readonly process: ChildProcess
  readonly port: number
  /** Resolves when the process has ended, with how. */
  readonly exited: Promise<string>
}

export const superuser = "postgres"

const pollMillis = 10
const startMillis = 60_000
const fastStopMillis = 15_000
const immediateStopMillis = 5_000
const portAttempts = 10

// Nothing of the caller's environment reaches the server: PGPORT, PGDATA or LD_LIBRARY_PATH would change what it does.
const environment = { PATH: process.env["PATH"] ?? "", LC_ALL: "C", TZ: "UTC" }

const spawnAs = (user: ServiceUser | undefined) => user === undefined ? {} : { uid: user.uid, gid: user.gid }

const spawnFailure = (program: string, error: Error): HostFailure =>
  new HostFailure(
    "StartFailed",
    `${program} could not be run (${error.message}). ${
      errorCode(error) === "ENOENT"
        ? "These programs are linked with glibc; a system with another C library, such as Alpine, cannot run them. "
        : "The folder may forbid running programs, or this process may not change to the user that runs PostgreSQL. "
    }Set DATABASE_URL to a server that is already there.`,
    { cause: error }
  )

/** Resolves when the child has ended, with how; rejects when it could not be run. */
const ending = (child: ChildProcess, program: string): Promise<string> =>
  new Promise((resolve, reject) => {
    child.once("error", (error) => reject(spawnFailure(program, error)))
    child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  })

export interface InitialiseOptions {
  readonly folder: string
  readonly binaries: PostgresBinaries
  readonly user: ServiceUser | undefined
  readonly password: string
  /** A folder that the user can enter, for the password file. */
  readonly scratch: string
  /** A cluster that will be thrown away need not survive a power cut while it is made. */
  readonly durable: boolean
}

/** Makes a new cluster. It appears under its name complete or not at all. */
export const initialise = async (options: InitialiseOptions): Promise<void> => {
  const { binaries, durable, folder, password, scratch, user } = options
  const unfinished = `${folder}.new`
  const passwordFile = join(scratch, `password-${randomBytes(6).toString("hex")}`)
  await rm(unfinished, { recursive: true, force: true })
  await mkdir(unfinished, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600, flag: "wx" })
  try {
    if (user !== undefined) {
      await chown(unfinished, user.uid, user.gid)
      await chown(passwordFile, user.uid, user.gid)
    }
    const program = join(binaries.native, "bin/initdb")
    const child = spawn(program, [
      `--pgdata=${unfinished}`,
      `--username=${superuser}`,
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--no-locale",
      "--no-instructions",
      ...(durable ? [] : ["--no-sync"])
    ], { ...spawnAs(user), cwd: "/", env: environment, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text)
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text)
    const how = await ending(child, program)
    if (how !== "exit code 0") {
      throw new HostFailure(
        "StartFailed",
        `initdb could not make a cluster in ${unfinished} (${how}). Usual causes are a full disk, a folder that cannot be `
          + "written, and a user id without an entry in /etc/passwd. Its own words are below.",
        { log: output }
      )
    }
    await rename(unfinished, folder)
  } finally {
    await rm(passwordFile, { force: true })
    await rm(unfinished, { recursive: true, force: true })
  }
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address()
      probe.close(() =>
        typeof address === "object" && address !== null
          ? resolve(address.port)
          : reject(new Error("A listening socket has no port"))
      )
    })
  })

/** Starts a server on a free port of 127.0.0.1. */
export const start = async (cluster: Cluster): Promise<Postmaster> => {
  for (let attempt = 1;; attempt++) {
    try {
      return await startOn(cluster, await freePort())
    } catch (error) {
      // Another process took the port between our choosing it and the server's binding it.
      if (attempt === portAttempts || !isPortTaken(error)) throw error
    }
  }
}

const isPortTaken = (error: unknown) =>
  error instanceof HostFailure && error.log.includes("could not bind IPv4 address \"127.0.0.1\"")

// The processes of a killed server notice its death by themselves; until the last has gone, its memory is in use.
const isStillDying = (error: unknown) =>
  error instanceof HostFailure && error.log.includes("pre-existing shared memory block")

/** Starts a server on this port. */
export const startOn = async (cluster: Cluster, port: number): Promise<Postmaster> => {
  const deadline = Date.now() + startMillis
  for (;;) {
    try {
      return await launch(cluster, port, deadline)
    } catch (error) {
      if (!isStillDying(error) || Date.now() > deadline) throw error
      await sleep(pollMillis)
    }
  }
}

const launch = async (cluster: Cluster, port: number, deadline: number): Promise<Postmaster> => {
  const { binaries, folder, logFile, settings, user } = cluster
  const program = join(binaries.native, "bin/postgres")
  const fixed = {
    port: String(port),
    listen_addresses: "127.0.0.1",
    unix_socket_directories: ""
  }
  const log = await open(logFile, "w", 0o600)
  let child: ChildProcess
  try {
    child = spawn(program, [
      "-D",
      folder,
      ...Object.entries({ max_connections: "200", ...settings, ...fixed }).flatMap(([name, value]) => [
        "-c",
        `${name}=${value}`
      ])
    ], { ...spawnAs(user), cwd: "/", env: environment, stdio: ["ignore", log.fd, log.fd] })
  } finally {
    await log.close()
  }
  let how: string | undefined
  const exited = ending(child, program)
  exited.then((end) => how = end, () => how = "could not be run")
  const postmaster = { process: child, port, exited }
  while (!(await isReady(folder, child.pid))) {
    if (how !== undefined) {
      await exited
      throw new HostFailure("StartFailed", startFailed(folder, how), { log: await tail(logFile) })
    }
    if (Date.now() > deadline) {
      await stop(postmaster, "fast")
      throw new HostFailure("StartFailed", startFailed(folder, `not ready within ${startMillis / 1000} s`), {
        log: await tail(logFile)
      })
    }
    await sleep(pollMillis)
  }
  return postmaster
}

const startFailed = (folder: string, how: string): string =>
  `PostgreSQL did not start on ${folder} (${how}). Its log, of which the end is below, says why. A setting it does not `
  + "know can be taken back; if the data are damaged and can be spared, delete the data folder."

// The server writes its state to the eighth line of its lock file; pg_ctl waits for the same.
const isReady = async (folder: string, pid: number | undefined): Promise<boolean> => {
  const lines = await readLock(folder)
  return Number(lines[0]) === pid && lines[7]?.trim() === "ready"
}

const readLock = async (folder: string): Promise<ReadonlyArray<string>> => {
  try {
    return (await readFile(join(folder, "postmaster.pid"), "utf8")).split("\n")
  } catch (error) {
    if (errorCode(error) === "ENOENT") return []
    throw error
  }
}

/** The last lines of a log file. */
export const tail = async (file: string): Promise<string> =>
  (await readFile(file, "utf8")).trimEnd().split("\n").slice(-20).join("\n")

/** Ends the server: `fast` writes a checkpoint, `immediate` leaves the next start to recover from the log. */
export const stop = async ({ exited, process: child }: Postmaster, mode: "fast" | "immediate"): Promise<void> => {
  const ended = exited.then(() => true)
  if (mode === "fast") {
    child.kill("SIGINT")
    if (await Promise.race([ended, sleep(fastStopMillis, false, { ref: false })])) return
  }
  child.kill("SIGQUIT")
  if (await Promise.race([ended, sleep(immediateStopMillis, false, { ref: false })])) return
  child.kill("SIGKILL")
  await ended
}

/** Ends the server and all its processes at once, as a power cut would. */
export const kill = async ({ exited, process: child }: Postmaster): Promise<void> => {
  if (child.pid === undefined) return
  // Stopped first, so that it can neither start another process nor tidy up after those that are killed.
  child.kill("SIGSTOP")
  for (const { parent, pid } of await processTable()) {
    if (parent === child.pid) signal(pid, "SIGKILL")
  }
  child.kill("SIGKILL")
  await exited
}

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch (error) {
    // Ended meanwhile.
    if (errorCode(error) !== "ESRCH") throw error
  }
}

/** The process id of a server that runs on this cluster, whoever started it. */
export const findPostmaster = async (folder: string): Promise<number | undefined> => {
  const pid = Number((await readLock(folder))[0])
  return Number.isInteger(pid) && pid > 1 && await isPostmasterOf(folder, pid) ? pid : undefined
}

/** A lock file outlives a crash and process ids are reused: only a PostgreSQL at work in this folder may be signalled. */
const isPostmasterOf = async (folder: string, pid: number): Promise<boolean> => {
  try {
    if (process.platform === "linux") {
      const program = basename(await readlink(`/proc/${pid}/exe`))
      return /^postgres\b/.test(program) && await readlink(`/proc/${pid}/cwd`) === folder
    }
    const { stdout } = await promisify(execFile)("ps", ["-p", String(pid), "-o", "command="])
    return stdout.includes(`/bin/postgres -D ${folder} `)
  } catch {
    // No such process, or not one we may look at: not a server of ours.
    return false
  }
}

/** Ends a server that is not our child. */
export const stopProcess = async (pid: number): Promise<void> => {
  const steps = [["SIGINT", fastStopMillis], ["SIGQUIT", immediateStopMillis], [
    "SIGKILL",
    immediateStopMillis
  ]] as const
  for (const [name, patience] of steps) {
    const deadline = Date.now() + patience
    signal(pid, name)
    while (await isRunning(pid)) {
      if (Date.now() > deadline) break
      await sleep(pollMillis)
    }
    if (!(await isRunning(pid))) return
  }
  throw new HostFailure(
    "StartFailed",
    `A PostgreSQL left behind by an earlier run, process ${pid}, cannot be ended. End it by hand and try again.`
  )
}
