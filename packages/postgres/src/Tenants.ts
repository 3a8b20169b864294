/**
 * A log for each tenant: a schema of its own, which only the tenant's own login role may read or append to.
 *
 * The database itself keeps tenants apart, by the rights of the role that logged in. A tenant's connection reads no
 * other tenant's events, whatever is asked of it: not by a query written by hand, nor after `SET ROLE`, `SET SESSION
 * AUTHORIZATION`, `SET search_path` or any other setting.
 *
 * That is why this is not one table with row-level security by a setting such as `app.tenant`: whoever can run a query
 * on such a connection, by a mistake or an injection, can run `SET app.tenant` before it. There, too, a forgotten `SET`
 * or a pooled connection that kept the last tenant's mixes tenants up; a role is fixed when the connection is made. And
 * a schema can be dumped, restored, moved or dropped with its tenant.
 *
 * What it costs: connections are not shared between tenants. An open log holds one to listen, and one while it
 * appends; so {@link make} bounds how many are open and closes those that are idle. Mind `max_connections`.
 *
 * What it does not hide: names of schemas and roles, sizes of tables and rough counts of rows stand in PostgreSQL's
 * catalogue, which every role reads; and every role may LISTEN on any channel, where positions alone are announced. So
 * name schemas by something that says nothing, or give each tenant a database of its own, where this matters. Tenants
 * share the server's work: see `connectionLimit`, and `statement_timeout` for the role. Nor is one safe from another's
 * ill will as to time: appends wait for an advisory lock, and any session of the same database may take one.
 */
import type { Service } from "@composable-ts/core/EventStore"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as RcMap from "effect/RcMap"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { schemaName } from "./internal/schemaName.ts"
import { scramVerifier } from "./internal/scramVerifier.ts"
import { ensureTenantRole } from "./internal/tenantRole.ts"
import * as Migrations from "./Migrations.ts"
import type { RoleUnfit } from "./MigrationsError.ts"
import * as PostgresEventStore from "./PostgresEventStore.ts"

/** A tenant's place in the database, and its key. */
export interface Tenant {
  /** The schema of its log: lower-case letters, digits and `_`. */
  readonly schema: string
  /** Its login role, which it shares with no other tenant. Default: named as the schema. */
  readonly role?: string | undefined
  readonly password: Redacted.Redacted
}

/** How to set up a tenant. */
export interface ProvisionOptions extends Tenant {
  /** How many connections the tenant's role may have at once, over all processes. Default: no limit. */
  readonly connectionLimit?: number | undefined
}

/** A tenant's log cannot be opened: it was not provisioned, its password differs, or its schema is not as it should be. */
export class TenantUnavailable extends Schema.TaggedError<TenantUnavailable>()("TenantUnavailable", {
  schema: Schema.String,
  role: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : Formatter.format(this.cause)
    return `The log of the tenant with schema "${this.schema}" cannot be opened as role "${this.role}": ${cause}. If ` +
      "the tenant is new, run Tenants.provision for it; if its password was changed, provision it with the new one"
  }
}

/** As many tenants' logs are open and in use as may be. */
export class TooManyTenants extends Schema.TaggedError<TooManyTenants>()("TooManyTenants", {
  capacity: Schema.Int
}) {
  override get message(): string {
    return `${this.capacity} tenants' logs are in use at once, which is the capacity. Close scopes that use one sooner, ` +
      "raise the capacity (and the server's max_connections), or spread tenants over more processes"
  }
}

const roleOf = ({ role, schema }: Tenant): string => role ?? schema

/**
 * Sets up a tenant: its login role, its schema, brought up to date, and the role's rights. To run it again changes
 * nothing but the password; run it for each tenant when you deploy, in place of `Migrations.migrate` and
 * `Migrations.grant`.
 *
 * Run it as the role that is to own the tenants' logs. It needs CREATEROLE and, on the database, CREATE. A role that is
 * there already and reaches further than a tenant's may is refused with `RoleUnfit`.
 */
export const provision = (
  options: ProvisionOptions
): Effect.Effect<void, RoleUnfit | Migrations.MigrateError | SqlError, SqlClient> =>
  Effect.gen(function*() {
    const schema = yield* schemaName(options.schema)
    const role = roleOf(options)
    const verifier = yield* Effect.promise(() => scramVerifier(Redacted.value(options.password)))
    const connectionLimit = options.connectionLimit ?? -1
    yield* ensureTenantRole(yield* SqlClient, { role, schema, verifier, connectionLimit })
    yield* Migrations.migrate({ schema })
    yield* Migrations.grant({ schema, role })
  })

/**
 * Opens a tenant's log on connections of its own, which close with the scope. `database` says where and how to connect;
 * role and password are the tenant's, whatever is stated there.
 */
export const open = (
  database: PgClient.PgPoolConfig,
  tenant: Tenant
): Effect.Effect<Service, TenantUnavailable, Scope.Scope> =>
  Effect.gen(function*() {
    const config = { ...database, username: roleOf(tenant), password: tenant.password }
    const client = yield* Effect.provide(PgClient.make(config), Reactivity.layer)
    return yield* Effect.provideService(
      PostgresEventStore.open({ schema: tenant.schema }),
      PgClient.PgClient,
      client
    )
  }).pipe(
    Effect.mapError((cause) => new TenantUnavailable({ schema: tenant.schema, role: roleOf(tenant), cause }))
  )

/** The logs of many tenants, opened when they are needed. */
export interface Tenants<E> {
  /**
   * The tenant's log, for the length of the scope: that which is open already, or else opened now. Keep the scope short,
   * such as a request: what is in use cannot make room for another tenant.
   */
  readonly open: (name: string) => Effect.Effect<Service, E | TenantUnavailable | TooManyTenants, Scope.Scope>
  /**
   * Forgets the tenant's log: whoever asks next opens it anew, as is due when its password was changed. Its connections
   * close when the last to use them is done.
   */
  readonly forget: (name: string) => Effect.Effect<void>
}

/** How to serve many tenants. */
export interface Options<E, R> {
  /** Where and how to connect; `maxConnections` counts for each tenant, and must be at least three. */
  readonly database: PgClient.PgPoolConfig
  /** Finds a tenant by the name that the application knows it by. It fails for one that is not there. */
  readonly find: (name: string) => Effect.Effect<Tenant, E, R>
  /** How many logs may be open at once. The one that was idle for longest closes to make room. */
  readonly capacity: number
  /** How long a log stays open after its last use. Default 1 minute. */
  readonly idleTimeToLive?: Duration.Input | undefined
}

/**
 * Serves many tenants from one process. All logs close with the scope.
 *
 * @example
 * ```ts no-run
 * import * as Tenants from "@composable-ts/postgres/Tenants"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * export const program = Effect.gen(function*() {
 *   const tenants = yield* Tenants.make({
 *     database: { host: "localhost", database: "shops", maxConnections: 3 },
 *     find: (name) => Effect.succeed({ schema: `shop_${name}`, password: Redacted.make("...") }),
 *     capacity: 20
 *   })
 *   const store = yield* tenants.open("acme")
 *   return yield* store.readAll({ after: 0n, limit: 100 })
 * })
 * ```
 */
export const make = <E, R>(options: Options<E, R>): Effect.Effect<Tenants<E>, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const stores = yield* RcMap.make({
      lookup: (name: string) => Effect.flatMap(options.find(name), (tenant) => open(options.database, tenant)),
      idleTimeToLive: options.idleTimeToLive ?? "1 minute",
      capacity: options.capacity
    })
    const closeIdlest = Effect.suspend(() =>
      Option.match(idlest(stores), {
        onNone: () => Effect.fail(new TooManyTenants({ capacity: options.capacity })),
        onSome: (name) => RcMap.invalidate(stores, name)
      })
    )
    const get = (name: string): Effect.Effect<Service, E | TenantUnavailable | TooManyTenants, Scope.Scope> =>
      RcMap.get(stores, name).pipe(
        Effect.catchIf(Cause.isExceededCapacityError, () => Effect.andThen(closeIdlest, get(name)))
      )
    return {
      // A failure is not kept: the tenant may be provisioned, or the server be back, a moment later.
      open: (name) => Effect.tapError(get(name), () => RcMap.invalidate(stores, name)),
      forget: (name) => RcMap.invalidate(stores, name)
    }
  })

/** Of those that nobody uses, the one that was given back first. */
const idlest = <E>(stores: RcMap.RcMap<string, Service, E>): Option.Option<string> => {
  if (stores.state._tag === "Closed") return Option.none()
  const idle = [...stores.state.map].filter(([, { refCount }]) => refCount === 0)
  const [first] = idle.toSorted(([, a], [, b]) => a.expiresAt - b.expiresAt)
  return first === undefined ? Option.none() : Option.some(first[0])
}
