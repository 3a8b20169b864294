/**
 * The login role of a tenant.
 */
import * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { RoleUnfit } from "../MigrationsError.ts"
import { quotedRole } from "./grant.ts"

/** A role that may do nothing but log in, so that it has no rights but those that the tenant's log gives it. */
const attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS"

interface Found {
  readonly bare: boolean
  readonly memberships: ReadonlyArray<string>
  readonly logs: ReadonlyArray<string>
}

/** Refuses a role that is there already and reaches further than a tenant's may. */
const fitness = (
  sql: SqlClient,
  role: string,
  schema: string
): Effect.Effect<"missing" | "there", SqlError | RoleUnfit> =>
  Effect.gen(function*() {
    const [found] = yield* sql<Found>`
      SELECT NOT (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls) AS bare,
        ARRAY(SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
          WHERE m.member = role.oid) AS memberships,
        ARRAY(SELECT n.nspname::text FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
          WHERE c.relname = 'events' AND c.relkind = 'r' AND n.nspname <> ${schema}
            AND (has_schema_privilege(role.oid, n.oid, 'USAGE, CREATE')
              OR has_any_column_privilege(role.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))) AS logs
      FROM pg_roles AS role WHERE rolname = ${role}`
    if (found === undefined) return "missing"
    const unfit = (issue: string) => new RoleUnfit({ role, issue })
    if (!found.bare) {
      return yield* unfit("it has an attribute (SUPERUSER, CREATEROLE, ...) that a tenant's may not have")
    }
    if (found.memberships.length > 0) {
      return yield* unfit(`it is a member of ${found.memberships.join(", ")}, and could act as them by SET ROLE`)
    }
    if (found.logs.length > 0) {
      return yield* unfit(`it has rights on the schema of another log: ${found.logs.join(", ")}`)
    }
    return "there"
  })

/** Makes the role, or gives the one that is there this password. */
export const ensureTenantRole = (
  sql: SqlClient,
  { connectionLimit, role, schema, verifier }: {
    readonly role: string
    readonly schema: string
    readonly verifier: string
    readonly connectionLimit: number
  }
): Effect.Effect<void, SqlError | RoleUnfit> =>
  sql.withTransaction(Effect.gen(function*() {
    const name = quotedRole(role)
    yield* sql`SELECT pg_advisory_xact_lock(hashtextextended(${`composable-ts role ${role}`}, 0))`
    const state = yield* fitness(sql, role, schema)
    const password = `PASSWORD '${verifier}' CONNECTION LIMIT ${connectionLimit}`
    yield* sql.unsafe(
      state === "missing" ? `CREATE ROLE ${name} ${attributes} ${password}` : `ALTER ROLE ${name} LOGIN ${password}`
    )
    // Everyone's, unless it was taken from PUBLIC.
    const [database] = yield* sql<{ readonly name: string; readonly open: boolean }>`
      SELECT quote_ident(current_database()) AS name,
        has_database_privilege(${role}::name, current_database(), 'CONNECT') AS open`
    if (database !== undefined && !database.open) {
      yield* sql.unsafe(`GRANT CONNECT ON DATABASE ${database.name} TO ${name}`)
    }
  }))
