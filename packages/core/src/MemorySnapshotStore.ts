/**
 * The snapshot store in memory: for tests, and beside the event store in memory. It obeys the same contract as the
 * PostgreSQL store, JSON round trip included.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { storedJson } from "./internal/storedJson.ts"
import type { Snapshot } from "./Snapshot.ts"
import * as SnapshotStore from "./SnapshotStore.ts"
import type { StreamId } from "./StreamId.ts"

/** The latest snapshot of each state version of each stream. */
type Kept = Map<StreamId, Map<number, Snapshot>>

const save = (kept: Kept): SnapshotStore.Operations["save"] => (snapshot) =>
  Effect.try({
    try: () => {
      const { globalPosition, state, stateVersion, streamId, version } = snapshot
      const ofStream = kept.get(streamId) ?? new Map<number, Snapshot>()
      const before = ofStream.get(stateVersion)
      if (before !== undefined && before.version >= version) return { saved: false }
      const stored = { streamId, version, globalPosition, stateVersion, state: storedJson(state) }
      ofStream.set(stateVersion, Object.freeze(stored))
      kept.set(streamId, ofStream)
      return { saved: true }
    },
    catch: (cause) => new SnapshotStore.SnapshotStoreError({ operation: "save", retryable: false, cause })
  })

const load = (kept: Kept): SnapshotStore.Operations["load"] => (streamId, { atMost = Infinity, stateVersion }) =>
  Effect.sync(() => {
    const snapshot = kept.get(streamId)?.get(stateVersion)
    return snapshot === undefined || snapshot.version > atMost ? Option.none() : Option.some(snapshot)
  })

const remove = (kept: Kept): SnapshotStore.Operations["remove"] => (streamId, { stateVersion } = {}) =>
  Effect.sync(() => {
    if (stateVersion === undefined) kept.delete(streamId)
    else kept.get(streamId)?.delete(stateVersion)
  })

/** An empty store of its own. */
export const make: Effect.Effect<SnapshotStore.Service> = Effect.sync(() => {
  const kept: Kept = new Map()
  return SnapshotStore.make({
    save: save(kept),
    load: load(kept),
    remove: remove(kept)
  })
})

/** Provides an empty store of its own, whose snapshots live as long as the layer. */
export const layer: Layer.Layer<SnapshotStore.SnapshotStore> = Layer.effect(SnapshotStore.SnapshotStore, make)
