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
  CorruptLog,
  CorruptStream,
  EventStoreError,
  Overloaded,
  StreamTombstoned,
  VersionConflict
} from "@composable-ts/core/EventStoreError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as Tombstone from "@composable-ts/core/Tombstone"
import type { PgClient } from "@effect/sql-pg/PgClient"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { flow } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"

import type { SqlError } from "effect/sql/SqlError"
import type * as Codec from "./Codec.ts"
import * as Health from "./Health.ts"
import * as AppendMetrics from "./internal/AppendMetrics.ts"
import { commitSpan, spanOf } from "./internal/appendSpans.ts"
import * as AppendStatement from "./internal/appendStatement.ts"
import * as Database from "./internal/Database.ts"
import * as GroupCommit from "./internal/GroupCommit.ts"
import { inRealTime, inTime } from "./internal/inTime.ts"
import * as Listener from "./internal/Listener.ts"
import { columns, recordedAll } from "./internal/rows.ts"
import { channel } from "./internal/schema.ts"
import { Patience, resend, sendGroup } from "./internal/sendGroup.ts"
import { failed } from "./internal/sqlFailure.ts"
import { sqlState } from "./internal/sqlState.ts"
import * as TombstoneStatement from "./internal/tombstoneStatement.ts"
import { isTransient } from "./internal/transient.ts"
import type * as Migrations from "./Migrations.ts"
import type { WakeUp } from "./WakeUp.ts"

/** How the store works. */
export interface Options {
  /** The schema that holds the log: lower-case letters, digits and `_`. Default `composable`. */
  readonly schema?: string | undefined
  /** How the store learns of appends by others. Default: by LISTEN, and by polling while that does not work. */
  readonly wakeUp?: WakeUp | undefined
  /**
   * How bodies of events are written: `Codec.json`, the default, or `Codec.messagePack`, which `psql` cannot read. Bodies
   * written otherwise before, or by other stores, are read all the same.
   */
  readonly codec?: Codec.Codec | undefined
  /** How appends are grouped, and how many may wait. */
  readonly append?: AppendLimits | undefined
  /**
   * How long a read may take; a silent connection is given up then, and the read fails as `Unreachable`. The server goes
   * by its own `statement_timeout`. Default 30 seconds.
   */
  readonly readTimeout?: Duration.Input | undefined
  /** What the store's health heeds. */
  readonly health?: Health.Options | undefined
}

/** An event store that tells how it is. */
export interface Service extends EventStore.Service {
  /** Asks the database. It never fails and never takes longer than its time-out. */
  readonly health: Effect.Effect<Health.Report>
}

/** How appends are grouped into commits, and what happens when the database is slower than the callers. */
export interface AppendLimits {
  /** The most appends in one commit. Default 128. */
  readonly groupSize?: number | undefined
  /** The most that the events of one commit weigh, in characters of JSON or bytes of MessagePack; a heavier append goes alone. Default 4 Mi. */
  readonly groupWeight?: number | undefined
  /** How many appends may be under way or waiting. Default 10 000. */
  readonly capacity?: number | undefined
  /**
   * What becomes of an append beyond the capacity: it waits for its turn (the default), or fails at once with
   * `Overloaded`, for callers who would rather turn work away than let it pile up.
   */
  readonly whenFull?: "wait" | "fail" | undefined
}

type Appended = NonEmptyReadonlyArray<EventStore.AppendResult>
type AppendFailure = VersionConflict | StreamTombstoned | CommandIdConflict | Overloaded | EventStoreError
type Submission = GroupCommit.Submission<AppendStatement.Command, Appended, AppendFailure>

const limits = (
  { capacity = 10_000, groupSize = 128, groupWeight = 4 * 1024 * 1024 }: AppendLimits
): GroupCommit.Limits<AppendStatement.Command> => ({
  size: groupSize,
  weight: groupWeight,
  weigh: (command) => command.weight,
  key: (command) => command.context.commandId,
  capacity,
  lanes: 2
})

const badLimit = ({ capacity = 1, groupSize = 1, groupWeight = 1 }: AppendLimits): string | undefined =>
  Object.entries({ capacity, groupSize, groupWeight }).find(([, limit]) => !(Number.isSafeInteger(limit) && limit > 0))
    ?.join(" of ")

const isRetryable = (error: EventStoreError): boolean => error.retryable

interface Writing {
  readonly client: PgClient
  readonly call: Call
  /** The schema's name as SQL takes it. */
  readonly schema: string
  readonly storedBy: StoredBy
  readonly patience: Duration.Input
}

interface Appending extends Writing {
  readonly codec: Codec.Codec | undefined
  readonly limits: AppendLimits
  readonly metrics: AppendMetrics.AppendMetrics
}

/** By which such a function refuses every isolation but READ COMMITTED. */
const wrongIsolation = "25000"

/**
 * Calls a function that writes to the log: as a statement of its own, which is one round trip, unless the role or the database has
 * been given another default isolation. The function tells; from then on it is called in a transaction that states its
 * isolation, for two round trips more.
 */
const makeCall = (client: PgClient) => {
  type Values = ReadonlyArray<ReadonlyArray<unknown>>
  let readCommittedByDefault = true

  const inReadCommitted = (text: string, parameters: ReadonlyArray<unknown>): Effect.Effect<Values, SqlError> =>
    Effect.scoped(Effect.gen(function*() {
      const connection = yield* client.reserve
      yield* connection.executeUnprepared("BEGIN ISOLATION LEVEL READ COMMITTED", [], undefined)
      const values = yield* connection.executeValues(text, parameters).pipe(
        // A connection on which not even this can be said is lost, and its transaction with it.
        Effect.tapError(() => Effect.ignore(connection.executeUnprepared("ROLLBACK", [], undefined)))
      )
      yield* connection.executeUnprepared("COMMIT", [], undefined)
      return values
    }))

  return (text: string, parameters: ReadonlyArray<unknown>): Effect.Effect<Values, SqlError> =>
    Effect.suspend(() =>
      readCommittedByDefault
        ? Effect.catchIf(client.unsafe(text, parameters).values, (error) => sqlState(error) === wrongIsolation, () => {
          readCommittedByDefault = false
          return inReadCommitted(text, parameters)
        })
        : inReadCommitted(text, parameters)
    )
}

type Call = ReturnType<typeof makeCall>

/** Looks up what a command stored, as patiently as a group is sent. */
const makeStoredBy = (
  client: PgClient,
  readCommand: EventStore.Operations["readCommand"],
  patience: Duration.Input
) =>
(commandId: string) =>
  readCommand(commandId).pipe(
    Effect.retry({ schedule: resend(patience), while: isRetryable }),
    Database.outsideTransaction(client)
  )

type StoredBy = ReturnType<typeof makeStoredBy>

const makeAppend = (
  { call, client, codec, limits: given, metrics, patience, schema, storedBy }: Appending
) => {
  const statement = AppendStatement.make(schema)
  const maxRowBytes = Database.maxMessageSize(client)

  const send = (commands: ReadonlyArray<AppendStatement.Command>) => {
    const { answers, parameters, text } = statement(commands)
    return Effect.map(call(text, parameters), ([row]) => answers(row!))
  }

  /** The outcome of a command whose id the log knows: stored by an earlier command, or by ours before its answer was lost. */
  const known = ({ context, parts }: AppendStatement.Command): Effect.Effect<Appended, AppendFailure> =>
    Effect.flatMap(storedBy(context.commandId), (events) => {
      const duplicate = events[0]?.eventId !== parts[0].eventIds[0]
      const first = EventStore.firstOutcomes(context, parts.map(AppendStatement.sent), events)
      if (duplicate && Result.isSuccess(first)) metrics.duplicate()
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
        metrics.conflict()
        const { expected, streamId } = command.parts[answer.part]!
        return Effect.fail(new VersionConflict({ streamId, expected, actual: answer.actual }))
      }
      case "Tombstoned": {
        const { streamId } = command.parts[answer.part]!
        return Effect.fail(new StreamTombstoned({ streamId, version: answer.version }))
      }
    }
  }

  const flush = (group: ReadonlyArray<Submission>): Effect.Effect<void> => {
    const sending = sendGroup<Submission, AppendStatement.Answer>({
      patience,
      send: (members) => {
        let tries = 0
        const statement = send(members.map(({ input }) => input))
        return Effect.suspend(() => {
          if (tries++ > 0) metrics.resend()
          return statement
        })
      },
      answered: ({ complete, input }, answer) => complete(outcome(input, answer)),
      failed: ({ complete }, cause) => complete(Effect.mapError(Effect.failCause(cause), failed("append")))
    }, group)
    return commitSpan(group.map(({ input }) => input), sending)
  }

  const full: GroupCommit.WhenFull<Overloaded> = {
    fail: () => {
      metrics.overload()
      return new Overloaded({ capacity: limits(given).capacity })
    }
  }
  const whenFull = given.whenFull === "fail" ? full : "wait"
  return Effect.map(
    GroupCommit.make<AppendStatement.Command, Appended, AppendFailure>(limits(given), flush, {
      whenFull,
      observer: metrics
    }),
    ({ queue, submit }) => {
      const transact: EventStore.Operations["transact"] = (appends, context) =>
        Effect.withFiber((fiber): Effect.Effect<Appended, AppendError> => {
          const time = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
          const command = AppendStatement.command(appends, context, { time, codec, maxRowBytes, span: spanOf(fiber) })
          return Result.isSuccess(command) ? submit(command.success) : Effect.fail(command.failure)
        })
      return { queue, transact }
    }
  )
}

/**
 * Tombstones are rare, and each may have much to erase, so each goes alone. Sending one again is as safe as sending an
 * append again; once it was sent, its outcome is waited for.
 */
const makeTombstone = ({ call, client, patience, schema, storedBy }: Writing): EventStore.Operations["tombstone"] => {
  const text = TombstoneStatement.text(schema)

  const known = (
    { context: { commandId }, parts: [{ eventIds, streamId }] }: AppendStatement.Command
  ): Effect.Effect<EventStore.AppendResult, CommandIdConflict | EventStoreError> =>
    Effect.flatMap(storedBy(commandId), (events) =>
      Effect.fromResult(
        Result.map(EventStore.firstTombstone(commandId, streamId, events), (first) => ({
          ...first,
          duplicate: events[0]?.eventId !== eventIds[0]
        }))
      ))

  const send = (command: AppendStatement.Command): Effect.Effect<EventStore.AppendResult, AppendFailure> =>
    call(text, TombstoneStatement.parameters(command)).pipe(
      Effect.retry({ schedule: resend(patience), while: isTransient }),
      Database.outsideTransaction(client),
      Effect.mapError(failed("tombstone")),
      Effect.flatMap(([row]): Effect.Effect<EventStore.AppendResult, AppendFailure> => {
        const answer = TombstoneStatement.answer(row as unknown as TombstoneStatement.Row)
        const { expected, streamId } = command.parts[0]
        switch (answer._tag) {
          case "Stored":
            return Effect.succeed(answer.result)
          case "Known":
            return known(command)
          case "Conflict":
            return Effect.fail(new VersionConflict({ streamId, expected, actual: answer.actual }))
          case "Tombstoned":
            return Effect.fail(new StreamTombstoned({ streamId, version: answer.version }))
        }
      }),
      Effect.uninterruptible
    )

  return (streamId, expected, context) =>
    Effect.clockWith((clock): Effect.Effect<EventStore.AppendResult, AppendError> => {
      const appends = [{ streamId, expected, events: [Tombstone.encode(context.reason)] }] as const
      const time = clock.currentTimeMillisUnsafe()
      const command = AppendStatement.command(appends, context, {
        maxRowBytes: Database.maxMessageSize(client),
        time,
        span: undefined
      })
      return Result.isSuccess(command) ? send(command.success) : Effect.fail(command.failure)
    })
}

const makeRead = (client: PgClient, schema: string): EventStore.Operations["read"] => {
  const select = (order: "ASC" | "DESC") =>
    `SELECT ${columns} FROM ${schema}.events WHERE stream_id = $1 AND version >= $2 AND version <= $3
     ORDER BY version ${order} LIMIT $4`
  const forwards = select("ASC")
  const backwards = select("DESC")
  return (streamId, { direction, from = 0, maxCount = null, to = maxVersion } = {}) =>
    Effect.flatMap(
      Effect.mapError(
        client.unsafe(direction === "backwards" ? backwards : forwards, [
          streamId,
          from,
          Math.min(to, maxVersion),
          maxCount
        ]).values,
        failed("read")
      ),
      (values) =>
        Effect.fromResult(
          Result.mapError(
            recordedAll(values),
            ({ issue, streamId, version }) => new CorruptStream({ streamId, version, issue })
          )
        )
    )
}

/** The largest value of the column. */
const maxVersion = 2 ** 31 - 1

/**
 * Positions are dense, so a page is a range of positions, whatever a filter leaves of it. The head is read in the same
 * statement, hence in the same snapshot: nothing can be committed between the two. So is the number of events that there
 * are in the range, where a filter would hide that one is missing.
 *
 * A stream's partition comes from the SHA-256 of its id. PostgreSQL's own hash functions are faster, but it promises
 * nobody that they stay the same, and a stream that changed its partition would be read twice or not at all.
 */
const makeReadAll = (client: PgClient, schema: string): EventStore.Operations["readAll"] => {
  const within = "global_position > $1 AND global_position <= $1 + $2"
  const select = (...filters: ReadonlyArray<string>) => `
    WITH log AS MATERIALIZED (
      SELECT head,
        (SELECT event_id FROM ${schema}.events WHERE global_position = $1) AS previous,
        (SELECT event_id FROM ${schema}.events WHERE global_position = least($1 + $2, head)) AS last,
        ${filters.length === 0 ? "NULL" : `(SELECT count(*) FROM ${schema}.events WHERE ${within})`} AS count
      FROM (SELECT coalesce(max(global_position), 0) AS head FROM ${schema}.events) AS tip
    )
    SELECT log.head, log.previous, log.last, log.count, page.* FROM log
    LEFT JOIN LATERAL (
      SELECT ${columns} FROM ${schema}.events WHERE ${[within, ...filters].join(" AND ")}
    ) AS page ON true ORDER BY page.global_position`
  const all = select()
  const some = select(named("$3"))
  const part = select(ofPartition("$3", "$4"))
  const someOfPart = select(ofPartition("$3", "$4"), named("$5"))
  const missing = `
    SELECT min(position) FROM generate_series($1::bigint + 1, $2) AS position
    WHERE NOT EXISTS (SELECT FROM ${schema}.events WHERE global_position = position)`

  const whole = (after: bigint, page: EventStore.LogPage, there: bigint | null) =>
    there === null || there >= page.position - (after > 0n ? after : 0n)
      ? Effect.succeed(page)
      : Effect.flatMap(
        Effect.mapError(client.unsafe(missing, [after, page.position]).values, failed("read the log")),
        ([row]) =>
          Effect.fail(
            new CorruptLog({
              globalPosition: row![0] as bigint,
              issue: `it is missing, though the log goes on to ${page.head}`
            })
          )
      )

  return ({ after, limit, names, partition }) => {
    const range = partition === undefined ? [after, limit] : [after, limit, partition.count, partition.index]
    const statement = names === undefined
      ? client.unsafe(partition === undefined ? all : part, range)
      : client.unsafe(partition === undefined ? some : someOfPart, [...range, names])
    return Effect.flatMap(Effect.mapError(statement.values, failed("read the log")), (values) => {
      const [head, previous, last, there, first] = values[0]! as unknown as PageHead
      const end = after + BigInt(limit)
      const events = first === null ? Result.succeed([]) : recordedAll(values, 4)
      if (Result.isFailure(events)) {
        const { globalPosition, issue } = events.failure
        return Effect.fail(new CorruptLog({ globalPosition, issue }))
      }
      const page: EventStore.LogPage = {
        events: events.success,
        position: end < head ? end : head > after ? head : after,
        head,
        previousEventId: previous ?? undefined,
        lastEventId: after > head ? undefined : last ?? undefined
      }
      return whole(after, page, there)
    })
  }
}

/** Events of these names. */
const named = (names: string): string => `split_part(type, '.', 1) = ANY(${names})`

/** Events of one of so many partitions. */
const ofPartition = (count: string, index: string): string =>
  `('x' || encode(substr(sha256(convert_to(stream_id, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint % ${count} = ${index}`

/** What each row of a page begins with, and the event's first column. */
type PageHead = readonly [
  head: bigint,
  previous: string | null,
  last: string | null,
  count: bigint | null,
  first: string | null
]

const fingerprinted = (event: RecordedEvent, fingerprint: string | null): EventStore.CommandEvent =>
  fingerprint === null ? event : { ...event, fingerprint }

const makeReadCommand = (client: PgClient, schema: string): EventStore.Operations["readCommand"] => {
  const operation = "read a command's events"
  const text = `
    SELECT fingerprint, ${columns} FROM ${schema}.events, (
      SELECT global_position AS first, command_size AS size FROM ${schema}.events
      WHERE command_id = $1 AND command_size IS NOT NULL
    ) AS command
    WHERE global_position >= command.first AND global_position < command.first + command.size
    ORDER BY global_position`
  return (commandId) =>
    Effect.flatMap(
      Effect.mapError(client.unsafe(text, [commandId]).values, failed(operation)),
      (values): Effect.Effect<ReadonlyArray<EventStore.CommandEvent>, EventStoreError> => {
        const events = recordedAll(values, 1)
        if (Result.isFailure(events)) {
          const { globalPosition, issue } = events.failure
          const cause = new CorruptLog({ globalPosition, issue })
          return Effect.fail(new EventStoreError({ operation, issue: cause.message, retryable: false, cause }))
        }
        return Effect.succeed(
          events.success.map((event, i) => fingerprinted(event, values[i]![0] as string | null))
        )
      }
    )
}

/** Reads that end in time, also on a connection that never answers. */
const patiently = (duration: Duration.Input) => (operation: string) => {
  const late = (): EventStoreError => {
    const patience = Duration.format(Duration.fromInputUnsafe(duration))
    return new EventStoreError({
      operation,
      reason: "Unreachable",
      issue: `no answer within ${patience}: see to the network and the server's load, or raise readTimeout`,
      retryable: true,
      cause: new Error(`No answer within ${patience}`)
    })
  }
  return <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A, E | EventStoreError> =>
    inRealTime(inTime(read, { duration, late }))
}

/** Why a log cannot be opened. */
export type OpenError = Migrations.CheckError

/**
 * Opens a log that was migrated before; for an application's role, which has no right to migrate. Nothing is created or
 * altered: a log that this program cannot work on, or that is not as it should be, is refused with a typed error, see
 * `Migrations.check`.
 */
export const open = (
  options: Options = {}
): Effect.Effect<Service, OpenError, PgClient | Scope.Scope> =>
  Effect.gen(function*() {
    const bad = badLimit(options.append ?? {})
    if (bad !== undefined) {
      return yield* Effect.die(new TypeError(`appends cannot have a ${bad}: it must be a whole number above 0`))
    }
    const { client, name, schema } = yield* Database.open(options.schema)
    const inPatience = patiently(options.readTimeout ?? "30 seconds")
    const [read, readAll, ofCommand] = [
      makeRead(client, name),
      makeReadAll(client, name),
      makeReadCommand(client, name)
    ]
    const readCommand: typeof ofCommand = flow(ofCommand, inPatience("read a command's events"))
    const listener = yield* Listener.make(client, { schema: name, channel: channel(schema) }, options.wakeUp)
    const metrics = AppendMetrics.make(schema, yield* Effect.context<never>())
    const patience = yield* Patience
    const writing: Writing = {
      client,
      call: makeCall(client),
      schema: name,
      storedBy: makeStoredBy(client, readCommand, patience),
      patience
    }
    const appends = yield* makeAppend({ ...writing, codec: options.codec, limits: options.append ?? {}, metrics })
    const store = EventStore.make({
      transact: appends.transact,
      tombstone: makeTombstone(writing),
      read: flow(read, inPatience("read")),
      readAll: flow(readAll, inPatience("read the log")),
      readCommand,
      listen: listener.listen
    })
    return { ...store, health: Health.make({ client, schema: name, listener, appends: appends.queue }, options.health) }
  })

/**
 * Brings the schema up to date and opens the store: the simple way, for a role that owns the schema. Such a role can
 * take the log's guards away, so a production system had better migrate when it deploys, by `Migrations.migrate`, and
 * {@link open} the log in a role that may not.
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, OpenError | Migrations.MigrateError, PgClient | Scope.Scope> =>
  Effect.gen(function*() {
    yield* Database.migrate(options.schema)
    return yield* open(options)
  })

const services = (store: Service): Context.Context<EventStore.EventStore | Health.Health> =>
  Context.make(EventStore.EventStore, store).pipe(Context.add(Health.Health, { check: store.health }))

/**
 * Provides the event store, and its health, on a log that was migrated before, see {@link open}. For connections see
 * {@link layer}.
 */
export const layerOpen = (
  options: Options = {}
): Layer.Layer<EventStore.EventStore | Health.Health, OpenError, PgClient> =>
  Layer.effectContext(Effect.map(open(options), services))

/**
 * Provides the event store, and its health, on the PostgreSQL database of the `PgClient`, which should allow at least
 * three connections: two to append, one to read. The store opens one more, beside the client's pool, to listen; see
 * {@link Options.wakeUp}. Migrates first, see {@link make}.
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
): Layer.Layer<EventStore.EventStore | Health.Health, OpenError | Migrations.MigrateError, PgClient> =>
  Layer.effectContext(Effect.map(make(options), services))
