/**
 * How costs grow with the size of events. Both sizes take turns, each in a log of its own.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as Store from "@composable-ts/core/Store"
import * as Projection from "@composable-ts/projections/Projection"
import * as Effect from "effect/Effect"
import * as Log from "../Log.ts"
import { encodedWith, Order, order, streamOf } from "../Order.ts"
import { crowd, numbers, p50, rate, sequence } from "../Timing.ts"
import { check } from "./Appends.ts"
import { Rounds, type Studying } from "./Study.ts"

const callers = 32
const loaded = 100
const filled = 2_000

/** Lines of an order beyond its usual three: bodies of 307 bytes and of 10 kB. */
const sizes = [0, 195]

const append = (log: Log.Log, id: string, version: number, event: EncodedEvent) =>
  log.events.append(streamOf(id), ExpectedVersion.exact(version - 1), [event])

const open = (lines: number) =>
  Effect.gen(function*() {
    const log = yield* Log.open
    // One body for all, made beforehand: what is measured is to store and to load it.
    const [first, later] = [encodedWith("0", 0, lines), encodedWith("0", 1, lines)]
    const eventAt = (version: number) => version === 0 ? first : later
    for (const stream of numbers(filled / loaded)) {
      const [head, ...rest] = numbers(loaded).map(eventAt)
      yield* log.events.append(streamOf(`${stream}`), ExpectedVersion.noStream, [head!, ...rest])
    }
    yield* log.sql`VACUUM ANALYZE composable.events`
    return { bytes: Buffer.byteLength(JSON.stringify(first.data)), eventAt, log }
  })

/** How costs grow with the size of events. */
export const study: Studying = (profile) =>
  Effect.gen(function*() {
    const { milliseconds } = profile
    const logs = yield* Effect.forEach(sizes, open)
    const found = new Rounds()
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const { bytes, eventAt, log } of logs) {
        const one = yield* sequence(milliseconds, (index) => append(log, `s${round}`, index, eventAt(index)))
        const before = yield* Log.head(log)
        const { count, perSecond } = yield* crowd(
          milliseconds,
          callers,
          (caller, index) => append(log, `c${round}.${caller}`, index, eventAt(index))
        )
        yield* check(log, before, count)
        const loads = yield* sequence(milliseconds, (index) =>
          Effect.gen(function*() {
            const orders = yield* Store.aggregate(order)
            const { version } = yield* orders.state(`${index % (filled / loaded)}`)
            if (version !== loaded - 1) yield* Effect.fail(new Error(`an order of ${loaded} stands at ${version}`))
          })).pipe(Effect.provideContext(log.context))
        if (round >= profile.warmUp) found.add(bytes, [p50(one), perSecond, p50(loads)])
      }
    }
    const rows: Array<ReadonlyArray<number>> = []
    for (const { bytes, log } of logs) {
      let seen = 0
      const handle = () => Effect.sync(() => void seen++)
      const projection = Projection.define(Order, {
        name: "bodies",
        version: 1,
        setUp: Effect.void,
        on: { Placed: handle, Revised: handle }
      })
      const start = performance.now()
      const reached = yield* Effect.provideContext(Projection.catchUp(projection), log.context)
      const { perSecond } = rate(seen, start)
      if (BigInt(seen) !== reached) yield* Effect.fail(new Error(`${seen} of ${reached} events were seen`))
      rows.push([...found.row(bytes), perSecond])
    }
    return {
      name: "bodies",
      title: "Size of events",
      about: `One caller and ${callers} append single events; aggregates of ${loaded} events are loaded with nothing ` +
        "cached; a projection that does nothing catches up with all that was stored. The same encoded event is stored " +
        "again and again.",
      columns: [
        "body, bytes",
        "append, ms (p50)",
        `append, ${callers} callers, appends/s`,
        `load of ${loaded}, ms (p50)`,
        "catch-up, events/s"
      ],
      rows,
      plots: [],
      bars: []
    }
  })
