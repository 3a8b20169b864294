/**
 * How the rate of appends grows with the number of callers. Crowds of all sizes take turns.
 */
import * as Effect from "effect/Effect"
import * as Cost from "../Cost.ts"
import * as Log from "../Log.ts"
import { crowd } from "../Timing.ts"
import { append, check, perAppend, type Round } from "./Appends.ts"
import { points, Rounds, type Studying } from "./Study.ts"

const crowds = [1, 8, 32, 128, 1_000]

/** How the rate grows with callers. */
export const study: Studying = (profile) =>
  Effect.gen(function*() {
    const log = yield* Log.open
    const found = new Rounds()
    const appends = new Map(crowds.map((callers) => [callers, [] as Array<Round>]))
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const callers of crowds) {
        const before = yield* Log.head(log)
        const [{ count, perSecond }, cost] = yield* Cost.during(
          log.sql,
          crowd(profile.milliseconds, callers, (caller, index) => append(log, `c${callers}r${round}.${caller}`, index))
        )
        yield* check(log, before, count)
        if (round < profile.warmUp) continue
        appends.get(callers)!.push({ appends: count, cost })
        found.add(callers, [perSecond, cost.heap / 2 ** 20, cost.heap / callers / 2 ** 10])
      }
    }
    const rows = crowds.map((callers) => {
      const [perSecond, heap, heapOfCaller] = found.medians(callers)
      const [client, server] = perAppend(appends.get(callers)!)
      return [callers, perSecond!, client, server, heap!, heapOfCaller!]
    })
    return {
      name: "callers",
      title: "Callers at once",
      about: "Each caller appends single events to a stream of its own, and waits for one before it makes the next.",
      columns: ["callers", "appends/s", "client CPU, µs", "server CPU, µs", "heap, MiB", "heap for a caller, KiB"],
      rows,
      plots: [{
        file: "growth-callers.svg",
        title: "Appends a second, by callers",
        x: { label: "callers", scale: "log" },
        y: { label: "appends/s", scale: "linear" },
        series: [{ name: "appends/s", points: points(rows, 0, 1) }]
      }],
      bars: []
    }
  })
