/**
 * A progress bar on standard error, for people who watch. Without a terminal there is none.
 */
import { Effect, Schedule, type Scope, Stdio } from "effect"

/** How far the work is, when it is asked. */
export interface Progress {
  /** From 0 to 1; `undefined` while the end is not known. */
  readonly fraction: number | undefined
  /** What to show beside the bar: `312 lines`. */
  readonly label: string
}

const width = 30
const clearLine = "\r\x1b[2K"

const render = ({ fraction, label }: Progress): string => {
  if (fraction === undefined) return label
  const filled = Math.round(Math.min(1, fraction) * width)
  const percent = String(Math.floor(Math.min(1, fraction) * 100)).padStart(3)
  return `[${"=".repeat(filled)}${" ".repeat(width - filled)}] ${percent} %  ${label}`
}

const write = (text: string) => Effect.sync(() => void process.stderr.write(text))

/**
 * Draws the bar ten times a second until the end of the scope, and then removes it. Yields how to print a line of text
 * above it.
 */
export const show = (
  progress: () => Progress
): Effect.Effect<(line: string) => Effect.Effect<void>, never, Scope.Scope | Stdio.Stdio> =>
  Effect.gen(function*() {
    const stdio = yield* Stdio.Stdio
    if (!(yield* stdio.stderrIsTerminal)) return (line) => write(`${line}\n`)
    const draw = Effect.suspend(() => write(`${clearLine}${render(progress())}`))
    yield* Effect.addFinalizer(() => write(clearLine))
    yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced("100 millis")))
    return (line) => Effect.andThen(write(`${clearLine}${line}\n`), draw)
  })
