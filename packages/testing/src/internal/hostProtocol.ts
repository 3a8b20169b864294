/**
 * What a client process and the host of a data folder say to each other: one JSON object a line, over a local socket.
 * Both ends are always the same package, so lines are trusted as written.
 */
import type { Socket } from "node:net"
import { errorCode } from "./errorCode.ts"

export type Settings = Readonly<Record<string, string>>

export const failureReasons = [
  "UnsupportedPlatform",
  "BinariesMissing",
  "DataFolder",
  "StartFailed",
  "SettingsDiffer",
  "ServerStopped",
  "HostFailed"
] as const

export type FailureReason = typeof failureReasons[number]

export interface Failure {
  readonly reason: FailureReason
  readonly message: string
  readonly log: string
}

/** What the host is started with, as its only argument. No data folder means a temporary cluster. */
export interface HostOptions {
  readonly dataDir: string | undefined
  readonly settings: Settings
}

export type Request =
  | { readonly type: "join"; readonly settings: Settings }
  | { readonly type: "kill" }
  | { readonly type: "restart" }

export type Reply =
  | { readonly type: "ready"; readonly url: string; readonly dataDir: string; readonly port: number }
  | { readonly type: "lost" }
  | { readonly type: "failed"; readonly failure: Failure }
  | { readonly type: "stopped"; readonly failure: Failure }
  | { readonly type: "done" }
  | { readonly type: "refused"; readonly failure: Failure }

/** A failure on its way to a client; `log` is the tail of what PostgreSQL wrote, or empty. */
export class HostFailure extends Error {
  readonly reason: FailureReason
  readonly log: string
  constructor(
    reason: FailureReason,
    message: string,
    options: { readonly log?: string; readonly cause?: unknown } = {}
  ) {
    super(message, { cause: options.cause })
    this.reason = reason
    this.log = options.log ?? ""
  }
}

export const toFailure = (error: unknown): Failure => {
  if (error instanceof HostFailure) {
    return { reason: error.reason, message: error.message, log: error.log }
  }
  if (errorCode(error) !== undefined && error instanceof Error) {
    return {
      reason: "DataFolder",
      message:
        `The embedded PostgreSQL could not use a file or folder it needs: ${error.message}. Perhaps it belongs to `
        + "another user, or the disk is full or read-only. Mend that, or choose another data folder.",
      log: ""
    }
  }
  const text = error instanceof Error ? error.stack ?? error.message : String(error)
  return { reason: "HostFailed", message: `The process that holds the embedded PostgreSQL failed: ${text}`, log: "" }
}

export const encode = (message: Request | Reply): string => `${JSON.stringify(message)}\n`

/** Calls `onMessage` for each complete line; a line cut off by the end of the connection is dropped. */
export const onMessages = <Message extends Request | Reply>(
  socket: Socket,
  onMessage: (message: Message) => void
): void => {
  let pending = ""
  socket.setEncoding("utf8")
  socket.on("data", (text: string) => {
    const lines = (pending + text).split("\n")
    pending = lines.pop() ?? ""
    for (const line of lines) onMessage(JSON.parse(line))
  })
}
