/**
 * Reading one event out of the middle of a stream. The floor reads the same row by the same index.
 */
import * as Effect from "effect/Effect"
import type { Experiment } from "../Contest.ts"
import { connections, work } from "../floor/Connection.ts"
import * as Log from "../Log.ts"
import { streamOf } from "../Order.ts"
import { p50, sequence, sequenceAsync } from "../Timing.ts"

const id = "read1.seq"
const length = 1_000

/** Which event to read: another each time, none twice in a row. */
const versionAt = (index: number): number => index * 7_919 % length

const one: Experiment = {
  measures: [{
    id,
    unit: "ms (p50)",
    better: "lower",
    about: `One event is read out of a stream of ${length}. The floor selects the same row by the same index.`
  }],
  open: ({ milliseconds }) =>
    Effect.gen(function*() {
      const log = yield* Log.open
      const [client] = yield* connections(log.url, 1)
      yield* Log.fill(log, "1", length)
      yield* log.sql`VACUUM ANALYZE composable.events`
      return {
        floor: () =>
          work(async () => {
            let fault: string | undefined
            const durations = await sequenceAsync(milliseconds, async (index) => {
              const { rows } = await client!.query<[number, string, object]>({
                name: "one",
                text: "SELECT version, type, data FROM composable.events WHERE stream_id = $1 AND version = $2",
                values: [streamOf("1"), versionAt(index)],
                rowMode: "array"
              })
              if (rows[0]?.[0] !== versionAt(index)) fault = `no event ${versionAt(index)}`
            })
            return { figures: { [id]: p50(durations) }, fault }
          }),
        ours: () =>
          Effect.gen(function*() {
            let fault: string | undefined
            const durations = yield* sequence(milliseconds, (index) =>
              Effect.map(
                log.events.read(streamOf("1"), { from: versionAt(index), maxCount: 1 }),
                (events) => {
                  if (events.length !== 1 || events[0]?.version !== versionAt(index)) {
                    fault = `no event ${versionAt(index)}`
                  }
                }
              ))
            return { figures: { [id]: p50(durations) }, fault }
          })
      }
    })
}

export const experiments: ReadonlyArray<Experiment> = [one]
