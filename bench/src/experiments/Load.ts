/**
 * Loading an order's events and folding them into its state, with nothing cached. The floor reads the same rows by the
 * same index, their bodies parsed, and folds nothing.
 */
import * as Store from "@composable-ts/core/Store"
import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
import type { Experiment } from "../Contest.ts"
import { connections, work } from "../floor/Connection.ts"
import * as Log from "../Log.ts"
import { order } from "../Order.ts"
import { stateAfter } from "../OrderContent.ts"
import * as Peer from "../Peer.ts"
import { numbers, p50, sequence, sequenceAsync } from "../Timing.ts"

const streams = 10

const select = `SELECT version, type, data FROM composable.events WHERE stream_id = $1 ORDER BY version`

const load = (length: number): Experiment => {
  const id = `load.${length}`
  return {
    measures: [{
      id,
      unit: "ms (p50)",
      better: "lower",
      about: `An aggregate of ${length} events is loaded and folded, with nothing cached. The floor selects the same ` +
        "rows, their bodies parsed, and folds nothing."
    }],
    open: (profile) =>
      Effect.gen(function*() {
        const { milliseconds } = profile
        const log = yield* Log.open
        const [client] = yield* connections(log.url, 1)
        yield* Effect.forEach(numbers(streams), (stream) => Log.fill(log, `${stream}`, length), {
          concurrency: "unbounded",
          discard: true
        })
        yield* log.sql`VACUUM ANALYZE composable.events`
        return {
          floor: () =>
            work(async () => {
              let fault: string | undefined
              const durations = await sequenceAsync(milliseconds, async (index) => {
                const { rows } = await client!.query<[number, string, { readonly total: number }]>({
                  name: "load",
                  text: select,
                  values: [`order-${index % streams}`],
                  rowMode: "array"
                })
                const total = rows.at(-1)?.[2].total
                if (rows.length !== length) fault = `${rows.length} events instead of ${length}`
                if (total !== stateAfter(`${index % streams}`, length).total) fault = `a total of ${total}`
              })
              return { figures: { [id]: p50(durations) }, fault }
            }),
          ours: () =>
            Effect.gen(function*() {
              let fault: string | undefined
              const durations = yield* sequence(milliseconds, (index) =>
                Effect.gen(function*() {
                  // A store of its own, or the state would be known from before.
                  const orders = yield* Store.aggregate(order)
                  const { state, version } = yield* orders.state(`${index % streams}`)
                  if (version !== length - 1) fault = `version ${version} instead of ${length - 1}`
                  if (!isDeepStrictEqual(state, stateAfter(`${index % streams}`, length))) fault = `a wrong state`
                }))
              return { figures: { [id]: p50(durations) }, fault }
            }).pipe(Effect.provideContext(log.context)),
          peers: yield* Peer.emmetts(id, profile)
        }
      })
  }
}

export const experiments: ReadonlyArray<Experiment> = [load(100), load(1_000)]
