/**
 * What a log's schema holds, seen in one query, and whether a program may work on it.
 */
import * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { LogDamaged, MigrationMissing, RightsMissing, SchemaTooNew } from "../MigrationsError.ts"
import { type Migration, type Right, selects } from "./Migration.ts"
import { quoted } from "./schemaName.ts"
import { sqlState } from "./sqlState.ts"

/** Where the migrations that were run are recorded. */
export const migrationsTable = "migrations"

/** Every application checks at its start what it finds. */
export const allRights = (migrations: ReadonlyArray<Migration>): ReadonlyArray<Right> => [
  selects(migrationsTable),
  ...migrations.flatMap(({ rights }) => rights)
]

/** A right as an operator writes it. */
export const shown = ({ object, on, privilege }: Right): string => `${privilege} ON ${on} ${object}`

interface Applied {
  readonly id: number
  readonly name: string
  readonly oldestProgram: number
}

/** What was found. */
export interface SchemaState {
  readonly role: string
  readonly applied: ReadonlyArray<Applied>
  /** The essential parts that do not stand. */
  readonly damaged: ReadonlyArray<string>
  /** The rights that the session's role lacks. */
  readonly denied: ReadonlyArray<string>
}

type Row = readonly [
  role: string,
  ids: ReadonlyArray<number>,
  names: ReadonlyArray<string>,
  oldestPrograms: ReadonlyArray<number>,
  damaged: ReadonlyArray<string>,
  denied: ReadonlyArray<string>
]

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const failing = (conditions: ReadonlyArray<readonly [label: string, condition: string]>): string =>
  `(SELECT coalesce(array_agg(label ORDER BY nr), '{}') FROM (VALUES ${
    conditions.map(([label, condition], nr) => `(${nr}, ${literal(label)}, ${condition})`).join(", ")
  }) AS conditions(nr, label, holds) WHERE holds IS NOT TRUE)`

const holds = (name: string, { object, on, privilege }: Right): string =>
  on === "TABLE"
    ? `has_table_privilege(to_regclass('${name}.${object}'), '${privilege}')`
    : `(SELECT bool_and(has_function_privilege(oid, '${privilege}')) FROM pg_proc
        WHERE pronamespace = to_regnamespace('${name}') AND proname = '${object}')`

const query = (schema: string, migrations: ReadonlyArray<Migration>): string => {
  const name = quoted(schema)
  const parts = migrations.flatMap(({ parts }) => Object.entries(parts(name)))
  const rights = allRights(migrations).map((right) => [shown(right), holds(name, right)] as const)
  return `
    SELECT current_user::text, coalesce(array_agg(migration_id ORDER BY migration_id), '{}'),
      coalesce(array_agg(name ORDER BY migration_id), '{}'),
      coalesce(array_agg(oldest_program ORDER BY migration_id), '{}'),
      ${failing(parts)}, ${failing(rights)}
    FROM ${name}.${migrationsTable}`
}

const undefinedTable = "42P01"
const insufficientPrivilege = "42501"

const unmigrated: SchemaState = { role: "", applied: [], damaged: [], denied: [] }

/** Looks at the schema. One that is not there, or holds no log, has no migrations. */
export const inspect = (
  sql: SqlClient,
  schema: string,
  migrations: ReadonlyArray<Migration>
): Effect.Effect<SchemaState, SqlError | RightsMissing> =>
  sql.unsafe(query(schema, migrations)).values.pipe(
    Effect.map(([values]): SchemaState => {
      const [role, ids, names, oldestPrograms, damaged, denied] = values as unknown as Row
      const applied = ids.map((id, i) => ({ id, name: names[i]!, oldestProgram: oldestPrograms[i]! }))
      return { role, applied, damaged, denied }
    }),
    Effect.catchTag("SqlError", (error): Effect.Effect<SchemaState, SqlError | RightsMissing> => {
      switch (sqlState(error)) {
        case undefinedTable:
          return Effect.succeed(unmigrated)
        case insufficientPrivilege:
          return Effect.flatMap(
            sql<{ readonly role: string }>`SELECT current_user::text AS role`,
            ([row]) =>
              Effect.fail(
                new RightsMissing({
                  schema,
                  role: row!.role,
                  rights: [`USAGE ON SCHEMA ${schema}`, ...allRights(migrations).map(shown)]
                })
              )
          )
        default:
          return Effect.fail(error)
      }
    })
  )

const label = (id: number, name: string): string => `${String(id).padStart(4, "0")}_${name}`

/** The first migration that rules out a program that knows these. */
export const tooNew = (
  schema: string,
  migrations: ReadonlyArray<Migration>,
  { applied }: SchemaState
): SchemaTooNew | undefined => {
  const known = migrations.length
  const culprit = applied.find(({ id, name, oldestProgram }) =>
    id <= known ? migrations[id - 1]?.name !== name : oldestProgram > known
  )
  return culprit && new SchemaTooNew({
    schema,
    migration: label(culprit.id, culprit.name),
    known: label(known, migrations[known - 1]?.name ?? "")
  })
}

/** The program's migrations that were not run. */
export const missing = (migrations: ReadonlyArray<Migration>, { applied }: SchemaState): ReadonlyArray<string> => {
  const ids = new Set(applied.map(({ id }) => id))
  return migrations.flatMap(({ name }, i) => ids.has(i + 1) ? [] : [label(i + 1, name)])
}

/** Fails unless a program that knows these migrations may work on the schema. */
export const judge = (
  schema: string,
  migrations: ReadonlyArray<Migration>,
  state: SchemaState
): Effect.Effect<void, MigrationMissing | SchemaTooNew | LogDamaged | RightsMissing> => {
  const unfit = tooNew(schema, migrations, state)
  if (unfit !== undefined) return Effect.fail(unfit)
  const lacking = missing(migrations, state)
  if (lacking.length > 0) return Effect.fail(new MigrationMissing({ schema, missing: lacking }))
  if (state.damaged.length > 0) return Effect.fail(new LogDamaged({ schema, parts: state.damaged }))
  return state.denied.length > 0
    ? Effect.fail(new RightsMissing({ schema, role: state.role, rights: state.denied }))
    : Effect.void
}
