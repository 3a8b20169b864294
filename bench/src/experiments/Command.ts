/**
 * Commands on aggregates in use, 32 callers with an order each: decide, append, evolve. The floor inserts the same events
 * without deciding anything, one row by one statement on a connection for each caller.
 */
import * as Store from "@composable-ts/core/Store"
import * as Effect from "effect/Effect"
import type { Experiment } from "../Contest.ts"
import { connections, query, work } from "../floor/Connection.ts"
import * as FloorLog from "../floor/FloorLog.ts"
import * as Log from "../Log.ts"
import { order, place, revise } from "../Order.ts"
import * as Peer from "../Peer.ts"
import { crowd, crowdAsync, numbers } from "../Timing.ts"

const callers = 32
const id = `command.warm.c${callers}`

const warm: Experiment = {
  measures: [{
    id,
    unit: "commands/s",
    better: "higher",
    about:
      `${callers} callers revise an order each that is in use: decide, append, evolve. The floor inserts the same ` +
      "events without deciding anything. Emmett's `CommandHandler` reads the stream for each command."
  }],
  open: (profile) =>
    Effect.gen(function*() {
      const { milliseconds } = profile
      const log = yield* Log.open
      const orders = yield* Effect.provideContext(Store.aggregate(order), log.context)
      const clients = yield* connections(log.url, callers)
      yield* query(clients[0]!, { text: FloorLog.create, rowMode: "array" })
      const dispatch = (round: number, caller: number, index: number) => {
        const orderId = `r${round}.${caller}`
        return Effect.flatMap(
          orders.dispatch(orderId, revise(orderId, index)),
          ({ state, version }) =>
            version === index && state.revisions === index
              ? Effect.void
              : Effect.fail(new Error(`revision ${index} of ${orderId} came out as ${state.revisions} at ${version}`))
        ).pipe(Effect.mapError(asError))
      }
      return {
        floor: (round) =>
          Effect.gen(function*() {
            const { count, perSecond } = yield* work(() =>
              crowdAsync(
                milliseconds,
                callers,
                (caller, index) => FloorLog.insertOne(clients[caller]!, `r${round}.${caller}`, index)
              )
            )
            return { figures: { [id]: perSecond }, fault: yield* FloorLog.faultOf(clients[0]!, `r${round}.`, count) }
          }),
        ours: (round) =>
          Effect.gen(function*() {
            const before = yield* Log.head(log)
            yield* Effect.mapError(
              Effect.forEach(numbers(callers), (caller) => {
                const orderId = `r${round}.${caller}`
                return orders.dispatch(orderId, place(orderId))
              }, { concurrency: "unbounded", discard: true }),
              asError
            )
            const { count, perSecond } = yield* crowd(
              milliseconds,
              callers,
              (caller, index) => dispatch(round, caller, index + 1)
            )
            return { figures: { [id]: perSecond }, fault: yield* Log.faultOf(log, before, callers + count) }
          }),
        peers: yield* Peer.emmetts(id, profile)
      }
    })
}

/** A refusal is plain data; here it is one error among others. */
const asError = (reason: Error | { readonly _tag: string }): Error =>
  reason instanceof Error ? reason : new Error(`refused: ${reason._tag}`)

export const experiments: ReadonlyArray<Experiment> = [warm]
