/**
 * Processes that take part in transfers.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Effect, Redacted, type Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

const script = fileURLToPath(new URL("./Participant.ts", import.meta.url))

/** What a process shall do. */
export interface Part {
  readonly url: string
  /** To hand over inputs, to carry out effects, or both. */
  readonly roles: ReadonlyArray<"saga" | "worker">
  /** How long its leases last, in milliseconds. */
  readonly lease: number
  readonly traced?: boolean
}

/** A process under way. */
export interface Participant {
  /** Kills it, and waits until it is gone. */
  readonly kill: Effect.Effect<void>
  /** What it has said so far. */
  readonly said: () => string
}

/** Starts a process on this database, which is killed at the end of the scope. */
export const participant = (
  part: Omit<Part, "url">
): Effect.Effect<Participant, never, PgClient.PgClient | Scope.Scope> =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    assert.isDefined(config.url)
    const url = Redacted.value(config.url)
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [script, JSON.stringify({ url, ...part } satisfies Part)], {
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let said = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => said += text)
    }
    const closed = once(child, "close")
    return {
      kill: Effect.promise(async () => {
        assert.isTrue(child.kill("SIGKILL"), `it ended by itself: ${said}`)
        await closed
      }),
      said: () => said
    }
  })
