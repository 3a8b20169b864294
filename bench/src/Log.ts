/**
 * Our event store on a database of its own, and the proof that what it stored is right.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PgClient from "@effect/sql-pg/PgClient"
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { encodedAt, streamOf } from "./Order.ts"
import { Server } from "./Server.ts"
import { numbers } from "./Timing.ts"

/** The event store, and all that belongs to it. */
export interface Log {
  readonly url: Redacted.Redacted
  readonly events: EventStore.Service
  readonly sql: SqlClient.SqlClient
  readonly context: Context.Context<EventStore.EventStore | SqlClient.SqlClient | PgClient.PgClient>
}

/** Opens the log of a database, as a user with default options does. */
export const openAt = Effect.fnUntraced(function*(url: Redacted.Redacted): Effect.fn.Return<Log, Error, Scope.Scope> {
  const context = yield* Layer.build(
    PostgresEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ url, applicationName: "ours" })))
  )
  return yield* Effect.provideContext(
    Effect.map(
      Effect.all({ events: EventStore.EventStore, sql: SqlClient.SqlClient }),
      (services) => ({ ...services, url, context })
    ),
    context
  )
})

/** Opens an empty log on a database of its own. */
export const open: Effect.Effect<Log, Error, Server | Scope.Scope> = Effect.gen(function*() {
  const { database } = yield* Server
  return yield* openAt(yield* database)
})

/** The position of the log's last event. */
export const head = ({ events }: Log): Effect.Effect<bigint, Error> =>
  Effect.map(events.readAll({ after: 0n, limit: 0 }), (page) => page.head)

/** The events of an order with these versions, encoded. */
export const encoded = (id: string, from: number, count: number) =>
  numbers(count).map((index) => encodedAt(id, from + index)) as unknown as NonEmptyReadonlyArray<
    ReturnType<typeof encodedAt>
  >

const appendSize = 100

/** Stores an order's first so many events. */
export const fill = ({ events }: Log, id: string, count: number): Effect.Effect<void, Error> =>
  Effect.forEach(
    numbers(Math.ceil(count / appendSize)),
    (part) =>
      events.append(
        streamOf(id),
        ExpectedVersion.exact(part * appendSize - 1),
        encoded(id, part * appendSize, Math.min(appendSize, count - part * appendSize))
      ),
    { discard: true }
  )

/**
 * What is wrong with the events behind a position, given how many were acknowledged: the global order must have neither
 * gap nor event in excess, and every stream that begins there be dense.
 */
export const faultOf = ({ sql }: Log, after: bigint, count: number): Effect.Effect<string | undefined, Error> =>
  Effect.map(
    sql<{ stored: number; span: bigint; broken: number }>`
      SELECT coalesce(sum(n), 0)::int AS stored,
        coalesce(max(last), ${after}::bigint) - ${after}::bigint AS span,
        count(*) FILTER (WHERE n <> highest + 1)::int AS broken
      FROM (
        SELECT count(*) AS n, max(version) AS highest, max(global_position) AS last
        FROM composable.events WHERE global_position > ${after} GROUP BY stream_id
      ) AS streams`,
    ([row]) => {
      const { broken, span, stored } = row!
      if (stored !== count) return `${count} events were acknowledged, but ${stored} are stored`
      if (span !== BigInt(count)) return `${count} events take ${span} global positions`
      return broken > 0 ? `${broken} streams have gaps` : undefined
    }
  )
