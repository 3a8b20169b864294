/**
 * The table of snapshots: one row for each stream and state version, rewritten whenever a later state is kept.
 */
import { type as tombstoneType } from "@composable-ts/core/Tombstone"

/**
 * The key of the lock by which saves of a stream's snapshots and its tombstone keep out of each other's way. Saves share
 * it; a tombstone has it alone. Streams have one of 64 between them, because whoever restores a table writes all of it in
 * one transaction, and the server has no room for a lock of each stream.
 */
export const snapshotLock = (schema: string, stream: string): string =>
  `'${schema}.snapshots'::regclass::oid::integer, hashtext(${stream}) & 63`

/** As `smallLog` of the events: statistics of a table that is still small make for plans that scan it. */
const smallTable = 10_000

/**
 * A row keeps its key for ever, so its next state needs no entry in the index if the page has room for it (a HOT update).
 * A page frees the room of the state before at the next visit; what is missing is the room for the first one, and the
 * tenth of a page is enough for that. Half a page gained nothing more. A state of more than 2 kB is compressed and kept
 * outside of the page; what it left there is freed by autovacuum alone, which therefore comes at a twentieth of the
 * rows, and not at a fifth.
 *
 * `json` keeps a state as it was written, also what `jsonb` refuses or changes: NUL characters, the order of members.
 */
export const snapshotTable = (schema: string): ReadonlyArray<string> => [
  `
  CREATE TABLE ${schema}.snapshots (
    stream_id text COLLATE "C" NOT NULL,
    state_version integer NOT NULL CHECK (state_version >= 1),
    version bigint NOT NULL CHECK (version >= 0),
    global_position bigint NOT NULL CHECK (global_position >= 1),
    state json NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream_id, state_version)
  ) WITH (
    fillfactor = 90,
    autovacuum_vacuum_scale_factor = 0.05,
    toast.autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_analyze_threshold = ${smallTable}
  )`,
  `COMMENT ON TABLE ${schema}.snapshots IS
    'States at versions, for faster loads. They follow from the events: losing them costs time and nothing else.'`
]

/**
 * No snapshot of a stream that a tombstone ends: it would keep what the tombstone erased. The row is left out, and no
 * error, so a save that comes too late saves nothing.
 *
 * A save that a tombstone overtakes waits here until the tombstone is committed, and then sees it; one that came first is
 * committed before the tombstone looks for what to delete. Both hold because each statement of the function sees what was
 * committed before it, which it does in READ COMMITTED only.
 */
export const snapshotGuard = (schema: string): ReadonlyArray<string> => [
  `
  CREATE FUNCTION ${schema}.refuse_erased_snapshot() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
  AS $$
  BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'a snapshot needs READ COMMITTED: a transaction from before a tombstone would not see it'
        USING ERRCODE = 'invalid_transaction_state',
          HINT = 'Begin the transaction with BEGIN ISOLATION LEVEL READ COMMITTED, or save outside of it.';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(${snapshotLock(schema, "NEW.stream_id")});
    IF '${tombstoneType}' = (
      SELECT e.type FROM ${schema}.events e WHERE e.stream_id = NEW.stream_id ORDER BY e.version DESC LIMIT 1
    ) THEN
      RETURN NULL;
    END IF;
    RETURN NEW;
  END $$`,
  `CREATE TRIGGER snapshots_of_living BEFORE INSERT OR UPDATE ON ${schema}.snapshots
    FOR EACH ROW EXECUTE FUNCTION ${schema}.refuse_erased_snapshot()`,
  `ALTER TABLE ${schema}.snapshots ENABLE ALWAYS TRIGGER snapshots_of_living`
]
