/**
 * Reads of the log for which the database's time suffices.
 */
import * as Effect from "effect/Effect"
import type { Operations } from "./EventStore.ts"
import { EventStoreError } from "./EventStoreError.ts"

const isTooMuch = (error: unknown): boolean => error instanceof EventStoreError && error.reason === "StatementTimeout"

/**
 * Reads of the log by one reader. A page for which the database's time does not suffice (`statement_timeout`) is asked
 * for with half the limit, down to a single position: one that is asked for again as it was would be too much for ever.
 * Smaller pages are asked for from then on, until the end of the log is reached: the next may be as slow. It fails as
 * the given reads do, and with the time-out only when one position alone takes too long.
 *
 * @example
 * ```ts
 * import { EventStore } from "@composable-ts/core/EventStore"
 * import * as LogRead from "@composable-ts/core/LogRead"
 * import * as Effect from "effect/Effect"
 *
 * export const countUpTo = Effect.gen(function*() {
 *   const readAll = LogRead.inLess((yield* EventStore).readAll)
 *   const page = yield* readAll({ after: 0n, limit: 10_000 })
 *   return { events: page.events.length, upTo: page.position }
 * })
 * ```
 */
export const inLess = (readAll: Operations["readAll"]): Operations["readAll"] => {
  let most = Infinity
  const read: Operations["readAll"] = (options) =>
    Effect.suspend(() => {
      const limit = Math.min(options.limit, most)
      return readAll({ ...options, limit }).pipe(
        Effect.tap(({ head, position }) =>
          Effect.sync(() => {
            if (position >= head) most = Infinity
          })
        ),
        Effect.catchIf((error) => limit > 1 && isTooMuch(error), () => {
          most = limit >> 1
          return read(options)
        })
      )
    })
  return read
}
