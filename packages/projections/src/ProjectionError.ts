/**
 * Why a projection stopped.
 */
import * as Schema from "effect/Schema"
import { explain } from "./internal/explain.ts"
import { inSentence, nameOf } from "./internal/subject.ts"

const subject = ({ projection, version }: { readonly projection: string; readonly version: number }): string =>
  nameOf({ name: projection, version })

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
    return `${subject(this)} ${what}: ${explain(this.cause)}`
  }
}

/**
 * A handler ended the transaction that it was given, by a `COMMIT` or `ROLLBACK` of its own. What it and the handlers of
 * the events behind it in the batch have written since is not undone, so the projection stops, whatever its policy.
 */
export class TransactionEnded extends Schema.TaggedError<TransactionEnded>()("TransactionEnded", {}) {
  override get message(): string {
    return "a handler ended the transaction in which it ran, and what was written after that is not undone. Take COMMIT " +
      "and ROLLBACK out of it (to undo a part, nest SqlClient.withTransaction), and rebuild the read model as a new version"
  }
}

/**
 * A dead letter could not be applied this time either. It and those behind it stay as they were, with the new error; those
 * before it were applied.
 */
export class ReplayFailed extends Schema.TaggedError<ReplayFailed>()("ReplayFailed", {
  projection: Schema.String,
  version: Schema.Int,
  stream: Schema.String,
  /** The event's global position. */
  position: Schema.BigInt,
  /** How many events this replay has applied before. */
  applied: Schema.Int,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${subject(this)} could not apply the event at global position ` +
      `${this.position} of stream ${this.stream} this time either, after ${this.applied} others: ${explain(this.cause)}`
  }
}

/** There is no such dead letter: it was replayed or discarded meanwhile, or never written. */
export class LetterMissing extends Schema.TaggedError<LetterMissing>()("LetterMissing", {
  projection: Schema.String,
  version: Schema.Int,
  position: Schema.BigInt
}) {
  override get message(): string {
    return `${subject(this)} has no such dead letter at global position ${this.position}. ` +
      `Was it replayed or discarded meanwhile? A parked event is replayed with its stream, not by itself.`
  }
}

/** The projection's checkpoint is gone: somebody deleted it while the projection ran. Nothing was applied without it. */
export class CheckpointMissing extends Schema.TaggedError<CheckpointMissing>()("CheckpointMissing", {
  projection: Schema.String,
  version: Schema.Int
}) {
  override get message(): string {
    return `${subject(this)} has lost its checkpoint: it was deleted meanwhile. ` +
      `To rebuild a read model, drop its tables and start the projection again.`
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
    return `${subject(this)} has applied the log up to ${this.checkpoint}, ` +
      `but the log ends at ${this.head}. Was the log restored, or is this another one? Rebuild the projection, or begin as a new version.`
  }
}

/**
 * The log is not the one that the projection has read so far: at the checkpoint's position it has another event. It was
 * restored to an earlier state and has grown since, or it is another log whose projections share these tables. To read
 * on would be to skip what took the lost events' positions.
 */
export class LogMismatch extends Schema.TaggedError<LogMismatch>()("LogMismatch", {
  projection: Schema.String,
  version: Schema.Int,
  partition: Schema.Int,
  position: Schema.BigInt,
  /** The id of the event that the projection has read at this position. */
  read: Schema.String,
  /** The id of the event that the log has there. */
  found: Schema.UndefinedOr(Schema.String)
}) {
  override get message(): string {
    return `${subject(this)} has read event ${this.read} at global position ` +
      `${this.position}, but there this log has ${this.found === undefined ? "none" : `event ${this.found}`}. ` +
      `Was the log restored, or is this another one? If it was restored, rebuild the projection as a new version. If ` +
      `two logs share one database of read models, give their projections different names.`
  }
}

/**
 * Two projections of one name and version were given to be run together. They would share a checkpoint, so each event
 * would reach one of them and not the other. None of those given was begun.
 */
export class DuplicateProjection extends Schema.TaggedError<DuplicateProjection>()("DuplicateProjection", {
  projection: Schema.String,
  version: Schema.Int
}) {
  override get message(): string {
    return `${subject(this)} was given twice to be run: two would share one checkpoint, and ` +
      `each would miss what the other has applied. If it is the same one, name it once; if not, give each its own name.`
  }
}

/** The projection is declared with another number of partitions than it was begun with. */
export class PartitionsChanged extends Schema.TaggedError<PartitionsChanged>()("PartitionsChanged", {
  projection: Schema.String,
  version: Schema.Int,
  declared: Schema.Int,
  begun: Schema.Int
}) {
  override get message(): string {
    return `${subject(this)} is declared with ${this.declared} partitions, but was begun ` +
      `with ${this.begun}: streams would change their partition, and events be lost or applied twice. Declare a new ` +
      `version to change their number.`
  }
}

/**
 * Another process has taken over a part of the projection: this one was not heard of for longer than the lease lasts.
 * Whatever it had under way was rolled back. Nothing is wrong with the projection, and nobody need do anything; this
 * process stands by.
 */
export class LeaseLost extends Schema.TaggedError<LeaseLost>()("LeaseLost", {
  projection: Schema.String,
  version: Schema.Int,
  partition: Schema.Int,
  /** The epoch that is over. */
  epoch: Schema.BigInt
}) {
  override get message(): string {
    return `Partition ${this.partition} of ${
      inSentence({ name: this.projection, version: this.version })
    } was taken over by another ` +
      `process after epoch ${this.epoch}; what was under way here was rolled back. This process was not heard of for ` +
      `longer than the lease lasts: was it paused, overloaded or cut off?`
  }
}

/** The read model did not contain a position of the log in time. It may yet; nothing is known to be wrong with it. */
export class NotCaughtUp extends Schema.TaggedError<NotCaughtUp>()("NotCaughtUp", {
  projection: Schema.String,
  /** `undefined` when the version that serves was waited for, and none did. */
  version: Schema.UndefinedOr(Schema.Int),
  /** What was waited for. */
  position: Schema.BigInt,
  /** How far the read model was at the end, by its slowest partition; `undefined` when it was not set up. */
  reached: Schema.UndefinedOr(Schema.BigInt)
}) {
  override get message(): string {
    const where = this.reached === undefined ? "has not been set up yet" : `is at ${this.reached}`
    const which = this.version === undefined ? "" : ` v${this.version}`
    return `Projection ${this.projection}${which} was waited for up to global position ${this.position}, but ` +
      `${where}. Does a process run it, has it stopped, or does it need longer? Wait longer, or answer without it.`
  }
}

/** The version was retired: its tables are gone for good, and nobody sets it up again. */
export class VersionRetired extends Schema.TaggedError<VersionRetired>()("VersionRetired", {
  projection: Schema.String,
  version: Schema.Int
}) {
  override get message(): string {
    return `${subject(this)} was retired, and its read model dropped. Does an old program ` +
      `still run it? Run a newer version; to have this read model again, declare it under a new version.`
  }
}

/** The version's tables are read, so they were not taken away. Nothing was changed. */
export class StillServing extends Schema.TaggedError<StillServing>()("StillServing", {
  projection: Schema.String,
  version: Schema.Int,
  /** What reads them. */
  readers: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `The tables of projection ${this.projection} v${this.version} were not dropped, for they are read by ` +
      `${
        this.readers.join(", ")
      }. Switch to another version first, which Rebuild.run does once that one has caught up; ` +
      `and have what is yours read the projection's views instead of its tables.`
  }
}

/**
 * The views that queries read could not be switched to a version. They show the version that they showed before, and
 * nothing else was changed either.
 */
export class SwitchFailed extends Schema.TaggedError<SwitchFailed>()("SwitchFailed", {
  projection: Schema.String,
  version: Schema.Int,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `Queries could not be switched to projection ${this.projection} v${this.version}: ${explain(this.cause)}. ` +
      `They read what they read before. A view whose columns change is made anew: what depends on it must be dropped ` +
      `before. A name that something else has must be freed, or the read model be given another schema for its views.`
  }
}

/** A projection cannot be reset, for it does not say how to take its read model away. Nothing was changed. */
export class TearDownMissing extends Schema.TaggedError<TearDownMissing>()("TearDownMissing", {
  projection: Schema.String,
  version: Schema.Int
}) {
  override get message(): string {
    return `${subject(this)} declares no tearDown, so its tables cannot be made anew. ` +
      `Declare one that drops what setUp makes, or keep its tables with ReadModel.versioned.`
  }
}
