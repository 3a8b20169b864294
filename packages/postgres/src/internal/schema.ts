/**
 * The log's tables and functions, as versioned migrations.
 */
import { appendEachFunction, appendFunction, appendOneFunction } from "./appendFunction.ts"
import { immutability } from "./immutability.ts"
import { executes, type Migration, selects, uses } from "./Migration.ts"
import { outboxFunctions, outboxRights, outboxTable } from "./outboxTable.ts"
import { quoted } from "./schemaName.ts"
import { snapshotGuard, snapshotTable } from "./snapshotTable.ts"
import { subjectKeyTable } from "./subjectKeyTable.ts"
import { tombstoneFunction } from "./tombstoneFunction.ts"
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
    packed bytea,
    CONSTRAINT events_stream_version UNIQUE (stream_id, version),
    CONSTRAINT events_body CHECK (data IS NULL OR packed IS NULL)
  ) WITH (autovacuum_analyze_threshold = ${smallLog}, autovacuum_vacuum_insert_threshold = ${smallLog})`,
  `CREATE UNIQUE INDEX events_command ON ${schema}.events (command_id) WHERE command_size IS NOT NULL`,
  `COMMENT ON TABLE ${schema}.events IS 'The log. Written by append() and tombstone() alone; changed by tombstone() alone.'`,
  `COMMENT ON COLUMN ${schema}.events.global_position IS 'From 1, without gaps, in the order of commits.'`,
  `COMMENT ON COLUMN ${schema}.events.version IS 'Place in the stream, from 0, without gaps.'`,
  `COMMENT ON COLUMN ${schema}.events.command_size IS
    'How many events the command stored; set on its first event only. They stand at consecutive global positions.'`,
  `COMMENT ON COLUMN ${schema}.events.fingerprint IS
    'A digest of the command, if it carried one; set on its first event only. It tells a repetition from another command.'`,
  `COMMENT ON COLUMN ${schema}.events.data IS
    'The body as JSON. Null together with packed means: erased. The stream then ends with a tombstone.'`,
  `COMMENT ON COLUMN ${schema}.events.packed IS 'The body as MessagePack, instead of data.'`,
  `COMMENT ON COLUMN ${schema}.events.correlation_id IS 'Null means: the command id.'`,
  `COMMENT ON COLUMN ${schema}.events.causation_id IS 'Null means: the command id.'`
]

/** The functions by which the application appends. They run with the owner's rights. */
const appendFunctions: ReadonlyArray<string> = ["append", "append_one", "append_each"]

/** A trigger's type, as the catalogue has it. */
const [onStatement, onRow, before, onInsert, onDelete, onUpdate, onTruncate] = [0, 1, 2, 4, 8, 16, 32] as const

interface Guard {
  /** The function that it calls. */
  readonly calls: string
  readonly type: number
}

/** Triggers that must stand, enabled always. */
const guards = (name: string, table: string, triggers: Readonly<Record<string, Guard>>) =>
  Object.fromEntries(
    Object.entries(triggers).map(([trigger, { calls, type }]) => [
      `trigger ${trigger}, always enabled`,
      `EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('${name}.${table}')
      AND tgname = '${trigger}' AND tgenabled = 'A' AND tgtype = ${type} AND tgqual IS NULL
      AND tgfoid = to_regproc('${name}.${calls}'))`
    ])
  )

/** What makes the events table trustworthy. The names are those that an operator finds with `\d`. */
const eventsParts: Migration["parts"] = (name) => {
  const table = `to_regclass('${name}.events')`
  const unique = (index: string) =>
    `EXISTS (SELECT FROM pg_index WHERE indrelid = ${table} AND indexrelid = to_regclass('${name}.${index}')
      AND indisunique AND indisvalid AND indimmediate)`
  const relation = (condition: string) => `EXISTS (SELECT FROM pg_class WHERE oid = ${table} AND ${condition})`
  return {
    "table events": relation("relkind = 'r'"),
    "events survive a crash (not UNLOGGED)": relation("relpersistence = 'p'"),
    "no rule on events": relation("NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = pg_class.oid)"),
    "no row-level security on events": relation("NOT relrowsecurity"),
    "primary key events_pkey": unique("events_pkey"),
    "unique constraint events_stream_version": unique("events_stream_version"),
    "unique index events_command": unique("events_command"),
    ...guards(name, "events", {
      events_immutable: { calls: "refuse_change", type: onStatement | before | onDelete | onTruncate },
      events_erasable: { calls: "refuse_update", type: onRow | before | onUpdate }
    }),
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
        appendEachFunction(name, channel(schema)),
        tombstoneFunction(name, channel(schema)),
        verifyFunction(name)
      ]
    },
    // Erasing is not for every program: the right to call tombstone() is the operator's to grant.
    rights: [selects("events"), ...appendFunctions.map(executes), executes("verify")],
    parts: eventsParts
  },
  {
    name: "snapshots",
    oldestProgram: 1,
    statements: (schema) => [...snapshotTable(quoted(schema)), ...snapshotGuard(quoted(schema))],
    rights: uses("snapshots", "SELECT", "INSERT", "UPDATE", "DELETE"),
    parts: (name) =>
      guards(name, "snapshots", {
        snapshots_of_living: { calls: "refuse_erased_snapshot", type: onRow | before | onInsert | onUpdate }
      })
  },
  {
    name: "subject_keys",
    oldestProgram: 1,
    statements: (schema) => subjectKeyTable(quoted(schema)),
    rights: uses("subject_keys", "SELECT", "INSERT", "UPDATE"),
    parts: (name) =>
      guards(name, "subject_keys", {
        subject_keys_change: { calls: "guard_subject_keys", type: onRow | before | onUpdate | onDelete },
        subject_keys_truncate: { calls: "guard_subject_keys", type: onStatement | before | onTruncate }
      })
  },
  {
    name: "outbox",
    oldestProgram: 1,
    statements: (schema) => [...outboxTable(quoted(schema)), ...outboxFunctions(quoted(schema))],
    rights: outboxRights,
    parts: (name) => ({
      "table outbox survives a crash (not UNLOGGED)":
        `EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('${name}.outbox') AND relpersistence = 'p')`,
      "primary key outbox_pkey": `EXISTS (SELECT FROM pg_index WHERE indrelid = to_regclass('${name}.outbox')
        AND indexrelid = to_regclass('${name}.outbox_pkey') AND indisunique AND indisvalid AND indimmediate)`
    })
  }
]
