/**
 * The tables of projections, in the read model's database, as versioned migrations.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { messageTables } from "./messageTable.ts"
import { sagaTables } from "./sagaTables.ts"

export const schema = "composable"

/** The tables that the migrations make, whose rows whoever runs projections reads and writes. */
export const tables = new Set<string>()

/** The views beside them, to be looked at. */
export const views = new Set<string>()

const madeView = new RegExp(`CREATE VIEW ${schema}\\.(\\w+)`, "g")
const madeTable = new RegExp(`CREATE TABLE (?:IF NOT EXISTS )?${schema}\\.(\\w+)`, "g")

const statements = (...all: ReadonlyArray<string>) => {
  for (const [, table] of all.join("\n").matchAll(madeTable)) if (table !== undefined) tables.add(table)
  for (const [, view] of all.join("\n").matchAll(madeView)) if (view !== undefined) views.add(view)
  return Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.forEach(all, (text) => sql.unsafe(text), { discard: true })
  )
}

/** Where it is written down which migrations were run. */
export const migrationsTable = "checkpoint_migrations"

/** Over how many seconds the rate of a checkpoint is taken: what was applied that long ago counts for 1/e. */
export const rateOver = 60

/** A checkpoint's rate, in events per second, as it has become by a time if nothing was applied meanwhile. */
export const rateAt = (time: string): string =>
  `CASE WHEN rate < 1e-6 THEN 0
     ELSE rate * exp(-least(greatest(extract(epoch FROM ${time} - updated_at)::float8, 0), 600) / ${rateOver}) END`

const migrations = {
  // Rows are rewritten at every step: free space on their page, and no index on what changes, keep that cheap.
  "0001_checkpoints": statements(`
    CREATE TABLE ${schema}.checkpoints (
      projection text COLLATE "C" NOT NULL,
      version integer NOT NULL,
      position bigint NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (projection, version)
    ) WITH (fillfactor = 50)`),
  "0002_leases": statements(
    `ALTER TABLE ${schema}.checkpoints
      ADD COLUMN partition integer NOT NULL DEFAULT 0, ADD COLUMN event_id uuid, ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
      DROP CONSTRAINT checkpoints_pkey, ADD PRIMARY KEY (projection, version, partition)`,
    `COMMENT ON COLUMN ${schema}.checkpoints.event_id IS
      'The event at this position: tells the log that was read from every other. Null at position 0.'`,
    `COMMENT ON COLUMN ${schema}.checkpoints.epoch IS
      'The fence: no transaction of an owner whose lease had a lower epoch can move the checkpoint any more.'`,
    `CREATE TABLE ${schema}.leases (
      projection text COLLATE "C" NOT NULL,
      version integer NOT NULL,
      partition integer NOT NULL,
      owner uuid,
      epoch bigint NOT NULL DEFAULT 0,
      expires_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      error text,
      failed_at timestamptz,
      PRIMARY KEY (projection, version, partition)
    ) WITH (fillfactor = 50)`,
    `COMMENT ON COLUMN ${schema}.leases.owner IS 'The process at work; null when nobody is.'`,
    `COMMENT ON COLUMN ${schema}.leases.epoch IS 'Counts the take-overs.'`,
    `COMMENT ON COLUMN ${schema}.leases.expires_at IS
      'By this database''s clock. Until when the owner is believed to be alive; without an owner, since when there is none.'`,
    `COMMENT ON COLUMN ${schema}.leases.error IS 'Why the work stopped last; over when the checkpoint has moved since.'`,
    `CREATE TABLE ${schema}.members (
      projection text COLLATE "C" NOT NULL,
      version integer NOT NULL,
      member uuid NOT NULL,
      expires_at timestamptz NOT NULL,
      PRIMARY KEY (projection, version, member)
    ) WITH (fillfactor = 50)`,
    `COMMENT ON TABLE ${schema}.members IS 'The processes that run a projection, or stand by to.'`
  ),
  "0003_dead_letters": statements(
    `CREATE TABLE ${schema}.parked_streams (
      projection text COLLATE "C" NOT NULL,
      version integer NOT NULL,
      stream text COLLATE "C" NOT NULL,
      partition integer NOT NULL,
      parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      PRIMARY KEY (projection, version, stream)
    )`,
    `COMMENT ON TABLE ${schema}.parked_streams IS
      'Streams of which a projection applies no event until their parked letters were replayed or discarded.'`,
    `CREATE TABLE ${schema}.dead_letters (
      projection text COLLATE "C" NOT NULL,
      version integer NOT NULL,
      position bigint NOT NULL,
      partition integer NOT NULL,
      kind text NOT NULL CHECK (kind IN ('parked', 'skipped')),
      stream text COLLATE "C" NOT NULL,
      stream_version integer NOT NULL,
      event_type text NOT NULL,
      event_id uuid NOT NULL,
      error text,
      attempts integer NOT NULL,
      written_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      failed_at timestamptz,
      PRIMARY KEY (projection, version, position)
    )`,
    `CREATE INDEX dead_letters_stream ON ${schema}.dead_letters (projection, version, stream, position)`,
    `COMMENT ON TABLE ${schema}.dead_letters IS
      'Events that a projection has passed over and not applied. Their content is in the log, at the same position.'`,
    `COMMENT ON COLUMN ${schema}.dead_letters.position IS 'The event''s global position.'`,
    `COMMENT ON COLUMN ${schema}.dead_letters.kind IS
      'parked: waits, with all later events of its stream, to be replayed in order. skipped: the later ones were applied.'`,
    `COMMENT ON COLUMN ${schema}.dead_letters.error IS
      'Why it could not be applied when it was tried last; null when it only waits behind another event of its stream.'`,
    `COMMENT ON COLUMN ${schema}.dead_letters.attempts IS 'How often it was tried on its own, replays included.'`,
    `COMMENT ON COLUMN ${schema}.dead_letters.written_at IS 'When the projection passed over it.'`,
    `COMMENT ON COLUMN ${schema}.dead_letters.failed_at IS 'When it was tried last; null when it never was.'`
  ),
  "0005_messages": statements(...messageTables(schema)),
  "0006_versions": statements(
    `CREATE TABLE ${schema}.versions (
      projection text COLLATE "C" NOT NULL,
      version integer NOT NULL,
      tables_in text,
      views_in text,
      views text[],
      served_at timestamptz,
      paused_at timestamptz,
      retired_at timestamptz,
      PRIMARY KEY (projection, version)
    )`,
    `COMMENT ON TABLE ${schema}.versions IS
      'What is known of a projection''s version beside its checkpoint; no row where there is nothing to know.'`,
    `COMMENT ON COLUMN ${schema}.versions.tables_in IS 'The schema of this version''s own tables.'`,
    `COMMENT ON COLUMN ${schema}.versions.views_in IS 'The schema of the views that queries read, the same in all versions.'`,
    `COMMENT ON COLUMN ${schema}.versions.served_at IS 'When the views were first switched to this version.'`,
    `COMMENT ON COLUMN ${schema}.versions.paused_at IS 'Since when no process works on it, by order; null: they may.'`,
    `COMMENT ON COLUMN ${schema}.versions.retired_at IS 'Since when its tables are gone for good; nobody sets it up again.'`,
    `CREATE TABLE ${schema}.serving (
      projection text COLLATE "C" PRIMARY KEY,
      version integer NOT NULL,
      since timestamptz NOT NULL DEFAULT clock_timestamp()
    )`,
    `COMMENT ON TABLE ${schema}.serving IS 'The version of a projection that its views show.'`
  ),
  "0007_projection_status": statements(
    `CREATE VIEW ${schema}.projection_status AS
      SELECT c.projection, c.version, c.partition, c.position, c.updated_at AS moved_at, v.paused_at,
        CASE WHEN l.failed_at > c.updated_at THEN 'stopped' WHEN v.paused_at IS NOT NULL THEN 'paused'
          WHEN l.expires_at > clock_timestamp() AND l.owner IS NOT NULL
          THEN 'running' ELSE 'unowned' END AS state,
        CASE WHEN l.expires_at > clock_timestamp() THEN l.owner END AS owner, l.epoch,
        CASE WHEN l.failed_at > c.updated_at THEN l.error END AS error,
        CASE WHEN l.failed_at > c.updated_at THEN l.failed_at END AS failed_at
      FROM ${schema}.checkpoints AS c LEFT JOIN ${schema}.leases AS l USING (projection, version, partition)
        LEFT JOIN ${schema}.versions AS v USING (projection, version)`,
    `COMMENT ON VIEW ${schema}.projection_status IS 'How far each part of a projection is, who works on it, why nobody does.'`
  ),
  "0008_health": statements(
    `ALTER TABLE ${schema}.checkpoints ADD COLUMN rate float8 NOT NULL DEFAULT 0, ADD COLUMN first_event_id uuid`,
    `COMMENT ON COLUMN ${schema}.checkpoints.rate IS
      'Events per second over about the last minute, as of updated_at; it decays from then on.'`,
    `COMMENT ON COLUMN ${schema}.checkpoints.first_event_id IS
      'The first event of the log that is read, in the row of partition 0: tells that log from every other.'`,
    `ALTER TABLE ${schema}.leases ADD COLUMN waiting_for text, ADD COLUMN waiting_since timestamptz`,
    `COMMENT ON COLUMN ${schema}.leases.waiting_for IS
      'What the owner waits for because it is away, the log''s database say; null when it is at work.'`,
    `CREATE OR REPLACE VIEW ${schema}.projection_status AS
      SELECT c.projection, c.version, c.partition, c.position, c.updated_at AS moved_at, v.paused_at,
        CASE WHEN l.failed_at > c.updated_at THEN 'stopped' WHEN v.paused_at IS NOT NULL THEN 'paused'
          WHEN l.owner IS NULL OR l.expires_at <= clock_timestamp() THEN 'unowned'
          WHEN l.waiting_since IS NOT NULL THEN 'waiting' ELSE 'running' END AS state,
        CASE WHEN l.expires_at > clock_timestamp() THEN l.owner END AS owner, l.epoch,
        CASE WHEN l.failed_at > c.updated_at THEN l.error END AS error,
        CASE WHEN l.failed_at > c.updated_at THEN l.failed_at END AS failed_at,
        ${rateAt("clock_timestamp()")} AS rate, l.waiting_for, l.waiting_since,
        ARRAY(
          SELECT m.member FROM ${schema}.members AS m WHERE m.projection = c.projection AND m.version = c.version
            AND m.expires_at > clock_timestamp() AND m.member IS DISTINCT FROM l.owner ORDER BY m.member
        ) AS standby
      FROM ${schema}.checkpoints AS c LEFT JOIN ${schema}.leases AS l USING (projection, version, partition)
        LEFT JOIN ${schema}.versions AS v USING (projection, version)`
  ),
  "0009_sagas": statements(...sagaTables(schema))
}

const newest = Math.max(...Object.keys(migrations).map((name) => Number.parseInt(name, 10)))

/** Whether there is nothing to do, so that a role that may make nothing can find out. */
const isUpToDate = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const [found] = yield* sql`SELECT to_regclass(${`${schema}.${migrationsTable}`}) IS NOT NULL AS found`
  if (found?.["found"] !== true) return false
  const [row] = yield* sql.unsafe<{ readonly id: number | null }>(
    `SELECT max(migration_id)::int AS id FROM ${schema}.${migrationsTable}`
  )
  return (row?.id ?? 0) >= newest
})

/** Makes the tables, if they are missing. Any number of processes may do so at once. */
export const migrate: Effect.Effect<void, SqlError | Migrator.MigrationError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    if (yield* isUpToDate) return
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.gen(function*() {
      // The lock of whoever makes something in this schema: an event store, which also makes the schema, has the same.
      yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts migrations ${schema}`}, 0))`
      // To ask for a schema that there is needs the right to make one, too: so it is looked for first.
      const exists = yield* sql`SELECT FROM pg_namespace WHERE nspname = ${schema}`
      if (exists.length === 0) yield* sql.unsafe(`CREATE SCHEMA ${schema}`)
      yield* Migrator.make({})({ loader: Migrator.fromRecord(migrations), table: `${schema}.${migrationsTable}` })
    }))
  }
)
