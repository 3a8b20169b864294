/**
 * The table of snapshots: one row for each stream and state version, rewritten whenever a later state is kept.
 */

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
