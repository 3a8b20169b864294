/**
 * The log's tables and functions, as versioned migrations.
 */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"

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

/**
 * Appends a group of commands in one transaction; each on its own is stored whole or refused.
 *
 * A command has parts, one for each stream that it appends to; `slot` numbers the group's distinct streams, `part` its
 * parts, from 1. The lock is held until the commit, so positions are drawn in the order of commits, without gaps, and
 * what the checks read cannot change before the insert. Each statement of a function in READ COMMITTED sees what was
 * committed before it, hence also what the last holder of the lock wrote.
 *
 * Outcomes, one for each command: 0 stored, 1 version conflict (in `failed_part`, whose stream stands at `actual`),
 * 2 stored before under the same command id. Versions and positions, one for each part, are those of its last event.
 */
const append = (schema: string, channel: string): string => `
  CREATE FUNCTION ${schema}.append(
    slot_stream text[],
    command_parts integer[], command_key text[],
    part_slot integer[], part_expected integer[], part_size integer[],
    event_part integer[], event_index integer[], event_stream text[], event_type text[], event_id uuid[],
    event_command text[], event_command_size integer[], event_correlation text[], event_causation text[],
    event_data text[], event_metadata text[],
    OUT outcomes integer[], OUT failed_parts integer[], OUT actuals integer[],
    OUT versions integer[], OUT positions bigint[]
  ) LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
  AS $$
  DECLARE
    head bigint;
    tip bigint;
    standing integer[];
    known boolean[];
    first_version integer[] := array_fill(0, ARRAY[cardinality(part_slot)]);
    first_position bigint[] := array_fill(0::bigint, ARRAY[cardinality(part_slot)]);
    part integer := 0;
    slot integer;
    first_part integer;
    failed integer;
    recorded timestamptz;
  BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'append needs READ COMMITTED: a snapshot from before the lock would hide the latest events'
        USING ERRCODE = 'invalid_transaction_state';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
      PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM pg_advisory_xact_lock(1129270608, '${schema}.events'::regclass::oid::integer);

    SELECT coalesce(max(global_position), 0) INTO head FROM ${schema}.events;
    tip := head;
    SELECT array_agg(coalesce((
      SELECT e.version FROM ${schema}.events e WHERE e.stream_id = s.stream_id ORDER BY e.version DESC LIMIT 1
    ), -1) ORDER BY s.slot) INTO standing FROM unnest(slot_stream) WITH ORDINALITY AS s(stream_id, slot);
    SELECT array_agg(EXISTS (
      SELECT FROM ${schema}.events e WHERE e.command_id = c.id AND e.command_size IS NOT NULL
    ) ORDER BY c.nr) INTO known FROM unnest(command_key) WITH ORDINALITY AS c(id, nr);

    FOR command IN 1 .. cardinality(command_parts) LOOP
      outcomes[command] := 0;
      failed_parts[command] := 0;
      actuals[command] := 0;
      first_part := part + 1;
      failed := 0;
      IF known[command] THEN
        outcomes[command] := 2;
        part := part + command_parts[command];
        CONTINUE;
      END IF;
      FOR i IN first_part .. part + command_parts[command] LOOP
        slot := part_slot[i];
        IF part_expected[i] <> -3
          AND (part_expected[i] <> standing[slot])
          AND NOT (part_expected[i] = -2 AND standing[slot] >= 0)
        THEN
          failed := i;
          outcomes[command] := 1;
          failed_parts[command] := i;
          actuals[command] := standing[slot];
          EXIT;
        END IF;
        first_version[i] := standing[slot] + 1;
        first_position[i] := tip + 1;
        standing[slot] := standing[slot] + part_size[i];
        tip := tip + part_size[i];
      END LOOP;
      IF failed > 0 THEN
        FOR i IN REVERSE failed - 1 .. first_part LOOP
          standing[part_slot[i]] := first_version[i] - 1;
          tip := first_position[i] - 1;
          first_position[i] := 0;
        END LOOP;
      END IF;
      part := part + command_parts[command];
    END LOOP;

    FOR i IN 1 .. cardinality(part_slot) LOOP
      versions[i] := first_version[i] + part_size[i] - 1;
      positions[i] := first_position[i] + part_size[i] - 1;
    END LOOP;

    IF tip > head THEN
      recorded := clock_timestamp();
      INSERT INTO ${schema}.events (
        global_position, stream_id, version, type, event_id, command_id, command_size, correlation_id, causation_id,
        data, metadata, recorded_at
      )
      SELECT first_position[e.part] + e.index, e.stream_id, first_version[e.part] + e.index, e.type, e.id,
        e.command_id, e.command_size, e.correlation_id, e.causation_id, e.data::json, e.metadata::json, recorded
      FROM unnest(
        event_part, event_index, event_stream, event_type, event_id, event_command, event_command_size,
        event_correlation, event_causation, event_data, event_metadata
      ) AS e(part, index, stream_id, type, id, command_id, command_size, correlation_id, causation_id, data, metadata)
      WHERE first_position[e.part] > 0;
      PERFORM pg_notify('${channel}', tip::text);
    END IF;
  END $$
`

const migrations = (schema: string) =>
  Migrator.fromRecord({
    "0001_log": Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const name = quoted(schema)
      const statements = [...events(name), ...immutability(name), append(name, channel(schema))]
      for (const statement of statements) yield* sql.unsafe(statement)
    })
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
