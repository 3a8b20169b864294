/**
 * One LISTEN for all that wait in this process. A lost connection is no reason to sleep: everyone is woken, the channel
 * is listened to anew, and until that works polling stands in.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** How often to look without being told: it bounds the delay when a notification was lost. */
const pollInterval: Duration.Input = "1 second"

const reconnect = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("2 seconds")])

/** Begins to listen; the effect it returns registers a waiter, see `EventStore.Operations.listen`. */
export const make = (
  client: PgClient,
  channel: string
): Effect.Effect<Effect.Effect<Effect.Effect<void>, never, Scope.Scope>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const wakeUps = yield* PubSub.sliding<void>(1)

    const follow = Effect.scoped(Effect.gen(function*() {
      const notifications = yield* client.listen(channel)
      // What was announced while nobody listened is made up for by waking everyone once.
      yield* PubSub.publish(wakeUps, undefined)
      while (true) {
        yield* Queue.takeAll(notifications)
        yield* PubSub.publish(wakeUps, undefined)
      }
    }))
    yield* Effect.forkScoped(follow.pipe(
      Effect.tapError((error) => Effect.logWarning(`LISTEN ${channel} was lost; polling until it is back`, error)),
      Effect.retry(reconnect)
    ))

    return Effect.map(
      PubSub.subscribe(wakeUps),
      (subscription) => Effect.timeoutOption(PubSub.take(subscription), pollInterval).pipe(Effect.asVoid)
    )
  })
