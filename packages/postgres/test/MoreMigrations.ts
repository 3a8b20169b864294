/**
 * Migrations as a later version of the package will have them.
 */
import { type Migration, selects } from "../src/internal/Migration.ts"
import { migrations } from "../src/internal/schema.ts"

const later = (migration: Partial<Migration>): ReadonlyArray<Migration> => [
  ...migrations,
  {
    name: "later",
    oldestProgram: migrations.length,
    statements: () => [],
    rights: [],
    parts: () => ({}),
    ...migration
  }
]

/** The id of the later migration. */
export const laterId = migrations.length + 1

const makeTable = (schema: string): string => `CREATE TABLE "${schema}".later (id bigint PRIMARY KEY)`

/** A table more: programs that do not know of it go on. */
export const additive = later({
  statements: (schema) => [makeTable(schema)],
  rights: [selects("later")],
  parts: (name) => ({ "table later": `to_regclass('${name}.later') IS NOT NULL` })
})

/** What programs before it rely on is gone. */
export const breaking = later({ statements: (schema) => [makeTable(schema)], oldestProgram: laterId })

/** Changes the table of events, for which it needs its lock. */
export const altering = later({
  statements: (schema) => [makeTable(schema), `ALTER TABLE "${schema}".events ADD COLUMN extra text`]
})

/** The lock that {@link halfway} waits for in the middle. */
export const halfwayLock = 42_042

/** Waits in the middle, when a table is made already. */
export const halfway = later({
  statements: (schema) => [
    makeTable(schema),
    "SET LOCAL lock_timeout = 0",
    `SELECT pg_advisory_xact_lock(${halfwayLock})`,
    `ALTER TABLE "${schema}".events ADD COLUMN extra text`
  ]
})

/** Takes a while. */
export const slow = later({ statements: () => ["SELECT pg_sleep(0.2)"] })
