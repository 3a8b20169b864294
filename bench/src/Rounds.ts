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
  private failed = false
  readonly contestant: Contestant

  constructor(contestant: Contestant) {
    this.contestant = contestant
  }

  /** Like {@link take}, but failing it is out of the contest, and its fault is told. */
  takePart(round: number, counts: boolean): Effect.Effect<void> {
    if (this.failed) return Effect.void
    return Effect.match(this.take(round, counts), {
      onSuccess: () => {},
      onFailure: (error) => {
        this.failed = true
        this.fault = `it failed: ${error.message}`
        for (const id of Object.keys(this.figures)) delete this.figures[id]
      }
    })
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

/** Runs a contest: floor, ours, peers, and again. A peer that fails costs its own figures and nobody else's. */
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
    const { floor: ofFloor, ours: ofOurs } = recordings
    for (let round = 0; round < warmUp + rounds; round++) {
      const counts = round >= warmUp
      if (ofFloor !== undefined) yield* ofFloor.take(round, counts)
      yield* ofOurs.take(round, counts)
      for (const peer of Object.values(recordings.peers)) yield* peer.takePart(round, counts)
    }
    return recordings
  })
