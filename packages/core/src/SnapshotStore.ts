/**
 * Where snapshots are kept, as a service. They stand beside the log and never in it: an empty snapshot store makes
 * loading slower, and changes no outcome.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type InvalidSnapshot, refusal, type Snapshot } from "./Snapshot.ts"
import type { StreamId } from "./StreamId.ts"

/** What became of a save. */
export interface SaveResult {
  /** Whether the snapshot is now the stored one; not, when one of the same or a later version was there already. */
  readonly saved: boolean
}

/** Which of a stream's snapshots to load. */
export interface LoadOptions {
  /** The version of the state's shape that the reader understands. Snapshots of other state versions are not seen. */
  readonly stateVersion: number
  /** Only when the snapshot stands at this version of the stream or before. Default: wherever it stands. */
  readonly atMost?: number | undefined
}

/** Which of a stream's snapshots to forget. */
export interface RemoveOptions {
  /** Only the snapshot of this state version. Default: those of all. */
  readonly stateVersion?: number | undefined
}

/** The store could not be reached, or failed. The state still follows from the events. */
export class SnapshotStoreError extends Schema.TaggedError<SnapshotStoreError>()("SnapshotStoreError", {
  operation: Schema.Literals(["save", "load", "remove"]),
  /** Whether the same call may succeed later, with nothing changed. */
  retryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : Formatter.format(this.cause)
    return `The snapshot store failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${cause}`
  }
}

/** What an implementation of the snapshot store provides. */
export interface Operations {
  /**
   * Keeps a snapshot, unless one of the same stream and state version stands at the same version or later. Of saves that
   * run at once the latest version stays, in whatever order they arrive.
   */
  readonly save: (snapshot: Snapshot) => Effect.Effect<SaveResult, InvalidSnapshot | SnapshotStoreError>
  /** The stream's snapshot of a state version. */
  readonly load: (
    streamId: StreamId,
    options: LoadOptions
  ) => Effect.Effect<Option.Option<Snapshot>, SnapshotStoreError>
  /** Forgets the stream's snapshots, of every state version or of one. Without any, it does nothing. */
  readonly remove: (streamId: StreamId, options?: RemoveOptions) => Effect.Effect<void, SnapshotStoreError>
}

/** All operations of a snapshot store. */
export interface Service extends Operations {}

/**
 * The snapshots of all streams: for each stream and state version the latest one.
 *
 * Programs of different versions run side by side while a new one is rolled out; each sees the snapshots of its own
 * state version, and replaces no others.
 */
export class SnapshotStore extends Context.Service<SnapshotStore, Service>()("@composable-ts/core/SnapshotStore") {}

/** Completes an implementation's operations into a {@link Service}, which refuses what no store accepts. */
export const make = (operations: Operations): Service => ({
  ...operations,
  save: (snapshot) => {
    const refused = refusal(snapshot)
    return refused === undefined ? operations.save(snapshot) : Effect.fail(refused)
  }
})
