/**
 * The keys that personal data is under, one for each subject, as a service. To shred a subject's key is to erase all that
 * was ever kept under it, wherever it stands. An implementation provides {@link Operations}; {@link make} completes them
 * with the cache that all share.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import * as Cipher from "./internal/cipher.ts"
import { KeyCache } from "./internal/KeyCache.ts"
import type { SubjectKeysError } from "./PersonalError.ts"

/** A key of 32 bytes, or the news that there is none any more. */
export type Key = Redacted.Redacted<Uint8Array> | "shredded"

/** Keys, by subject. */
export type Keys = ReadonlyMap<string, Key>

/** The record that a subject's key was shredded. It stays. */
export interface Shredding {
  readonly subject: string
  /** Why, in the words of whoever did it. It stays readable for ever, so it holds nothing personal. */
  readonly reason: string
  /** When, by the clock of the store of keys, in milliseconds since the Unix epoch. */
  readonly time: number
}

/** What an implementation of the subjects' keys provides. */
export interface Operations {
  /**
   * The keys of all these subjects, made where there are none. What it returns is kept for good, whatever becomes of the
   * caller's transaction. Two that ask at once for the same new subject get the same key; a shredded one gets none.
   */
  readonly ensure: (subjects: ReadonlyArray<string>) => Effect.Effect<Keys, SubjectKeysError>
  /** What is known of these subjects, without making any key. */
  readonly find: (subjects: ReadonlyArray<string>) => Effect.Effect<Keys, SubjectKeysError>
  /**
   * Destroys the subject's key, and records it; also of a subject that never had one. Done a second time, it changes
   * nothing and returns the first record.
   */
  readonly shred: (subject: string, reason: string) => Effect.Effect<Shredding, SubjectKeysError>
  /** All shreddings, in the order of their times. */
  readonly shreddings: Stream.Stream<Shredding, SubjectKeysError>
}

/** What seals and opens the data of a subject; nothing opens it when the key was shredded. */
export type Opener = Cipher.Cipher | "shredded"

/** All operations of the subjects' keys. */
export interface Service extends Pick<Operations, "shreddings" | "shred"> {
  /** What seals the data of each of these subjects, with new keys where there were none. */
  readonly sealing: (subjects: Iterable<string>) => Effect.Effect<ReadonlyMap<string, Opener>, SubjectKeysError>
  /** What opens the data of each of these subjects; a subject that never had a key is not in it. */
  readonly opening: (subjects: Iterable<string>) => Effect.Effect<ReadonlyMap<string, Opener>, SubjectKeysError>
}

/** The keys of all subjects. */
export class SubjectKeys extends Context.Service<SubjectKeys, Service>()("@composable-ts/core/SubjectKeys") {}

/** How long, and how many, keys stay in memory. */
export interface CacheOptions {
  /**
   * How long a key may be used after it was read: the longest time for which another process still reads what this one
   * shredded. Default 1 minute; 0 reads the key for every page of events.
   */
  readonly timeToLive?: Duration.Input | undefined
  /** How many keys to keep; those read longest ago make room. Default 10 000, about 5 MB. */
  readonly capacity?: number | undefined
}

/**
 * Completes an implementation's operations into a {@link Service}: one look-up for all subjects of a page that are not in
 * the cache. What this very service shreds leaves its cache at once, also the keys that are being looked up meanwhile.
 */
export const make = (operations: Operations, options: CacheOptions = {}): Service => {
  const cache = new KeyCache<Opener>({
    capacity: options.capacity ?? 10_000,
    timeToLive: Duration.toMillis(Duration.fromInputUnsafe(options.timeToLive ?? "1 minute"))
  })

  const through = (lookUp: Operations["find"]) => (subjects: Iterable<string>) =>
    Effect.flatMap(Clock.Clock, (clock) => {
      const begun = clock.currentTimeMillisUnsafe()
      const found = new Map<string, Opener>()
      const missing = new Set<string>()
      for (const subject of subjects) {
        const known = cache.get(subject, begun)
        if (known === undefined) missing.add(subject)
        else found.set(subject, known)
      }
      if (missing.size === 0) return Effect.succeed(found)
      const ticket = cache.ticket()
      return Effect.map(lookUp([...missing]), (keys) => {
        for (const [subject, key] of keys) {
          const opener = key === "shredded" ? key : Cipher.make(Redacted.value(key))
          found.set(subject, opener)
          cache.set(subject, opener, { readAt: begun, ticket })
        }
        return found
      })
    })

  const shred: Service["shred"] = (subject, reason) =>
    // Also when it fails, or is interrupted: the key may be gone all the same.
    Effect.ensuring(operations.shred(subject, reason), Effect.sync(() => cache.forget(subject)))

  return {
    sealing: through(operations.ensure),
    opening: through(operations.find),
    shred,
    shreddings: operations.shreddings
  }
}
