/**
 * Gives a role the application's rights, and takes from it all others that it has on the same objects.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { RoleUnfit } from "../MigrationsError.ts"
import { lockMigrations } from "./migrate.ts"
import type { Migration } from "./Migration.ts"
import { quoted } from "./schemaName.ts"
import { allRights } from "./schemaState.ts"

/** A role's name as SQL takes it. */
export const quotedRole = (role: string): string => `"${role.replaceAll("\"", "\"\"")}"`

/** Whose members write, or run, what they like; so no right need be granted to them, and none can be withheld. */
const mighty = [
  "pg_write_all_data",
  "pg_write_server_files",
  "pg_execute_server_program",
  "pg_maintain"
]

const fitness = (sql: SqlClient.SqlClient, schema: string, role: string) =>
  Effect.gen(function*() {
    const unfit = (issue: string) => new RoleUnfit({ role, issue })
    const [found] = yield* sql<{ readonly creator: boolean; readonly superuser: boolean }>`
      SELECT rolsuper AS superuser, rolcreaterole AS creator FROM pg_roles WHERE rolname = ${role}`
    if (found === undefined) return yield* unfit("there is no such role. Create it: CREATE ROLE ... LOGIN")
    if (found.superuser) return yield* unfit("it is a superuser, whom no right binds")
    if (found.creator) return yield* unfit("it has CREATEROLE, by which it may grant itself other roles' rights")
    const memberships = yield* sql<{ readonly name: string }>`
      SELECT rolname AS name FROM pg_roles WHERE pg_has_role(${role}::name, oid, 'MEMBER') AND (
        rolname = ANY(${mighty}::text[])
        OR oid IN (
          SELECT nspowner FROM pg_namespace WHERE nspname = ${schema}
          UNION SELECT relowner FROM pg_class WHERE relnamespace = to_regnamespace(${quoted(schema)})
        ))`
    if (memberships.length > 0) {
      const names = memberships.map(({ name }) => name).join(", ")
      return yield* unfit(`it has the rights of ${names}, with which it may change the log`)
    }
  })

/** Grants what the migrations state, in one transaction: nobody sees the role without its rights in between. */
export const grant = (
  schema: string,
  role: string,
  migrations: ReadonlyArray<Migration>
): Effect.Effect<void, SqlError | RoleUnfit, SqlClient.SqlClient> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const name = quoted(schema)
    const grantee = quotedRole(role)
    const rights = allRights(migrations)
    const objects = new Set(rights.map(({ object, on }) => `${on} ${name}.${object}`))
    yield* sql.withTransaction(Effect.gen(function*() {
      yield* lockMigrations(sql, schema)
      yield* fitness(sql, schema, role)
      yield* sql.unsafe(`REVOKE ALL ON SCHEMA ${name} FROM ${grantee}`)
      yield* sql.unsafe(`GRANT USAGE ON SCHEMA ${name} TO ${grantee}`)
      for (const object of objects) yield* sql.unsafe(`REVOKE ALL ON ${object} FROM ${grantee}`)
      for (const { object, on, privilege } of rights) {
        yield* sql.unsafe(`GRANT ${privilege} ON ${on} ${name}.${object} TO ${grantee}`)
      }
    })).pipe(
      Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
    )
  })
