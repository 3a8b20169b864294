/**
 * Wake-ups by NOTIFY.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import { throughOutages } from "./failures.ts"

/**
 * Calls `wake` with what is announced on a channel, and with `undefined` whenever listening begins, to make up for what
 * was announced while nobody listened. For as long as the scope is open; a lost connection is opened anew.
 */
export const onNotification = (
  client: PgClient,
  channel: string,
  wake: (payload: string | undefined) => void
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(
    Effect.scoped(Effect.gen(function*() {
      const notifications = yield* client.listen(channel)
      wake(undefined)
      while (true) {
        for (const payload of new Set((yield* Queue.takeAll(notifications)).map(({ payload }) => payload))) {
          wake(payload)
        }
      }
    })).pipe(throughOutages(`LISTEN ${channel}`), Effect.orDie)
  ))
