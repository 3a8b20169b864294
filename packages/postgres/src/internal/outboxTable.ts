/**
 * The table of the outbox: a row for each entry that nobody has completed, stored in the statement of its events.
 */
import { settings } from "./appendFunction.ts"
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
    PRIMARY KEY (global_position, index)
  ) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_threshold = ${smallTable}
  )`,
  `CREATE INDEX outbox_free ON ${schema}.outbox (kind, free_at, global_position, index) WHERE parked_at IS NULL`,
  `CREATE INDEX outbox_dead ON ${schema}.outbox (global_position, index) WHERE parked_at IS NOT NULL`,
  `COMMENT ON TABLE ${schema}.outbox IS
    'What commands want done besides their events, until it is done. Written by enqueue() in the statement of an append.'`,
  `COMMENT ON COLUMN ${schema}.outbox.global_position IS 'Of the first event of the command that stored it.'`,
  `COMMENT ON COLUMN ${schema}.outbox.correlation_id IS 'Null means: the command id.'`,
  `COMMENT ON COLUMN ${schema}.outbox.token IS 'Grows whenever the entry changes hands; fences off those who had it.'`,
  `COMMENT ON COLUMN ${schema}.outbox.free_at IS 'From when on it may be claimed; beyond due_at the end of a lease.'`,
  `COMMENT ON COLUMN ${schema}.outbox.parked_at IS 'When it was given up; null means: still to be done.'`
]

/**
 * `enqueue` stores the entries of those commands of a group that `append` has just stored (outcome 0). Position, stream
 * and correlation are those of the command's first event, so there is no entry without an event; a command that was
 * stored before has another outcome, and the key of the table refuses what is there already.
 *
 * `claim_outbox` takes due entries of these kinds. The candidates of all kinds are merged, and locked from the oldest on
 * until there are enough; what another claim has locked is passed over. Were all candidates passed over, it looks further.
 * Candidates are looked up one by one, so that no plan joins them with all entries, whatever the statistics say. A row that was claimed by another since the statement began is looked at again when it is locked, and left out.
 *
 * What is looked up by its key must not name the condition of a partial index as that index does: a plan that was made
 * when the outbox was empty might look it up there, among all that wait. To end a claim the token is enough, for who
 * parks an entry gives it another.
 */
export const outboxFunctions = (schema: string): ReadonlyArray<string> => [
  `
  CREATE FUNCTION ${schema}.enqueue(
    outcomes integer[], command_key text[], entry_command integer[], entry_index integer[], entry_kind text[],
    entry_key text[], entry_delay bigint[], entry_body text[]
  ) RETURNS void LANGUAGE plpgsql
    ${settings}
  AS $$
  BEGIN
    INSERT INTO ${schema}.outbox (
      global_position, index, stream_id, command_id, correlation_id, kind, key, body, due_at, free_at
    )
    SELECT e.global_position, u.index, e.stream_id, e.command_id, e.correlation_id, u.kind, u.key, u.body::json,
      e.recorded_at + u.delay * interval '1 millisecond', e.recorded_at + u.delay * interval '1 millisecond'
    FROM unnest(entry_command, entry_index, entry_kind, entry_key, entry_delay, entry_body)
        AS u(command, index, kind, key, delay, body),
      LATERAL (
        SELECT * FROM ${schema}.events e
        WHERE e.command_id = command_key[u.command] AND e.command_size IS NOT NULL LIMIT 1
      ) AS e
    WHERE outcomes[u.command] = 0;
  END $$`,
  `
  CREATE FUNCTION ${schema}.claim_outbox(kinds text[], most integer, lease interval)
    RETURNS SETOF ${schema}.outbox LANGUAGE plpgsql
    ${settings}
  AS $$
  DECLARE
    moment timestamptz := clock_timestamp();
    wanted text[] := kinds;
    width bigint := most;
    got bigint := 0;
    taken bigint;
    candidate record;
    entry ${schema}.outbox;
  BEGIN
    IF wanted IS NULL THEN
      WITH RECURSIVE found(kind) AS (
        (SELECT o.kind FROM ${schema}.outbox o WHERE o.parked_at IS NULL ORDER BY o.kind LIMIT 1)
        UNION ALL
        SELECT (
          SELECT o.kind FROM ${schema}.outbox o WHERE o.parked_at IS NULL AND o.kind > f.kind ORDER BY o.kind LIMIT 1
        ) FROM found f WHERE f.kind IS NOT NULL
      )
      SELECT array_agg(f.kind) INTO wanted FROM found f WHERE f.kind IS NOT NULL;
    END IF;
    LOOP
      taken := 0;
      FOR candidate IN
        WITH candidates AS MATERIALIZED (
          SELECT c.* FROM (SELECT DISTINCT unnest(wanted) COLLATE "C" AS kind) AS k, LATERAL (
            SELECT o.global_position, o.index, o.free_at FROM ${schema}.outbox o
            WHERE o.kind = k.kind AND o.parked_at IS NULL AND o.free_at <= moment
            ORDER BY o.free_at, o.global_position, o.index LIMIT width
          ) AS c ORDER BY c.free_at, c.global_position, c.index
        )
        SELECT locked.* FROM candidates c, LATERAL (
          SELECT o.global_position, o.index FROM ${schema}.outbox o
          WHERE o.global_position = c.global_position AND o.index = c.index
            AND (o.parked_at IS NULL) IS NOT FALSE AND o.free_at <= moment
          FOR UPDATE SKIP LOCKED
        ) AS locked LIMIT most - got
      LOOP
        UPDATE ${schema}.outbox o SET attempt = o.attempt + 1, token = o.token + 1, free_at = moment + lease
          WHERE o.global_position = candidate.global_position AND o.index = candidate.index
          RETURNING o.* INTO entry;
        RETURN NEXT entry;
        taken := taken + 1;
      END LOOP;
      got := got + taken;
      EXIT WHEN got >= most OR NOT EXISTS (
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
  CREATE FUNCTION ${schema}.complete_outbox(
    positions bigint[], indexes integer[], tokens bigint[], OUT global_position bigint, OUT index integer
  ) RETURNS SETOF record LANGUAGE plpgsql
    ${settings}
  AS $$
  BEGIN
    FOR i IN 1 .. cardinality(positions) LOOP
      DELETE FROM ${schema}.outbox o
        WHERE o.global_position = positions[i] AND o.index = indexes[i] AND o.token = tokens[i]
        RETURNING o.global_position, o.index INTO global_position, index;
      IF FOUND THEN
        RETURN NEXT;
      END IF;
    END LOOP;
  END $$`
]

/** Claiming and ending claims is the application's; storing is done by the functions, in an append. */
export const outboxRights: Migration["rights"] = [
  ...uses("outbox", "SELECT", "UPDATE", "DELETE"),
  ...["enqueue", "claim_outbox", "complete_outbox"].map(executes)
]
