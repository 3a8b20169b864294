/**
 * The instances of an aggregate that a store has in memory: loaded behind their snapshots, brought up to date with the
 * log, and let go when they are not used.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as ExpectedVersion from "../ExpectedVersion.ts"
import type { Current, History, ReadError } from "../History.ts"
import type { InvalidSnapshot } from "../Snapshot.ts"
import type { SnapshotStoreError } from "../SnapshotStore.ts"
import type { StreamId } from "../StreamId.ts"
import { InstanceCache } from "./InstanceCache.ts"
import type { Snapshotting } from "./Snapshotting.ts"

/** What the store knows of an instance. Its version is the proof: an append fails when the log has moved on. */
export interface Instance<S> {
  readonly streamId: StreamId
  /** One command at a time, in order of arrival. */
  readonly turn: Semaphore.Semaphore
  current: Current<S>
  /** The version of the last snapshot that this store knows of. */
  kept: number
  /** How many commands it has under way or waiting. */
  users: number
  /** Whether `current` may be decided on. It is not from the start of an append until its success. */
  loaded: boolean
}

export interface Bounds {
  readonly capacity: number
  readonly idle: Duration.Input
  readonly now: () => number
}

export class Instances<S, E> {
  readonly #cache: InstanceCache<StreamId, Instance<S>>
  readonly #history: History<S, E>
  readonly #snapshotting: Snapshotting<S>

  constructor(history: History<S, E>, snapshotting: Snapshotting<S>, { capacity, idle, now }: Bounds) {
    this.#history = history
    this.#snapshotting = snapshotting
    this.#cache = new InstanceCache({
      capacity,
      idle: Duration.toMillis(Duration.fromInputUnsafe(idle)),
      now,
      inUse: ({ users }) => users > 0,
      make: (streamId) => ({
        streamId,
        turn: Semaphore.makeUnsafe(1),
        current: history.origin,
        kept: ExpectedVersion.empty,
        users: 0,
        loaded: false
      })
    })
  }

  get(streamId: StreamId): Instance<S> {
    return this.#cache.get(streamId)
  }

  /** Brings an instance up to date with the log. */
  refresh(instance: Instance<S>): Effect.Effect<Current<S>, ReadError> {
    const { current: known, streamId } = instance
    const read = known === this.#history.origin
      ? this.#snapshotting.load(streamId)
      : Effect.map(this.#history.catchUp(streamId, known), (current) => ({ current, kept: instance.kept }))
    return Effect.map(read, ({ current, kept }) => {
      instance.loaded = true
      instance.kept = Math.max(instance.kept, kept)
      return instance.current = current
    })
  }

  /** Forgets what memory and snapshots hold of an instance that was erased. */
  forget(instance: Instance<S>): Effect.Effect<void, SnapshotStoreError> {
    return Effect.suspend(() => {
      instance.current = this.#history.origin
      instance.kept = ExpectedVersion.empty
      instance.loaded = false
      return this.#snapshotting.forget(instance.streamId)
    })
  }

  /** Keeps a snapshot of a state that has events. */
  keep(instance: Instance<S>, current: Current<S>): Effect.Effect<void, InvalidSnapshot | SnapshotStoreError> {
    return Effect.map(this.#snapshotting.save(instance.streamId, current), () => {
      instance.kept = Math.max(instance.kept, current.version)
    })
  }

  /** Keeps a snapshot, if the policy says that it is time. Nothing depends on it, so it is merely logged if it fails. */
  keepIfDue(instance: Instance<S>): Effect.Effect<void> | undefined {
    const { current, kept, streamId } = instance
    if (!this.#snapshotting.isDue(current, kept)) return undefined
    instance.kept = current.version
    return Effect.catchCause(
      this.#snapshotting.save(streamId, current),
      (cause) => Effect.logWarning(`No snapshot of ${streamId} was kept`, cause)
    )
  }
}
