import { assert, describe, it } from "@effect/vitest"
import * as Docs from "../src/Docs.ts"
import * as Experiments from "../src/Experiments.ts"
import type { Growth } from "../src/Growth.ts"
import * as Host from "../src/Host.ts"
import type { Report } from "../src/Report.ts"

const report: Report = {
  machine: { ...Host.machine(), cpu: "A processor", postgres: { fsync: "on" } },
  versions: Host.versions(),
  profile: "smoke",
  date: "2026-01-02T03:04:05.678Z",
  rows: [{
    id: "append1.seq",
    unit: "ms (p50)",
    better: "lower",
    ours: 1,
    floor: 2,
    peers: { emmett: 4 },
    spread: { ours: { min: 1, max: 1 }, floor: { min: 2, max: 2 }, peers: { emmett: { min: 4, max: 4 } } },
    ratios: {
      floor: { median: 0.5, min: 0.5, max: 0.5 },
      peers: { emmett: { median: 0.25, min: 0.25, max: 0.25 } }
    },
    faults: {},
    pressure: { ours: { gcShare: 0, loopDelayP99: 0 }, floor: { gcShare: 0, loopDelayP99: 0 } }
  }],
  refused: [{ id: "load.100", reason: "a wrong state" }],
  bars: [{ id: "append1.seq", bar: "≤ 1.35 × floor", measured: 0.5, met: true }]
}

const growth: Growth = {
  studies: [{
    name: "logs",
    title: "Events in the log",
    about: "What was done.",
    columns: ["events", "ms"],
    rows: [[1_000, null]],
    plots: [{
      file: "growth-logs.svg",
      title: "Cost",
      x: { label: "events", scale: "log" },
      y: { label: "ms", scale: "linear" },
      series: []
    }],
    bars: [{ id: "growth: append", bar: "≤ 1.5 ×", measured: 2, met: false }]
  }],
  loadBefore: 0,
  loadAfter: 0
}

describe("Docs", () => {
  const page = Docs.page(report, growth)

  it("names machine, versions and day", () => {
    assert.include(page, "A processor")
    assert.include(page, `node ${process.versions.node}`)
    assert.include(page, "@event-driven-io/emmett-postgresql 0.")
    assert.include(page, "Measured on 2026-01-02, profile smoke")
  })

  it("tells what each row does that has figures, and no other", () => {
    assert.match(page, /^- `append1\.seq`: .+/m)
    assert.notMatch(page, /^- `load\.1000`: /m)
    assert.include(page, "- `load.100`: no figure, because a wrong state")
  })

  it("has a sentence for each row", () => {
    for (const { about, id } of Experiments.all.flatMap(({ measures }) => measures)) {
      assert.match(about ?? "", /\.$/, `${id}: say what it does in its measure's "about"`)
    }
  })

  it("holds the tables, all bars and the plots", () => {
    assert.include(page, "| append1.seq | ms (p50) ↓ | 1 (1–1) | 2 (2–2) | 0.50 (0.50–0.50) |")
    assert.include(page, "| append1.seq | emmett | ms (p50) ↓ | 4 (4–4) | 0.25 (0.25–0.25) | right |")
    assert.include(page, "| append1.seq | ≤ 1.35 × floor | 0.50 | yes |")
    assert.include(page, "| growth: append | ≤ 1.5 × | 2.00 | no |")
    assert.include(page, "| 1,000 | – |")
    assert.include(page, "![Cost](benchmarks/growth-logs.svg)")
    assert.lengthOf(page.match(/^## Bars$/gm) ?? [], 1)
  })
})
