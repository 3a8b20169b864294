/**
 * Starts processes of clients, and kills them. What they do is in `Client.ts`.
 */
import { Effect, type Scope } from "effect"
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"

/** How to reach the server: one store for each. */
export interface Target {
  readonly url: string
  readonly startupParameters?: Readonly<Record<string, string>>
}

export interface Common {
  /** Names the process in its records. */
  readonly name: string
  readonly schema: string
  readonly targets: ReadonlyArray<Target>
  /** The file to write to. */
  readonly file: string
}

/** Clients that append and read. */
export interface Writers extends Common {
  readonly _tag: "Writers"
  readonly seed: number
  /** How many for each store. */
  readonly writers: number
  /** How many operations each has to do. */
  readonly operations: number
  /** How many streams they fight for. */
  readonly streams: number
  /** In ten thousand, how many appends lose patience with their answer. */
  readonly impatient: number
}

/** A subscriber for each store, that goes on behind the positions that it got before. */
export interface Subscribers extends Common {
  readonly _tag: "Subscribers"
  readonly after: ReadonlyArray<string>
}

/** What a process is told to be, by its argument. */
export type Role = Writers | Subscribers

/** What a process tells about itself. */
export type Message = { readonly _tag: "Ready" } | { readonly _tag: "Delivered"; readonly positions: Array<string> }

/** How stores are told apart on the server. */
export const applicationName = "store under fire"

/** A process that runs. */
export interface Running {
  /** Ends it by SIGKILL, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
  /** Waits until it has done its work. Dies when it fails; yields whether it was killed by us. */
  readonly ended: Effect.Effect<"done" | "killed">
  /** Up to where each of its subscribers has got. */
  readonly positions: () => ReadonlyArray<bigint>
}

const program = fileURLToPath(new URL("./Client.ts", import.meta.url))

/** A debugger, a coverage collector or a test runner is meant for us, not for it. */
const environment = () => Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NODE_")))

const launch = (role: Role): Running => {
  let positions: ReadonlyArray<bigint> = []
  let killed = false
  let errors = ""
  const child: ChildProcess = fork(program, [JSON.stringify(role)], {
    execArgv: [],
    env: environment(),
    stdio: ["ignore", "pipe", "pipe", "ipc"]
  })
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (data: Buffer) => errors += data.toString())
  child.on("message", (message: Message) => {
    if (message._tag === "Delivered") positions = message.positions.map((position) => BigInt(position ?? 0))
  })
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()))
  return {
    kill: Effect.promise(() => {
      killed = true
      child.kill("SIGKILL")
      return closed
    }),
    ended: Effect.andThen(
      Effect.promise(() => closed),
      Effect.suspend(() => {
        if (child.exitCode === 0) return Effect.succeed("done" as const)
        return killed
          ? Effect.succeed("killed" as const)
          : Effect.die(new Error(`${role.name} ended with ${child.exitCode ?? child.signalCode}:\n${errors}`))
      })
    ),
    positions: () => positions
  }
}

/** Starts a process; at the end of the scope it is killed, if it still runs. */
export const start = (role: Role): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(() => launch(role)), ({ kill }) => kill)
