/**
 * Whether what a store reads is what appends have written. Each check costs a comparison for each event, and no
 * statement.
 */
import type { LogPage, ReadAllOptions, ReadOptions } from "../EventStore.ts"
import type { RecordedEvent } from "../RecordedEvent.ts"
import * as Tombstone from "../Tombstone.ts"

/** What a page of a stream shows besides its events. */
export type Sight =
  /** Somebody has tampered with the stream. */
  | { readonly _tag: "Damage"; readonly version: number; readonly issue: string }
  /** A tombstone ends the stream. */
  | { readonly _tag: "Tombstone"; readonly version: number }
  /** Data is gone, so a tombstone should end the stream. */
  | { readonly _tag: "Erasure"; readonly version: number }

const damage = (version: number, issue: string): Sight => ({ _tag: "Damage", version, issue })

/** What to see in a page of a stream; nothing in most. */
export const sightOf = (
  streamId: string,
  { direction, from = 0, maxCount = Infinity }: ReadOptions,
  events: ReadonlyArray<RecordedEvent>
): Sight | undefined => {
  if (events.length === 0) return undefined
  const backwards = direction === "backwards"
  const lowest = Math.max(0, from)
  let due = backwards ? events[0]!.version : lowest
  let erased: number | undefined
  let tombstone: number | undefined
  for (let i = 0; i < events.length; i++) {
    const event = events[i]!
    if (event.version !== due) return damage(due, `it is missing, and version ${event.version} stands in its place`)
    const issue = (i > 0 ? orderIssue(events[i - 1]!, event, backwards) : undefined) ?? rowIssue(event, streamId)
    if (issue !== undefined) return damage(due, issue)
    if (Tombstone.is(event)) tombstone = due
    if (event.erased === true) erased = due
    due += backwards ? -1 : 1
  }
  if (backwards && events.length < maxCount && due >= lowest) return damage(due, "it is missing")
  if (tombstone !== undefined) {
    const last = backwards ? events[0]! : events.at(-1)!
    return tombstone === last.version
      ? { _tag: "Tombstone", version: tombstone }
      : damage(tombstone + 1, "it stands behind a tombstone")
  }
  return erased === undefined ? undefined : { _tag: "Erasure", version: erased }
}

const orderIssue = (before: RecordedEvent, event: RecordedEvent, backwards: boolean): string | undefined =>
  backwards === before.globalPosition > event.globalPosition
    ? undefined
    : `its global position, ${event.globalPosition}, is out of order`

const rowIssue = (event: RecordedEvent, streamId: string): string | undefined => {
  if (event.streamId !== streamId) return `it is of another stream, ${JSON.stringify(event.streamId)}`
  if (event.erased === true && Tombstone.is(event)) return "it is a tombstone, and does not say why"
  return isRecord(event.metadata) ? undefined : "its metadata is not a record"
}

const isRecord = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value)

/** Where a page of the log shows that somebody has tampered with it, and how. */
export interface LogDamage {
  readonly globalPosition: bigint
  readonly issue: string
}

/**
 * Positions are dense, so a page that nothing was filtered out of holds each; another holds some, in order. They are
 * counted from where the page begins: beyond 2^53 a number does not tell neighbours apart.
 */
export const logDamage = (
  { after, names, partition }: ReadAllOptions,
  { events, position }: LogPage
): LogDamage | undefined => {
  const isWhole = names === undefined && partition === undefined
  const end = Number(position - after)
  let last = 0
  for (const event of events) {
    const at = Number(event.globalPosition - after)
    if (at <= last || at > end) {
      const issue = `${placeOf(event)} is out of order, behind ${after + BigInt(last)}`
      return { globalPosition: event.globalPosition, issue }
    }
    if (isWhole && at !== last + 1) {
      const issue = `it is missing, and ${event.globalPosition}, ${placeOf(event)}, follows`
      return { globalPosition: after + BigInt(last + 1), issue }
    }
    const issue = rowIssue(event, event.streamId)
    if (issue !== undefined) return { globalPosition: event.globalPosition, issue: `${placeOf(event)}: ${issue}` }
    last = at
  }
  return isWhole && last < end
    ? { globalPosition: after + BigInt(last + 1), issue: `it is missing, though the log goes on to ${position}` }
    : undefined
}

const placeOf = ({ streamId, version }: RecordedEvent): string =>
  `stream ${JSON.stringify(streamId)}, version ${version}`
