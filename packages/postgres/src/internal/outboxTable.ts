/**
 * The table of the outbox: a row for each entry that nobody has completed, stored in the statement of its events.
 */
import { appendPrologue, settings } from "./appendFunction.ts"
import { executes, type Migration, uses } from "./Migration.ts"

/** As `smallLog` of the events: statistics of a table that is still small make for plans that scan it. */
const smallTable = 10_000

/**
 * `due_at` says when an entry was to be done, `free_at` from when on it may be claimed: that, or the end of its lease.
 * An index by kind serves workers of one kind, of several and of all alike, whatever waits of other kinds. A queue leaves
 * dead rows at the very place where the next claim looks, so autovacuum comes early.
 *
 * `json` keeps a body as it was written, NUL characters and the order of members included.
 */
export const outboxTable = (schema: string): ReadonlyArray<string> => [
  `
  CREATE TABLE ${schema}.outbox (
    global_position bigint NOT NULL,
    index integer NOT NULL,
    stream_id text COLLATE "C" NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    correlation_id text COLLATE "C",
    kind text COLLATE "C" NOT NULL,
    key text COLLATE "C",
    body json NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    token bigint NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    free_at timestamptz NOT NULL,
    error text,
    parked_at timestamptz,
    ordered boolean NOT NULL DEFAULT false,
    worker text COLLATE "C",
    revivals integer NOT NULL DEFAULT 0,
    PRIMARY KEY (global_position, index)
  ) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = ${smallTable}
  )`,
  `CREATE INDEX outbox_free ON ${schema}.outbox (kind, free_at, global_position, index) WHERE parked_at IS NULL`,
  `CREATE INDEX outbox_stream ON ${schema}.outbox (stream_id, global_position, index)`,
  `CREATE INDEX outbox_dead ON ${schema}.outbox (global_position, index) WHERE parked_at IS NOT NULL`,
  `COMMENT ON TABLE ${schema}.outbox IS
    'What commands want done besides their events, until it is done. Written by append_with_outbox().'`,
  `COMMENT ON COLUMN ${schema}.outbox.global_position IS 'Of the first event of the command that stored it.'`,
  `COMMENT ON COLUMN ${schema}.outbox.correlation_id IS 'Null means: the command id.'`,
  `COMMENT ON COLUMN ${schema}.outbox.token IS 'Grows whenever the entry changes hands; fences off those who had it.'`,
  `COMMENT ON COLUMN ${schema}.outbox.free_at IS 'From when on it may be claimed; beyond due_at the end of a lease.'`,
  `COMMENT ON COLUMN ${schema}.outbox.parked_at IS 'When it was given up; null means: still to be done.'`,
  `COMMENT ON COLUMN ${schema}.outbox.ordered IS 'Claimed only behind the ordered entries of its stream before it.'`,
  `COMMENT ON COLUMN ${schema}.outbox.worker IS 'Who has it, or had it when the lease ran out; null: it was given back.'`
]

/** The kinds that have entries to be done, looked up one by one. */
const allKinds = (schema: string): string => `
      WITH RECURSIVE found(kind) AS (
        (SELECT o.kind FROM ${schema}.outbox o WHERE o.parked_at IS NULL ORDER BY o.kind LIMIT 1)
        UNION ALL
        SELECT (
          SELECT o.kind FROM ${schema}.outbox o WHERE o.parked_at IS NULL AND o.kind > f.kind ORDER BY o.kind LIMIT 1
        ) FROM found f WHERE f.kind IS NOT NULL
      )
      SELECT array_agg(f.kind) INTO wanted FROM found f WHERE f.kind IS NOT NULL;`

/** A function that changes the claims that hold, one after the other, and returns which these were. */
const onClaims = (schema: string, name: string, change: string, parameters = ""): string => `
  CREATE FUNCTION ${schema}.${name}(
    positions bigint[], indexes integer[], tokens bigint[]${parameters}, OUT global_position bigint, OUT index integer
  ) RETURNS SETOF record LANGUAGE plpgsql
    ${settings}
  AS $$
  BEGIN
    FOR i IN 1 .. cardinality(positions) LOOP
      ${change}
        WHERE o.global_position = positions[i] AND o.index = indexes[i] AND o.token = tokens[i] AND o.parked_at IS NULL
        RETURNING o.global_position, o.index INTO global_position, index;
      IF FOUND THEN
        RETURN NEXT;
      END IF;
    END LOOP;
  END $$`

/** How many entries a claim passes over because of those before them, until it leaves the rest to the next one. */
const mostPassedOver = 1_000

/**
 * `append_with_outbox` is the general append for a group of which some commands end claims, cancel entries or store some.
 *
 * A command one of whose claims does not hold is given to `append` with an expectation that no stream meets (-4), so it is
 * refused alone, and its outcome becomes 4; those that hold stay locked until the commit. One claim twice in a group holds
 * for the first command. What is stored (outcome 0) ends its claims, then cancels what earlier commands stored, then
 * stores its entries: position, stream and correlation are those of the command's first event, so there is no entry
 * without an event; a command that was stored before has another outcome, and the key of the table refuses what is there
 * already.
 *
 * `claim_outbox` takes due entries of these kinds. The candidates of all kinds are merged, and locked from the oldest on,
 * one by one, until there are enough; what another claim has locked is passed over. Were all candidates passed over, it looks further.
 * Candidates are looked up one by one, so that no plan joins them with all entries, whatever the statistics say. A row that
 * was claimed by another since the statement began is looked at again when it is locked, and left out.
 *
 * An ordered entry is passed over while one before it in its stream is due and was never begun, or is with another worker,
 * or was when its lease ran out. Each look sees what this claim has taken so far, and what others have committed; what they
 * have taken and not committed looks like never begun. So an entry is first begun when all before it have been, by the
 * worker that has them if any does; only one that failed may be begun again by another at that time.
 */
export const outboxFunctions = (schema: string): ReadonlyArray<string> => [
  `
  CREATE FUNCTION ${schema}.append_with_outbox(
    slot_stream text[],
    command_parts integer[], command_key text[], command_fingerprint text[], command_size integer[],
    command_correlation text[], command_causation text[], command_metadata text[],
    part_command integer[], part_slot integer[], part_expected integer[], part_size integer[],
    event_part integer[], event_index integer[], event_type text[], event_id uuid[], event_data text[],
    event_packed bytea[],
    claim_command integer[], claim_position bigint[], claim_index integer[], claim_token bigint[], claim_error text[],
    cancel_command integer[], cancel_key text[], cancel_prefix boolean[],
    entry_command integer[], entry_index integer[], entry_kind text[], entry_key text[], entry_delay bigint[],
    entry_ordered boolean[], entry_body text[],
    OUT outcomes integer[], OUT failed_parts integer[], OUT actuals integer[],
    OUT versions integer[], OUT positions bigint[]
  ) LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    stale integer[] := '{}';
    expected integer[] := part_expected;
    command integer;
    first record;
  BEGIN${appendPrologue(schema)}

    FOR i IN 1 .. cardinality(claim_command) LOOP
      PERFORM FROM ${schema}.outbox o
        WHERE o.global_position = claim_position[i] AND o.index = claim_index[i] AND o.token = claim_token[i]
          AND o.parked_at IS NULL
        FOR UPDATE;
      IF NOT FOUND OR EXISTS (
        SELECT FROM generate_series(1, i - 1) AS j
        WHERE claim_position[j] = claim_position[i] AND claim_index[j] = claim_index[i]
          AND claim_command[j] <> claim_command[i]
      ) THEN
        stale := stale || claim_command[i];
      END IF;
    END LOOP;
    IF stale <> '{}' THEN
      FOR i IN 1 .. cardinality(expected) LOOP
        IF part_command[i] = ANY (stale) THEN
          expected[i] := -4;
        END IF;
      END LOOP;
    END IF;

    SELECT a.outcomes, a.failed_parts, a.actuals, a.versions, a.positions
      INTO outcomes, failed_parts, actuals, versions, positions
      FROM ${schema}.append(
        slot_stream, command_parts, command_key, command_fingerprint, command_size, command_correlation,
        command_causation, command_metadata, part_command, part_slot, expected, part_size, event_part, event_index,
        event_type, event_id, event_data, event_packed
      ) AS a;
    FOREACH command IN ARRAY stale LOOP
      IF outcomes[command] = 1 THEN
        outcomes[command] := 4;
      END IF;
    END LOOP;

    FOR i IN 1 .. cardinality(claim_command) LOOP
      IF outcomes[claim_command[i]] <> 0 THEN
        CONTINUE;
      END IF;
      IF claim_error[i] IS NULL THEN
        DELETE FROM ${schema}.outbox o WHERE o.global_position = claim_position[i] AND o.index = claim_index[i];
      ELSE
        UPDATE ${schema}.outbox o
          SET token = o.token + 1, worker = NULL, parked_at = statement_timestamp(), error = claim_error[i]
          WHERE o.global_position = claim_position[i] AND o.index = claim_index[i];
      END IF;
    END LOOP;

    IF cardinality(entry_command) > 0 THEN
      INSERT INTO ${schema}.outbox (
        global_position, index, stream_id, command_id, correlation_id, kind, key, body, ordered, due_at, free_at
      )
      SELECT e.global_position, u.index, e.stream_id, e.command_id, e.correlation_id, u.kind, u.key, u.body::json,
        u.ordered, e.recorded_at + u.delay * interval '1 millisecond',
        e.recorded_at + u.delay * interval '1 millisecond'
      FROM unnest(
          entry_command, entry_index, entry_kind, entry_key, entry_delay, entry_ordered, entry_body
        ) AS u(command, index, kind, key, delay, ordered, body),
        LATERAL (
          SELECT * FROM ${schema}.events e
          WHERE e.command_id = command_key[u.command] AND e.command_size IS NOT NULL LIMIT 1
        ) AS e
      WHERE outcomes[u.command] = 0;
    END IF;

    FOR i IN 1 .. cardinality(cancel_command) LOOP
      IF outcomes[cancel_command[i]] <> 0 THEN
        CONTINUE;
      END IF;
      SELECT e.stream_id, e.global_position INTO first FROM ${schema}.events e
        WHERE e.command_id = command_key[cancel_command[i]] AND e.command_size IS NOT NULL LIMIT 1;
      DELETE FROM ${schema}.outbox o
        WHERE o.stream_id = first.stream_id AND o.global_position < first.global_position AND o.parked_at IS NULL
          AND CASE WHEN cancel_prefix[i] THEN starts_with(o.key, cancel_key[i]) ELSE o.key = cancel_key[i] END;
    END LOOP;
  END $$`,
  `
  CREATE FUNCTION ${schema}.claim_outbox(kinds text[], most integer, lease interval, claimant text)
    RETURNS SETOF ${schema}.outbox LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    moment timestamptz := clock_timestamp();
    wanted text[] := kinds;
    me text := coalesce(claimant, gen_random_uuid()::text);
    width bigint := most;
    got bigint := 0;
    taken bigint;
    passed bigint := 0;
    candidate record;
    entry ${schema}.outbox;
  BEGIN
    IF wanted IS NULL THEN${allKinds(schema)}
    END IF;
    LOOP
      taken := 0;
      FOR candidate IN
        WITH candidates AS MATERIALIZED (
          SELECT c.* FROM (SELECT DISTINCT unnest(wanted) COLLATE "C" AS kind) AS k, LATERAL (
            SELECT o.global_position, o.index, o.stream_id, o.ordered, o.free_at FROM ${schema}.outbox o
            WHERE o.kind = k.kind AND o.parked_at IS NULL AND o.free_at <= moment
            ORDER BY o.free_at, o.global_position, o.index LIMIT width
          ) AS c ORDER BY c.free_at, c.global_position, c.index
        )
        SELECT * FROM candidates
      LOOP
        IF candidate.ordered AND EXISTS (
          SELECT FROM ${schema}.outbox o
          WHERE o.stream_id = candidate.stream_id
            AND (o.global_position, o.index) < (candidate.global_position, candidate.index)
            AND o.ordered AND o.parked_at IS NULL
            AND CASE
              WHEN o.worker IS NULL THEN o.attempt = 0 AND o.free_at <= moment AND o.kind = ANY (wanted)
              ELSE o.worker <> me OR o.free_at <= moment
            END
        ) THEN
          passed := passed + 1;
          EXIT WHEN passed >= ${mostPassedOver};
          CONTINUE;
        END IF;
        PERFORM FROM ${schema}.outbox o
          WHERE o.global_position = candidate.global_position AND o.index = candidate.index
            AND o.parked_at IS NULL AND o.free_at <= moment
          FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE ${schema}.outbox o
          SET attempt = o.attempt + 1, token = o.token + 1, worker = me, free_at = moment + lease
          WHERE o.global_position = candidate.global_position AND o.index = candidate.index
          RETURNING o.* INTO entry;
        RETURN NEXT entry;
        taken := taken + 1;
        EXIT WHEN got + taken >= most;
      END LOOP;
      got := got + taken;
      EXIT WHEN got >= most OR (got > 0 AND passed > 0) OR passed >= ${mostPassedOver} OR NOT EXISTS (
        SELECT FROM unnest(wanted) AS k(kind), LATERAL (
          SELECT FROM ${schema}.outbox o
          WHERE o.kind = k.kind AND o.parked_at IS NULL AND o.free_at <= moment
          ORDER BY o.free_at, o.global_position, o.index OFFSET width - taken LIMIT 1
        ) AS beyond
      );
      width := width * 4;
    END LOOP;
  END $$`,
  `
  CREATE FUNCTION ${schema}.agenda_outbox(kinds text[], OUT overdue double precision, OUT next double precision)
    LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    moment timestamptz := clock_timestamp();
    wanted text[] := kinds;
  BEGIN
    IF wanted IS NULL THEN${allKinds(schema)}
    END IF;
    SELECT extract(epoch FROM moment - min(f.free_at)) * 1000 INTO overdue FROM unnest(wanted) AS k(kind), LATERAL (
      SELECT o.free_at FROM ${schema}.outbox o
      WHERE o.kind = k.kind AND o.parked_at IS NULL AND o.free_at <= moment
      ORDER BY o.free_at, o.global_position, o.index LIMIT 1
    ) AS f;
    SELECT extract(epoch FROM min(f.free_at) - moment) * 1000 INTO next FROM unnest(wanted) AS k(kind), LATERAL (
      SELECT o.free_at FROM ${schema}.outbox o
      WHERE o.kind = k.kind AND o.parked_at IS NULL AND o.free_at > moment
      ORDER BY o.free_at, o.global_position, o.index LIMIT 1
    ) AS f;
  END $$`,
  `
  CREATE FUNCTION ${schema}.cancel_outbox(positions bigint[], indexes integer[]) RETURNS integer LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    total integer := 0;
  BEGIN
    FOR i IN 1 .. cardinality(positions) LOOP
      DELETE FROM ${schema}.outbox o
        WHERE o.global_position = positions[i] AND o.index = indexes[i] AND o.parked_at IS NULL;
      IF FOUND THEN
        total := total + 1;
      END IF;
    END LOOP;
    RETURN total;
  END $$`,
  onClaims(schema, "complete_outbox", `DELETE FROM ${schema}.outbox o`),
  onClaims(
    schema,
    "extend_outbox",
    `UPDATE ${schema}.outbox o SET free_at = clock_timestamp() + lease`,
    ", lease interval"
  ),
  onClaims(
    schema,
    "release_outbox",
    `UPDATE ${schema}.outbox o
        SET attempt = o.attempt - 1, token = o.token + 1, worker = NULL, due_at = clock_timestamp(),
          free_at = clock_timestamp()`
  )
]

/** Claiming and ending claims is the application's; storing is done by the functions, in an append. */
export const outboxRights: Migration["rights"] = [
  ...uses("outbox", "SELECT", "UPDATE", "DELETE"),
  ...[
    "append_with_outbox",
    "claim_outbox",
    "agenda_outbox",
    "cancel_outbox",
    "complete_outbox",
    "extend_outbox",
    "release_outbox"
  ].map(executes)
]
