/**
 * The most events that can be stored: two callers, a hundred events at a time. The floor inserts as many by one statement
 * with `unnest`, on two connections; and there is a second floor, COPY of a thousand rows at a time.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import type pg from "pg"
import type { Contestant, Experiment } from "../Contest.ts"
import { connections, query, work } from "../floor/Connection.ts"
import * as FloorLog from "../floor/FloorLog.ts"
import * as Log from "../Log.ts"
import { streamOf } from "../Order.ts"
import { crowd, crowdAsync, numbers } from "../Timing.ts"

const callers = 2
const size = 100
const copied = 1_000
const id = `append${size}.c${callers}`

/** One of the floors: so many rows at a time into a table like ours. */
const floorOf = (
  clients: ReadonlyArray<pg.Client>,
  { milliseconds, prefix, rows }: { readonly milliseconds: number; readonly prefix: string; readonly rows: number },
  insert: (client: pg.Client, id: string, versions: ReadonlyArray<number>) => Promise<void>
): Contestant =>
(round) =>
  Effect.gen(function*() {
    const { count, perSecond } = yield* work(() =>
      crowdAsync(milliseconds, callers, (caller, index) =>
        insert(
          clients[caller]!,
          `${prefix}${round}.${caller}`,
          numbers(rows).map((row) => index * rows + row)
        ))
    )
    const fault = yield* FloorLog.faultOf(clients[0]!, `${prefix}${round}.`, count * rows)
    return { figures: { [id]: perSecond * rows }, fault }
  })

const bulk: Experiment = {
  measures: [{
    id,
    unit: "events/s",
    better: "higher",
    about:
      `${callers} callers append ${size} events at a time. The floor inserts as many by one statement with \`unnest\`, ` +
      `on ${callers} connections; \`COPY\` is no peer but a second floor, of ${copied} rows at a time.`
  }],
  open: ({ milliseconds }) =>
    Effect.gen(function*() {
      const log = yield* Log.open
      const clients = yield* connections(log.url, callers)
      yield* query(clients[0]!, { text: FloorLog.create, rowMode: "array" })
      return {
        floor: floorOf(clients, { milliseconds, prefix: "unnest", rows: size }, FloorLog.insertMany),
        ours: (round) =>
          Effect.gen(function*() {
            const before = yield* Log.head(log)
            const { count, perSecond } = yield* crowd(milliseconds, callers, (caller, index) => {
              const order = `r${round}.${caller}`
              const from = index * size
              return log.events.append(
                streamOf(order),
                ExpectedVersion.exact(from - 1),
                Log.encoded(order, from, size)
              )
            })
            return { figures: { [id]: perSecond * size }, fault: yield* Log.faultOf(log, before, count * size) }
          }),
        peers: { COPY: floorOf(clients, { milliseconds, prefix: "copy", rows: copied }, FloorLog.copyMany) }
      }
    })
}

export const experiments: ReadonlyArray<Experiment> = [bulk]
