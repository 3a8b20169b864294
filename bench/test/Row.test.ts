import { assert, describe, it } from "@effect/vitest"
import * as Report from "../src/Report.ts"
import type { Series } from "../src/Rounds.ts"
import * as Row from "../src/Row.ts"

const measure = { id: "x", unit: "ops/s", better: "higher" } as const

const series = (figures: ReadonlyArray<number>, fault?: string): Series => ({
  figures: { x: figures },
  pressures: [{ elapsed: 100, collecting: 0, loopDelayP99: 1 }, { elapsed: 300, collecting: 40, loopDelayP99: 3 }],
  fault
})

const rowOf = (results: Parameters<typeof Row.of>[1]): Row.Row => {
  const row = Row.of(measure, results)
  if (Row.isRefused(row)) return assert.fail(row.reason)
  return row
}

describe("Row", () => {
  it("holds medians, spread and paired ratios of all contestants", () => {
    const row = rowOf({ ours: series([20, 2, 22]), floor: series([10, 1, 11]), peers: { other: series([4, 2, 2]) } })
    assert.deepStrictEqual(row, {
      ...measure,
      ours: 20,
      floor: 10,
      peers: { other: 2 },
      spread: {
        ours: { min: 2, max: 22 },
        floor: { min: 1, max: 11 },
        peers: { other: { min: 2, max: 4 } }
      },
      ratios: { floor: { median: 2, min: 2, max: 2 }, peers: { other: { median: 5, min: 1, max: 11 } } },
      faults: {},
      pressure: { ours: { gcShare: 0.1, loopDelayP99: 2 }, floor: { gcShare: 0.1, loopDelayP99: 2 } }
    })
  })

  it("has a floor only where there is one", () => {
    const row = rowOf({ ours: series([1]), floor: undefined, peers: {} })
    assert.isNull(row.floor)
    assert.isNull(row.spread.floor)
    assert.isNull(row.ratios.floor)
  })

  it("refuses a figure for a wrong result of ours or of the floor", () => {
    const wrong = series([1], "1 event is missing")
    for (const results of [{ ours: wrong, floor: series([1]) }, { ours: series([1]), floor: wrong }]) {
      const row = Row.of(measure, { ...results, peers: {} })
      assert.isTrue(Row.isRefused(row))
      assert.include(JSON.stringify(row), "1 event is missing")
    }
  })

  it("tells a peer's wrong result beside its figure, in the row and in the tables", () => {
    const row = rowOf({
      ours: series([6]),
      floor: undefined,
      peers: { fast: series([3], "4 events are missing"), right: series([2]) }
    })
    assert.deepStrictEqual(row.faults, { fast: "4 events are missing" })
    assert.deepStrictEqual(Report.peerTable([row]), [
      ["row", "peer", "unit", "theirs (min–max)", "ours ÷ theirs", "its result"],
      ["x", "fast", "ops/s ↑", "3 (3–3)", "2.00 (2.00–2.00)", "wrong: 4 events are missing"],
      ["x", "right", "ops/s ↑", "2 (2–2)", "3.00 (3.00–3.00)", "right"]
    ])
  })

  it("tells of a peer that failed, and has no figure of it", () => {
    const failed = { figures: {}, pressures: [], fault: "it failed: no connection" }
    const row = rowOf({ ours: series([6]), floor: undefined, peers: { failed, right: series([2]) } })
    assert.deepStrictEqual(row.peers, { right: 2 })
    assert.deepStrictEqual(row.faults, { failed: "it failed: no connection" })
    assert.deepInclude(Report.peerTable([row]), ["x", "failed", "ops/s ↑", "–", "–", "wrong: it failed: no connection"])
  })
})
