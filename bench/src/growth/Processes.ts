/**
 * How the rate of appends grows with the number of processes on one log. Sets of processes take turns.
 */
import * as Effect from "effect/Effect"
import { judge } from "../Bars.ts"
import * as Log from "../Log.ts"
import * as Peer from "../Peer.ts"
import { rate } from "../Timing.ts"
import { check } from "./Appends.ts"
import { points, Rounds, type Studying } from "./Study.ts"

const counts = [1, 2, 3, 4]
const callers = 8

/** How the rate grows with processes. */
export const study: Studying = (profile) =>
  Effect.gen(function*() {
    const log = yield* Log.open
    const appenders = yield* Peer.openAppenders(counts.at(-1)!, { milliseconds: profile.milliseconds, url: log.url })
    const found = new Rounds()
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const count of counts) {
        const before = yield* Log.head(log)
        const start = performance.now()
        const appends = yield* Effect.forEach(
          appenders.slice(0, count),
          (appender, process) => appender(`p${count}r${round}.${process}.`, callers),
          { concurrency: "unbounded" }
        )
        const { count: total, perSecond } = rate(appends.reduce((sum, count) => sum + count, 0), start)
        yield* check(log, before, total)
        if (round >= profile.warmUp) found.add(count, [perSecond])
      }
    }
    const rows = counts.map((count) => found.row(count))
    return {
      name: "processes",
      title: "Processes on one log",
      about: `Each process has ${callers} callers that append single events to streams of their own. That the global ` +
        "order has no gap and every stream is dense is checked after each round.",
      columns: ["processes", "appends/s, all together"],
      rows,
      plots: [{
        file: "growth-processes.svg",
        title: `Appends a second, by processes of ${callers} callers`,
        x: { label: "processes", scale: "linear" },
        y: { label: "appends/s", scale: "linear" },
        series: [{ name: "all together", points: points(rows, 0, 1) }]
      }],
      bars: [
        judge(
          { id: `append1 of 4 processes × ${callers}`, side: "least", limit: 10_000, what: "appends/s" },
          rows.at(-1)![1]!
        )
      ]
    }
  })
