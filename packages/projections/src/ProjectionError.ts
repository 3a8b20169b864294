/**
 * Why a projection stopped.
 */
import * as Schema from "effect/Schema"

/** An event could not be applied. Nothing of its batch was, and the checkpoint stands before it. */
export class ProjectionFailed extends Schema.TaggedError<ProjectionFailed>()("ProjectionFailed", {
  projection: Schema.String,
  version: Schema.Int,
  /** The events that were to be applied: behind this position … */
  after: Schema.BigInt,
  /** … up to this one. The same as the failed event's, where that is known. */
  upTo: Schema.BigInt,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : JSON.stringify(this.cause)
    return `Projection ${this.projection} v${this.version} stopped behind global position ${this.after}: ` +
      `it could not apply what follows up to ${this.upTo}: ${cause}`
  }
}

/**
 * The log ends before the projection's checkpoint: the log was restored from an older backup, or the read model belongs
 * to another log. Applying events from here on would skip those that take the lost ones' positions.
 */
export class CheckpointAhead extends Schema.TaggedError<CheckpointAhead>()("CheckpointAhead", {
  projection: Schema.String,
  version: Schema.Int,
  checkpoint: Schema.BigInt,
  head: Schema.BigInt
}) {
  override get message(): string {
    return `Projection ${this.projection} v${this.version} has applied the log up to ${this.checkpoint}, ` +
      `but the log ends at ${this.head}. Was the log restored, or is this another one? Rebuild the projection.`
  }
}
