import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Contestant } from "../src/Contest.ts"
import * as Rounds from "../src/Rounds.ts"

describe("Rounds", () => {
  it.live("the contestants take turns, and warm-up leaves no figure", () =>
    Effect.gen(function*() {
      const turns: Array<string> = []
      const contestant = (name: string): Contestant => (round) =>
        Effect.sync(() => {
          turns.push(`${name}${round}`)
          return { figures: { x: round }, fault: undefined }
        })
      const results = yield* Rounds.run(
        { floor: contestant("floor"), ours: contestant("ours"), peers: { peer: contestant("peer") } },
        { warmUp: 1, rounds: 2 }
      )
      assert.strictEqual(turns.join(" "), "floor0 ours0 peer0 floor1 ours1 peer1 floor2 ours2 peer2")
      for (const series of [results.floor, results.ours, results.peers["peer"]]) {
        assert.deepStrictEqual(series?.figures, { x: [1, 2] })
        assert.lengthOf(series?.pressures ?? [], 2)
      }
    }))

  it.live("a fault counts in whatever round it happens, and stays", () =>
    Effect.gen(function*() {
      const faultIn = (faulty: number): Contestant => (round) =>
        Effect.succeed({ figures: { x: 1 }, fault: round === faulty ? `fault of round ${round}` : undefined })
      for (const round of [0, 1, 2]) {
        const { ours } = yield* Rounds.run({ ours: faultIn(round) }, { warmUp: 1, rounds: 2 })
        assert.strictEqual(ours.fault, `fault of round ${round}`)
      }
    }))

  it.live("a peer that fails is out of the contest, which goes on; the floor's failure ends it", () =>
    Effect.gen(function*() {
      const right: Contestant = () => Effect.succeed({ figures: { x: 1 }, fault: undefined })
      let turns = 0
      const failing: Contestant = (round) =>
        Effect.suspend(() => {
          turns++
          return round < 2 ? Effect.succeed({ figures: { x: 1 }, fault: undefined }) : Effect.fail(new Error("no more"))
        })
      const { ours, peers } = yield* Rounds.run(
        { ours: right, peers: { failing, right } },
        { warmUp: 1, rounds: 4 }
      )
      assert.deepStrictEqual(ours.figures, { x: [1, 1, 1, 1] })
      assert.deepStrictEqual(peers["right"]?.figures, { x: [1, 1, 1, 1] })
      assert.deepStrictEqual(peers["failing"]?.figures, {})
      assert.strictEqual(peers["failing"]?.fault, "it failed: no more")
      assert.strictEqual(turns, 3)
      const error = yield* Effect.flip(Rounds.run({ ours: right, floor: failing }, { warmUp: 1, rounds: 4 }))
      assert.strictEqual(error.message, "no more")
    }))
})
