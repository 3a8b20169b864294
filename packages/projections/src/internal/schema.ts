/**
 * The tables of projections, in the read model's database, as versioned migrations.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

export const schema = "composable"

const statements = (...all: ReadonlyArray<string>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.forEach(all, (text) => sql.unsafe(text), { discard: true }))

const migrations = Migrator.fromRecord({
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
  "0004_versions": statements(
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
  )
})

/** Makes the tables, if they are missing. Any number of processes may do so at once. */
export const migrate: Effect.Effect<void, SqlError | Migrator.MigrationError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.gen(function*() {
      // The lock of whoever makes something in this schema: an event store, which also makes the schema, has the same.
      yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts migrations ${schema}`}, 0))`
      // To ask for a schema that there is needs the right to make one, too: so it is looked for first.
      const exists = yield* sql`SELECT FROM pg_namespace WHERE nspname = ${schema}`
      if (exists.length === 0) yield* sql.unsafe(`CREATE SCHEMA ${schema}`)
      yield* Migrator.make({})({ loader: migrations, table: `${schema}.checkpoint_migrations` })
    }))
  }
)
