/**
 * What clients did and saw, written down by each process as it happens, so that nothing is lost when it is killed: an
 * operation is noted before it begins, and again when it has ended.
 *
 * Times are the host's monotonic clock in nanoseconds, hence comparable between processes.
 */
import type { ExpectedVersion } from "@composable-ts/core/ExpectedVersion"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { openSync, readFileSync, writeSync } from "node:fs"

/** What an append asked for one stream. */
export interface Part {
  readonly streamId: string
  readonly expected: ExpectedVersion
  readonly size: number
}

/** What a client asked for. */
export type Call =
  | { readonly _tag: "Append"; readonly commandId: string; readonly parts: ReadonlyArray<Part> }
  | { readonly _tag: "ReadStream"; readonly streamId: string }
  | { readonly _tag: "ReadLog"; readonly after: bigint; readonly limit: number }

/** An event as a client saw it. Its mark says which event of which command it is, see {@link markOf}. */
export interface Seen {
  readonly position: bigint
  readonly streamId: string
  readonly version: number
  readonly mark: string
}

/** Where a part of an append was told to stand. */
export interface Told {
  readonly version: number
  readonly position: bigint
  readonly duplicate: boolean
}

/** How an operation ended for its client. */
export type Outcome =
  | { readonly _tag: "Stored"; readonly results: ReadonlyArray<Told> }
  | {
    readonly _tag: "Conflict"
    readonly streamId: string
    readonly expected: ExpectedVersion
    readonly actual: number
  }
  | { readonly _tag: "Stream"; readonly events: ReadonlyArray<Seen> }
  | { readonly _tag: "Page"; readonly events: ReadonlyArray<Seen>; readonly position: bigint; readonly head: bigint }
  /** The store could not say, or nobody waited: it may have happened or not. */
  | { readonly _tag: "Unknown"; readonly why: string; readonly retryable: boolean }
  /** Refused or failed in a way that nothing in these tests calls for. */
  | { readonly _tag: "Unexpected"; readonly why: string }

/** One operation. The times say when it began and ended for its client; one of a killed client never ended. */
export interface Operation {
  readonly client: string
  readonly call: Call
  readonly invoked: bigint
  readonly ended: bigint | undefined
  readonly outcome: Outcome
}

/** An event handed to a subscriber. */
export interface Delivery {
  readonly subscriber: string
  readonly at: bigint
  readonly event: Seen
}

/** The note of an event that a command appends: unlike any other event's. */
export const markOf = (commandId: string, index: number): string => `mark-${commandId}#${index}`

/** The event as its client saw it; the mark is its note. */
export const seen = ({ data, globalPosition, streamId, version }: RecordedEvent): Seen => ({
  position: globalPosition,
  streamId,
  version,
  mark: typeof data === "object" && data !== null && "note" in data ? String(data.note) : ""
})

type Line =
  | { readonly invoke: string; readonly client: string; readonly at: bigint; readonly call: Call }
  | { readonly end: string; readonly at: bigint; readonly outcome: Outcome }
  | { readonly delivery: Delivery }

const bigintKeys = new Set(["at", "position", "head", "after"])

const parse = (line: string): Line =>
  JSON.parse(line, (key, value: unknown) => bigintKeys.has(key) && typeof value === "string" ? BigInt(value) : value)

/** Writes down what happens in this process, in a file of its own. */
export interface Recorder {
  /** Notes that an operation begins; the function that it returns notes how it ended. */
  readonly begin: (client: string, call: Call) => (outcome: Outcome) => void
  readonly deliver: (subscriber: string, event: Seen) => void
}

/** Begins, or goes on with, a file. */
export const recorder = (file: string): Recorder => {
  const descriptor = openSync(file, "a")
  // One write for a line: what is written survives the process.
  const write = (line: Line): void => {
    writeSync(descriptor, JSON.stringify(line, (_, value) => typeof value === "bigint" ? String(value) : value) + "\n")
  }
  let count = 0
  return {
    begin: (client, call) => {
      const id = `${process.pid}-${count++}`
      write({ invoke: id, client, at: process.hrtime.bigint(), call })
      return (outcome) => write({ end: id, at: process.hrtime.bigint(), outcome })
    },
    deliver: (subscriber, event) => write({ delivery: { subscriber, at: process.hrtime.bigint(), event } })
  }
}

/** What the processes of a run have written down. */
export interface History {
  readonly operations: ReadonlyArray<Operation>
  readonly deliveries: ReadonlyArray<Delivery>
}

/** Reads what processes have written down. A killed process may leave half a line. */
export const readHistory = (files: ReadonlyArray<string>): History => {
  const operations: Array<Operation> = []
  const deliveries: Array<Delivery> = []
  for (const file of files) {
    const begun = new Map<string, Operation>()
    for (const text of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
      const line = parse(text)
      if ("delivery" in line) {
        deliveries.push(line.delivery)
      } else if ("invoke" in line) {
        const { at, call, client } = line
        const outcome: Outcome = { _tag: "Unknown", why: "its process was killed", retryable: true }
        begun.set(line.invoke, { client, call, invoked: at, ended: undefined, outcome })
      } else {
        const operation = begun.get(line.end)
        if (operation === undefined) throw new Error(`${file}: an operation ended that never began: ${line.end}`)
        begun.set(line.end, { ...operation, ended: line.at, outcome: line.outcome })
      }
    }
    operations.push(...begun.values())
  }
  return { operations, deliveries }
}
