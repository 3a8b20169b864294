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

/**
 * Rows are locked in the order of their keys, whoever locks several: so no two wait for each other. They are found one by
 * one, so that no plan joins them with all entries, whatever the statistics say.
 */
const inOrder = "ORDER BY 1, 2"

/** A function that changes the claims that hold, and returns which these were. */
const onClaims = (schema: string, name: string, change: string, parameters = ""): string => `
  CREATE FUNCTION ${schema}.${name}(
    positions bigint[], indexes integer[], tokens bigint[]${parameters}, OUT global_position bigint, OUT index integer
  ) RETURNS SETOF record LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    held tid[];
  BEGIN
    SELECT array_agg(found.ctid) INTO held
      FROM (SELECT * FROM unnest(positions, indexes, tokens) AS u(position, index, token) ${inOrder}) AS claim,
      LATERAL (
        SELECT o.ctid FROM ${schema}.outbox o
        WHERE o.global_position = claim.position AND o.index = claim.index AND o.token = claim.token
        FOR UPDATE
      ) AS found;
    RETURN QUERY ${change} WHERE o.ctid = ANY (held) RETURNING o.global_position, o.index;
  END $$`

/** How many entries a claim passes over because of those before them, until it leaves the rest to the next one. */
const mostPassedOver = 1_000

/** A function of the log to which the outbox's part is added. */
interface Append {
  readonly name: string
  /** Its parameters. */
  readonly parameters: string
  /** How it is called, with the expectations in `expectations`. */
  readonly call: (schema: string) => string
  /** The parameter that holds the expectations, and to which command each belongs. */
  readonly expected: string
  readonly commandOf: (expectation: string) => string
  /** Sets `streams` and `firsts`, of the first event of each command. */
  readonly places: string
  /** What it returns besides. */
  readonly result: string
}

const general: Append = {
  name: "append_with_outbox",
  parameters: `slot_stream text[],
    command_parts integer[], command_key text[], command_fingerprint text[], command_size integer[],
    command_correlation text[], command_causation text[], command_metadata text[],
    part_command integer[], part_slot integer[], part_expected integer[], part_size integer[],
    event_part integer[], event_index integer[], event_type text[], event_id uuid[], event_data text[],
    event_packed bytea[]`,
  call: (schema) => `
    SELECT a.outcomes, a.failed_parts, a.actuals, a.versions, a.positions
      INTO outcomes, failed_parts, actuals, versions, positions
      FROM ${schema}.append(
        slot_stream, command_parts, command_key, command_fingerprint, command_size, command_correlation,
        command_causation, command_metadata, part_command, part_slot, expectations, part_size, event_part, event_index,
        event_type, event_id, event_data, event_packed
      ) AS a;`,
  expected: "part_expected",
  commandOf: (expectation) => `part_command[${expectation}]`,
  places: `
      SELECT array_agg(slot_stream[p.slot] ORDER BY p.command), array_agg(positions[p.nr] - p.size + 1 ORDER BY p.command)
        INTO streams, firsts
        FROM (
          SELECT DISTINCT ON (u.command) u.* FROM unnest(part_command, part_slot, part_size)
            WITH ORDINALITY AS u(command, slot, size, nr) ORDER BY u.command, u.nr
        ) AS p;`,
  result: "OUT outcomes integer[]"
}

const each: Append = {
  name: "append_each_with_outbox",
  parameters: `command_stream text[], command_expected integer[], event_type text[], event_id uuid[],
    command_key text[], command_fingerprint text[], command_correlation text[], command_causation text[],
    event_data json[], command_metadata json[]`,
  call: (schema) => `
    SELECT a.head, a.outcomes, a.failed_parts, a.actuals, a.versions, a.positions
      INTO head, outcomes, failed_parts, actuals, versions, positions
      FROM ${schema}.append_each(
        command_stream, expectations, event_type, event_id, command_key, command_fingerprint, command_correlation,
        command_causation, event_data, command_metadata
      ) AS a;`,
  expected: "command_expected",
  commandOf: (expectation) => expectation,
  places: `
      streams := command_stream;
      firsts := coalesce(
        positions, ARRAY(SELECT generate_series(head + 1, head + cardinality(command_stream)))
      );`,
  result: "OUT head bigint, OUT outcomes integer[]"
}

/** What an outcome is, where the function that stores all has none. */
const isStored = (command: string): string => `coalesce(outcomes[${command}], 0) = 0`

const appendWithOutbox = (
  schema: string,
  { call, commandOf, expected, name, parameters, places, result }: Append
): string => `
  CREATE FUNCTION ${schema}.${name}(
    ${parameters},
    claim_command integer[], claim_position bigint[], claim_index integer[], claim_token bigint[], claim_error text[],
    cancel_command integer[], cancel_key text[], cancel_prefix boolean[],
    entry_command integer[], entry_index integer[], entry_kind text[], entry_key text[], entry_delay bigint[],
    entry_ordered boolean[], entry_body text[],
    ${result}, OUT failed_parts integer[], OUT actuals integer[],
    OUT versions integer[], OUT positions bigint[]
  ) LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    held tid[];
    stale integer[];
    expectations integer[] := ${expected};
    streams text[];
    firsts bigint[];
    recorded timestamptz;
    ended record;
  BEGIN${appendPrologue(schema)}

    IF cardinality(claim_command) > 0 THEN
      SELECT array_agg(claim.ctid ORDER BY claim.nr),
        array_agg(claim.command) FILTER (WHERE claim.ctid IS NULL OR claim.command <> claim.first)
        INTO held, stale
        FROM (
          SELECT u.*, found.ctid, min(u.command) OVER (PARTITION BY u.position, u.index) AS first
          FROM (
            SELECT * FROM unnest(claim_position, claim_index, claim_token, claim_command)
              WITH ORDINALITY AS u(position, index, token, command, nr) ${inOrder}
          ) AS u LEFT JOIN LATERAL (
            SELECT o.ctid FROM ${schema}.outbox o
            WHERE o.global_position = u.position AND o.index = u.index AND o.token = u.token
            FOR UPDATE
          ) AS found ON true
        ) AS claim;
      IF stale IS NOT NULL THEN
        FOR i IN 1 .. cardinality(expectations) LOOP
          IF ${commandOf("i")} = ANY (stale) THEN
            expectations[i] := -4;
          END IF;
        END LOOP;
      END IF;
    END IF;
${call(schema)}
    IF stale IS NOT NULL THEN
      FOR i IN 1 .. cardinality(outcomes) LOOP
        IF outcomes[i] = 1 AND i = ANY (stale) THEN
          outcomes[i] := 4;
        END IF;
      END LOOP;
    END IF;

    IF held IS NOT NULL THEN
      DELETE FROM ${schema}.outbox o WHERE o.ctid = ANY (ARRAY(
        SELECT u.ctid FROM unnest(held, claim_command, claim_error) AS u(ctid, command, error)
        WHERE u.error IS NULL AND ${isStored("u.command")}
      ));
      FOR ended IN
        SELECT u.* FROM unnest(held, claim_command, claim_error) AS u(ctid, command, error)
        WHERE u.error IS NOT NULL AND ${isStored("u.command")}
      LOOP
        UPDATE ${schema}.outbox o
          SET token = o.token + 1, worker = NULL, parked_at = statement_timestamp(), error = ended.error
          WHERE o.ctid = ended.ctid;
      END LOOP;
    END IF;

    IF cardinality(entry_command) > 0 OR cardinality(cancel_command) > 0 THEN${places}
    END IF;
    IF cardinality(entry_command) > 0 THEN
      SELECT e.recorded_at INTO recorded FROM ${schema}.events e WHERE e.global_position = (
        SELECT max(f.first) FROM unnest(firsts) WITH ORDINALITY AS f(first, command) WHERE ${isStored("f.command")}
      );
      INSERT INTO ${schema}.outbox (
        global_position, index, stream_id, command_id, correlation_id, kind, key, body, ordered, due_at, free_at
      )
      SELECT firsts[u.command], u.index, streams[u.command], command_key[u.command], command_correlation[u.command],
        u.kind, u.key, u.body::json, u.ordered, recorded + u.delay * interval '1 millisecond',
        recorded + u.delay * interval '1 millisecond'
      FROM unnest(
        entry_command, entry_index, entry_kind, entry_key, entry_delay, entry_ordered, entry_body
      ) AS u(command, index, kind, key, delay, ordered, body)
      WHERE ${isStored("u.command")};
    END IF;

    FOR i IN 1 .. cardinality(cancel_command) LOOP
      IF ${isStored("cancel_command[i]")} THEN
        DELETE FROM ${schema}.outbox o
          WHERE o.stream_id = streams[cancel_command[i]] AND o.global_position < firsts[cancel_command[i]]
            AND o.parked_at IS NULL
            AND CASE WHEN cancel_prefix[i] THEN starts_with(o.key, cancel_key[i]) ELSE o.key = cancel_key[i] END;
      END IF;
    END LOOP;
  END $$`

/**
 * Which of the due entries `found` are not behind one that nobody has begun, or that another worker has or had. What is
 * itself among the found does not count: it is begun with them, or is behind what it is behind itself; and none has its
 * turn before those that it is behind.
 */
const unblocked = (schema: string): string => `
      ), blockers AS MATERIALIZED (
        SELECT s.stream_id, b.global_position, b.index
        FROM (
          SELECT f.stream_id, max(f.global_position) AS last FROM found f WHERE f.ordered GROUP BY f.stream_id
        ) AS s, LATERAL (
          SELECT o.global_position, o.index FROM ${schema}.outbox o
          WHERE o.stream_id = s.stream_id AND o.global_position <= s.last AND o.ordered AND o.parked_at IS NULL
            AND CASE
              WHEN o.worker IS NULL THEN o.attempt = 0 AND o.free_at <= moment AND o.kind = ANY (wanted)
              ELSE o.worker <> me OR o.free_at <= moment
            END
            AND (o.global_position, o.index) NOT IN (SELECT f.global_position, f.index FROM found f)
          ORDER BY o.global_position, o.index LIMIT 1
        ) AS b
      ), unblocked AS (
        SELECT f.*, CASE WHEN f.ordered
            THEN max(f.free_at) OVER (PARTITION BY f.stream_id, f.ordered ORDER BY f.global_position, f.index)
            ELSE f.free_at
          END AS turn
        FROM found f WHERE NOT (f.ordered AND EXISTS (
          SELECT FROM blockers b
          WHERE b.stream_id = f.stream_id AND (b.global_position, b.index) < (f.global_position, f.index)
        ))
      )`

/**
 * `append_with_outbox` is the general append for a group of which some commands end claims, cancel entries or store some;
 * `append_each_with_outbox` is the same of `append_each`, for commands of one event each.
 *
 * A command one of whose claims does not hold is given to `append` with an expectation that no stream meets (-4), so it is
 * refused alone, and its outcome becomes 4; those that hold stay locked until the commit. One claim twice in a group holds
 * for the first command. What is stored (outcome 0) ends its claims, then cancels what earlier commands stored, then
 * stores its entries: position, stream and correlation are those of the command's first event, so there is no entry
 * without an event; a command that was stored before has another outcome, and the key of the table refuses what is there
 * already.
 *
 * `claim_outbox` takes due entries of these kinds: the oldest of all kinds that are not behind others. What another claim
 * has locked is passed over. Were all that it looked at passed over, it looks further. It begins with what is due since a
 * given moment, if any, and looks at what is due for longer only where it finds nothing: in the index, what was completed
 * and not vacuumed yet stands before what is to be done, and the longer the backlog lasts, the more there is of it. A row
 * that was claimed by another since the statement began is looked at again when it is locked, and left out.
 *
 * An ordered entry is passed over while one before it in its stream is due and was never begun, or is with another worker,
 * or was when its lease ran out, unless it is claimed with it. What others have taken and not committed looks like never
 * begun; and where some of what was found could not be locked, those that were are looked at once more. So an entry is
 * first begun when all before it have been, by the worker that has them if any does; only one that failed may be begun
 * again by another at that time.
 *
 * What is looked up by its key must not name the condition of a partial index as that index does: a plan that was made
 * when the outbox was empty might look it up there, among all that wait. To end a claim the token is enough, for who
 * parks an entry gives it another.
 */
export const outboxFunctions = (schema: string): ReadonlyArray<string> => [
  appendWithOutbox(schema, general),
  appendWithOutbox(schema, each),
  `
  CREATE FUNCTION ${schema}.claim_outbox(
    kinds text[], most integer, lease interval, claimant text, since timestamptz
  ) RETURNS SETOF ${schema}.outbox LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    moment timestamptz := clock_timestamp();
    wanted text[] := kinds;
    me text := coalesce(claimant, gen_random_uuid()::text);
    earliest timestamptz := coalesce(since, '-infinity');
    width bigint := most;
    due bigint;
    passed bigint := 0;
    positions bigint[];
    indexes integer[];
    free bigint;
    held tid[];
  BEGIN
    IF wanted IS NULL THEN${allKinds(schema)}
    END IF;
    LOOP
      WITH found AS MATERIALIZED (
        SELECT c.* FROM (SELECT DISTINCT unnest(wanted) COLLATE "C" AS kind) AS k, LATERAL (
          SELECT o.global_position, o.index, o.stream_id, o.ordered, o.free_at FROM ${schema}.outbox o
          WHERE o.kind = k.kind AND o.parked_at IS NULL AND o.free_at >= earliest AND o.free_at <= moment
          ORDER BY o.free_at, o.global_position, o.index LIMIT width
        ) AS c ORDER BY c.free_at, c.global_position, c.index LIMIT width${unblocked(schema)}
      SELECT (SELECT count(*) FROM found), count(*),
        array_agg(u.global_position ORDER BY u.turn, u.global_position, u.index),
        array_agg(u.index ORDER BY u.turn, u.global_position, u.index)
        INTO due, free, positions, indexes FROM unblocked u;
      passed := passed + due - free;

      held := NULL;
      IF free > 0 THEN
        held := ARRAY(
          SELECT locked.ctid FROM unnest(positions, indexes) AS u(position, index), LATERAL (
            SELECT o.ctid FROM ${schema}.outbox o
            WHERE o.global_position = u.position AND o.index = u.index
              AND (o.parked_at IS NULL) IS NOT FALSE AND o.free_at <= moment
            FOR UPDATE SKIP LOCKED
          ) AS locked LIMIT most
        );
      END IF;
      IF cardinality(held) BETWEEN 1 AND free - 1 THEN
        WITH found AS MATERIALIZED (
          SELECT o.ctid, o.global_position, o.index, o.stream_id, o.ordered, o.free_at FROM ${schema}.outbox o
          WHERE o.ctid = ANY (held)${unblocked(schema)}
        SELECT array_agg(u.ctid), passed + cardinality(held) - count(*)
          INTO held, passed FROM unblocked u;
      END IF;
      IF cardinality(held) > 0 THEN
        RETURN QUERY UPDATE ${schema}.outbox o
          SET attempt = o.attempt + 1, token = o.token + 1, worker = me, free_at = moment + lease
          WHERE o.ctid = ANY (held) RETURNING o.*;
        EXIT;
      END IF;
      EXIT WHEN passed >= ${mostPassedOver};
      IF due = width THEN
        width := width * 4;
      ELSE
        EXIT WHEN earliest = '-infinity';
        earliest := '-infinity';
      END IF;
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
        WHERE o.global_position = positions[i] AND o.index = indexes[i] AND (o.parked_at IS NULL) IS NOT FALSE;
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
    general.name,
    each.name,
    "claim_outbox",
    "agenda_outbox",
    "cancel_outbox",
    "complete_outbox",
    "extend_outbox",
    "release_outbox"
  ].map(executes)
]
