/**
 * A program in a process of its own, which is ended and started again, or stands still for a while.
 */
import { Deferred, Effect, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

/** Which program, with what arguments, and what is added to the environment. */
export interface Source {
  readonly file: URL
  readonly args?: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
}

/** The program ended, and nobody had wanted that. */
export class EndedByItself extends Schema.TaggedError<EndedByItself>()("EndedByItself", {
  program: Schema.String,
  how: Schema.String
}) {
  override get message(): string {
    return `${this.program} ended with ${this.how}, though nobody wanted that. What it said is on standard error.`
  }
}

/** A program that runs. */
export interface Program {
  /** The first line that it printed. */
  readonly line: string
  /** Kills it by SIGKILL, starts it again after so many milliseconds, and waits until it is at work. */
  readonly kill: (millis: number) => Effect.Effect<void, EndedByItself>
  /** The same by SIGTERM: it may put its things in order before it ends. */
  readonly stop: (millis: number) => Effect.Effect<void, EndedByItself>
  /** Has it stand still for so many milliseconds: its connections stay open, and nothing comes. */
  readonly stall: (millis: number) => Effect.Effect<void>
  /** Fails when the program has ended and nobody had wanted that. */
  readonly watched: Effect.Effect<never, EndedByItself>
}

/** Starts a program, and waits for its first line, by which it says that it is at work. It is killed with the scope. */
export const start = ({ args = [], env = {}, file }: Source): Effect.Effect<Program, EndedByItself, Scope.Scope> =>
  Effect.gen(function*() {
    const program = fileURLToPath(file)
    const fault = yield* Deferred.make<never, EndedByItself>()
    const ending = new WeakSet<ChildProcess>()

    const spawned = (): ChildProcess => {
      const child = spawn(process.execPath, [program, ...args], {
        env: { ...process.env, ...env },
        stdio: ["ignore", "pipe", "inherit"]
      })
      child.once("exit", (code, signal) => {
        if (ending.has(child)) return
        Deferred.doneUnsafe(fault, Effect.fail(new EndedByItself({ program, how: signal ?? `exit code ${code}` })))
      })
      return child
    }
    const firstLine = (child: ChildProcess) =>
      Effect.raceFirst(
        Effect.promise(async () => String((await once(child.stdout!, "data"))[0])),
        Deferred.await(fault)
      )
    const end = (child: ChildProcess, signal: "SIGKILL" | "SIGTERM") =>
      Effect.promise(async () => {
        ending.add(child)
        if (child.exitCode !== null || child.signalCode !== null) return
        const ended = once(child, "exit")
        child.kill(signal)
        await ended
      })

    let child = spawned()
    yield* Effect.addFinalizer(() => end(child, "SIGKILL"))
    const line = yield* firstLine(child)
    const restart = (signal: "SIGKILL" | "SIGTERM", millis: number) =>
      Effect.gen(function*() {
        yield* end(child, signal)
        yield* Effect.sleep(millis)
        child = spawned()
        yield* firstLine(child)
      })
    return {
      line,
      kill: (millis) => restart("SIGKILL", millis),
      stop: (millis) => restart("SIGTERM", millis),
      stall: (millis) =>
        Effect.acquireUseRelease(
          Effect.sync(() => child.kill("SIGSTOP")),
          () => Effect.sleep(millis),
          () => Effect.sync(() => child.kill("SIGCONT"))
        ),
      watched: Deferred.await(fault)
    }
  })
