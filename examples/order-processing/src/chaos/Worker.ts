/**
 * Worker processes, and what befalls them.
 */
import { Effect, Redacted, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const program = fileURLToPath(new URL("../worker.ts", import.meta.url))

/** How long a worker is believed to be alive without a sign of life, in milliseconds. */
export const lease = 1_000

/** A worker that is started again whenever it has ended. */
export interface Worker {
  readonly befall: (fate: Fate, random: () => number) => Effect.Effect<void>
}

/** What may happen to a worker. */
export type Fate = "killed" | "stopped" | "suspended"

/** All that may happen. */
export const fates: ReadonlyArray<Fate> = ["killed", "stopped", "suspended"]

const spawned = (url: Redacted.Redacted): ChildProcess =>
  spawn(process.execPath, [program], {
    env: { ...process.env, DATABASE_URL: Redacted.value(url), LEASE_MILLIS: String(lease) },
    stdio: ["ignore", "pipe", "inherit"]
  })

/** Waits for the line that a worker prints when it is at work, or for its end. */
const atWork = (child: ChildProcess) =>
  Effect.promise(() => Promise.race([once(child.stdout!, "data"), once(child, "exit")]))

/** Sends a signal and waits for the end that it brings. */
const end = (child: ChildProcess, signal: "SIGKILL" | "SIGTERM") =>
  Effect.promise(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, "exit")
    child.kill(signal)
    await ended
  })

/** Starts a worker; it is killed at the end of the scope. */
export const start = (url: Redacted.Redacted): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.gen(function*() {
    let child = spawned(url)
    yield* Effect.addFinalizer(() => end(child, "SIGKILL"))
    yield* atWork(child)
    const restarted = (after: number) =>
      Effect.andThen(
        Effect.sleep(after),
        Effect.suspend(() => {
          child = spawned(url)
          return atWork(child)
        })
      )
    return {
      befall: (fate, random) => {
        const pause = Math.floor(random() * 2 * lease)
        switch (fate) {
          case "killed":
            return Effect.andThen(end(child, "SIGKILL"), restarted(pause))
          case "stopped":
            return Effect.andThen(end(child, "SIGTERM"), restarted(pause))
          case "suspended":
            // Beyond its lease it is taken for dead; when it goes on, it does not know yet.
            return Effect.sync(() => child.kill("SIGSTOP")).pipe(
              Effect.andThen(Effect.sleep(lease + pause)),
              Effect.andThen(Effect.sync(() => child.kill("SIGCONT")))
            )
        }
      }
    }
  })
