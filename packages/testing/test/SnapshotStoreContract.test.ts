/**
 * A contract is worth what it catches: each fault below is a store that does one thing wrong, and the cases that must
 * notice it.
 */
import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
import type { Snapshot } from "@composable-ts/core/Snapshot"
import type { Service } from "@composable-ts/core/SnapshotStore"
import * as SnapshotStoreContract from "@composable-ts/testing/SnapshotStoreContract"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option } from "effect"

type Fault = (store: Service) => Partial<Service>

/** Keeps the last snapshot that was saved, whatever its version, as an upsert without a condition does. */
const upsert: Fault = (store) => ({
  save: (snapshot) =>
    Effect.gen(function*() {
      const { stateVersion, streamId } = snapshot
      const others = yield* Effect.forEach([1, 2, 3], (version) => store.load(streamId, { stateVersion: version }))
      const result = yield* store.save(snapshot)
      if (result.saved) return result
      yield* store.remove(streamId)
      for (const other of others) {
        if (Option.isSome(other) && other.value.stateVersion !== stateVersion) yield* store.save(other.value)
      }
      return yield* store.save(snapshot)
    })
})

const faults: ReadonlyArray<readonly [fault: string, noticedBy: RegExp, Fault]> = [
  ["lets a snapshot move backwards", /any sequence of saves/, upsert],
  ["lets a snapshot move backwards under concurrency", /64 versions at once the latest stays/, upsert],
  [
    "looks at the version first, and writes later",
    /64 at once at the same version|64 versions at once/,
    (store) => {
      const versions = new Map<string, number>()
      return {
        save: (snapshot) =>
          Effect.gen(function*() {
            const key = `${snapshot.streamId} ${snapshot.stateVersion}`
            const saved = (versions.get(key) ?? -1) < snapshot.version
            yield* Effect.yieldNow
            if (saved) versions.set(key, snapshot.version)
            yield* store.save(snapshot)
            return { saved }
          })
      }
    }
  ],
  [
    "says that everything was saved",
    /any sequence of saves/,
    (store) => ({ save: (snapshot) => Effect.as(store.save(snapshot), { saved: true }) })
  ],
  [
    "keeps one state version per stream",
    /state versions live side by side/,
    (store) => ({
      save: (snapshot) =>
        Effect.gen(function*() {
          const { stateVersion, streamId } = snapshot
          const own = yield* store.load(streamId, { stateVersion })
          if (Option.isNone(own)) yield* store.remove(streamId)
          return yield* store.save(snapshot)
        })
    })
  ],
  [
    "hands out an older state version",
    /another state version, older or newer/,
    (store) => ({
      load: (streamId, options) =>
        Effect.gen(function*() {
          for (let stateVersion = options.stateVersion; stateVersion > 0 && stateVersion < 10; stateVersion--) {
            const found = yield* store.load(streamId, { ...options, stateVersion })
            if (Option.isSome(found)) return found
          }
          return yield* store.load(streamId, options)
        })
    })
  ],
  [
    "ignores the bound of a load",
    /at most a version/,
    (store) => ({ load: (streamId, { stateVersion }) => store.load(streamId, { stateVersion }) })
  ],
  [
    "leaves the bound itself out",
    /at most a version/,
    (store) => ({
      load: (streamId, { atMost, stateVersion }) =>
        store.load(streamId, { stateVersion, atMost: atMost === undefined ? undefined : atMost - 1 })
    })
  ],
  [
    "removes every state version when asked for one",
    /of one state version leaves the others/,
    (store) => ({ remove: (streamId) => store.remove(streamId) })
  ],
  ["removes nothing", /forgets every state version/, () => ({ remove: () => Effect.void })],
  [
    "remembers the version of what was removed",
    /an earlier version than the removed one/,
    (store) => {
      const highest = new Map<string, number>()
      return {
        save: (snapshot) => {
          const key = `${snapshot.streamId} ${snapshot.stateVersion}`
          if ((highest.get(key) ?? -1) >= snapshot.version) return Effect.succeed({ saved: false })
          highest.set(key, snapshot.version)
          return store.save(snapshot)
        }
      }
    }
  ],
  [
    "accepts a snapshot of nothing",
    /refuses version -1/,
    (store) => ({ save: (snapshot) => snapshot.version < 0 ? Effect.succeed({ saved: true }) : store.save(snapshot) })
  ],
  [
    "reads positions as numbers",
    /far positions/,
    (store) => ({
      load: (...load) =>
        Effect.map(
          store.load(...load),
          Option.map((snapshot): Snapshot => ({
            ...snapshot,
            globalPosition: BigInt(Number(snapshot.globalPosition))
          }))
        )
    })
  ],
  [
    "loses NUL characters, as PostgreSQL's jsonb would",
    /NUL characters comes back exactly/,
    (store) => ({
      save: (snapshot) =>
        store.save({ ...snapshot, state: JSON.parse(JSON.stringify(snapshot.state).replaceAll("\\u0000", "")) })
    })
  ],
  [
    "keeps the very state it was given",
    /changing it after the save/,
    (store) => {
      const given = new Map<string, Snapshot>()
      return {
        save: (snapshot) =>
          Effect.tap(store.save(snapshot), ({ saved }) =>
            Effect.sync(() => {
              if (saved) given.set(`${snapshot.streamId} ${snapshot.stateVersion}`, snapshot)
            })),
        load: (streamId, options) =>
          Effect.map(
            store.load(streamId, options),
            Option.map((snapshot) => given.get(`${streamId} ${options.stateVersion}`) ?? snapshot)
          )
      }
    }
  ],
  [
    "hands out what it keeps",
    /changing what was loaded/,
    (store) => {
      const kept = new Map<string, Snapshot>()
      return {
        load: (streamId, options) =>
          Effect.map(
            store.load(streamId, options),
            Option.map((snapshot) => {
              const key = `${streamId} ${options.stateVersion} ${snapshot.version}`
              const mine = kept.get(key) ?? structuredClone(snapshot)
              kept.set(key, mine)
              return mine
            })
          )
      }
    }
  ]
]

/** The names of the cases that a store with this fault fails. */
const failedBy = (fault: Fault) =>
  Effect.gen(function*() {
    const sound = yield* MemorySnapshotStore.make
    const store: Service = { ...sound, ...fault(sound) }
    const failed: Array<string> = []
    for (const { check, name } of SnapshotStoreContract.cases) {
      const exit = yield* Effect.exit(Effect.timeout(Effect.scoped(check(store)), "5 seconds"))
      if (Exit.isFailure(exit)) failed.push(name)
    }
    return failed
  })

describe("SnapshotStoreContract", () => {
  it("has cases of different names", () => {
    const names = SnapshotStoreContract.cases.map(({ name }) => name)
    assert.strictEqual(new Set(names).size, names.length)
  })

  it.live("holds for a sound store", () =>
    Effect.map(failedBy(() => ({})), (failed) => assert.deepStrictEqual(failed, [])))

  for (const [name, noticedBy, fault] of faults) {
    it.live(`catches a store that ${name}`, () =>
      Effect.map(failedBy(fault), (failed) => {
        assert.isTrue(failed.some((name) => noticedBy.test(name)), `failed: ${failed.join("; ") || "nothing"}`)
        assert.isBelow(failed.length, SnapshotStoreContract.cases.length, "a fault should not fail everything")
      }), 60_000)
  }
})
