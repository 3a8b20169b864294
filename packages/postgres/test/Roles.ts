/**
 * Login roles for a test. They belong to the whole server, so each has a name of its own and goes with the test.
 */
import * as Migrations from "@composable-ts/postgres/Migrations"
import { Effect, Redacted, type Scope } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { randomUUID } from "node:crypto"
import { connect } from "./TestLog.ts"

/** A role, and how to connect as it. */
export interface Role {
  readonly name: string
  readonly url: Redacted.Redacted
}

/** Which role to connect to this database as. */
export const as = (url: Redacted.Redacted, username: string, password: string): Redacted.Redacted => {
  const parsed = new URL(Redacted.value(url))
  parsed.username = encodeURIComponent(username)
  parsed.password = encodeURIComponent(password)
  return Redacted.make(parsed.href, { label: "url" })
}

/** A name that no other role has. */
export const roleName = (kind: string): string => `${kind}_${randomUUID().replaceAll("-", "").slice(0, 16)}`

/** Drops the role at the end of the scope, and what it owns and may do in this database, if it is there. */
export const dropAtEnd = (url: Redacted.Redacted, name: string): Effect.Effect<void, never, Scope.Scope> =>
  Effect.addFinalizer(() =>
    Effect.orDie(Effect.scoped(Effect.gen(function*() {
      const sql = yield* connect({ url, maxConnections: 1 })
      const found = yield* sql`SELECT FROM pg_roles WHERE rolname = ${name}`
      if (found.length === 0) return
      yield* sql.unsafe(`DROP OWNED BY ${name} CASCADE`)
      yield* sql.unsafe(`DROP ROLE ${name}`)
    })))
  )

/** Makes a login role for the length of the scope. */
export const makeRole = (
  url: Redacted.Redacted,
  kind: string
): Effect.Effect<Role, SqlError.SqlError, Scope.Scope> =>
  Effect.gen(function*() {
    const name = roleName(kind)
    const password = randomUUID()
    yield* dropAtEnd(url, name)
    const sql = yield* connect({ url, maxConnections: 1 })
    yield* sql.unsafe(`CREATE ROLE ${name} LOGIN PASSWORD '${password}'`)
    return { name, url: as(url, name, password) }
  })

/** Runs an effect on a connection as whom this URL names. */
export const onClient = <A, E>(
  url: Redacted.Redacted,
  effect: Effect.Effect<A, E, SqlClient.SqlClient>
): Effect.Effect<A, E | SqlError.SqlError> =>
  Effect.scoped(
    Effect.flatMap(
      connect({ url, maxConnections: 3 }),
      (client) => Effect.provideService(effect, SqlClient.SqlClient, client)
    )
  )

/** A log as it is to be in production: owned by a role that is no superuser, used by one that has granted rights alone. */
export const makeLog = (url: Redacted.Redacted, schema: string) =>
  Effect.gen(function*() {
    const owner = yield* makeRole(url, "owner")
    const app = yield* makeRole(url, "app")
    yield* onClient(
      url,
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(`CREATE SCHEMA ${schema} AUTHORIZATION ${owner.name}`))
    )
    yield* onClient(
      owner.url,
      Effect.andThen(Migrations.migrate({ schema }), Migrations.grant({ schema, role: app.name }))
    )
    return { owner, app }
  })
