/**
 * What every store refuses before it looks at a stream.
 */
import type { AppendOptions, StreamAppend } from "../EventStore.ts"
import { InvalidAppend } from "../EventStoreError.ts"

const maxIdLength = 255
const notText = /\0|\p{Surrogate}/u

const idIssue = (name: string, id: string | undefined): string | undefined => {
  if (id === undefined) return undefined
  if (id.length === 0) return `${name} is empty`
  if (id.length > maxIdLength) return `${name} is longer than ${maxIdLength} characters`
  if (notText.test(id)) return `${name} holds a character that is not text`
  return undefined
}

const exactIssue = (appends: ReadonlyArray<StreamAppend>): string | undefined => {
  for (const { expected } of appends) {
    if (expected._tag === "Exact" && !(Number.isSafeInteger(expected.version) && expected.version >= 0)) {
      return `expected version ${expected.version} is not a version`
    }
  }
  return undefined
}

/** The reason for which no store accepts the append, if there is one. */
export const refusal = (appends: ReadonlyArray<StreamAppend>, options: AppendOptions): InvalidAppend | undefined => {
  const issue = appends.length === 0 || appends.some(({ events }) => events.length === 0)
    ? "it has no events"
    : exactIssue(appends) ??
      idIssue("the command id", options.commandId) ??
      idIssue("the correlation id", options.correlationId) ??
      idIssue("the causation id", options.causationId) ??
      idIssue("the fingerprint", options.fingerprint)
  return issue === undefined ? undefined : new InvalidAppend({ issue })
}
