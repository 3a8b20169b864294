/**
 * The messages of a bus, read as a log is read: topics are the names of its events, keys its streams. So a group that
 * consumes is a subscription like any other.
 */
import type { Delivery } from "@composable-ts/core/EventBus"
import * as EventStore from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import type { Message } from "@composable-ts/core/Message"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { hasProperty } from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import { isContention, isOutage } from "./failures.ts"
import { schema } from "./schema.ts"

/** A message as the table has it. */
export interface MessageRow {
  readonly position: bigint
  readonly topic: string
  readonly message: Omit<Message, "origin"> & {
    readonly origin:
      | { readonly streamId: string; readonly version: number; readonly globalPosition: string }
      | null
  }
}

/** The message as JSON keeps it. */
export const bodyOf = (message: Message): string =>
  JSON.stringify(
    message.origin === null
      ? message
      : { ...message, origin: { ...message.origin, globalPosition: `${message.origin.globalPosition}` } }
  )

/** A message as receivers get it. */
export const deliveryOf = ({ message, topic }: MessageRow): Delivery => {
  const { origin } = message
  return {
    topic,
    message: {
      ...message,
      origin: origin === null ? null : { ...origin, globalPosition: BigInt(origin.globalPosition) }
    } as Message
  }
}

/** A message, as a log's event; it carries the delivery. */
interface RecordedMessage extends RecordedEvent {
  readonly delivery: Delivery
}

/** The message that an event of the messages' log is. */
export const deliveryIn = (recorded: RecordedEvent): Delivery | undefined =>
  isMessage(recorded) ? recorded.delivery : undefined

const isMessage = (recorded: RecordedEvent): recorded is RecordedMessage => hasProperty(recorded, "delivery")

const recordedOf = (row: MessageRow): RecordedMessage => {
  const delivery = deliveryOf(row)
  const { causationId, correlationId, data, id, key, metadata, time, type } = delivery.message
  return {
    streamId: key,
    version: 0,
    globalPosition: row.position,
    type,
    data,
    eventId: id,
    commandId: id,
    correlationId,
    causationId,
    recordedAt: time,
    metadata,
    delivery
  }
}

const failed = (operation: string) => (error: SqlError) =>
  new EventStoreError({ operation, retryable: isOutage(error) || isContention(error), cause: error })

const refused = (operation: string) =>
  Effect.fail(
    new EventStoreError({ operation, retryable: false, cause: new Error("messages are published, and not changed") })
  )

/**
 * The messages in the database of a client. Only what a subscription reads of a log is there: it can be followed, and
 * takes no appends. Checkpoints keep no identity of it, for messages are deleted, and it is in their own database.
 */
export const make = (
  client: PgClient,
  listen: Effect.Effect<Effect.Effect<void>, never, Scope.Scope>
): EventStore.Service =>
  EventStore.make({
    listen,
    readAll: ({ after, limit, names, partition = { index: 0, count: 1 } }) =>
      Effect.map(
        client.unsafe<Omit<MessageRow, "position"> & { readonly head: bigint; readonly position: bigint | null }>(
          `SELECT l.head, m.* FROM ${schema}.message_log AS l LEFT JOIN LATERAL (
             SELECT position, topic, message FROM ${schema}.messages
             WHERE position > $1 AND position <= l.head AND topic = ANY($2::text[]) AND key_hash % $3::int = $4::int
             ORDER BY position LIMIT $5::int
           ) AS m ON true ORDER BY m.position`,
          [after, names ?? [], partition.count, partition.index, limit]
        ),
        (rows): EventStore.LogPage => {
          const head = rows[0]?.head ?? 0n
          const events = rows.flatMap(({ message, position, topic }) =>
            position === null ? [] : [recordedOf({ message, position, topic })]
          )
          const last = events.at(-1)
          const position = limit === 0
            ? after
            : events.length < limit || last === undefined
            ? head
            : last.globalPosition
          return { events, position, head, previousEventId: undefined, lastEventId: undefined }
        }
      ).pipe(Effect.mapError(failed("read messages"))),
    read: () => refused("read a stream of messages"),
    readCommand: () => refused("read a command's messages"),
    transact: () => refused("append to messages"),
    tombstone: () => refused("erase messages")
  })
