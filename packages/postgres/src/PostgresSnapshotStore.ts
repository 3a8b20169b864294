/**
 * The snapshot store on PostgreSQL, in a table of its own beside the log.
 */
import { InvalidSnapshot, maxStateVersion, type Snapshot } from "@composable-ts/core/Snapshot"
import * as SnapshotStore from "@composable-ts/core/SnapshotStore"
import type { StreamId } from "@composable-ts/core/StreamId"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import { exceeds } from "./internal/appendStatement.ts"
import * as Database from "./internal/Database.ts"
import { explained } from "./internal/sqlFailure.ts"
import { isTransient } from "./internal/transient.ts"
import type * as Migrations from "./Migrations.ts"

/** How the store works. */
export interface Options {
  /** The schema of the log that the snapshots belong to: lower-case letters, digits and `_`. Default `composable`. */
  readonly schema?: string | undefined
}

const failed = (operation: SnapshotStore.SnapshotStoreError["operation"]) => (error: SqlError) =>
  new SnapshotStore.SnapshotStoreError({ operation, retryable: isTransient(error), cause: explained(error) })

/** What a row takes besides the state. */
const rowOverhead = 16 * 1024

/** The state as JSON, unless a row that holds it could not be read again. */
const bodyOf = (
  { state, streamId }: Snapshot,
  maxBytes: number
): Effect.Effect<string, InvalidSnapshot | SnapshotStore.SnapshotStoreError> =>
  Effect.flatMap(
    Effect.try({
      try: () => JSON.stringify(state),
      catch: (cause) => new SnapshotStore.SnapshotStoreError({ operation: "save", retryable: false, cause })
    }),
    (body) =>
      exceeds(body, maxBytes)
        ? Effect.fail(
          new InvalidSnapshot({
            streamId,
            issue:
              `its state takes more than ${maxBytes} bytes of JSON: keep less in the state, or go without snapshots`
          })
        )
        : Effect.succeed(body)
  )

/**
 * The versions are compared in the very statement that writes, so of any that race the latest stays. The database leaves out those of a
 * stream that a tombstone ends.
 */
const makeSave = (client: PgClient, schema: string): SnapshotStore.Operations["save"] => {
  const text = `
    INSERT INTO ${schema}.snapshots AS kept (stream_id, state_version, version, global_position, state)
    VALUES ($1::text, $2::int, $3::bigint, $4::bigint, $5::text::json)
    ON CONFLICT (stream_id, state_version) DO UPDATE SET version = excluded.version,
      global_position = excluded.global_position, state = excluded.state, saved_at = clock_timestamp()
    WHERE kept.version < excluded.version
    RETURNING true`
  const maxBytes = Database.maxMessageSize(client) - rowOverhead
  return (snapshot) =>
    Effect.gen(function*() {
      const body = yield* bodyOf(snapshot, maxBytes)
      const { globalPosition, stateVersion, streamId, version } = snapshot
      const rows = yield* Effect.mapError(
        client.unsafe(text, [streamId, stateVersion, BigInt(version), globalPosition, body]).values,
        failed("save")
      )
      return { saved: rows.length > 0 }
    })
}

type Row = readonly [version: bigint, globalPosition: bigint, state: Schema.Json]

const makeLoad = (client: PgClient, schema: string): SnapshotStore.Operations["load"] => {
  const text = `SELECT version, global_position, state FROM ${schema}.snapshots
    WHERE stream_id = $1::text AND state_version = $2::int AND version <= $3::bigint`
  return (streamId, { atMost = Infinity, stateVersion }) =>
    Effect.mapBoth(
      client.unsafe(text, [streamId, stateVersion, BigInt(Math.min(atMost, Number.MAX_SAFE_INTEGER))]).values,
      {
        onFailure: failed("load"),
        onSuccess: ([row]) => {
          if (row === undefined) return Option.none()
          const [version, globalPosition, state] = row as unknown as Row
          return Option.some({ streamId, version: Number(version), globalPosition, stateVersion, state })
        }
      }
    )
}

const makeRemove = (client: PgClient, schema: string): SnapshotStore.Operations["remove"] => {
  const text = `DELETE FROM ${schema}.snapshots
    WHERE stream_id = $1::text AND state_version >= $2::int AND state_version <= $3::int`
  const remove = (streamId: StreamId, from: number, to: number) => client.unsafe(text, [streamId, from, to])
  return (streamId, { stateVersion } = {}) =>
    Effect.mapError(
      Effect.asVoid(remove(streamId, stateVersion ?? 1, stateVersion ?? maxStateVersion)),
      failed("remove")
    )
}

/** Opens the store in a schema that was migrated before, for a role that may not migrate. */
export const open = (
  options: Options = {}
): Effect.Effect<SnapshotStore.Service, Migrations.CheckError, PgClient> =>
  Effect.map(Database.open(options.schema), ({ client, name }) =>
    SnapshotStore.make({
      save: makeSave(client, name),
      load: makeLoad(client, name),
      remove: makeRemove(client, name)
    }))

/** Brings the schema up to date and opens the store, for a role that owns the schema. */
export const make = (
  options: Options = {}
): Effect.Effect<SnapshotStore.Service, Migrations.CheckError | Migrations.MigrateError, PgClient> =>
  Effect.andThen(Database.migrate(options.schema), open(options))

/** Provides the snapshot store in a schema that was migrated before, see {@link open}. */
export const layerOpen = (
  options: Options = {}
): Layer.Layer<SnapshotStore.SnapshotStore, Migrations.CheckError, PgClient> =>
  Layer.effect(SnapshotStore.SnapshotStore, open(options))

/**
 * Provides the snapshot store on the PostgreSQL database of the `PgClient`. Give it the schema of the event store.
 *
 * A state of more than the client's `maxMessageSize`, 16 MB unless set otherwise, is refused with `InvalidSnapshot`.
 *
 * A tombstone deletes its stream's snapshots in its own commit, and none is kept of the stream after it: the database
 * leaves out what is saved later, by whichever process, and the save answers that it saved nothing.
 *
 * @example
 * ```ts no-run
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 * import * as PostgresSnapshotStore from "@composable-ts/postgres/PostgresSnapshotStore"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const Database = PgClient.layer({ url: Redacted.make("postgres://localhost/shop") })
 * const Stores = Layer.mergeAll(PostgresEventStore.layer(), PostgresSnapshotStore.layer())
 * export const Persistence = Stores.pipe(Layer.provideMerge(Database))
 * ```
 */
export const layer = (
  options: Options = {}
): Layer.Layer<SnapshotStore.SnapshotStore, Migrations.CheckError | Migrations.MigrateError, PgClient> =>
  Layer.effect(SnapshotStore.SnapshotStore, make(options))
