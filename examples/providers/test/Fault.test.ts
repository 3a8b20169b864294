import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Fault from "../src/Fault.ts"

const draws = (script: Fault.Script, count: number) => {
  const draw = Fault.drawing(script)
  return Array.from({ length: count }, draw)
}

describe("faults", () => {
  it("are the same for the same seed, and others for another", () => {
    const script = Fault.unreliable(7, 0.6, 100)
    assert.deepStrictEqual(draws(script, 200), draws(script, 200))
    assert.notDeepEqual(draws(script, 200), draws({ ...script, seed: 8 }, 200))
  })

  it("come about as often as the script says", () => {
    const drawn = draws({ ...Fault.reliable, unavailable: 0.5, stalls: 0.25 }, 10_000)
    const share = (fault: Fault.Fault) => drawn.filter((other) => other === fault).length / drawn.length
    assert.closeTo(share("unavailable"), 0.5, 0.03)
    assert.closeTo(share("stalls"), 0.25, 0.03)
    assert.closeTo(share("none"), 0.25, 0.03)
  })

  it("never come about when nothing goes wrong, and each does when anything may", () => {
    assert.deepStrictEqual(new Set(draws(Fault.reliable, 1000)), new Set(["none"]))
    assert.deepStrictEqual(new Set(draws(Fault.unreliable(1, 1, 0), 1000)), new Set(Fault.faults))
  })

  it("have probabilities", () => {
    const is = Schema.is(Fault.Script)
    assert.isTrue(is(Fault.unreliable(1, 1, 0)))
    assert.isFalse(is({ ...Fault.reliable, late: 1.1 }))
    assert.isFalse(is({ ...Fault.reliable, late: 0.6, stalls: 0.6 }))
  })
})
