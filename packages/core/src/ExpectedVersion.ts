/**
 * What an append expects of its stream. Every append states one: there is no default, because a forgotten check is how
 * two writers overwrite each other's decisions.
 */

/** The stream's last event has exactly this version. */
export interface Exact {
  readonly _tag: "Exact"
  readonly version: number
}
/** The stream has no event. */
export interface NoStream {
  readonly _tag: "NoStream"
}
/** The stream has at least one event. */
export interface StreamExists {
  readonly _tag: "StreamExists"
}
/** Whatever the stream holds. Safe under concurrency: every append succeeds, one after the other. */
export interface Any {
  readonly _tag: "Any"
}

/** The condition of an append on its stream's version. */
export type ExpectedVersion = Exact | NoStream | StreamExists | Any

/** The version of a stream without events. */
export const empty = -1

/** Expects the stream to stand at this version; {@link empty} expects no events. */
export const exact = (version: number): ExpectedVersion => version === empty ? noStream : { _tag: "Exact", version }
/** Expects a stream without events. */
export const noStream: NoStream = Object.freeze({ _tag: "NoStream" })
/** Expects a stream with events. */
export const streamExists: StreamExists = Object.freeze({ _tag: "StreamExists" })
/** Expects nothing. */
export const any: Any = Object.freeze({ _tag: "Any" })

/** Whether a stream at the actual version fulfils the expectation. */
export const admits = (expected: ExpectedVersion, actual: number): boolean => {
  switch (expected._tag) {
    case "Exact":
      return actual === expected.version
    case "NoStream":
      return actual === empty
    case "StreamExists":
      return actual > empty
    case "Any":
      return true
  }
}

/** For messages: `version 3`, `no stream`. */
export const format = (expected: ExpectedVersion): string => {
  switch (expected._tag) {
    case "Exact":
      return `version ${expected.version}`
    case "NoStream":
      return "no stream"
    case "StreamExists":
      return "an existing stream"
    case "Any":
      return "any version"
  }
}
