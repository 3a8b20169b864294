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
  "0010_projection_status": statements(
    `CREATE VIEW ${schema}.projection_status AS
      SELECT c.projection, c.version, c.partition, c.position, c.updated_at AS moved_at,
        CASE WHEN l.failed_at > c.updated_at THEN 'stopped' WHEN l.expires_at > clock_timestamp() AND l.owner IS NOT NULL
          THEN 'running' ELSE 'unowned' END AS state,
        CASE WHEN l.expires_at > clock_timestamp() THEN l.owner END AS owner, l.epoch,
        CASE WHEN l.failed_at > c.updated_at THEN l.error END AS error,
        CASE WHEN l.failed_at > c.updated_at THEN l.failed_at END AS failed_at
      FROM ${schema}.checkpoints AS c LEFT JOIN ${schema}.leases AS l USING (projection, version, partition)`,
    `COMMENT ON VIEW ${schema}.projection_status IS 'How far each part of a projection is, who works on it, why nobody does.'`
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
