/**
 * The log's tables and functions, as versioned migrations.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import { appendFunction } from "./appendFunction.ts"
import { snapshotTable } from "./snapshotTable.ts"
import { subjectKeyTable } from "./subjectKeyTable.ts"

/** The channel on which appends are announced. */
export const channel = (schema: string): string => `${schema}_events`

/** The schema's name as SQL takes it, be it a reserved word. */
export const quoted = (schema: string): string => `"${schema}"`

/**
 * So few events need no statistics. With them, a session plans to read the whole of a small log rather than its index,
 * and keeps to that plan however fast the log grows, until statistics are gathered again.
 */
const smallLog = 10_000

const events = (schema: string): ReadonlyArray<string> => [
  `
  CREATE TABLE ${schema}.events (
    global_position bigint PRIMARY KEY,
    stream_id text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version >= 0),
    type text COLLATE "C" NOT NULL,
    event_id uuid NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    command_size integer,
    correlation_id text COLLATE "C",
    causation_id text COLLATE "C",
    data json NOT NULL,
    metadata json,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT events_stream_version UNIQUE (stream_id, version)
  ) WITH (autovacuum_analyze_threshold = ${smallLog}, autovacuum_vacuum_insert_threshold = ${smallLog})`,
  `CREATE UNIQUE INDEX events_command ON ${schema}.events (command_id) WHERE command_size IS NOT NULL`,
  `COMMENT ON TABLE ${schema}.events IS 'The log. Written by append() alone; never changed.'`,
  `COMMENT ON COLUMN ${schema}.events.global_position IS 'From 1, without gaps, in the order of commits.'`,
  `COMMENT ON COLUMN ${schema}.events.version IS 'Place in the stream, from 0, without gaps.'`,
  `COMMENT ON COLUMN ${schema}.events.command_size IS
    'How many events the command stored; set on its first event only. They stand at consecutive global positions.'`,
  `COMMENT ON COLUMN ${schema}.events.correlation_id IS 'Null means: the command id.'`,
  `COMMENT ON COLUMN ${schema}.events.causation_id IS 'Null means: the command id.'`
]

/**
 * The guard holds for every role and also for replication roles (ENABLE ALWAYS), so no setting of a session switches it
 * off; only who may alter the table can.
 */
const immutability = (schema: string): ReadonlyArray<string> => [
  `
  CREATE FUNCTION ${schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'events are immutable: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
      USING ERRCODE = 'insufficient_privilege', HINT = 'Append a correcting event instead.';
  END $$`,
  `CREATE TRIGGER events_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ${schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION ${schema}.refuse_change()`,
  `ALTER TABLE ${schema}.events ENABLE ALWAYS TRIGGER events_immutable`
]

/** Carries out the statements in the migrator's transaction. */
const run = (statements: ReadonlyArray<string>) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
  )

const migrations = (schema: string) =>
  Migrator.fromRecord({
    "0001_log": Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const name = quoted(schema)
      const statements = [...events(name), ...immutability(name), appendFunction(name, channel(schema))]
      for (const statement of statements) yield* sql.unsafe(statement)
    }),
    "0002_snapshots": run(snapshotTable(quoted(schema))),
    "0003_subject_keys": run(subjectKeyTable(quoted(schema)))
  })

/**
 * Brings the schema up to date. Any number of processes may start at once: the lock lets one migrate and the others find
 * the work done. It is taken before the schema exists, which two could otherwise both try to create.
 */
export const migrate = (schema: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.gen(function*() {
      yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts migrations ${schema}`}, 0))`
      yield* sql.unsafe(`CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`)
      yield* Migrator.make({})({ loader: migrations(schema), table: `${schema}.migrations` })
    }))
  })
