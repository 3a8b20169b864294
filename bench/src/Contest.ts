/**
 * A contest is one piece of work, done by several contestants in turns: the floor, ourselves, and peers.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Profile } from "./Profile.ts"
import type { Server } from "./Server.ts"

/** What a row of the table measures. */
export interface Measure {
  /** The row's name, `append1.c32`. */
  readonly id: string
  readonly unit: string
  /** What is done, and what the floor does, in a sentence or two for the documents. */
  readonly about?: string
  /** Which figures are the better ones. */
  readonly better: "higher" | "lower"
}

/** What one round of work came to. */
export interface Outcome {
  /** A figure for each of the contest's measures, by id. */
  readonly figures: Readonly<Record<string, number>>
  /** What is wrong with the work's result, if anything: events missed, repeated or out of order. */
  readonly fault: string | undefined
}

/** Does one round of the work, checks its result, and tells what it came to. Rounds count from 0, warm-up included. */
export type Contestant = (round: number) => Effect.Effect<Outcome, Error>

/** Those who do the same work. Peers run in processes of their own; here is what drives them. */
export interface Contest {
  readonly ours: Contestant
  /** The least that the work can cost, written by hand: plain SQL with the `pg` driver, or a bare loop. */
  readonly floor?: Contestant
  readonly peers?: Readonly<Record<string, Contestant>>
}

/** A contest to be prepared: its tables made, its connections opened, its events stored. */
export interface Experiment {
  /** What it measures; several rows, when one round gives several figures. */
  readonly measures: NonEmptyReadonlyArray<Measure>
  readonly open: (profile: Profile) => Effect.Effect<Contest, Error, Server | Scope.Scope>
}
