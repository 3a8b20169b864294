/**
 * What every store refuses before it looks at a stream.
 */
import type { AppendOptions, StreamAppend, TombstoneOptions } from "../EventStore.ts"
import { InvalidAppend } from "../EventStoreError.ts"
import type { ExpectedVersion } from "../ExpectedVersion.ts"
import { type Cancellation, maxDelay, type OutboxEntry } from "../Outbox.ts"

const maxIdLength = 255
const notText = /\0|\p{Surrogate}/u

const idIssue = (name: string, id: string | undefined): string | undefined => {
  if (id === undefined) return undefined
  if (id.length === 0) return `${name} is empty`
  if (id.length > maxIdLength) return `${name} is longer than ${maxIdLength} characters`
  if (notText.test(id)) return `${name} holds a character that is not text`
  return undefined
}

const versionIssue = (expected: ExpectedVersion): string | undefined =>
  expected._tag === "Exact" && !(Number.isSafeInteger(expected.version) && expected.version >= 0)
    ? `expected version ${expected.version} is not a version`
    : undefined

const exactIssue = (appends: ReadonlyArray<StreamAppend>): string | undefined => {
  for (const { expected } of appends) {
    const issue = versionIssue(expected)
    if (issue !== undefined) return issue
  }
  return undefined
}

const eventIssue = (appends: ReadonlyArray<StreamAppend>): string | undefined => {
  for (const { events } of appends) {
    for (const { data, type } of events) {
      if (type.startsWith("$")) return `${type} is the store's own: event types that begin with $ are reserved`
      // What is read without data is an erased event.
      if (data === null) return `a ${type} has no data`
    }
  }
  return undefined
}

const idsIssue = (options: TombstoneOptions | AppendOptions): string | undefined =>
  idIssue("the command id", options.commandId) ??
    idIssue("the correlation id", options.correlationId) ??
    idIssue("the causation id", options.causationId) ??
    idIssue("the fingerprint", options.fingerprint)

const outboxIssue = (entries: ReadonlyArray<OutboxEntry> = []): string | undefined => {
  for (const { body, delay = 0, key, kind } of entries) {
    const issue = idIssue("the kind of an outbox entry", kind) ?? idIssue("the key of an outbox entry", key)
    if (issue !== undefined) return issue
    if (body === undefined) return `an outbox entry of kind ${kind} has no body`
    if (!(Number.isSafeInteger(delay) && delay >= 0 && delay <= maxDelay)) {
      return `an outbox entry of kind ${kind} has a delay of ${delay}: it must be whole milliseconds, at most 100 years`
    }
  }
  return undefined
}

const cancelsIssue = (cancels: ReadonlyArray<Cancellation> = []): string | undefined => {
  for (const cancel of cancels) {
    // The prefix that all keys have is empty.
    const issue = "key" in cancel
      ? idIssue("a key to cancel", cancel.key)
      : cancel.prefix === ""
      ? undefined
      : idIssue("a prefix to cancel", cancel.prefix)
    if (issue !== undefined) return issue
  }
  return undefined
}

const refused = (issue: string | undefined): InvalidAppend | undefined =>
  issue === undefined ? undefined : new InvalidAppend({ issue })

/** The reason for which no store accepts the append, if there is one. */
export const refusal = (appends: ReadonlyArray<StreamAppend>, options: AppendOptions): InvalidAppend | undefined =>
  refused(
    appends.length === 0 || appends.some(({ events }) => events.length === 0)
      ? "it has no events"
      : exactIssue(appends) ?? eventIssue(appends) ?? idsIssue(options) ??
        outboxIssue(options.outbox) ?? cancelsIssue(options.cancels)
  )

/** The reason for which no store accepts the tombstone, if there is one. */
export const tombstoneRefusal = (
  expected: ExpectedVersion,
  options: TombstoneOptions
): InvalidAppend | undefined =>
  refused(
    options.reason.trim() === ""
      ? "a tombstone says why: its reason is empty"
      : ["outbox", "settles", "cancels"].some((option) => Reflect.get(options, option) !== undefined)
      ? "a tombstone stores no outbox entries, settles and cancels none: append them before it"
      : versionIssue(expected) ?? idsIssue(options)
  )
