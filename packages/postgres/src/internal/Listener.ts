/**
 * Wakes whoever waits for an append: by one LISTEN for all, on a connection of its own, and by one poll for all. A silent
 * or lost connection is no reason to sleep: it is noticed by a heartbeat, replaced, and everyone is woken.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import type { State, WakeUp } from "../WakeUp.ts"
import { inRealTime, inTime } from "./inTime.ts"
import { scrubbed } from "./sqlFailure.ts"

/** What the log is called. */
export interface Log {
  /** The schema, as SQL takes it. */
  readonly schema: string
  readonly channel: string
}

/** What wakes, and what is known of it. */
export interface Listener {
  /** Registers a waiter, see `EventStore.Operations.listen`. */
  readonly listen: Effect.Effect<Effect.Effect<void>, never, Scope.Scope>
  readonly state: Effect.Effect<State>
}

const reconnects = Metric.counter("composable_listen_reconnects", {
  description: "How often listening for appends was begun anew after its connection was lost or fell silent",
  incremental: true
})
const polls = Metric.counter("composable_polls", {
  description: "How often the log was looked at without a notification",
  incremental: true
})
const listening = Metric.gauge("composable_listening", {
  description: "1 while notifications of appends arrive, 0 while the store polls"
})

/** After an append another is likely. */
const shortestPause = 10
/** Each pause is that much longer, so an append waits for at most a fifth of the time since the last one. */
const growth = 1.25

const firstReconnect = 50
const lastReconnect = 2_000

/** How long a notification may take before it counts as swallowed by a proxy, and how long it is then left alone. */
const proof = "2 seconds"
const untilNextProof = "1 minute"

class Silent extends Schema.TaggedError<Silent>()("Silent", {}) {
  override get message(): string {
    return "the connection that listens gave no sign of life"
  }
}

class Unheard extends Schema.TaggedError<Unheard>()("Unheard", {}) {
  override get message(): string {
    return "notifications do not arrive: a proxy that lends connections for one transaction only lets none through. " +
      "Connect the store's client past it, or choose to poll: { wakeUp: { by: \"poll\" } }"
  }
}

/** Its statements are of no interest to a trace. */
const background = (effect: Effect.Effect<never>) =>
  Effect.forkScoped(inRealTime(Effect.withTracerEnabled(effect, false)))

/**
 * Makes ready to listen and to poll; both begin with the first waiter. Where nobody waits, an append would otherwise wake
 * the very process that made it, which costs server and client a tenth of a lone append.
 */
export const make = (
  client: PgClient,
  { channel, schema }: Log,
  { by = "listen", heartbeat = "5 seconds", longestPause = "1 second" }: WakeUp = {}
): Effect.Effect<Listener, never, Scope.Scope> =>
  Effect.gen(function*() {
    const wakeUps = yield* PubSub.sliding<void>(1)
    const wakeAll = PubSub.publish(wakeUps, undefined)
    const someoneWaits = Latch.makeUnsafe(false)
    const wanted = Latch.makeUnsafe(false)
    const longest = Duration.toMillis(longestPause)
    let waiting = 0
    let pause = shortestPause
    let state: State = {
      listening: false,
      reason: by === "poll" ? "chosen" : "unused",
      lastHeartbeat: undefined,
      reconnects: 0
    }

    const soon = { duration: heartbeat, late: () => new Silent() }

    const alive = Effect.clockWith((clock) =>
      Effect.sync(() => {
        state = { ...state, lastHeartbeat: clock.currentTimeMillisUnsafe() }
      })
    )

    /** What was announced while nobody listened is made up for by waking everyone once. */
    const begun = Effect.suspend(() => {
      const isNews = state.reason !== "connecting"
      const again = state.lastHeartbeat !== undefined
      state = { ...state, listening: true, reason: undefined, reconnects: state.reconnects + (again ? 1 : 0) }
      return Effect.all([
        alive,
        wakeAll,
        Metric.update(listening, 1),
        again ? Metric.update(reconnects, 1) : Effect.void,
        isNews ? Effect.logInfo(`LISTEN ${channel} works again`) : Effect.void
      ], { discard: true })
    })

    const announce = client.unsafe(
      `SELECT pg_notify($1, (SELECT coalesce(max(global_position), 0) FROM ${schema}.events)::text)`,
      [channel]
    ).values

    const session = Effect.scoped(Effect.gen(function*() {
      const connection = yield* PgConnection.make(client.config)
      // At the end the connection is given back before UNLISTEN could be sent on it, which ends it at once: on a silent
      // one, an orderly good-bye would be waited for until TCP gives up.
      const registration = yield* Effect.acquireRelease(Scope.make(), Scope.close)
      const pinned = yield* connection.pin
      const notifications = yield* inTime(Scope.provide(pinned.listen(channel), registration), soon)
      yield* inTime(announce, soon)
      const heard = yield* Effect.timeoutOption(Queue.take(notifications), proof)
      if (Option.isNone(heard)) return yield* new Unheard()
      yield* begun
      const follow = Effect.forever(Effect.andThen(Queue.takeAll(notifications), wakeAll))
      // The statement keeps the connection's purpose visible in pg_stat_activity.
      const beat = Effect.sleep(heartbeat).pipe(
        Effect.andThen(inTime(pinned.query(`LISTEN "${channel}"`, [], false), soon)),
        Effect.andThen(alive)
      )
      return yield* Effect.raceFirst(follow, Effect.forever(beat))
    }))

    /** Says once that polling stands in, however long that lasts. */
    const lost = (error: SqlError | Silent | Unheard) =>
      Effect.suspend(() => {
        const wasListening = state.listening
        const known = state.reason !== undefined && state.reason !== "connecting"
        const reason = error._tag === "Unheard" ? "notifications do not arrive" : "lost or refused"
        const news = !known || reason !== state.reason
        state = { ...state, listening: false, reason }
        if (wasListening) pause = shortestPause
        return Effect.andThen(
          Metric.update(listening, 0),
          news
            ? Effect.logWarning(
              `LISTEN ${channel} does not work; polling until it does`,
              error._tag === "SqlError" ? scrubbed(error) : error
            )
            : Effect.void
        )
      })

    const listens = Effect.gen(function*() {
      let wait = firstReconnect
      while (true) {
        const error = yield* Effect.flip(session)
        wait = state.listening ? firstReconnect : Math.min(wait * 2, lastReconnect)
        yield* lost(error)
        const jitter = yield* Random.nextBetween(0.5, 1)
        yield* Effect.sleep(error._tag === "Unheard" ? untilNextProof : wait * jitter)
      }
    })

    const head = client.unsafe(`SELECT max(global_position) FROM ${schema}.events`).values

    const polling = Effect.gen(function*() {
      let last: unknown
      while (true) {
        yield* Latch.await(someoneWaits)
        yield* Effect.sleep(state.listening ? longest : pause)
        if (waiting === 0) continue
        yield* Metric.update(polls, 1)
        // A database that is away has nothing new; readers find out themselves when they read.
        const row = yield* Effect.option(inTime(head, soon))
        if (Option.isSome(row) && row.value[0]?.[0] !== last) {
          last = row.value[0]?.[0]
          pause = shortestPause
          yield* wakeAll
        } else {
          pause = Math.min(pause * growth, longest)
        }
      }
    })

    if (by === "listen") yield* background(Effect.andThen(Latch.await(wanted), listens))
    yield* background(polling)

    const enter = Effect.sync(() => {
      if (waiting++ === 0) Latch.openUnsafe(someoneWaits)
    })
    const leave = Effect.sync(() => {
      if (--waiting === 0) Latch.closeUnsafe(someoneWaits)
    })
    const want = Effect.sync(() => {
      if (state.reason === "unused") state = { ...state, reason: "connecting" }
      Latch.openUnsafe(wanted)
    })
    return {
      listen: Effect.map(
        // A waiter is registered before listening begins, so it cannot miss that it did.
        Effect.tap(PubSub.subscribe(wakeUps), want),
        (subscription) => Effect.acquireUseRelease(enter, () => PubSub.take(subscription), () => leave)
      ),
      state: Effect.sync(() => state)
    }
  })
