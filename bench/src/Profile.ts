/**
 * How much work a run does. More rounds and longer ones say the same with less spread.
 */

/** The extent of a run. */
export interface Profile {
  readonly name: "quick" | "full" | "smoke"
  /** Rounds that count. */
  readonly rounds: number
  /** Rounds before them that do not: the compilers and caches settle. */
  readonly warmUp: number
  /** How long a round of open-ended work lasts. */
  readonly milliseconds: number
  /** How many events the log holds for work that goes through all of it. */
  readonly events: number
  /** How many events a handler that writes one row at a time goes through. */
  readonly rows: number
  /** How many events a peer goes through that is too slow for as many as we do. */
  readonly peerEvents: number
  /** How many events to wait for, one after the other, where the delay of each is measured. */
  readonly waits: number
}

/** Under two minutes. */
export const quick: Profile = {
  name: "quick",
  rounds: 5,
  warmUp: 1,
  milliseconds: 140,
  events: 15_000,
  rows: 2_000,
  peerEvents: 200,
  waits: 60
}

/** Under fifteen minutes. */
export const full: Profile = {
  name: "full",
  rounds: 10,
  warmUp: 2,
  milliseconds: 500,
  events: 100_000,
  rows: 5_000,
  peerEvents: 1_000,
  waits: 300
}

/** A second or two for a row: shows that everything runs and is right; the figures mean nothing. */
export const smoke: Profile = {
  name: "smoke",
  rounds: 1,
  warmUp: 1,
  milliseconds: 20,
  events: 1_200,
  rows: 50,
  peerEvents: 40,
  waits: 5
}
