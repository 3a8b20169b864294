/**
 * The subjects' keys in memory: for tests, and beside the stores in memory.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { randomKey } from "./internal/cipher.ts"
import * as SubjectKeys from "./SubjectKeys.ts"

const known = (keys: Map<string, SubjectKeys.Key>, subjects: ReadonlyArray<string>): SubjectKeys.Keys => {
  const found = new Map<string, SubjectKeys.Key>()
  for (const subject of subjects) {
    const key = keys.get(subject)
    if (key !== undefined) found.set(subject, key)
  }
  return found
}

/**
 * A place in memory where keys are kept. Two services that {@link SubjectKeys.make} makes of it are like two processes on
 * one database, each with a cache of its own.
 */
export const operations: Effect.Effect<SubjectKeys.Operations> = Effect.sync(() => {
  const keys = new Map<string, SubjectKeys.Key>()
  const shreddings = new Map<string, SubjectKeys.Shredding>()
  return {
    ensure: (subjects) =>
      Effect.sync(() => {
        for (const subject of subjects) {
          if (!keys.has(subject)) keys.set(subject, Redacted.make(randomKey(), { label: "key" }))
        }
        return known(keys, subjects)
      }),
    find: (subjects) => Effect.sync(() => known(keys, subjects)),
    shred: (subject, reason) =>
      Effect.map(Clock.currentTimeMillis, (time) => {
        const first = shreddings.get(subject)
        if (first !== undefined) return first
        const shredding = { subject, reason, time }
        keys.set(subject, "shredded")
        shreddings.set(subject, shredding)
        return shredding
      }),
    shreddings: Stream.suspend(() => Stream.fromIterable([...shreddings.values()]))
  }
})

/** Keys of its own, for none as yet. */
export const make = (options?: SubjectKeys.CacheOptions): Effect.Effect<SubjectKeys.Service> =>
  Effect.map(operations, (kept) => SubjectKeys.make(kept, options))

/** Provides keys of its own, which live as long as the layer. */
export const layer = (options?: SubjectKeys.CacheOptions): Layer.Layer<SubjectKeys.SubjectKeys> =>
  Layer.effect(SubjectKeys.SubjectKeys, make(options))
