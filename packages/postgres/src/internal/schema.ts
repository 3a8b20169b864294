/**
 * The log's tables and functions, as versioned migrations.
 */
import { appendFunction, appendOneFunction } from "./appendFunction.ts"
import { immutability } from "./immutability.ts"
import { executes, type Migration, selects } from "./Migration.ts"
import { quoted } from "./schemaName.ts"
import { tombstoneFunction, tombstoneRights } from "./tombstoneFunction.ts"
import { verifyFunction } from "./verifyFunction.ts"

/** The channel on which appends are announced. */
export const channel = (schema: string): string => `${schema}_events`

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
    fingerprint text COLLATE "C",
    correlation_id text COLLATE "C",
    causation_id text COLLATE "C",
    data json,
    metadata json,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT events_stream_version UNIQUE (stream_id, version)
  ) WITH (autovacuum_analyze_threshold = ${smallLog}, autovacuum_vacuum_insert_threshold = ${smallLog})`,
  `CREATE UNIQUE INDEX events_command ON ${schema}.events (command_id) WHERE command_size IS NOT NULL`,
  `COMMENT ON TABLE ${schema}.events IS 'The log. Written by append() and tombstone() alone; changed by tombstone() alone.'`,
  `COMMENT ON COLUMN ${schema}.events.global_position IS 'From 1, without gaps, in the order of commits.'`,
  `COMMENT ON COLUMN ${schema}.events.version IS 'Place in the stream, from 0, without gaps.'`,
  `COMMENT ON COLUMN ${schema}.events.command_size IS
    'How many events the command stored; set on its first event only. They stand at consecutive global positions.'`,
  `COMMENT ON COLUMN ${schema}.events.fingerprint IS
    'A digest of the command, if it carried one; set on its first event only. It tells a repetition from another command.'`,
  `COMMENT ON COLUMN ${schema}.events.data IS 'Null means: erased. The stream then ends with a tombstone.'`,
  `COMMENT ON COLUMN ${schema}.events.correlation_id IS 'Null means: the command id.'`,
  `COMMENT ON COLUMN ${schema}.events.causation_id IS 'Null means: the command id.'`
]

/** The functions by which the application appends. They run with the owner's rights. */
const appendFunctions: ReadonlyArray<string> = ["append", "append_one"]

/** As the catalogue has them: a bit for each row 1, before 2, DELETE 8, UPDATE 16, TRUNCATE 32. */
const triggerTypes = {
  "before, DELETE or TRUNCATE, each statement": 2 + 8 + 32,
  "before, UPDATE, each row": 1 + 2 + 16
} as const

/** What makes the events table trustworthy. The names are those that an operator finds with `\d`. */
const eventsParts: Migration["parts"] = (name) => {
  const table = `to_regclass('${name}.events')`
  const unique = (index: string) =>
    `EXISTS (SELECT FROM pg_index WHERE indrelid = ${table} AND indexrelid = to_regclass('${name}.${index}')
      AND indisunique AND indisvalid AND indimmediate)`
  const relation = (condition: string) => `EXISTS (SELECT FROM pg_class WHERE oid = ${table} AND ${condition})`
  const guard = (trigger: string, calls: string, type: keyof typeof triggerTypes) => ({
    [`trigger ${trigger}, always enabled`]: `EXISTS (SELECT FROM pg_trigger WHERE tgrelid = ${table}
      AND tgname = '${trigger}' AND tgenabled = 'A' AND tgtype = ${triggerTypes[type]} AND tgqual IS NULL
      AND tgfoid = to_regproc('${name}.${calls}'))`
  })
  return {
    "table events": relation("relkind = 'r'"),
    "events survive a crash (not UNLOGGED)": relation("relpersistence = 'p'"),
    "no rule on events": relation("NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = pg_class.oid)"),
    "no row-level security on events": relation("NOT relrowsecurity"),
    "primary key events_pkey": unique("events_pkey"),
    "unique constraint events_stream_version": unique("events_stream_version"),
    "unique index events_command": unique("events_command"),
    ...guard("events_immutable", "refuse_change", "before, DELETE or TRUNCATE, each statement"),
    ...guard("events_erasable", "refuse_update", "before, UPDATE, each row"),
    ...Object.fromEntries([...appendFunctions, "tombstone"].map((append) => [
      `function ${append}, SECURITY DEFINER with a pinned search_path`,
      `(SELECT bool_and(prosecdef AND coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)) FROM pg_proc
        WHERE pronamespace = to_regnamespace('${name}') AND proname = '${append}')`
    ]))
  }
}

/**
 * All migrations, the first first; an id is a place in this list, from 1. A released one is never changed. Each states
 * beside its statements what the application may do with what it makes, and which parts of it must stand.
 */
export const migrations: ReadonlyArray<Migration> = [
  {
    name: "log",
    oldestProgram: 1,
    statements: (schema) => {
      const name = quoted(schema)
      return [
        ...events(name),
        ...immutability(name),
        appendFunction(name, channel(schema)),
        appendOneFunction(name, channel(schema)),
        tombstoneFunction(name, channel(schema)),
        tombstoneRights(name),
        verifyFunction(name)
      ]
    },
    // Erasing is not for every program: the right to call tombstone() is the operator's to grant.
    rights: [selects("events"), ...appendFunctions.map(executes), executes("verify")],
    parts: eventsParts
  }
]
