/**
 * The database's side of an append: a function for a group of commands, and shorter ones for a single event alone and for
 * a group of such.
 */
import { type as tombstoneType } from "@composable-ts/core/Tombstone"

/**
 * With the owner's rights, so that the application needs none on the table; and with settings under which no plan reads
 * the whole log, whatever the statistics were when it was made.
 */
export const settings = `SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan`

/**
 * The last version of a stream. One that a tombstone of version v ends stands at −2 − v, below all others.
 */
const standing = (schema: string, stream: string): string => standingFrom(schema, stream, undefined)

/**
 * The same, of a stream that stands at a version or above it; nothing when it does not. An index scan gathers all that
 * it finds on a page before it returns the first: of a long stream a hundred entries and more, unless they are ruled out.
 */
const standingFrom = (schema: string, stream: string, version: string | undefined): string =>
  `SELECT CASE e.type WHEN '${tombstoneType}' THEN -2 - e.version ELSE e.version END
      FROM ${schema}.events e WHERE e.stream_id = ${stream}${
    version === undefined ? "" : ` AND e.version >= ${version}`
  }
      ORDER BY e.version DESC LIMIT 1`

/** What every function that writes to the log begins with. */
export const appendPrologue = (schema: string): string => `
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'append needs READ COMMITTED: a snapshot from before the lock would hide the latest events'
        USING ERRCODE = 'invalid_transaction_state',
          HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED, or append outside of it.';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
      PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM pg_advisory_xact_lock(1129270608, '${schema}.events'::regclass::oid::integer);`

/**
 * Appends a group of commands in one transaction; each on its own is stored whole or refused.
 *
 * A command has parts, one for each stream that it appends to; `slot` numbers the group's distinct streams, `part` its
 * parts, from 1. The lock is held until the commit, so positions are drawn in the order of commits, without gaps, and
 * what the checks read cannot change before the insert. Each statement of a function in READ COMMITTED sees what was
 * committed before it, hence also what the last holder of the lock wrote.
 *
 * It runs with the rights of the log's owner, because the application has none to write. So nothing that the caller's
 * session can define may be found by name: the path is pinned, and the temporary schema, which a session searches first
 * unless told otherwise, comes last.
 *
 * An event's body stands in `event_data`, as JSON, or in `event_packed`, as MessagePack; either may be null as a whole.
 *
 * Outcomes, one for each command: 0 stored, 1 version conflict (in `failed_part`, whose stream stands at `actual`),
 * 2 stored before under the same command id, 3 tombstoned (the stream of `failed_part`, whose tombstone stands at
 * `actual`). Versions and positions, one for each part, are those of its last event.
 */
export const appendFunction = (schema: string, channel: string): string => `
  CREATE FUNCTION ${schema}.append(
    slot_stream text[],
    command_parts integer[], command_key text[], command_fingerprint text[], command_size integer[],
    command_correlation text[], command_causation text[], command_metadata text[],
    part_command integer[], part_slot integer[], part_expected integer[], part_size integer[],
    event_part integer[], event_index integer[], event_type text[], event_id uuid[], event_data text[],
    event_packed bytea[],
    OUT outcomes integer[], OUT failed_parts integer[], OUT actuals integer[],
    OUT versions integer[], OUT positions bigint[]
  ) LANGUAGE plpgsql
    ${settings}
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
  BEGIN${appendPrologue(schema)}

    SELECT coalesce(max(global_position), 0) INTO head FROM ${schema}.events;
    tip := head;
    SELECT array_agg(coalesce((
      ${standing(schema, "s.stream_id")}
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
        IF standing[slot] < -1 THEN
          failed := i;
          outcomes[command] := 3;
          failed_parts[command] := i;
          actuals[command] := -2 - standing[slot];
          EXIT;
        END IF;
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
        global_position, stream_id, version, type, event_id, command_id, command_size, fingerprint, correlation_id,
        causation_id, data, packed, metadata, recorded_at
      )
      SELECT first_position[e.part] + e.index, slot_stream[part_slot[e.part]], first_version[e.part] + e.index, e.type,
        e.id, command_key[part_command[e.part]],
        CASE WHEN e.first THEN command_size[part_command[e.part]] END,
        CASE WHEN e.first THEN command_fingerprint[part_command[e.part]] END,
        command_correlation[part_command[e.part]], command_causation[part_command[e.part]], e.data::json, e.packed,
        command_metadata[part_command[e.part]]::json, recorded
      FROM (
        SELECT u.*, u.index = 0 AND part_command[u.part] IS DISTINCT FROM part_command[u.part - 1] AS first
        FROM unnest(event_part, event_index, event_type, event_id, event_data, event_packed)
          AS u(part, index, type, id, data, packed)
      ) AS e
      WHERE first_position[e.part] > 0;
      PERFORM pg_notify('${channel}', tip::text);
    END IF;
  END $$
`

/**
 * Appends a command that has one event, alone in its transaction: the same as the general function, outcomes included.
 * Every expression of a function is set up anew in each transaction, so few statements make a short append; the reason
 * why nothing was inserted is looked up only then.
 */
export const appendOneFunction = (schema: string, channel: string): string => `
  CREATE FUNCTION ${schema}.append_one(
    stream text, expected integer, name text, id uuid, command text, fingerprint text, correlation text, causation text,
    body text, packed bytea, metadata text,
    OUT outcome integer, OUT actual integer, OUT version integer, OUT place bigint
  ) LANGUAGE plpgsql
    ${settings}
  AS $$
  BEGIN${appendPrologue(schema)}

    INSERT INTO ${schema}.events (
      global_position, stream_id, version, type, event_id, command_id, command_size, fingerprint, correlation_id,
      causation_id, data, packed, metadata, recorded_at
    )
    SELECT coalesce((
        SELECT e.global_position FROM ${schema}.events e ORDER BY e.global_position DESC LIMIT 1
      ), 0) + 1, stream, s.standing + 1, name, id, command, 1, append_one.fingerprint, correlation, causation, body::json,
      append_one.packed, append_one.metadata::json, clock_timestamp()
    FROM (SELECT coalesce((
      ${standingFrom(schema, "stream", "expected")}
    ), -1) AS standing OFFSET 0) AS s
    WHERE s.standing >= -1
      AND (expected = s.standing OR expected = -3 OR (expected = -2 AND s.standing >= 0))
      AND NOT EXISTS (SELECT FROM ${schema}.events e WHERE e.command_id = command AND e.command_size IS NOT NULL)
    RETURNING events.version, events.global_position INTO version, place;

    IF place IS NOT NULL THEN
      outcome := 0;
      PERFORM pg_notify('${channel}', place::text);
      RETURN;
    END IF;
    SELECT CASE WHEN EXISTS (
        SELECT FROM ${schema}.events e WHERE e.command_id = command AND e.command_size IS NOT NULL
      ) THEN 2 ELSE 1 END, coalesce((
        ${standing(schema, "stream")}
      ), -1)
      INTO outcome, actual;
    IF outcome = 1 AND actual < -1 THEN
      outcome := 3;
      actual := -2 - actual;
    END IF;
  END $$
`

/**
 * Appends commands that have one event each, to distinct streams: what a group mostly is. Where all of them pass, they are
 * stored by set, not one by one, which takes about three quarters of the time under the lock; bodies are parsed before it.
 * Then `outcomes` is null, and positions follow on `head` in the order of the commands. Where one does not, nothing has
 * been written yet, and the general function does it all; `head` is null then.
 */
export const appendEachFunction = (schema: string, channel: string): string => `
  CREATE FUNCTION ${schema}.append_each(
    stream text[], expected integer[], name text[], id uuid[], command text[], fingerprint text[], correlation text[],
    causation text[], body json[], metadata json[],
    OUT head bigint, OUT outcomes integer[], OUT failed_parts integer[], OUT actuals integer[],
    OUT versions integer[], OUT positions bigint[]
  ) LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    fine boolean;
    size integer := cardinality(stream);
    ones integer[];
    numbers integer[];
  BEGIN${appendPrologue(schema)}

    SELECT coalesce((
        SELECT e.global_position FROM ${schema}.events e ORDER BY e.global_position DESC LIMIT 1
      ), 0),
      array_agg(s.standing + 1 ORDER BY s.nr),
      bool_and(
        s.standing >= -1
        AND (s.expected = s.standing OR s.expected = -3 OR (s.expected = -2 AND s.standing >= 0))
        AND NOT EXISTS (
          SELECT FROM ${schema}.events e WHERE e.command_id = s.command AND e.command_size IS NOT NULL
        )
      )
      INTO head, versions, fine
      FROM (
        SELECT u.*, coalesce((
            ${standingFrom(schema, "u.stream", "u.expected")}
          ), -1) AS standing
        FROM unnest(stream, expected, command) WITH ORDINALITY AS u(stream, expected, command, nr)
        OFFSET 0
      ) AS s;

    IF NOT fine THEN
      ones := array_fill(1, ARRAY[size]);
      numbers := ARRAY(SELECT generate_series(1, size));
      head := NULL;
      SELECT a.outcomes, a.failed_parts, a.actuals, a.versions, a.positions
        INTO outcomes, failed_parts, actuals, versions, positions
        FROM ${schema}.append(
          stream, ones, command, append_each.fingerprint, ones, correlation, causation, append_each.metadata::text[],
          numbers, numbers, expected, ones, numbers, array_fill(0, ARRAY[size]), name, id, body::text[], NULL
        ) AS a;
      RETURN;
    END IF;

    INSERT INTO ${schema}.events (
      global_position, stream_id, version, type, event_id, command_id, command_size, fingerprint, correlation_id,
      causation_id, data, metadata, recorded_at
    )
    SELECT head + s.nr, s.stream, s.version, s.name, s.id, s.command, 1, s.fingerprint, s.correlation, s.causation, s.body,
      s.metadata, statement_clock.now
    FROM unnest(
        stream, versions, name, id, command, append_each.fingerprint, correlation, causation, body, append_each.metadata
      ) WITH ORDINALITY
      AS s(stream, version, name, id, command, fingerprint, correlation, causation, body, metadata, nr),
      (SELECT clock_timestamp() AS now OFFSET 0) AS statement_clock;
    PERFORM pg_notify('${channel}', (head + size)::text);
  END $$
`
