/**
 * How a store refuses, and what it reports.
 */
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"

/** What failed may be a plain record, a refusal's reason for instance, of which `String` tells nothing. */
const said = (cause: unknown): string => cause instanceof Error ? String(cause) : Formatter.format(cause)

/** The store is being closed, or was; the action was not reduced. */
export class StoreClosed extends Schema.TaggedError<StoreClosed>()("StoreClosed", { action: Schema.String }) {
  override get message(): string {
    return `${this.action} was not reduced: the store is closing. Dispatch before its scope ends.`
  }
}

/** The reducer threw: a defect in it. The state is what it was, and the store goes on. */
export class ReducerDefect extends Schema.TaggedError<ReducerDefect>()("ReducerDefect", {
  action: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The reducer threw while it reduced ${this.action}. ` +
      `Reducers are total: refuse with Fx.reject instead. ${said(this.cause)}`
  }
}

/** A task's handler died: a defect in it, not one of its declared failures. The state is what it was. */
export class TaskDefect extends Schema.TaggedError<TaskDefect>()("TaskDefect", {
  task: Schema.String,
  input: Schema.Unknown,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The handler of ${this.task} died. What it expects to go wrong belongs to its declared failure. ` +
      said(this.cause)
  }
}

/** A task among several in sequence failed, so those behind it were not begun. */
export class SequenceStopped extends Schema.TaggedError<SequenceStopped>()("SequenceStopped", {
  /** The one that failed, in words, and its place in the sequence, from 0. */
  failed: Schema.String,
  index: Schema.Int,
  /** Those that were not begun, in words. */
  left: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `A sequence stopped at step ${this.index}, ${this.failed}; not begun: ${this.left.join("; ") || "nothing"}`
  }
}

/** A reducer refused an action that nobody waits for: an effect had sent it, or `send` a caller outside of Effect. */
export class RejectedUnheard extends Schema.TaggedError<RejectedUnheard>()("RejectedUnheard", {
  action: Schema.String,
  reason: Schema.Unknown
}) {
  override get message(): string {
    return `${this.action}, which nobody waits for, was refused: ${Formatter.format(this.reason)}`
  }
}

/** A command that an effect had sent to an aggregate failed, so there was nobody to tell. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>()("CommandFailed", {
  command: Schema.String,
  /** The aggregate's category, and the instance's id. */
  category: Schema.String,
  id: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.command}, which an effect had sent to ${this.category} ${this.id}, failed: ${said(this.cause)}`
  }
}

/** An effect failed that no action reports. What stands behind it in a sequence was not begun. */
export class EffectFailed extends Schema.TaggedError<EffectFailed>()("EffectFailed", {
  /** The effect, in words. */
  effect: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `An effect failed: ${this.effect}. ${said(this.cause)}`
  }
}

/** A durable aggregate wanted something done that cannot be stored as it was asked for. Nothing was stored. */
export class EffectNotDurable extends Schema.TaggedError<EffectNotDurable>()("EffectNotDurable", {
  /** The effect, in words. */
  effect: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `Not stored, and nothing with it: ${this.effect}. ${this.issue}`
  }
}

/** What a store reports, because nobody waits for it. */
export type Problem =
  | EffectFailed
  | ReducerDefect
  | TaskDefect
  | SequenceStopped
  | RejectedUnheard
  | CommandFailed
  | StoreClosed
