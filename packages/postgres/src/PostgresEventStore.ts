/**
 * The event store on PostgreSQL.
 *
 * Concurrent appends are grouped: one statement and one commit for all that wait. The statement holds one lock until its
 * commit, so global positions are drawn in commit order and without gaps, and a reader needs no trick at all.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import {
  type AppendError,
  type CommandIdConflict,
  EventStoreError,
  VersionConflict
} from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { PgClient } from "@effect/sql-pg/PgClient"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { MigrationError } from "effect/sql/Migrator"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as AppendStatement from "./internal/appendStatement.ts"
import * as GroupCommit from "./internal/GroupCommit.ts"
import * as Listener from "./internal/Listener.ts"
import { columns, recorded } from "./internal/rows.ts"
import { channel, migrate, quoted } from "./internal/schema.ts"
import { isTransient } from "./internal/transient.ts"

/** How the store works. */
export interface Options {
  /** The schema that holds the log: lower-case letters, digits and `_`. Default `composable`. */
  readonly schema?: string | undefined
}

const schemaShape = /^[a-z_][a-z0-9_]{0,50}$/

type Appended = NonEmptyReadonlyArray<EventStore.AppendResult>
type AppendFailure = VersionConflict | CommandIdConflict | EventStoreError
type Submission = GroupCommit.Submission<AppendStatement.Command, Appended, AppendFailure>

const limits: GroupCommit.Limits<AppendStatement.Command> = {
  size: 128,
  weight: 4 * 1024 * 1024,
  weigh: (command) => command.weight,
  key: (command) => command.context.commandId,
  capacity: 10_000,
  lanes: 2
}

/** How long to try to find out what became of a group whose connection was lost. */
const resend = Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("500 millis")]).pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: "10 seconds" })
)

const failed = (operation: string) => (error: SqlError): EventStoreError =>
  new EventStoreError({ operation, retryable: isTransient(error), cause: error })

/** The client's: a larger message from the server, thus also a larger row, ends the connection. */
const defaultMaxMessageSize = 16 * 1024 * 1024

const isRetryable = (error: EventStoreError): boolean => error.retryable

const isUnavailable = (cause: Cause.Cause<SqlError>): boolean => {
  const error = Cause.findErrorOption(cause)
  return Option.isSome(error) && isTransient(error.value)
}

const makeAppend = (client: PgClient, schema: string, readCommand: EventStore.Operations["readCommand"]) => {
  const text = AppendStatement.text(schema)
  const maxRowBytes = client.config.maxMessageSize ?? defaultMaxMessageSize

  const send = (commands: ReadonlyArray<AppendStatement.Command>) =>
    Effect.map(
      client.unsafe(text, AppendStatement.parameters(commands)).values,
      ([row]) => AppendStatement.answers(commands, row as unknown as AppendStatement.Row)
    )

  /**
   * The caller's fiber may be in a transaction of its own, whose snapshot need not show what was committed since. The
   * look-up stays out of it, as the append does.
   */
  const storedBy = (commandId: string): Effect.Effect<ReadonlyArray<RecordedEvent>, EventStoreError> =>
    readCommand(commandId).pipe(
      Effect.retry({ schedule: resend, while: isRetryable }),
      Effect.updateContext((context: Context.Context<never>): Context.Context<never> =>
        Context.omit(client.transactionService)(context)
      )
    )

  /** The outcome of a command whose id the log knows: stored by an earlier command, or by ours before its answer was lost. */
  const known = ({ context, parts }: AppendStatement.Command): Effect.Effect<Appended, AppendFailure> =>
    Effect.flatMap(storedBy(context.commandId), (events) => {
      const duplicate = events[0]?.eventId !== parts[0].eventIds[0]
      const first = EventStore.firstOutcomes(context.commandId, parts, events)
      return Effect.fromResult(
        Result.map(first, (results) => results.map((result) => ({ ...result, duplicate })) as unknown as Appended)
      )
    })

  const outcome = (
    command: AppendStatement.Command,
    answer: AppendStatement.Answer
  ): Effect.Effect<Appended, AppendFailure> => {
    switch (answer._tag) {
      case "Stored":
        return Effect.succeed(answer.results)
      case "Known":
        return known(command)
      case "Conflict": {
        const { expected, streamId } = command.parts[answer.part]!
        return Effect.fail(new VersionConflict({ streamId, expected, actual: answer.actual }))
      }
    }
  }

  /**
   * Sending again is safe at any time: the log knows a command by its id. So a lost connection, whatever had reached the
   * server, is resolved by asking again; and when a group fails for another reason, its commands are sent one by one, so
   * that only the culprit fails. No culprit is looked for when the database stays away: all would wait for each.
   */
  const flush = (group: ReadonlyArray<Submission>): Effect.Effect<void> =>
    send(group.map(({ input }) => input)).pipe(
      Effect.retry({ schedule: resend, while: isTransient }),
      Effect.matchCauseEffect({
        onSuccess: (answers) =>
          Effect.sync(() => {
            answers.forEach((answer, i) => group[i]!.complete(outcome(group[i]!.input, answer)))
          }),
        onFailure: (cause) =>
          group.length > 1 && !isUnavailable(cause)
            ? Effect.forEach(group, (submission) => flush([submission]), { discard: true })
            : Effect.sync(() => {
              for (const { complete } of group) {
                complete(Effect.mapError(Effect.failCause(cause), failed("append")))
              }
            })
      })
    )

  return Effect.map(
    GroupCommit.make<AppendStatement.Command, Appended, AppendFailure>(limits, flush),
    (submit): EventStore.Operations["transact"] => (appends, context) =>
      Effect.clockWith((clock): Effect.Effect<Appended, AppendError> => {
        const command = AppendStatement.command(appends, context, clock.currentTimeMillisUnsafe(), maxRowBytes)
        return Result.isSuccess(command) ? submit(command.success) : Effect.fail(command.failure)
      })
  )
}

const makeRead = (client: PgClient, schema: string): EventStore.Operations["read"] => {
  const select = (order: "ASC" | "DESC") =>
    `SELECT ${columns} FROM ${schema}.events WHERE stream_id = $1 AND version >= $2 AND version <= $3
     ORDER BY version ${order} LIMIT $4`
  const forwards = select("ASC")
  const backwards = select("DESC")
  return (streamId, { direction, from = 0, maxCount = null, to = maxVersion } = {}) =>
    rows(
      "read",
      client.unsafe(direction === "backwards" ? backwards : forwards, [
        streamId,
        from,
        Math.min(to, maxVersion),
        maxCount
      ])
    )
}

/** The largest value of the column. */
const maxVersion = 2 ** 31 - 1

const rows = (
  operation: string,
  statement: { readonly values: Effect.Effect<ReadonlyArray<ReadonlyArray<unknown>>, SqlError> }
): Effect.Effect<ReadonlyArray<RecordedEvent>, EventStoreError> =>
  Effect.mapBoth(statement.values, { onFailure: failed(operation), onSuccess: (values) => values.map(recorded) })

/**
 * Positions are dense, so a page is a range of positions, whatever a filter leaves of it. The head is read in the same
 * statement, hence in the same snapshot: nothing can be committed between the two.
 *
 * A stream's partition comes from the SHA-256 of its id. PostgreSQL's own hash functions are faster, but it promises
 * nobody that they stay the same, and a stream that changed its partition would be read twice or not at all.
 */
const makeReadAll = (client: PgClient, schema: string): EventStore.Operations["readAll"] => {
  const select = (...filters: ReadonlyArray<string>) => `
    WITH log AS MATERIALIZED (
      SELECT head,
        (SELECT event_id FROM ${schema}.events WHERE global_position = $1) AS previous,
        (SELECT event_id FROM ${schema}.events WHERE global_position = least($1 + $2, head)) AS last
      FROM (SELECT coalesce(max(global_position), 0) AS head FROM ${schema}.events) AS tip
    )
    SELECT log.head, log.previous, log.last, page.* FROM log
    LEFT JOIN LATERAL (
      SELECT ${columns} FROM ${schema}.events
      WHERE global_position > $1 AND global_position <= $1 + $2 ${filters.map((filter) => `AND ${filter}`).join(" ")}
    ) AS page ON true ORDER BY page.global_position`
  const all = select()
  const some = select(named("$3"))
  const part = select(within("$3", "$4"))
  const someOfPart = select(within("$3", "$4"), named("$5"))
  return ({ after, limit, names, partition }) => {
    const range = partition === undefined ? [after, limit] : [after, limit, partition.count, partition.index]
    const statement = names === undefined
      ? client.unsafe(partition === undefined ? all : part, range)
      : client.unsafe(partition === undefined ? some : someOfPart, [...range, names])
    return Effect.mapBoth(statement.values, {
      onFailure: failed("read the log"),
      onSuccess: (values) => {
        const [head, previous, last, first] = values[0]! as unknown as PageHead
        const end = after + BigInt(limit)
        return {
          events: first === null ? [] : values.map((row) => recorded(row.slice(3))),
          position: end < head ? end : head > after ? head : after,
          head,
          previousEventId: previous ?? undefined,
          lastEventId: after > head ? undefined : last ?? undefined
        }
      }
    })
  }
}

/** Events of these names. */
const named = (names: string): string => `split_part(type, '.', 1) = ANY(${names})`

/** Events of one of so many partitions. */
const within = (count: string, index: string): string =>
  `('x' || encode(substr(sha256(convert_to(stream_id, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint % ${count} = ${index}`

/** What each row of a page begins with, and the event's first column. */
type PageHead = readonly [head: bigint, previous: string | null, last: string | null, first: string | null]

const makeReadCommand = (client: PgClient, schema: string): EventStore.Operations["readCommand"] => {
  const text = `
    SELECT ${columns} FROM ${schema}.events, (
      SELECT global_position AS first, command_size AS size FROM ${schema}.events
      WHERE command_id = $1 AND command_size IS NOT NULL
    ) AS command
    WHERE global_position >= command.first AND global_position < command.first + command.size
    ORDER BY global_position`
  return (commandId) => rows("read a command's events", client.unsafe(text, [commandId]))
}

/** Brings the schema up to date and opens the store. */
export const make = (
  options: Options = {}
): Effect.Effect<EventStore.Service, SqlError | MigrationError, PgClient | Scope.Scope> =>
  Effect.gen(function*() {
    const schema = options.schema ?? "composable"
    if (!schemaShape.test(schema)) {
      return yield* Effect.die(new TypeError(`"${schema}" cannot name the log's schema: it must match ${schemaShape}`))
    }
    const client = yield* PgClient
    yield* Effect.provideService(migrate(schema), SqlClient, client)
    const name = quoted(schema)
    const readCommand = makeReadCommand(client, name)
    return EventStore.make({
      transact: yield* makeAppend(client, name, readCommand),
      read: makeRead(client, name),
      readAll: makeReadAll(client, name),
      readCommand,
      listen: yield* Listener.make(client, channel(schema))
    })
  })

/**
 * Provides the event store on the PostgreSQL database of the `PgClient`, which must allow at least three connections:
 * two to append, one to listen.
 *
 * @example
 * ```ts no-run
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const Database = PgClient.layer({ url: Redacted.make("postgres://localhost/shop") })
 * export const Events = PostgresEventStore.layer().pipe(Layer.provideMerge(Database))
 * ```
 */
export const layer = (
  options: Options = {}
): Layer.Layer<EventStore.EventStore, SqlError | MigrationError, PgClient> =>
  Layer.effect(EventStore.EventStore, make(options))
