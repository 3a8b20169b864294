import { assert, describe, it } from "@effect/vitest"
import { type Plot, svg } from "../src/Plot.ts"

const plot: Plot = {
  file: "plot.svg",
  title: "Cost & size < 1",
  x: { label: "events", scale: "log" },
  y: { label: "ms", scale: "linear" },
  series: [{ name: "load", points: [[1, 0], [10, 25], [100, 50]] }]
}

const dots = (document: string): ReadonlyArray<readonly [number, number]> =>
  [...document.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="3.5"/g)].map(([, x, y]) => [Number(x), Number(y)])

describe("Plot", () => {
  it("puts points where their axes say", () => {
    const [first, middle, last] = dots(svg(plot))
    assert.closeTo(middle![0], (first![0] + last![0]) / 2, 0.1, "ten lies halfway between one and a hundred")
    assert.closeTo(middle![1], (first![1] + last![1]) / 2, 0.1, "25 lies halfway between 0 and 50")
    assert.isBelow(last![1], first![1], "more is higher up")
  })

  it("names axes and series, and escapes what XML would take for its own", () => {
    const document = svg(plot)
    for (const label of ["events", "ms", "load", "Cost &amp; size &lt; 1"]) assert.include(document, `>${label}</`)
    assert.notInclude(document, "NaN")
  })

  it("leaves out what a logarithmic axis cannot show", () => {
    assert.lengthOf(dots(svg({ ...plot, y: { label: "ms", scale: "log" } })), 2)
  })

  it("draws a lone point, and refuses to draw nothing", () => {
    const lone = { ...plot, series: [{ name: "load", points: [[10, 5]] as const }] }
    assert.notInclude(svg(lone), "NaN")
    assert.notInclude(svg({ ...lone, y: { label: "ms", scale: "log" } }), "NaN")
    assert.throws(() => svg({ ...plot, series: [] }), RangeError)
  })
})
