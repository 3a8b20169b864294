/**
 * Where the time goes: a sampled CPU profile, and the functions that it found at work most often.
 */
import * as Effect from "effect/Effect"
import { Session } from "node:inspector/promises"
import type { Profiler } from "node:inspector/promises"

/** How often to look, in microseconds. */
const interval = 200

/** Records a profile of this process while the effect runs. */
export const during = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Profiler.Profile], E, R> =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const session = new Session()
      session.connect()
      await session.post("Profiler.enable")
      await session.post("Profiler.setSamplingInterval", { interval })
      await session.post("Profiler.start")
      return session
    }),
    (session) =>
      Effect.flatMap(work, (result) =>
        Effect.map(
          Effect.promise(() => session.post("Profiler.stop")),
          ({ profile }) => [result, profile] as const
        )),
    (session) => Effect.sync(() => session.disconnect())
  )

/** A function, and the time during which it was the one at work itself. */
export interface SelfTime {
  readonly name: string
  /** `file:line`, empty for what has no source, such as the garbage collector. */
  readonly place: string
  readonly milliseconds: number
  /** Its share of the time in which the process was not idle, from 0 to 1. */
  readonly share: number
}

/** What stands behind the last `node_modules`, or else behind the root. */
export const placeOf = (
  { lineNumber, url }: Pick<Profiler.ProfileNode["callFrame"], "url" | "lineNumber">,
  root: string
) => {
  if (url === "") return ""
  const path = url.replace(/^file:\/\//, "")
  const dependency = path.lastIndexOf("/node_modules/")
  const short = dependency >= 0
    ? path.slice(dependency + "/node_modules/".length)
    : path.startsWith(`${root}/`)
    ? path.slice(root.length + 1)
    : path
  return `${short}:${lineNumber + 1}`
}

/** The functions with most self time first. `root` is the folder relative to which places are given. */
export const selfTimes = (
  { nodes, samples = [], timeDeltas = [] }: Pick<Profiler.Profile, "nodes" | "samples" | "timeDeltas">,
  root: string
): ReadonlyArray<SelfTime> => {
  const frames = new Map(nodes.map(({ callFrame, id }) => [id, callFrame]))
  const times = new Map<string, { readonly name: string; readonly place: string; microseconds: number }>()
  let busy = 0
  for (const [index, id] of samples.entries()) {
    const frame = frames.get(id)
    if (frame === undefined || frame.functionName === "(idle)") continue
    // A delta says how long after the sample before a sample was taken, so a sample stands for the time to the next.
    const elapsed = timeDeltas[index + 1] ?? 0
    const name = frame.functionName === "" ? "(anonymous)" : frame.functionName
    const place = placeOf(frame, root)
    const key = `${name} ${place}`
    let time = times.get(key)
    if (time === undefined) times.set(key, time = { name, place, microseconds: 0 })
    time.microseconds += elapsed
    busy += elapsed
  }
  return [...times.values()]
    .sort((a, b) => b.microseconds - a.microseconds)
    .map(({ microseconds, name, place }) => ({
      name,
      place,
      milliseconds: microseconds / 1_000,
      share: busy === 0 ? 0 : microseconds / busy
    }))
}
