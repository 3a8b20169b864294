/**
 * The outbox on PostgreSQL, in a table of its own beside the log. The event store of `PostgresEventStore` fills it, in the
 * statement of the events.
 */
import * as Outbox from "@composable-ts/core/Outbox"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as Database from "./internal/Database.ts"
import { scrubbed } from "./internal/sqlFailure.ts"
import { isTransient } from "./internal/transient.ts"
import type * as Migrations from "./Migrations.ts"

/** How the outbox works. */
export interface Options {
  /** The schema of the log that the outbox belongs to: lower-case letters, digits and `_`. Default `composable`. */
  readonly schema?: string | undefined
}

const failed = (operation: Outbox.OutboxError["operation"]) => (error: SqlError) =>
  new Outbox.OutboxError({ operation, retryable: isTransient(error), cause: scrubbed(error) })

const columns = `global_position, index, stream_id, command_id, coalesce(correlation_id, command_id), kind, key, body,
  attempt, due_at, error, revivals`

type Row = readonly [
  globalPosition: bigint,
  index: number,
  streamId: string,
  commandId: string,
  correlationId: string,
  kind: string,
  key: string | null,
  body: Schema.Json,
  attempt: number,
  dueAt: Date,
  error: string | null,
  revivals: number
]

const stored = (row: Row): Outbox.StoredEntry => {
  const [globalPosition, index, streamId, commandId, correlationId, kind, key, body, attempt, dueAt, error, revivals] =
    row
  return {
    globalPosition,
    index,
    streamId,
    commandId,
    correlationId,
    kind,
    key: key ?? undefined,
    body,
    attempt,
    dueAt: dueAt.getTime(),
    error: error ?? undefined,
    revivals
  }
}

/**
 * How long a claim relies on an earlier one to know from when on entries are due. One whose turn comes late, because it
 * was locked, or behind another, or committed late, waits for so long at the most while there is a backlog behind it.
 */
const relied = 1_000

const makeClaim = (client: PgClient, schema: string): Outbox.Operations["claim"] => {
  const text = `SELECT ${columns}, token
    FROM ${schema}.claim_outbox(
      $1::text[], $2::int, $3::float8 * interval '1 millisecond', $4::text, to_timestamp($5::float8 / 1000)
    )
    ORDER BY due_at, global_position, index`
  /** When all was looked at last, and from when on the entries were due that a full claim found since. */
  const backlogs = new Map<string, { readonly lookedAt: number; readonly since: number }>()

  const claim = (
    { kinds, lease, limit, worker }: Outbox.ClaimOptions,
    now: number
  ): Effect.Effect<ReadonlyArray<Outbox.Claim>, Outbox.OutboxError> => {
    const key = JSON.stringify(kinds ?? null)
    const known = backlogs.get(key)
    const backlog = known !== undefined && Math.abs(now - known.lookedAt) < relied ? known : undefined
    const parameters = [kinds ?? null, limit, Duration.toMillis(lease), worker ?? null, backlog?.since ?? null]
    return Effect.mapBoth(client.unsafe(text, parameters).values, {
      onFailure: failed("claim"),
      onSuccess: (rows) => {
        const claims = rows.map((row) => ({ ...stored(row as unknown as Row), token: row[12] as bigint }))
        // A date has fewer digits than the database's times.
        if (claims.length === limit) {
          backlogs.set(key, { lookedAt: backlog?.lookedAt ?? now, since: claims[0]!.dueAt - 1 })
        } else backlogs.delete(key)
        return claims
      }
    })
  }
  return (options) => Effect.flatMap(Clock.currentTimeMillis, (now) => claim(options, now))
}

const idsOf = (entries: ReadonlyArray<Outbox.EntryId>) =>
  [entries.map(({ globalPosition }) => globalPosition), entries.map(({ index }) => index)] as const

/** Those of the claims that are not in the rows, which name those that held. */
const staleOf = (claims: ReadonlyArray<Outbox.ClaimRef>, rows: ReadonlyArray<ReadonlyArray<unknown>>) => {
  const held = new Set(rows.map(([position, index]) => `${String(position)}-${String(index)}`))
  const entries = claims.flatMap(({ globalPosition, index }) =>
    held.delete(Outbox.idempotencyKey({ globalPosition, index })) ? [] : [{ globalPosition, index }]
  )
  return entries.length === 0 ? Effect.void : Effect.fail(new Outbox.StaleClaim({ entries }))
}

/** Calls a function that does something with the claims that hold. */
const onClaims = (client: PgClient, call: string, operation: Outbox.OutboxError["operation"]) => {
  const text = `SELECT global_position, index FROM ${call}`
  return (claims: ReadonlyArray<Outbox.ClaimRef>, ...parameters: ReadonlyArray<unknown>) =>
    Effect.mapError(
      client.unsafe(text, [...idsOf(claims), claims.map(({ token }) => token), ...parameters]).values,
      failed(operation)
    )
}

const makeComplete = (client: PgClient, schema: string): Outbox.Operations["complete"] => {
  const call = onClaims(client, `${schema}.complete_outbox($1::int8[], $2::int[], $3::int8[])`, "complete")
  return (claims) => Effect.flatMap(call(claims), (rows) => staleOf(claims, rows))
}

const makeExtend = (client: PgClient, schema: string): Outbox.Operations["extend"] => {
  const parameters = "$1::int8[], $2::int[], $3::int8[], $4::float8 * interval '1 millisecond'"
  const call = onClaims(client, `${schema}.extend_outbox(${parameters})`, "extend")
  return (claims, lease) => Effect.flatMap(call(claims, Duration.toMillis(lease)), (rows) => staleOf(claims, rows))
}

const makeRelease = (client: PgClient, schema: string): Outbox.Operations["release"] => {
  const call = onClaims(client, `${schema}.release_outbox($1::int8[], $2::int[], $3::int8[])`, "release")
  return (claims) => Effect.asVoid(call(claims))
}

/**
 * Ends one claim by a change of its row; the change may use `$4` and so on. An entry that was parked has another token
 * since, so its claim does not hold.
 */
const makeEnd = (client: PgClient, schema: string) => (operation: "retry" | "park", change: string) => {
  const text = `UPDATE ${schema}.outbox SET token = token + 1, worker = NULL, ${change}
    WHERE global_position = $1::int8 AND index = $2::int AND token = $3::int8 RETURNING true`
  return (
    { globalPosition, index, token }: Outbox.ClaimRef,
    ...parameters: ReadonlyArray<unknown>
  ): Effect.Effect<void, Outbox.StaleClaim | Outbox.OutboxError> =>
    Effect.flatMap(
      Effect.mapError(
        client.unsafe(text, [globalPosition, index, token, ...parameters]).values,
        failed(operation)
      ),
      (rows) =>
        rows.length > 0 ? Effect.void : Effect.fail(new Outbox.StaleClaim({ entries: [{ globalPosition, index }] }))
    )
}

const makeDead = (client: PgClient, schema: string): Outbox.Operations["dead"] => {
  const text = `SELECT ${columns}, parked_at FROM ${schema}.outbox
    WHERE parked_at IS NOT NULL AND (global_position, index) > ($1::int8, $2::int)
    ORDER BY global_position, index LIMIT $3`
  return ({ after, limit }) =>
    Effect.mapBoth(client.unsafe(text, [after?.globalPosition ?? 0n, after?.index ?? 0, limit]).values, {
      onFailure: failed("list dead"),
      onSuccess: (rows) =>
        rows.map((row) => {
          const entry = stored(row as unknown as Row)
          return { ...entry, error: entry.error ?? "", parkedAt: (row[12] as Date).getTime() }
        })
    })
}

/**
 * Each is looked up by its key, so a large outbox is not scanned for them, whatever its statistics say. It must be sent
 * unprepared: a plan that was made when the outbox was empty would scan it for what the look-ups have found.
 */
const these = (schema: string): string =>
  `o.ctid = ANY(ARRAY(
    SELECT found.ctid FROM unnest($1::int8[], $2::int[]) AS given(global_position, index), LATERAL (
      SELECT e.ctid FROM ${schema}.outbox e WHERE e.global_position = given.global_position AND e.index = given.index
        AND e.parked_at IS NOT NULL FOR UPDATE
    ) AS found))`

const makeRevive = (client: PgClient, schema: string): Outbox.Operations["revive"] => {
  const text = `WITH now AS MATERIALIZED (SELECT clock_timestamp() AS moment)
    UPDATE ${schema}.outbox o SET attempt = 0, token = o.token + 1, revivals = o.revivals + 1, due_at = moment,
      free_at = moment, parked_at = NULL
    FROM now WHERE ${these(schema)} RETURNING true`
  return (entries) =>
    Effect.mapBoth(client.unsafe(text, idsOf(entries)).valuesUnprepared, {
      onFailure: failed("revive"),
      onSuccess: (rows) => rows.length
    })
}

const makeDiscard = (client: PgClient, schema: string): Outbox.Operations["discard"] => {
  const text = `DELETE FROM ${schema}.outbox o WHERE ${these(schema)} RETURNING true`
  return (entries) =>
    Effect.mapBoth(client.unsafe(text, idsOf(entries)).valuesUnprepared, {
      onFailure: failed("discard"),
      onSuccess: (rows) => rows.length
    })
}

const makeCancel = (client: PgClient, schema: string): Outbox.Operations["cancel"] => {
  const text = `SELECT ${schema}.cancel_outbox($1::int8[], $2::int[])`
  return (entries) =>
    Effect.mapBoth(client.unsafe(text, idsOf(entries)).values, {
      onFailure: failed("cancel"),
      onSuccess: ([row]) => Number(row![0])
    })
}

const makeList = (client: PgClient, schema: string): Outbox.Operations["list"] => {
  const text = (condition: string) =>
    `SELECT * FROM (
      SELECT ${columns}, CASE
          WHEN parked_at IS NOT NULL THEN 'dead'
          WHEN worker IS NOT NULL AND free_at > statement_timestamp() THEN 'running'
          WHEN worker IS NULL AND attempt > 0 THEN 'retrying'
          WHEN worker IS NULL AND free_at > statement_timestamp() THEN 'waiting'
          ELSE 'due'
        END AS status
      FROM ${schema}.outbox
      WHERE (global_position, index) > ($1::int8, $2::int) AND ${condition} AND ($4::text[] IS NULL OR kind = ANY ($4))
    ) AS entries WHERE $5::text IS NULL OR status = $5 ORDER BY global_position, index LIMIT $6`
  // One plan for both would serve neither by its index. By kind or status all entries are looked at until there are
  // enough: these lists are for people.
  const [all, ofStream] = [text("$3::text IS NULL"), text("stream_id = $3::text")]
  return ({ after, kinds = null, limit, status = null, streamId = null }) =>
    Effect.mapBoth(
      client.unsafe(streamId === null ? all : ofStream, [
        after?.globalPosition ?? 0n,
        after?.index ?? 0,
        streamId,
        kinds,
        status,
        limit
      ]).valuesUnprepared,
      {
        onFailure: failed("list"),
        onSuccess: (rows) => rows.map((row) => ({ ...stored(row as unknown as Row), status: row[12] as Outbox.Status }))
      }
    )
}

const makeAgenda = (client: PgClient, schema: string): Outbox.Operations["agenda"] => {
  const text = `SELECT overdue, next FROM ${schema}.agenda_outbox($1::text[])`
  return (kinds) =>
    Effect.mapBoth(client.unsafe(text, [kinds ?? null]).values, {
      onFailure: failed("tell what is next"),
      onSuccess: ([row]) => ({
        overdue: row![0] === null ? undefined : Number(row![0]),
        next: row![1] === null ? undefined : Number(row![1])
      })
    })
}

const makeCounts = (client: PgClient, schema: string): Outbox.Operations["counts"] => {
  const text = `SELECT kind,
      count(*) FILTER (WHERE parked_at IS NULL AND free_at <= statement_timestamp()),
      count(*) FILTER (WHERE parked_at IS NULL AND free_at > statement_timestamp() AND worker IS NULL),
      count(*) FILTER (WHERE parked_at IS NULL AND free_at > statement_timestamp() AND worker IS NOT NULL),
      count(*) FILTER (WHERE parked_at IS NOT NULL)
    FROM ${schema}.outbox GROUP BY kind ORDER BY kind`
  return Effect.mapBoth(Effect.suspend(() => client.unsafe(text, []).values), {
    onFailure: failed("count"),
    onSuccess: (rows) =>
      rows.map(([kind, due, delayed, claimed, dead]) => ({
        kind: String(kind),
        due: Number(due),
        delayed: Number(delayed),
        claimed: Number(claimed),
        dead: Number(dead)
      }))
  })
}

/** Opens the outbox in a schema that was migrated before, for a role that may not migrate. */
export const open = (options: Options = {}): Effect.Effect<Outbox.Service, Migrations.CheckError, PgClient> =>
  Effect.map(Database.open(options.schema), ({ client, name }) => {
    const end = makeEnd(client, name)
    const due = "statement_timestamp() + $4::float8 * interval '1 millisecond'"
    const retry = end("retry", `due_at = ${due}, free_at = ${due}, error = $5::text`)
    return Outbox.make({
      claim: makeClaim(client, name),
      extend: makeExtend(client, name),
      complete: makeComplete(client, name),
      release: makeRelease(client, name),
      retry: (claim, { after, error }) => retry(claim, Duration.toMillis(after), error),
      park: end("park", "parked_at = statement_timestamp(), error = $4::text"),
      dead: makeDead(client, name),
      list: makeList(client, name),
      agenda: makeAgenda(client, name),
      revive: makeRevive(client, name),
      discard: makeDiscard(client, name),
      cancel: makeCancel(client, name),
      counts: makeCounts(client, name)
    })
  })

/** Brings the schema up to date and opens the outbox, for a role that owns the schema. */
export const make = (
  options: Options = {}
): Effect.Effect<Outbox.Service, Migrations.CheckError | Migrations.MigrateError, PgClient> =>
  Effect.andThen(Database.migrate(options.schema), open(options))

/** Provides the outbox in a schema that was migrated before, see {@link open}. */
export const layerOpen = (options: Options = {}): Layer.Layer<Outbox.Outbox, Migrations.CheckError, PgClient> =>
  Layer.effect(Outbox.Outbox, open(options))

/**
 * Provides the outbox on the PostgreSQL database of the `PgClient`. Give it the schema of the event store.
 *
 * @example
 * ```ts no-run
 * import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
 * import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
 * import * as PgClient from "@effect/sql-pg/PgClient"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const Database = PgClient.layer({ url: Redacted.make("postgres://localhost/shop") })
 * const Stores = Layer.mergeAll(PostgresEventStore.layer(), PostgresOutbox.layer())
 * export const Persistence = Stores.pipe(Layer.provideMerge(Database))
 * ```
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Outbox.Outbox, Migrations.CheckError | Migrations.MigrateError, PgClient> =>
  Layer.effect(Outbox.Outbox, make(options))
