/**
 * Where memory goes: a sampled profile of allocations, also of what was collected since, and the functions that allocate
 * most.
 */
import * as Effect from "effect/Effect"
import { type HeapProfiler, Session } from "node:inspector/promises"
import { placeOf } from "./CpuProfile.ts"

/** A sample is taken about every so many bytes. */
const interval = 16_384

/** Records what this process allocates while the effect runs. */
export const during = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, HeapProfiler.SamplingHeapProfile], E, R> =>
  Effect.acquireUseRelease(
    Effect.promise(async () => {
      const session = new Session()
      session.connect()
      await session.post("HeapProfiler.enable")
      await session.post("HeapProfiler.startSampling", {
        samplingInterval: interval,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true
      })
      return session
    }),
    (session) =>
      Effect.flatMap(work, (result) =>
        Effect.map(
          Effect.promise(() => session.post("HeapProfiler.stopSampling")),
          ({ profile }) => [result, profile] as const
        )),
    (session) => Effect.sync(() => session.disconnect())
  )

/** A function, and what it allocated itself. */
export interface Allocated {
  readonly name: string
  /** `file:line`, empty for what has no source. */
  readonly place: string
  readonly bytes: number
  /** Its share of all that was allocated, from 0 to 1. */
  readonly share: number
}

type Node = Pick<HeapProfiler.SamplingHeapProfileNode, "selfSize"> & {
  readonly callFrame: Pick<HeapProfiler.SamplingHeapProfileNode["callFrame"], "functionName" | "url" | "lineNumber">
  readonly children: ReadonlyArray<Node>
}

/** The functions that allocated most first. `root` is the folder relative to which places are given. */
export const allocations = ({ head }: { readonly head: Node }, root: string): ReadonlyArray<Allocated> => {
  const found = new Map<string, { readonly name: string; readonly place: string; bytes: number }>()
  const rest: Array<Node> = [head]
  let total = 0
  for (let node = rest.pop(); node !== undefined; node = rest.pop()) {
    rest.push(...node.children)
    if (node.selfSize === 0) continue
    const name = node.callFrame.functionName === "" ? "(anonymous)" : node.callFrame.functionName
    const place = placeOf(node.callFrame, root)
    const key = `${name} ${place}`
    let allocated = found.get(key)
    if (allocated === undefined) found.set(key, allocated = { name, place, bytes: 0 })
    allocated.bytes += node.selfSize
    total += node.selfSize
  }
  return [...found.values()]
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ bytes, name, place }) => ({ name, place, bytes, share: total === 0 ? 0 : bytes / total }))
}
