/**
 * How the cost of a load grows with the length of the stream, with snapshots and without. Streams of all lengths take
 * turns.
 */
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as SnapshotStore from "@composable-ts/core/SnapshotStore"
import * as Store from "@composable-ts/core/Store"
import * as PostgresSnapshotStore from "@composable-ts/postgres/PostgresSnapshotStore"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { judge } from "../Bars.ts"
import * as Log from "../Log.ts"
import { Order, order, rules, streamOf } from "../Order.ts"
import { type State, stateAfter } from "../OrderContent.ts"
import type { Profile } from "../Profile.ts"
import { p50, sequence } from "../Timing.ts"
import { fill } from "./Filling.ts"
import { points, Rounds, type Studying } from "./Study.ts"

const lengths = ({ name }: Profile): ReadonlyArray<number> =>
  ({
    smoke: [1, 100, 200],
    quick: [1, 10, 100, 1_000, 10_000],
    full: [1, 10, 100, 1_000, 10_000, 100_000]
  })[name]

const every = 100

/** The mean of what lies behind the last snapshot. */
const tail = every / 2

const snapshotted = Aggregate.define(Order, {
  ...rules,
  snapshot: {
    state: Schema.Struct({ placed: Schema.Boolean, revisions: Schema.Int, total: Schema.Int }),
    version: 1,
    every
  }
})

/** What so many events lead to; all but the first have the body of the second. */
const stateOf = (events: number): State => ({ ...stateAfter("0", Math.min(events, 2)), revisions: events - 1 })

const loaded = (events: number, { state, version }: { readonly state: State; readonly version: number }) =>
  version === events - 1 && state.revisions === stateOf(events).revisions && state.total === stateOf(events).total
    ? Effect.void
    : Effect.fail(new Error(`an order of ${events} events came out as ${JSON.stringify(state)} at ${version}`))

/** How the cost of a load grows with the stream. */
export const study: Studying = (profile) =>
  Effect.gen(function*() {
    const log = yield* Log.open
    const context = Context.merge(
      log.context,
      yield* Effect.provideContext(Layer.build(PostgresSnapshotStore.layer()), log.context)
    )
    const snapshots = Context.get(context, SnapshotStore.SnapshotStore)
    let after = 0
    for (const events of lengths(profile)) {
      yield* fill(log, { events, streamLength: events, after, prefix: `${events}.` })
      const version = events - 1 - tail
      if (events > every) {
        yield* snapshots.save({
          streamId: streamOf(`${events}.0`),
          version,
          globalPosition: BigInt(after + version + 1),
          stateVersion: 1,
          state: { ...stateOf(version + 1) }
        })
      }
      after += events
    }
    const found = new Rounds()
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const events of lengths(profile)) {
        const id = `${events}.0`
        // A store of its own for each load, or the state would be known from before.
        const without = yield* sequence(
          profile.milliseconds,
          () =>
            Effect.flatMap(
              Effect.flatMap(Store.aggregate(order), (orders) => orders.state(id)),
              (it) => loaded(events, it)
            )
        ).pipe(Effect.provideContext(context))
        const behind = yield* sequence(
          profile.milliseconds,
          () =>
            Effect.flatMap(
              Effect.flatMap(Store.aggregate(snapshotted), (orders) => orders.state(id)),
              (it) => loaded(events, it)
            )
        ).pipe(Effect.provideContext(context))
        if (round >= profile.warmUp) found.add(events, [p50(without), p50(behind)])
      }
    }
    const rows = lengths(profile).map((events) => found.row(events))
    const ofLength = (length: number) => rows.find(([events]) => events === length)?.[2] ?? Number.NaN
    const longest = lengths(profile).at(-1)!
    const first = lengths(profile).find((length) => length > every) ?? longest
    return {
      name: "streams",
      title: "Events in a stream",
      about: `An aggregate is loaded, with nothing cached. A snapshot is taken every ${every} events, so ${tail} lie ` +
        `behind the last one on average, and so many are replayed here; streams of up to ${every} have none.`,
      columns: ["events", "load without snapshot, ms (p50)", "load with snapshots, ms (p50)"],
      rows,
      plots: [{
        file: "growth-streams.svg",
        title: "What a load costs, by the events in the stream",
        x: { label: "events in the stream", scale: "log" },
        y: { label: "ms (p50)", scale: "log" },
        series: [
          { name: "without snapshot", points: points(rows, 0, 1) },
          { name: "with snapshots", points: points(rows, 0, 2) }
        ]
      }],
      bars: [judge(
        {
          id: "growth: load with snapshots",
          side: "most",
          limit: 1.5,
          what: `× that of ${first.toLocaleString("en-GB")} events, at ${longest.toLocaleString("en-GB")}`
        },
        ofLength(longest) / ofLength(first)
      )]
    }
  })
