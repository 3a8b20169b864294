/**
 * Why a projection stopped.
 */
import { toStringUnknown } from "effect/Inspectable"
import * as Schema from "effect/Schema"

/** What an error and the errors behind it say: the outermost of a database's tells little. */
const explain = (error: unknown): string => {
  const said = new Set<string>()
  const seen = new Set<unknown>()
  let cause = error
  for (; cause instanceof Error && !seen.has(cause); cause = cause.cause) {
    seen.add(cause)
    said.add(cause.message || cause.name)
  }
  if (said.size === 0 || !(cause === undefined || cause instanceof Error)) said.add(toStringUnknown(cause, 0))
  return [...said].join(": ")
}

/**
 * An event could not be applied, or the projection not be set up. Nothing of it was, and the checkpoint stands before.
 */
export class ProjectionFailed extends Schema.TaggedError<ProjectionFailed>()("ProjectionFailed", {
  projection: Schema.String,
  version: Schema.Int,
  /** What was to be applied: the events behind this position … */
  after: Schema.BigInt,
  /** … up to this one, the failed event's own unless a lasting contention let none of them through. 0 for the set-up. */
  upTo: Schema.BigInt,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const what = this.upTo === 0n
      ? "could not be set up"
      : `stopped behind global position ${this.after}: it could not apply what follows up to ${this.upTo}`
    return `Projection ${this.projection} v${this.version} ${what}: ${explain(this.cause)}`
  }
}

/** The projection's checkpoint is gone: somebody deleted it while the projection ran. Nothing was applied without it. */
export class CheckpointMissing extends Schema.TaggedError<CheckpointMissing>()("CheckpointMissing", {
  projection: Schema.String,
  version: Schema.Int
}) {
  override get message(): string {
    return `Projection ${this.projection} v${this.version} has lost its checkpoint: it was deleted meanwhile. ` +
      `To rebuild the read model, drop its tables and start the projection again.`
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
