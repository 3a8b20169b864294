/** A client's side of the connection to the host of a data folder: joins the one that lives, or starts one. */
import { type ChildProcess, spawn } from "node:child_process"
import { connect, Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { errorCode } from "./errorCode.ts"
import { newestClaim, unreachableHost } from "./hostClaim.ts"
import {
  encode,
  type Failure,
  HostFailure,
  type HostOptions,
  onMessages,
  type Reply,
  type Request
} from "./hostProtocol.ts"

export interface HostSession {
  readonly url: string
  readonly dataDir: string
  readonly port: number
  /** Resolves when the server or its host has ended without our leaving. */
  readonly stopped: Promise<Failure>
  readonly request: (type: "kill" | "restart") => Promise<void>
  /** Resolves when the host has let us go; for the last client, when the server has ended and is tidied away. */
  readonly leave: () => Promise<void>
}

const joinMillis = 120_000
const leaveMillis = 45_000
const retryMillis = 20

export const join = async (options: HostOptions, signal: AbortSignal): Promise<HostSession> => {
  const deadline = Date.now() + joinMillis
  for (;;) {
    signal.throwIfAborted()
    const living = options.dataDir === undefined ? undefined : await connectToHost(options.dataDir)
    const session = await converse(living ?? startHost(options), options, signal)
    if (session !== undefined) return session
    if (Date.now() > deadline) {
      throw new HostFailure(
        "HostFailed",
        `No embedded PostgreSQL could be had for ${options.dataDir} within ${
          joinMillis / 1000
        } s: its hosts kept ending. `
          + "Other processes may start and stop on the same data folder all the time; try again."
      )
    }
    await sleep(retryMillis)
  }
}

interface Connection {
  readonly socket: Socket
  /** Present when we started the host ourselves. */
  readonly child?: ChildProcess
}

const connectToHost = async (dataDir: string): Promise<Connection | undefined> => {
  const claim = await newestClaim(dataDir)
  if (claim === undefined) return undefined
  const socket = connect(claim.socketPath)
  return await new Promise((resolve, reject) => {
    socket.once("connect", () => resolve({ socket }))
    socket.once("error", (error) => {
      if (errorCode(error) === "EACCES" || errorCode(error) === "EPERM") {
        reject(new HostFailure("DataFolder", unreachableHost(claim.socketPath), { cause: error }))
      } else {
        // Gone, or too busy to answer: a host started now finds out which.
        resolve(undefined)
      }
    })
  })
}

const startHost = (options: HostOptions): Connection => {
  // The host runs from the same form of this package as we do: TypeScript source, or compiled.
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js"
  if (extension === "ts" && !process.features.typescript) {
    throw new HostFailure(
      "HostFailed",
      `This package runs from its TypeScript source, which Node ${process.versions.node} cannot execute. Use Node 24, `
        + "or the built package."
    )
  }
  const child = spawn(process.execPath, [
    fileURLToPath(new URL(`./host.${extension}`, import.meta.url)),
    JSON.stringify(options)
  ], {
    detached: true,
    cwd: "/",
    // A debugger or a coverage collector is meant for the caller.
    env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NODE_"))),
    stdio: ["ignore", "ignore", "ignore", "pipe"]
  })
  const socket = child.stdio[3]
  if (!(socket instanceof Socket)) throw new Error("A spawned process has no socket where a pipe was asked for")
  return { socket, child }
}

const hostEnded = (child: ChildProcess | undefined): Failure => ({
  reason: "HostFailed",
  message: "The process that held the embedded PostgreSQL ended without a word"
    + (child?.exitCode === null || child?.exitCode === undefined ? "" : ` (exit code ${child.exitCode})`)
    + ". It was probably killed. Start again: what is left of it is tidied up then, and committed data are still there.",
  log: ""
})

const ignore = () => {}

const failureOf = ({ log, message, reason }: Failure) => new HostFailure(reason, message, { log })

/** Undefined when this host cannot serve us and another attempt should be made. */
const converse = (
  { child, socket }: Connection,
  options: HostOptions,
  signal: AbortSignal
): Promise<HostSession | undefined> =>
  new Promise((resolve, reject) => {
    let leaving = false
    const waiting: Array<{ readonly resolve: () => void; readonly reject: (error: HostFailure) => void }> = []
    let stop: (failure: Failure) => void = ignore
    const stopped = new Promise<Failure>((resolve) => stop = resolve)
    const closed = new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)))
    const deadline = setTimeout(() => {
      socket.destroy()
      reject(
        new HostFailure(
          "HostFailed",
          `The process that holds the embedded PostgreSQL gave no answer within ${
            joinMillis / 1000
          } s. The disk may be `
            + "very slow, or a long recovery under way; try again later."
        )
      )
    }, joinMillis)
    signal.addEventListener("abort", () => {
      socket.destroy()
      reject(signal.reason)
    }, { once: true })

    const request = (type: "kill" | "restart") =>
      new Promise<void>((resolve, reject) => {
        if (socket.destroyed) return reject(failureOf(hostEnded(child)))
        waiting.push({ resolve, reject })
        socket.ref()
        socket.write(encode({ type } satisfies Request))
      })
    const answered = () => {
      if (waiting.length === 1) socket.unref()
      return waiting.shift()
    }
    const leave = async () => {
      leaving = true
      socket.ref()
      socket.end()
      const left = await Promise.race([closed, sleep(leaveMillis, false, { ref: false })])
      if (!left) {
        throw new HostFailure(
          "HostFailed",
          `The embedded PostgreSQL of ${options.dataDir ?? "a temporary cluster"} has not ended within `
            + `${leaveMillis / 1000} s. The process that holds it goes on trying.`
        )
      }
    }

    onMessages<Reply>(socket, (reply) => {
      switch (reply.type) {
        case "ready": {
          // An open connection is no reason for a process to stay alive.
          socket.unref()
          child?.unref()
          clearTimeout(deadline)
          return resolve({ url: reply.url, dataDir: reply.dataDir, port: reply.port, stopped, request, leave })
        }
        case "lost":
          return resolve(undefined)
        case "failed":
          return reject(failureOf(reply.failure))
        case "stopped":
          return stop(reply.failure)
        case "done":
          return answered()?.resolve()
        case "refused":
          return answered()?.reject(failureOf(reply.failure))
      }
    })
    // What went wrong with a connection matters only in that it is over, and "close" says so.
    socket.on("error", ignore)
    child?.once("error", (error) => {
      reject(
        new HostFailure("HostFailed", `${process.execPath} could not be started: ${error.message}`, { cause: error })
      )
    })
    socket.once("close", () => {
      clearTimeout(deadline)
      const failure = hostEnded(child)
      for (const { reject } of waiting) reject(failureOf(failure))
      if (!leaving) stop(failure)
      if (child === undefined) resolve(undefined)
      else reject(failureOf(failure))
    })
    socket.write(encode({ type: "join", settings: options.settings }))
  })
