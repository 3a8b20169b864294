/**
 * Lets the contestants take turns, round by round, so that whatever else the machine does hits all of them alike.
 */
import * as Effect from "effect/Effect"
import type { Contest, Contestant } from "./Contest.ts"
import * as Pressure from "./Pressure.ts"
import type { Profile } from "./Profile.ts"

/** What one contestant's rounds came to, warm-up excluded. */
export interface Series {
  /** For each measure a figure for each round. */
  readonly figures: Readonly<Record<string, ReadonlyArray<number>>>
  readonly pressures: ReadonlyArray<Pressure.Pressure>
  /** What was wrong with the result of a round, if anything. */
  readonly fault: string | undefined
}

/** The series of all who took part. */
export interface Results {
  readonly ours: Series
  readonly floor: Series | undefined
  readonly peers: Readonly<Record<string, Series>>
}

class Recording implements Series {
  readonly figures: Record<string, Array<number>> = {}
  readonly pressures: Array<Pressure.Pressure> = []
  fault: string | undefined = undefined
  readonly contestant: Contestant

  constructor(contestant: Contestant) {
    this.contestant = contestant
  }

  take(round: number, counts: boolean): Effect.Effect<void, Error> {
    return Effect.map(Pressure.during(this.contestant(round)), ([{ fault, figures }, pressure]) => {
      this.fault ??= fault
      if (!counts) return
      this.pressures.push(pressure)
      for (const [id, figure] of Object.entries(figures)) (this.figures[id] ??= []).push(figure)
    })
  }
}

/** Runs a contest: floor, ours, peers, and again. */
export const run = (
  { floor, ours, peers = {} }: Contest,
  { rounds, warmUp }: Pick<Profile, "rounds" | "warmUp">
): Effect.Effect<Results, Error> =>
  Effect.gen(function*() {
    const recordings = {
      floor: floor === undefined ? undefined : new Recording(floor),
      ours: new Recording(ours),
      peers: Object.fromEntries(Object.entries(peers).map(([name, peer]) => [name, new Recording(peer)]))
    }
    const inTurn = [recordings.floor, recordings.ours, ...Object.values(recordings.peers)]
    for (let round = 0; round < warmUp + rounds; round++) {
      for (const recording of inTurn) {
        if (recording !== undefined) yield* recording.take(round, round >= warmUp)
      }
    }
    return recordings
  })
