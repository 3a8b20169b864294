/**
 * What can go wrong with personal data and the keys that it is under. No message tells a value or a key.
 */
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"

/** The subject's key was shredded, so nothing can be kept under it any more. Nothing was stored. */
export class SubjectShredded extends Schema.TaggedError<SubjectShredded>()("SubjectShredded", {
  subject: Schema.String
}) {
  override get message(): string {
    return `The key of subject ${JSON.stringify(this.subject)} was shredded, and it gets no other: ` +
      "personal data of this subject cannot be stored. Should the person come back, that is a new subject"
  }
}

/** The keys could not be reached, or the store of them failed. */
export class SubjectKeysError extends Schema.TaggedError<SubjectKeysError>()("SubjectKeysError", {
  operation: Schema.Literals(["find", "make", "shred", "list"]),
  /** Whether the same call may succeed later, with nothing changed. */
  retryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : Formatter.format(this.cause)
    return `The subjects' keys failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${cause}`
  }
}

/** Sealed data that its subject's key does not open. It comes as the cause of an error of the store that read it. */
export class SealBroken extends Schema.TaggedError<SealBroken>()("SealBroken", {
  /** The event or snapshot that holds it. */
  where: Schema.String,
  /** The path to it, in there. */
  path: Schema.Array(Schema.Union([Schema.String, Schema.Int])),
  subject: Schema.String,
  reason: Schema.Literals(["does not open", "no key"])
}) {
  override get message(): string {
    const what = `The personal data of subject ${JSON.stringify(this.subject)} at ${JSON.stringify(this.path)} of ` +
      this.where
    return this.reason === "no key"
      ? `${what} is sealed, and there was never a key for it here: these are not the keys that it was written with. ` +
        "Either the keys of another database are in use, or they were restored from before it was written"
      : `${what} does not open with the subject's key: it was changed in the store or moved from elsewhere, ` +
        "or the keys are not those that it was written with"
  }
}
