import { assert, describe, it } from "@effect/vitest"
import { verdicts } from "../src/Bars.ts"
import * as Row from "../src/Row.ts"

const series = (id: string, figure: number) => ({
  figures: { [id]: [figure] },
  pressures: [{ elapsed: 1, collecting: 0, loopDelayP99: 0 }],
  fault: undefined
})

/** A row of one round: ours, the floor's figure, and those of peers. */
const rowOf = (
  { better, id, unit }: Pick<Row.Row, "id" | "unit" | "better">,
  [ours, floor]: readonly [number, number],
  peers: Readonly<Record<string, number>> = {}
): Row.Row => {
  const row = Row.of({ id, unit, better }, {
    ours: series(id, ours),
    floor: series(id, floor),
    peers: Object.fromEntries(Object.entries(peers).map(([name, figure]) => [name, series(id, figure)]))
  })
  return Row.isRefused(row) ? assert.fail(row.reason) : row
}

const throughput = { id: "append1.c32", unit: "appends/s", better: "higher" } as const
const latency = { id: "append1.seq", unit: "ms (p50)", better: "lower" } as const

describe("Bars", () => {
  it("of throughput ask for at least so many times as much", () => {
    const found = verdicts([rowOf(throughput, [25, 10], { emmett: 2, "emmett, tuned": 3 })])
    assert.deepStrictEqual(found, [
      { id: "append1.c32", bar: "≥ 2.5 × floor", measured: 2.5, met: true },
      { id: "append1.c32", bar: "≥ 10 × emmett", measured: 25 / 3, met: false }
    ])
  })

  it("of latency ask for at most so many times as much", () => {
    const found = verdicts([rowOf(latency, [14, 10], { emmett: 30, "emmett, tuned": 28 })])
    assert.deepStrictEqual(found, [
      { id: "append1.seq", bar: "≤ 1.35 × floor", measured: 1.4, met: false },
      { id: "append1.seq", bar: "≤ 0.6 × emmett", measured: 0.5, met: true }
    ])
  })

  it("of figures ask for the figure", () => {
    const memory = { id: "store.memory", unit: "commands/s", better: "higher" } as const
    assert.deepStrictEqual(verdicts([rowOf(memory, [99_999, 1])]), [
      { id: "store.memory", bar: "≥ 100,000 commands/s", measured: 99_999, met: false }
    ])
  })

  it("against a peer without a figure have no verdict", () => {
    assert.deepStrictEqual(verdicts([rowOf(throughput, [25, 10])]).map(({ bar }) => bar), ["≥ 2.5 × floor"])
  })
})
