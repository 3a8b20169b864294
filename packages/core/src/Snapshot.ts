/**
 * A snapshot is the state of an aggregate instance at a version, kept so that loading the instance need not replay its
 * whole stream. It follows from the events, so losing it costs time and nothing else.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { StreamId } from "./StreamId.ts"

/** An instance's encoded state at a version. */
export interface Snapshot {
  readonly streamId: StreamId
  /** The version of the last event that the state contains; from 0. */
  readonly version: number
  /** The global position of that event. It tells whether the log is still the one that the state was made from. */
  readonly globalPosition: bigint
  /** The {@link Policy.version} under which the state was encoded; from 1. */
  readonly stateVersion: number
  readonly state: Schema.Json
}

/**
 * When the state of an aggregate's instances is kept, and as what. With neither `every` nor `whenReplayExceeds`,
 * snapshots are taken on demand only.
 *
 * @example
 * ```ts
 * import type * as Snapshot from "@composable-ts/core/Snapshot"
 * import * as Schema from "effect/Schema"
 *
 * const Counter = Schema.Struct({ count: Schema.Int })
 *
 * const policy: Snapshot.Policy<typeof Counter.Type> = {
 *   state: Counter,
 *   version: 1,
 *   every: 100,
 *   whenReplayExceeds: "50 millis"
 * }
 *
 * policy.version // => 1
 * ```
 */
export interface Policy<S> {
  /** The state, and how it is written. What it encodes to must be JSON. */
  readonly state: Schema.Codec<S, unknown>
  /**
   * The version of the state's shape: a whole number from 1, raised whenever the shape or its meaning changes, also when
   * `evolve` comes to another state from the same events. Snapshots of other versions are left alone: they serve the
   * programs of their version that still run.
   */
  readonly version: number
  /** Take a snapshot once so many events lie behind the last one. */
  readonly every?: number | undefined
  /** Take a snapshot once loading an instance spent longer than this replaying its events. */
  readonly whenReplayExceeds?: Duration.Input | undefined
}

/** A snapshot that no store accepts. Nothing was stored. */
export class InvalidSnapshot extends Schema.TaggedError<InvalidSnapshot>()("InvalidSnapshot", {
  streamId: Schema.String,
  issue: Schema.String
}) {
  override get message(): string {
    return `Not a snapshot of stream ${JSON.stringify(this.streamId)}: ${this.issue}`
  }
}

/** The largest state version, which is that of a PostgreSQL integer. */
export const maxStateVersion = 2 ** 31 - 1

/** The reason for which no store accepts the snapshot, if there is one. */
export const refusal = (snapshot: Snapshot): InvalidSnapshot | undefined => {
  const issue = issueOf(snapshot)
  return issue === undefined ? undefined : new InvalidSnapshot({ streamId: snapshot.streamId, issue })
}

const issueOf = ({ globalPosition, stateVersion, version }: Snapshot): string | undefined => {
  if (!(Number.isSafeInteger(version) && version >= 0)) {
    return `version ${version} is not that of an event; a stream without events has no snapshot`
  }
  if (globalPosition < 1n) return `global position ${globalPosition} is not that of an event: they count from 1`
  if (!isStateVersion(stateVersion)) {
    return `the state's version is ${stateVersion}, and not a whole number from 1 to ${maxStateVersion}`
  }
  return undefined
}

/** Lets a policy through that can be followed, and throws a `RangeError` that says what is wrong with any other. */
export const checked = <P extends Rules | undefined>(policy: P): P => {
  const issue = policy === undefined ? undefined : policyIssue(policy)
  if (issue === undefined) return policy
  throw new RangeError(`Not a snapshot policy: ${issue}`)
}

/** A policy, whatever the state. */
type Rules = Omit<Policy<unknown>, "state">

const policyIssue = ({ every, version, whenReplayExceeds }: Rules): string | undefined => {
  if (!isStateVersion(version)) return `version ${version} is not a whole number from 1 to ${maxStateVersion}`
  if (every !== undefined && !(Number.isSafeInteger(every) && every >= 1)) {
    return `every ${every} events is not a whole number of them, from 1; leave it out to take none that way`
  }
  if (whenReplayExceeds !== undefined && !isTime(whenReplayExceeds)) {
    return `whenReplayExceeds ${String(whenReplayExceeds)} is not a time; leave it out to take none that way`
  }
  return undefined
}

const isStateVersion = (version: number): boolean =>
  Number.isInteger(version) && version >= 1 && version <= maxStateVersion

/** A negative time would be taken for none at all, and a number that is none for any. */
const isTime = (input: Duration.Input): boolean =>
  typeof input === "number" ? input >= 0 : Option.isSome(Duration.fromInput(input))
