/**
 * The subjects' keys in PostgreSQL: made once, however many processes ask at once, destroyed once, and the record of it
 * kept by the database.
 */
import { SubjectKeysError } from "@composable-ts/core/PersonalError"
import * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as Database from "./internal/Database.ts"
import * as MasterKey from "./internal/masterKey.ts"
import { explained } from "./internal/sqlFailure.ts"
import { isTransient } from "./internal/transient.ts"
import type * as Migrations from "./Migrations.ts"

/** How the keys are kept. */
export interface Options extends SubjectKeys.CacheOptions {
  /**
   * The schema that holds them: lower-case letters, digits and `_`. Default `composable`. They may be in another database
   * than the events; what an event is sealed with is there for good before the event is.
   */
  readonly schema?: string | undefined
  /**
   * Encrypts the keys, so that a copy of the database opens nothing: 32 random bytes in base64, from a place that is not
   * backed up with the database. Keys from before there was one stay as they are. Default: keys are stored in the open.
   */
  readonly masterKey?: Redacted.Redacted | undefined
}

type Operation = SubjectKeysError["operation"]

const failed = (operation: Operation) => (error: SqlError) =>
  new SubjectKeysError({ operation, retryable: isTransient(error), cause: explained(error) })

type KeyRow = readonly [subject: string, key: Uint8Array | null, wrapped: boolean]

const keySize = 32

/** The keys of some rows. */
const keysOf = (operation: Operation, { unwrap }: MasterKey.Wrapping) =>
(
  rows: ReadonlyArray<ReadonlyArray<unknown>>
): Effect.Effect<Map<string, SubjectKeys.Key>, SubjectKeysError> => {
  const keys = new Map<string, SubjectKeys.Key>()
  for (const [subject, stored, wrapped] of rows as unknown as ReadonlyArray<KeyRow>) {
    const key = stored === null ? "shredded" : unwrap(subject, { key: stored, wrapped })
    if (typeof key === "string" && stored !== null) {
      const cause = new Error(`the key of subject ${JSON.stringify(subject)} cannot be used: ${key}`)
      return Effect.fail(new SubjectKeysError({ operation, retryable: false, cause }))
    }
    keys.set(subject, typeof key === "string" ? "shredded" : Redacted.make(key, { label: "key" }))
  }
  return Effect.succeed(keys)
}

const makeFind = (client: PgClient, schema: string, wrapping: MasterKey.Wrapping) => {
  const text = `SELECT subject, key, wrapped FROM ${schema}.subject_keys WHERE subject = ANY($1::text[])`
  return (operation: Operation): SubjectKeys.Operations["find"] => (subjects) =>
    Effect.flatMap(
      Effect.mapError(client.unsafe(text, [subjects]).values, failed(operation)),
      keysOf(operation, wrapping)
    )
}

/**
 * Rows go in by subject, so that no two which make the same keys wait for each other. Whoever comes second waits until
 * the first has committed, and then reads that key in a statement, hence a snapshot, of its own.
 */
const makeEnsure = (
  client: PgClient,
  schema: string,
  wrapping: MasterKey.Wrapping
): SubjectKeys.Operations["ensure"] => {
  const find = makeFind(client, schema, wrapping)("make")
  const text = `
    INSERT INTO ${schema}.subject_keys (subject, key, wrapped)
    SELECT subject, decode(key, 'hex'), $3::bool FROM unnest($1::text[], $2::text[]) AS made (subject, key)
    ORDER BY subject COLLATE "C"
    ON CONFLICT (subject) DO NOTHING`
  const insert = (subjects: ReadonlyArray<string>) => {
    const made = subjects.map((subject) => wrapping.wrap(subject, randomBytes(keySize)))
    return Effect.mapError(
      client.unsafe(text, [subjects, made.map(({ key }) => Buffer.from(key).toString("hex")), made[0]!.wrapped]),
      failed("make")
    )
  }
  return Effect.fnUntraced(function*(subjects) {
    const known = yield* find(subjects)
    const missing = subjects.filter((subject) => !known.has(subject))
    if (missing.length === 0) return known
    yield* insert(missing)
    return new Map([...known, ...yield* find(missing)])
  })
}

/** One statement, so that of two which shred at once one comes first. It waits for the disk, whatever the session does. */
const makeShred = (client: PgClient, schema: string): SubjectKeys.Operations["shred"] => {
  const durable = `SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') = 'off'`
  const shred = `
    INSERT INTO ${schema}.subject_keys AS known (subject, wrapped, shredded_at, reason)
    VALUES ($1::text, false, clock_timestamp(), $2::text)
    ON CONFLICT (subject) DO UPDATE SET key = NULL, shredded_at = excluded.shredded_at, reason = excluded.reason
    WHERE known.shredded_at IS NULL`
  const record = `SELECT reason, shredded_at FROM ${schema}.subject_keys WHERE subject = $1::text`
  return (subject, reason) =>
    Effect.mapBoth(
      client.withTransaction(
        Effect.andThen(
          Effect.andThen(client.unsafe(durable), client.unsafe(shred, [subject, reason])),
          client.unsafe(record, [subject]).values
        )
      ),
      {
        onFailure: failed("shred"),
        onSuccess: ([row]) => {
          const [first, time] = row as unknown as readonly [string, Date]
          return { subject, reason: first, time: time.getTime() }
        }
      }
    )
}

const pageSize = 500

interface Cursor {
  readonly time: string
  readonly subject: string
}

const beginning: Cursor = { time: "-infinity", subject: "" }

type ShreddingRow = readonly [subject: string, reason: string, shreddedAt: Date, cursor: string]

/** Pages follow each other by the time as the database knows it, which is finer than a `Date`. */
const makeShreddings = (client: PgClient, schema: string): SubjectKeys.Operations["shreddings"] => {
  const text = `SELECT subject, reason, shredded_at, shredded_at::text AS cursor FROM ${schema}.subject_keys
    WHERE shredded_at IS NOT NULL AND (shredded_at, subject) > ($1::text::timestamptz, $2::text)
    ORDER BY shredded_at, subject LIMIT ${pageSize}`
  return Stream.paginate(beginning, ({ subject, time }) =>
    Effect.mapBoth(client.unsafe(text, [time, subject]).values, {
      onFailure: failed("list"),
      onSuccess: (values) => {
        const rows = values as unknown as ReadonlyArray<ShreddingRow>
        const last = rows.length < pageSize ? undefined : rows.at(-1)
        const next = last === undefined ? Option.none<Cursor>() : Option.some({ time: last[3], subject: last[0] })
        return [rows.map(([subject, reason, at]) => ({ subject, reason, time: at.getTime() })), next] as const
      }
    }))
}

/** Opens the keys in a schema that was migrated before, for a role that may not migrate. */
export const open = (
  options: Options = {}
): Effect.Effect<SubjectKeys.Service, Migrations.CheckError, PgClient> =>
  Effect.gen(function*() {
    const { masterKey } = options
    const wrapping = masterKey === undefined ? MasterKey.none : yield* Effect.sync(() => MasterKey.make(masterKey))
    const { client, name } = yield* Database.open(options.schema)
    // A key that the caller's rollback takes back, and an old snapshot that shows one shredded long ago, would both end
    // up in the cache: so the keys stay out of the caller's transactions.
    const apart = Database.outsideTransaction(client)
    const ensure = makeEnsure(client, name, wrapping)
    const find = makeFind(client, name, wrapping)("find")
    const shred = makeShred(client, name)
    return SubjectKeys.make({
      ensure: (subjects) => apart(ensure(subjects)),
      find: (subjects) => apart(find(subjects)),
      shred: (subject, reason) => apart(shred(subject, reason)),
      shreddings: makeShreddings(client, name)
    }, options)
  })

/** Brings the schema up to date and opens the keys, for a role that owns the schema. */
export const make = (
  options: Options = {}
): Effect.Effect<SubjectKeys.Service, Migrations.CheckError | Migrations.MigrateError, PgClient> =>
  Effect.andThen(Database.migrate(options.schema), open(options))

/** Provides the subjects' keys in a schema that was migrated before, see {@link open}. */
export const layerOpen = (
  options: Options = {}
): Layer.Layer<SubjectKeys.SubjectKeys, Migrations.CheckError, PgClient> =>
  Layer.effect(SubjectKeys.SubjectKeys, open(options))

/**
 * Provides the subjects' keys in the PostgreSQL database of the `PgClient`. They take a connection of their own, also of
 * a caller that is in a transaction.
 *
 * @example
 * ```ts no-run
 * import * as PersonalData from "@composable-ts/core/PersonalData"
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 * import * as PostgresSubjectKeys from "@composable-ts/postgres/PostgresSubjectKeys"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import { Config, Effect, Layer, Redacted } from "effect"
 *
 * const Database = PgClient.layer({ url: Redacted.make("postgres://localhost/shop") })
 * const Keys = Layer.unwrap(
 *   Effect.map(Config.Redacted("MASTER_KEY"), (masterKey) => PostgresSubjectKeys.layer({ masterKey }))
 * )
 * export const Persistence = PersonalData.layerEventStore.pipe(
 *   Layer.provide(PostgresEventStore.layer()),
 *   Layer.provideMerge(Keys),
 *   Layer.provideMerge(Database)
 * )
 * ```
 */
export const layer = (
  options: Options = {}
): Layer.Layer<SubjectKeys.SubjectKeys, Migrations.CheckError | Migrations.MigrateError, PgClient> =>
  Layer.effect(SubjectKeys.SubjectKeys, make(options))
