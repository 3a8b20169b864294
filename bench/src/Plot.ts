/**
 * Plots as SVG: a few series of points over one axis, readable on a light and on a dark page.
 */
import { format } from "./Table.ts"

/** An axis. A logarithmic one shows what is above zero. */
export interface Axis {
  readonly label: string
  readonly scale: "linear" | "log"
}

/** A plot. */
export interface Plot {
  /** The name of its file. */
  readonly file: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly series: ReadonlyArray<{ readonly name: string; readonly points: ReadonlyArray<readonly [number, number]> }>
}

const width = 720
const height = 400
const area = { left: 84, right: 540, top: 48, bottom: 340 }

/** Apart also for those who do not tell red from green. */
const colours = ["#4477aa", "#ee6677", "#228833", "#ccbb44"]

/** How an axis maps values to places, and where it has its ticks. */
interface Scale {
  readonly placeOf: (value: number) => number
  readonly ticks: ReadonlyArray<number>
}

const logarithmic = (values: ReadonlyArray<number>, from: number, to: number): Scale => {
  const lowest = Math.floor(Math.log10(Math.min(...values)))
  const highest = Math.max(lowest + 1, Math.ceil(Math.log10(Math.max(...values))))
  return {
    placeOf: (value) => from + (Math.log10(value) - lowest) / (highest - lowest) * (to - from),
    ticks: Array.from({ length: highest - lowest + 1 }, (_, index) => 10 ** (lowest + index))
  }
}

/** Steps of 1, 2 or 5 times a power of ten, of which about five lie below the highest value. */
const stepOf = (highest: number): number => {
  const rough = highest / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10)
}

const linear = (values: ReadonlyArray<number>, from: number, to: number): Scale => {
  const step = stepOf(Math.max(...values, Number.MIN_VALUE))
  const count = Math.ceil(Math.max(...values) / step)
  return {
    placeOf: (value) => from + value / (step * count) * (to - from),
    ticks: Array.from({ length: count + 1 }, (_, index) => index * step)
  }
}

const scaleOf = ({ scale }: Axis, values: ReadonlyArray<number>, [from, to]: readonly [number, number]): Scale =>
  scale === "log" ? logarithmic(values.filter((value) => value > 0), from, to) : linear(values, from, to)

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const text = (x: number, y: number, content: string, more = ""): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}"${more}>${escaped(content)}</text>`

/** The plot as an SVG document. Points that a logarithmic axis cannot show are left out. */
export const svg = ({ series, title, x, y }: Plot): string => {
  const shown = series.map(({ name, points }) => ({
    name,
    points: points.filter(([at, value]) => (x.scale === "linear" || at > 0) && (y.scale === "linear" || value > 0))
  }))
  const all = shown.flatMap(({ points }) => points)
  if (all.length === 0) throw new RangeError(`the plot "${title}" has no points`)
  const across = scaleOf(x, all.map(([at]) => at), [area.left, area.right])
  const up = scaleOf(y, all.map(([, value]) => value), [area.bottom, area.top])
  const rules = up.ticks.map((tick) => {
    const place = up.placeOf(tick).toFixed(1)
    return `<line x1="${area.left}" x2="${area.right}" y1="${place}" y2="${place}" stroke="#888" stroke-opacity="0.3"/>` +
      text(area.left - 8, up.placeOf(tick) + 4, format(tick), ` text-anchor="end"`)
  })
  const marks = across.ticks.map((tick) =>
    text(across.placeOf(tick), area.bottom + 20, format(tick), ` text-anchor="middle"`)
  )
  const lines = shown.map(({ name, points }, index) => {
    const colour = colours[index % colours.length]!
    const places = points.map(([at, value]) => [across.placeOf(at).toFixed(1), up.placeOf(value).toFixed(1)] as const)
    const dots = places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${colour}"/>`).join("")
    const legend = area.top + 14 + index * 22
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${
      places.map((place) => place.join(",")).join(" ")
    }"/>${dots}<circle cx="${area.right + 24}" cy="${legend - 4}" r="5" fill="${colour}"/>` +
      text(area.right + 36, legend, name)
  })
  const middle = (area.top + area.bottom) / 2
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" ` +
    `fill="#777" role="img">`,
    `<title>${escaped(title)}</title>`,
    text(area.left, 24, title, ` font-size="14"`),
    ...rules,
    ...marks,
    text((area.left + area.right) / 2, area.bottom + 44, x.label, ` text-anchor="middle"`),
    text(20, middle, y.label, ` text-anchor="middle" transform="rotate(-90 20 ${middle})"`),
    ...lines,
    "</svg>",
    ""
  ].join("\n")
}
