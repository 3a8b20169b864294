/**
 * The event bus over PostgreSQL: what one process publishes, all processes on the database hear. What it promises stands
 * at `EventBus`; an aggregate's `Fx.publish` ends here when this is the bus that is provided.
 *
 * **Where messages are.** In a table of their own in the database of the `PgClient`, not in the log of events. The log
 * holds facts, for good: its events cannot be deleted, and every reader of it passes by all of them. Messages are news:
 * they are wanted by topic, for some days, and then not at all; and whoever erases a stream must not find its content
 * again in the stream of a topic. What the log gives, the table gives, too: positions are drawn in the order of commits,
 * under one lock that is held until the commit, so who reads on from a position skips nothing, and a publisher that has
 * its answer has its message on disk. Publishers of a process that wait at the same time share one commit.
 *
 * **What is not lost.** `publish` returns when the message is committed. A message that is published twice under one id
 * to one topic, say by one who was not sure, is stored once, for as long as it is kept. A group that consumes is a
 * subscription like a projection, with leases, a fenced checkpoint and partitions by key: what a crashed member had in
 * hand, others handle again within `Lease.Time`. Messages are kept until every such group has handled them, and at least
 * for {@link Options.keep}.
 *
 * Those who listen get each message at most once, as with the bus in memory, and a group of theirs is shared by all
 * processes. A slow one that suspends lets its messages wait in the table, and no publisher waits for it.
 */
import * as EventBus from "@composable-ts/core/EventBus"
import { DeliveryFailed, EventBusError, InvalidSubscription, otherTopics } from "@composable-ts/core/EventBusError"
import { EventStore } from "@composable-ts/core/EventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PgClient from "@effect/sql-pg/PgClient"
import { groupBy } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { MigrationError } from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { isContention, isOutage, patiently } from "./internal/failures.ts"
import { handOver, type Parcel } from "./internal/handOver.ts"
import { alone, FellBehind, together } from "./internal/listening.ts"
import * as messageLog from "./internal/messageLog.ts"
import * as publishing from "./internal/publishing.ts"
import { migrate, schema } from "./internal/schema.ts"
import { onNotification } from "./internal/signals.ts"
import * as subject from "./internal/subject.ts"
import * as Lease from "./Lease.ts"
import * as Poison from "./Poison.ts"
import * as Start from "./Start.ts"
import * as Subscription from "./Subscription.ts"

/** How the bus works. */
export interface Options {
  /**
   * Into how many parts a group that consumes divides the keys, each worked on by one member at a time. It counts when
   * the group begins, and cannot be changed for it. Default 4.
   */
  readonly partitions?: number | undefined
  /** For how long messages are kept at least, and known by their ids. Default 7 days. */
  readonly keep?: Duration.Input | undefined
}

/** What a group that consumes is called among subscriptions: in `Status`, checkpoints and leases. */
export const subscriberOf = (group: string): Lease.Subscriber => ({
  name: `${subject.group}${group}`,
  version: 1
})

const isLasting = (cause: unknown) => !isOutage(cause) && !isContention(cause)

const failed = (operation: EventBusError["operation"]) => (cause: unknown) =>
  new EventBusError({ operation, retryable: !isLasting(cause), cause })

/** How long the bus may overlook a notification that was lost. */
const lookAfter: Duration.Input = "1 second"

/** How often to look for messages that need not be kept. */
const trimAfter: Duration.Input = "1 minute"

/** How many messages are deleted in one transaction. */
const trimmedAtOnce = 10_000

/**
 * Deletes the oldest messages that are old enough, and that no group has still to handle. Readers learn from `trimmed`
 * that there were some.
 */
const trim = (client: PgClient.PgClient, keep: Duration.Duration) =>
  Effect.map(
    client.unsafe<{ readonly deleted: bigint }>(
      `WITH old AS (
         SELECT max(position) AS position FROM (
           SELECT position, published_at FROM ${schema}.messages ORDER BY position LIMIT ${trimmedAtOnce}
         ) AS oldest WHERE published_at < clock_timestamp() - $1::float8 * interval '1 millisecond'
       ), bound AS (
         SELECT least(old.position, (
           SELECT min(position) FROM ${schema}.checkpoints WHERE starts_with(projection, '${subject.group}')
         )) AS position FROM old WHERE old.position IS NOT NULL
       ), told AS (
         UPDATE ${schema}.message_log SET trimmed = greatest(trimmed, bound.position) FROM bound RETURNING trimmed
       ), gone AS (
         DELETE FROM ${schema}.messages USING bound WHERE messages.position <= bound.position RETURNING 1
       ) SELECT count(*) AS deleted FROM gone`,
      [Duration.toMillis(keep)]
    ),
    ([row]) => row?.deleted ?? 0n
  )

/** How a group's partition hands messages to its handler: one key's in order. */
const deliverTo = <R>(
  { concurrency, retry }: EventBus.Consumption,
  handle: (delivery: EventBus.Delivery) => Effect.Effect<unknown, unknown, R>
): NonNullable<Subscription.Subscription<R>["deliver"]> => {
  const parcel = (recorded: RecordedEvent): Parcel<R> => {
    const delivery = messageLog.deliveryIn(recorded)
    return {
      events: [recorded],
      hand: Effect.suspend(() =>
        delivery === undefined
          ? Effect.die(new Error(`position ${recorded.globalPosition} of the messages is none`))
          : handle(delivery)
      )
    }
  }
  return (events, shouldPause) => {
    const lanes = concurrency === 1 ? [events] : Object.values(groupBy(events, ({ streamId }) => streamId))
    return handOver(events, lanes.map((lane) => lane.map(parcel)), { concurrency, retry }, shouldPause)
  }
}

/** Why a group's subscription stopped, in the bus's words. */
const stopped = ({ group, topics }: EventBus.Consumption) => (error: Subscription.Stopped) => {
  switch (error._tag) {
    case "ProjectionFailed":
      return new DeliveryFailed({ group, cause: error.cause })
    case "PartitionsChanged":
      return new InvalidSubscription({
        topics,
        issue: `group ${group} has ${error.begun} partitions, not ${error.declared}: ask for as many, or begin another`
      })
    default:
      return failed("subscribe")(error)
  }
}

/** Makes the tables, if they are missing, and begins to listen on one connection of the client. */
export const make = (
  { keep = "7 days", partitions = 4 }: Options = {}
): Effect.Effect<EventBus.Service, SqlError | MigrationError, PgClient.PgClient | Scope.Scope> =>
  Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    yield* Effect.provideService(migrate, SqlClient.SqlClient, client)
    const time = Duration.fromInputUnsafe(yield* Lease.Time)

    // The caller may be in a transaction of its own, which would then hold up every other publisher.
    const apart = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.updateContext(
        effect,
        (context: Context.Context<R>): Context.Context<R> =>
          Context.omit(client.transactionService)(context) as typeof context
      )

    const sleepers = new Set<Latch.Latch>()
    const wakeAll = () => sleepers.forEach((latch) => latch.openUnsafe())
    yield* onNotification(client, publishing.channel, wakeAll)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(lookAfter), Effect.sync(wakeAll))))
    const listening = Effect.map(
      Effect.acquireRelease(
        Effect.sync(() => {
          const latch = Latch.makeUnsafe()
          sleepers.add(latch)
          return latch
        }),
        (latch) => Effect.sync(() => sleepers.delete(latch))
      ),
      (latch) => Effect.andThen(latch.await, Effect.sync(() => void latch.closeUnsafe()))
    )

    const retention = Duration.fromInputUnsafe(keep)
    const trimAll = patiently("Event bus")(trim(client, retention)).pipe(
      Effect.repeat({ while: (deleted) => deleted > 0n }),
      Effect.catchCause((cause) => Effect.logError("Messages that need not be kept could not be deleted", cause))
    )
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(trimAfter), trimAll)))

    const turn = yield* Semaphore.make(1)
    const publish = yield* publishing.make(client)
    const log = messageLog.make(client, listening)

    const listen: EventBus.Operations["listen"] = (subscription) =>
      Effect.gen(function*() {
        const closed = yield* Deferred.make<void>()
        const arrival = yield* listening
        const { group } = subscription
        const next = yield* apart(
          group === undefined ? alone(client, subscription) : together(client, group, subscription, { time, turn })
        )
        yield* Effect.addFinalizer(() => Deferred.succeed(closed, undefined))
        const take: Effect.Effect<EventBus.Delivery, EventBusError | Cause.Done> = Effect.gen(function*() {
          while (!Deferred.isDoneUnsafe(closed)) {
            const delivery = yield* next.pipe(patiently("Event bus"), Effect.mapError(failed("subscribe")))
            if (delivery !== undefined) return delivery
            yield* Effect.raceFirst(arrival, Deferred.await(closed))
          }
          return yield* Cause.done()
        })
        return Stream.fromEffectRepeat(apart(take))
      }).pipe(
        Effect.catchIf(
          (error): error is Exclude<typeof error, InvalidSubscription> => !(error instanceof InvalidSubscription),
          (error) => Effect.fail(failed("subscribe")(error))
        )
      )

    const enter = ({ group, topics }: EventBus.Consumption) =>
      Effect.gen(function*() {
        const [row] = yield* client.unsafe<{ readonly topics: ReadonlyArray<string> }>(
          `INSERT INTO ${schema}.message_consumers AS known VALUES ($1, $2::text[])
           ON CONFLICT (name) DO UPDATE SET name = known.name RETURNING topics`,
          [group, topics]
        ).pipe(patiently("Event bus"), Effect.mapError(failed("subscribe")))
        if (String(row?.topics) !== String(topics)) {
          return yield* new InvalidSubscription({ topics, issue: otherTopics(group, row?.topics ?? []) })
        }
      })

    const consume: EventBus.Operations["consume"] = <R>(
      consumption: EventBus.Consumption,
      handle: EventBus.Handler<R>
    ) =>
      Effect.gen(function*() {
        yield* enter(consumption)
        // The handler's services are its caller's: a client among them is not that of the bus.
        const context = yield* Effect.context<R>()
        const member: Subscription.Subscription<never> = {
          ...subscriberOf(consumption.group),
          events: consumption.topics,
          partitions,
          startFrom: Start.now,
          setUp: Effect.void,
          apply: () => Effect.void,
          retry: Poison.never,
          poison: Poison.stop,
          deliver: deliverTo(consumption, (delivery) => Effect.provideContext(handle(delivery), context))
        }
        return yield* Subscription.run(member).pipe(
          // A log of its own: readers of one share pages by the types of events, which do not tell topics.
          Effect.provideService(EventStore, { ...log }),
          Effect.provideService(PgClient.PgClient, client),
          Effect.provideService(Lease.Time, time),
          Effect.mapError(stopped(consumption))
        )
      }).pipe(apart)

    return EventBus.make({ publish: (topic, message) => apart(publish(topic, message)), listen, consume })
  })

/**
 * Provides the bus on the database of the `PgClient`, of which it takes one connection to listen; a member that consumes
 * opens up to three beside the client's, as `Projection.run` does.
 *
 * @example
 * ```ts no-run
 * import { EventBus } from "@composable-ts/core/EventBus"
 * import * as PostgresEventBus from "@composable-ts/projections/PostgresEventBus"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * declare const sendMail: (id: string, order: unknown) => Effect.Effect<void, Error>
 *
 * const Database = PgClient.layer({ url: Redacted.make("postgres://localhost/shop") })
 * const Bus = PostgresEventBus.layer().pipe(Layer.provide(Database))
 *
 * export const mailer = Effect.flatMap(EventBus, (bus) =>
 *   bus.consume(["orders"], { group: "mailer" }, ({ message }) => sendMail(message.id, message.data))
 * ).pipe(Effect.provide(Bus))
 * ```
 */
export const layer = (
  options: Options = {}
): Layer.Layer<EventBus.EventBus, SqlError | MigrationError, PgClient.PgClient> =>
  Layer.effect(EventBus.EventBus, make(options))

/**
 * Ends a group that consumes, and forgets its place: messages are kept for it no longer. Members that it still has fail.
 * To consume under its name again is to begin anew.
 */
export const removeGroup = (group: string): Effect.Effect<void, SqlError, PgClient.PgClient> =>
  Effect.flatMap(PgClient.PgClient, (client) => {
    const { name, version } = subscriberOf(group)
    return client.withTransaction(Effect.gen(function*() {
      yield* client.unsafe(`DELETE FROM ${schema}.message_consumers WHERE name = $1`, [group])
      for (const table of ["checkpoints", "leases", "members"]) {
        yield* client.unsafe(`DELETE FROM ${schema}.${table} WHERE projection = $1 AND version = $2`, [name, version])
      }
    }))
  })

export { FellBehind }
