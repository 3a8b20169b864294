/**
 * How costs grow with the number of events in the log. Logs of all sizes take turns.
 */
import * as Store from "@composable-ts/core/Store"
import * as Projection from "@composable-ts/projections/Projection"
import * as Effect from "effect/Effect"
import { judge } from "../Bars.ts"
import * as Cost from "../Cost.ts"
import * as Log from "../Log.ts"
import { Order, order, place, revise } from "../Order.ts"
import type { Profile } from "../Profile.ts"
import { numbers, p50, rate, sequence } from "../Timing.ts"
import { append, perAppend, type Round } from "./Appends.ts"
import { fill } from "./Filling.ts"
import { points, Rounds, type Studying } from "./Study.ts"

/** The last takes minutes and gigabytes, so it is for a full run. */
const sizes = ({ name }: Profile): ReadonlyArray<number> =>
  ({ smoke: [1_000, 2_000], quick: [1_000, 1_000_000], full: [1_000, 100_000, 1_000_000, 10_000_000] })[name]

const streamLength = 100

/** Of the costs in the longest log to those in the shortest: more than that is not flat. */
const flat = 1.5

/** A projection with a checkpoint and nothing else, over all of the log. */
const catchUp = (log: Log.Log, round: number, events: number) =>
  Effect.gen(function*() {
    let seen = 0
    const handle = () => Effect.sync(() => void seen++)
    const projection = Projection.define(Order, {
      name: "growth",
      version: round + 1,
      setUp: Effect.void,
      on: { Placed: handle, Revised: handle }
    })
    const start = performance.now()
    yield* Projection.catchUp(projection)
    const { perSecond } = rate(seen, start)
    return seen < events ? yield* Effect.fail(new Error(`${seen} of ${events} events were seen`)) : perSecond
  }).pipe(Effect.provideContext(log.context))

const load = (log: Log.Log, milliseconds: number, events: number) =>
  sequence(milliseconds, (index) =>
    Effect.gen(function*() {
      const orders = yield* Store.aggregate(order)
      const id = `${index * 7_919 % (events / streamLength)}`
      const { version } = yield* orders.state(id)
      if (version !== streamLength - 1) yield* Effect.fail(new Error(`order ${id} stands at ${version}`))
    })).pipe(Effect.provideContext(log.context), Effect.map(p50))

/** Commands of a lone caller on an order in use. */
const command = (log: Log.Log, milliseconds: number, id: string) =>
  Effect.gen(function*() {
    const orders = yield* Store.aggregate(order)
    yield* orders.dispatch(id, place(id))
    return p50(yield* sequence(milliseconds, (index) => orders.dispatch(id, revise(id, index + 1))))
  }).pipe(
    Effect.mapError((reason) => reason instanceof Error ? reason : new Error(`refused: ${reason._tag}`)),
    Effect.provideContext(log.context)
  )

/** How costs grow with the log. */
export const study: Studying = (profile) =>
  Effect.gen(function*() {
    const logs = yield* Effect.forEach(sizes(profile), (events) =>
      Effect.gen(function*() {
        console.error(`filling a log with ${events} events …`)
        const log = yield* Log.open
        yield* fill(log, { events, streamLength, after: 0, prefix: "" })
        return { events, log, appends: [] as Array<Round> }
      }))
    const times = new Rounds()
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const { appends, events, log } of logs) {
        const [durations, cost] = yield* Cost.during(
          log.sql,
          sequence(profile.milliseconds, (index) => append(log, `s${round}`, index))
        )
        const ofCommand = yield* command(log, profile.milliseconds, `c${round}`)
        const ofLoad = yield* load(log, profile.milliseconds, events)
        if (round < profile.warmUp) continue
        appends.push({ appends: durations.length, cost })
        times.add(events, [p50(durations), ofCommand, ofLoad])
      }
    }
    const rows: Array<ReadonlyArray<number | null>> = []
    for (const { appends, events, log } of logs) {
      // A short one is over before the compiler has seen it.
      if (events < 100_000) yield* Effect.forEach(numbers(5), (round) => catchUp(log, round, events))
      const [perSecond, { heap }] = yield* Cost.during(log.sql, catchUp(log, 5, events))
      rows.push([...times.row(events), ...perAppend(appends), perSecond, heap / 2 ** 20])
    }
    /** How many times as much it is in the longest log. */
    const grown = (than: number, column: number) => rows.at(-1)![column]! / rows.at(than)![column]!
    const beforeLast = rows.at(-2)![0]!
    const longest = rows.at(-1)![0]!.toLocaleString("en-GB")
    return {
      name: "logs",
      title: "Events in the log",
      about:
        "One caller appends single events, dispatches commands to an aggregate in use, and loads aggregates of 100 " +
        "events, with as many events in the log beforehand; then a projection that does nothing catches up with all of " +
        "it. CPU is time of this process and of the database's sessions for each append; heap is how far it grew, what " +
        "was garbage but not collected yet included.",
      columns: [
        "events",
        "append, ms (p50)",
        "command, ms (p50)",
        "load of 100, ms (p50)",
        "client CPU, µs",
        "server CPU, µs",
        "catch-up, events/s",
        "heap of catch-up, MiB"
      ],
      rows,
      plots: [{
        file: "growth-logs.svg",
        title: "What an operation costs, by the events in the log",
        x: { label: "events in the log", scale: "log" },
        y: { label: "ms (p50)", scale: "linear" },
        series: [
          { name: "append", points: points(rows, 0, 1) },
          { name: "command", points: points(rows, 0, 2) },
          { name: "load of 100", points: points(rows, 0, 3) }
        ]
      }, {
        file: "growth-catchup.svg",
        title: "How fast a projection catches up, by the events in the log",
        x: { label: "events in the log", scale: "log" },
        y: { label: "events/s", scale: "linear" },
        series: [{ name: "catch-up", points: points(rows, 0, 6) }]
      }],
      bars: [
        ...([["append", 1], ["command", 2], ["load of 100", 3]] as const).map(([name, column]) =>
          judge(
            {
              id: `growth: ${name}`,
              side: "most",
              limit: flat,
              what: `× that in the shortest log, at ${longest} events`
            },
            grown(0, column)
          )
        ),
        // Before the collector has set in, the heap grows with what was read, whatever becomes of it.
        ...(beforeLast >= 1_000_000
          ? [judge(
            {
              id: "growth: heap of catch-up",
              side: "most",
              limit: flat,
              what: `× that at ${beforeLast.toLocaleString("en-GB")} events, at ${longest}`
            },
            grown(-2, 7)
          )]
          : [])
      ]
    }
  })
