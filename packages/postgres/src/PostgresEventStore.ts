/**
 * The event store on PostgreSQL.
 *
 * Concurrent appends are grouped: one statement and one commit for all that wait. The statement holds one lock until its
 * commit, so global positions are drawn in commit order and without gaps, and a reader needs no trick at all.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { flow } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Codec from "./Codec.ts"
import * as Health from "./Health.ts"
import { type AppendLimits, badLimit, groupsUnderWay, makeAppend } from "./internal/appending.ts"
import * as AppendMetrics from "./internal/AppendMetrics.ts"
import * as Database from "./internal/Database.ts"
import * as Listener from "./internal/Listener.ts"
import * as Pipeline from "./internal/Pipeline.ts"
import { makeRead, makeReadAll, makeReadCommand, partitionOf, patiently } from "./internal/reading.ts"
import { channel } from "./internal/schema.ts"
import { Patience } from "./internal/sendGroup.ts"
import { makeTombstone } from "./internal/tombstoning.ts"
import { answeredIn, makeCall, makeStoredBy, type Writing } from "./internal/writing.ts"
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
  /**
   * How long the database may take for a group of appends. A silent connection is given up then, and the group is sent
   * again, as after a lost one. Longer than any of your transactions holds the log's lock. Default 30 seconds.
   */
  readonly appendTimeout?: Duration.Input | undefined
  /** What the store's health heeds. */
  readonly health?: Health.Options | undefined
}

export type { AppendLimits }

/** An event store that tells how it is. */
export interface Service extends EventStore.Service {
  /** Asks the database. It never fails and never takes longer than its time-out. */
  readonly health: Effect.Effect<Health.Report>
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
    const pipeline = yield* Pipeline.make(client, groupsUnderWay)
    const writing: Writing = {
      client,
      call: makeCall(pipeline.client),
      schema: name,
      storedBy: makeStoredBy(client, readCommand, patience),
      patience
    }
    const appends = yield* makeAppend({
      ...writing,
      call: answeredIn(options.appendTimeout ?? "30 seconds", pipeline)(writing.call),
      codec: options.codec,
      limits: options.append ?? {},
      metrics
    })
    const store = EventStore.make({
      transact: appends.transact,
      tombstone: makeTombstone(writing),
      read: flow(read, inPatience("read")),
      readAll: flow(readAll, inPatience("read the log")),
      partitionOf,
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
 * Provides the event store, and its health, on the PostgreSQL database of the `PgClient`, whose pool serves reads. The
 * store opens two connections more, with the client's settings: one to append, and one to listen, see
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
