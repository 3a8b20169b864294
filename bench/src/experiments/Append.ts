/**
 * Appending one event or ten, by one caller or by 32 to as many streams. The floor inserts as many rows by one statement
 * on a connection for each caller.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import type { Contestant, Experiment } from "../Contest.ts"
import { connections, query, work } from "../floor/Connection.ts"
import * as FloorLog from "../floor/FloorLog.ts"
import * as Log from "../Log.ts"
import { streamOf } from "../Order.ts"
import * as Peer from "../Peer.ts"
import { crowd, crowdAsync, numbers, p50, sequence, sequenceAsync } from "../Timing.ts"

/** Who wins a race for a position is told by the answer: it must be the version asked for. */
const append = (log: Log.Log, id: string, from: number, size: number) =>
  Effect.flatMap(
    log.events.append(streamOf(id), ExpectedVersion.exact(from - 1), Log.encoded(id, from, size)),
    ({ version }) =>
      version === from + size - 1
        ? Effect.void
        : Effect.fail(new Error(`version ${version} after appending at ${from}`))
  )

const insert = (client: Parameters<typeof FloorLog.insertOne>[0], id: string, from: number, size: number) =>
  size === 1
    ? FloorLog.insertOne(client, id, from)
    : FloorLog.insertMany(client, id, numbers(size).map((index) => from + index))

const checked =
  (log: Log.Log, size: number, run: (round: number) => Effect.Effect<Counted, Error>): Contestant => (round) =>
    Effect.gen(function*() {
      const before = yield* Log.head(log)
      const { appends, figures } = yield* run(round)
      return { figures, fault: yield* Log.faultOf(log, before, appends * size) }
    })

interface Counted {
  readonly appends: number
  readonly figures: Readonly<Record<string, number>>
}

const alone = (size: number): Experiment => {
  const id = `append${size}.seq`
  return {
    measures: [{
      id,
      unit: "ms (p50)",
      better: "lower",
      about:
        `One caller appends ${size} ${size === 1 ? "event" : "events"} at a time to a stream. The floor inserts the ` +
        "same rows by one statement."
    }],
    open: (profile) =>
      Effect.gen(function*() {
        const { milliseconds } = profile
        const log = yield* Log.open
        const [client] = yield* connections(log.url, 1)
        yield* query(client!, { text: FloorLog.create, rowMode: "array" })
        return {
          floor: (round) =>
            Effect.gen(function*() {
              const durations = yield* work(() =>
                sequenceAsync(milliseconds, (index) => insert(client!, `r${round}.`, index * size, size))
              )
              const fault = yield* FloorLog.faultOf(client!, `r${round}.`, durations.length * size)
              return { figures: { [id]: p50(durations) }, fault }
            }),
          ours: checked(log, size, (round) =>
            Effect.map(
              sequence(milliseconds, (index) => append(log, `r${round}.`, index * size, size)),
              (durations) => ({ appends: durations.length, figures: { [id]: p50(durations) } })
            )),
          peers: yield* Peer.emmetts(id, profile)
        }
      })
  }
}

const together = (size: number, callers = 32): Experiment => {
  const id = `append${size}.c${callers}`
  return {
    measures: [{
      id,
      unit: "appends/s",
      better: "higher",
      about:
        `${callers} callers append ${size} ${size === 1 ? "event" : "events"} at a time, each to a stream of its ` +
        "own. The floor inserts the same rows by one statement, on a connection for each caller."
    }],
    open: (profile) =>
      Effect.gen(function*() {
        const { milliseconds } = profile
        const log = yield* Log.open
        const clients = yield* connections(log.url, callers)
        yield* query(clients[0]!, { text: FloorLog.create, rowMode: "array" })
        return {
          floor: (round) =>
            Effect.gen(function*() {
              const { count, perSecond } = yield* work(() =>
                crowdAsync(
                  milliseconds,
                  callers,
                  (caller, index) => insert(clients[caller]!, `r${round}.${caller}`, index * size, size)
                )
              )
              const fault = yield* FloorLog.faultOf(clients[0]!, `r${round}.`, count * size)
              return { figures: { [id]: perSecond }, fault }
            }),
          ours: checked(log, size, (round) =>
            Effect.map(
              crowd(milliseconds, callers, (caller, index) => append(log, `r${round}.${caller}`, index * size, size)),
              ({ count, perSecond }) => ({ appends: count, figures: { [id]: perSecond } })
            )),
          peers: yield* Peer.emmetts(id, profile)
        }
      })
  }
}

export const experiments: ReadonlyArray<Experiment> = [
  alone(1),
  together(1, 8),
  together(1),
  alone(10),
  together(10)
]
