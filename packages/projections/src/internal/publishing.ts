/**
 * Stores messages: those that wait at the same time by one statement and in one commit, in the order in which they came.
 */
import { EventBusError } from "@composable-ts/core/EventBusError"
import type { Message } from "@composable-ts/core/Message"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import { isContention, isOutage, throughContention } from "./failures.ts"
import { hash } from "./hash.ts"
import { bodyOf } from "./messageLog.ts"
import { schema } from "./schema.ts"

/** Where everybody is told that something was published. */
export const channel = `${schema}_messages`

/** How many messages, and characters of theirs, go into one statement unless one alone is larger. */
const most = 256
const mostCharacters = 4_000_000

interface Waiting {
  readonly topic: string
  readonly id: string
  readonly key: string
  readonly hash: number
  readonly body: string
  readonly done: Deferred.Deferred<void, SqlError>
}

/** A group of those that wait, as many as go into one statement, first come first. */
const takeGroup = (waiting: Array<Waiting>): ReadonlyArray<Waiting> => {
  let characters = 0
  let count = 0
  while (count < Math.min(most, waiting.length)) {
    characters += waiting[count]!.body.length
    if (count > 0 && characters > mostCharacters) break
    count++
  }
  return waiting.splice(0, count)
}

/** The first statement waits for whoever publishes elsewhere; a message of a topic that has its id is not stored again. */
const insert = (client: PgClient, group: ReadonlyArray<Waiting>) =>
  client.unsafe(
    `WITH log AS (
       UPDATE ${schema}.message_log SET head = head + $1::bigint RETURNING head - $1::bigint AS before
     ), stored AS (
       INSERT INTO ${schema}.messages (position, topic, message_id, key, key_hash, message)
       SELECT log.before + nr, topic, message_id, key, key_hash, message::json
       FROM log, unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) WITH ORDINALITY
         AS given(topic, message_id, key, key_hash, message, nr)
       ORDER BY nr ON CONFLICT (topic, md5(message_id)) DO NOTHING
     ) SELECT pg_notify('${channel}', '') FROM log`,
    [
      BigInt(group.length),
      group.map(({ topic }) => topic),
      group.map(({ id }) => id),
      group.map(({ key }) => key),
      group.map(({ hash }) => BigInt(hash)),
      group.map(({ body }) => body)
    ]
  )

/** A message as it waits; throws when it is no JSON. */
const toStore = (topic: string, message: Message): Waiting => ({
  topic,
  id: JSON.stringify(message.id),
  key: JSON.stringify(message.key),
  hash: hash(message.key),
  body: bodyOf(message),
  done: Deferred.makeUnsafe()
})

/** Publishes through a client. */
export const make = (
  client: PgClient
): Effect.Effect<(topic: string, message: Message) => Effect.Effect<void, EventBusError>> =>
  Effect.map(Semaphore.make(1), (turn) => {
    const waiting: Array<Waiting> = []

    /** What holds up one of a group must not hold up the others: they are then stored each alone. */
    const store = (group: ReadonlyArray<Waiting>): Effect.Effect<void> =>
      Effect.matchEffect(throughContention(insert(client, group)), {
        onSuccess: () => Effect.forEach(group, ({ done }) => Deferred.succeed(done, undefined), { discard: true }),
        onFailure: (error) =>
          group.length === 1 || isOutage(error)
            ? Effect.forEach(group, ({ done }) => Deferred.fail(done, error), { discard: true })
            : Effect.forEach(group, (one) => store([one]), { discard: true })
      })

    const storeAll = Effect.uninterruptible(Effect.suspend(() => store(takeGroup(waiting))))

    return (topic, message) =>
      Effect.gen(function*() {
        const mine = yield* Effect.try({
          try: () => toStore(topic, message),
          catch: (cause) => new EventBusError({ operation: "publish", retryable: false, cause })
        })
        waiting.push(mine)
        const withdraw = Effect.sync(() => {
          const place = waiting.indexOf(mine)
          if (place >= 0) waiting.splice(place, 1)
        })
        // Whoever has the turn stores for all who wait; most find their own message stored when their turn comes.
        const untilStored = Effect.suspend(() => Deferred.isDoneUnsafe(mine.done) ? Effect.void : storeAll)
        const stored = Effect.gen(function*() {
          while (!Deferred.isDoneUnsafe(mine.done)) yield* turn.withPermits(1)(untilStored)
          yield* Deferred.await(mine.done)
        })
        yield* Effect.onInterrupt(stored, () => withdraw).pipe(
          Effect.mapError((cause) =>
            new EventBusError({ operation: "publish", retryable: isOutage(cause) || isContention(cause), cause })
          )
        )
      })
  })
