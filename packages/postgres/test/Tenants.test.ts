/**
 * T54: a log for each tenant, which no other tenant's connection reads, whatever is asked of it.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Migrations from "@composable-ts/postgres/Migrations"
import * as Tenants from "@composable-ts/postgres/Tenants"
import type { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Queue, Redacted, References, Schema, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import { randomUUID } from "node:crypto"
import { several, stream } from "./Facts.ts"
import { as, dropAtEnd, onClient, roleName } from "./Roles.ts"
import { rolledBack, stateOf } from "./SqlState.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const { any, noStream } = ExpectedVersion

/** A tenant that is set up, and how a query written by hand connects as it. */
const makeTenant = (log: TestLog, kind: string) =>
  Effect.gen(function*() {
    const tenant = { schema: roleName(kind), password: Redacted.make(`pass'word "${randomUUID()}`) }
    yield* dropAtEnd(log.url, tenant.schema)
    yield* onClient(log.url, Tenants.provision(tenant))
    const url = as(log.url, tenant.schema, Redacted.value(tenant.password))
    return { ...tenant, url, open: Tenants.open({ url: log.url, maxConnections: 3 }, tenant) }
  }).pipe(Effect.provideService(References.MinimumLogLevel, "Error"))

/** Queries that would show another's events, or change them. Each is a session of its own. */
const intrusions = (other: string, owner: string): ReadonlyArray<ReadonlyArray<string>> => {
  const query = `SELECT * FROM ${other}.events`
  const settings = [
    "SELECT 1",
    `SET search_path = ${other}`,
    `SET search_path = ${other}, public`,
    "SET row_security = off",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ROLE",
    "RESET ALL",
    "SET app.tenant = 'other'",
    `SET ROLE ${other}`,
    `SET ROLE ${owner}`,
    `SET SESSION AUTHORIZATION ${other}`,
    `SELECT set_config('role', '${other}', false)`,
    `SELECT set_config('session_authorization', '${other}', false)`
  ]
  return [
    ...settings.map((setting) => [setting, query]),
    [`SELECT count(*) FROM ${other}.events`],
    [`SELECT max(global_position) FROM ${other}.events`],
    [`SELECT EXISTS (SELECT FROM ${other}.events)`],
    [`TABLE ${other}.migrations`],
    [`COPY ${other}.events TO STDOUT`],
    [`CREATE TEMP VIEW peek AS SELECT * FROM ${other}.events`, "SELECT * FROM peek"],
    [`CREATE TEMP TABLE copy (LIKE ${other}.events)`],
    [`CREATE FUNCTION pg_temp.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM ${other}.events'`],
    [`PREPARE peek AS ${query}`],
    [`DECLARE peek CURSOR FOR ${query}`],
    [`EXPLAIN ANALYZE ${query}`],
    [`DO $$ BEGIN PERFORM * FROM ${other}.events; END $$`],
    [`SELECT ${other}.append(null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null)`],
    [`INSERT INTO ${other}.events SELECT * FROM ${other}.events`],
    [`DELETE FROM ${other}.events`],
    [`CREATE TABLE ${other}.mine (id int)`],
    [`GRANT ${other} TO CURRENT_USER`],
    [`ALTER SCHEMA ${other} OWNER TO CURRENT_USER`],
    ["SELECT pg_read_file('postgresql.conf')"]
  ]
}

const passing = (sql: SqlClient.SqlClient, intruding: ReadonlyArray<ReadonlyArray<string>>) =>
  Effect.filter(
    intruding,
    (statements) => Effect.map(stateOf(rolledBack(sql, statements)), (state) => state !== "42501")
  )

const currentUser = (sql: PgClient) =>
  Effect.map(sql<{ readonly name: string }>`SELECT current_user::text AS name`, ([row]) => row!.name)

suite("a tenant", (test, control) => {
  test("T54: sees nothing of another by any operation of the store", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      const b = yield* makeTenant(log, "b")
      const storeA = yield* a.open
      const storeB = yield* b.open
      yield* storeB.append(stream("x"), noStream, several(3), { commandId: "shared" })
      assert.deepStrictEqual(yield* storeA.read(stream("x")), [])
      assert.deepStrictEqual(yield* storeA.read(stream("x"), { direction: "backwards", maxCount: 1 }), [])
      assert.deepStrictEqual(yield* Stream.runCollect(storeA.load(stream("x"))), [])
      assert.deepStrictEqual(yield* storeA.readCommand("shared"), [])
      assert.deepStrictEqual(yield* storeA.readAll({ after: 0n, limit: 100 }), {
        events: [],
        position: 0n,
        head: 0n,
        previousEventId: undefined,
        lastEventId: undefined
      })
      // The same stream and command id are its own affair.
      const own = yield* storeA.append(stream("x"), noStream, several(1), { commandId: "shared" })
      assert.deepStrictEqual(own, { version: 0, globalPosition: 1n, duplicate: false })
      const [moved] = yield* storeA.transact([{ streamId: stream("x"), expected: any, events: several(2) }])
      assert.strictEqual(moved.globalPosition, 3n)
      const followed = yield* Stream.runCollect(Stream.take(storeA.subscribe({ after: 0n }), 3))
      assert.deepStrictEqual(followed.map(({ version }) => version), [0, 1, 2])
      assert.strictEqual((yield* storeB.readAll({ after: 0n, limit: 100 })).head, 3n)
    }))

  test("T54: reads and changes nothing of another by queries written by hand, whatever it sets", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      const b = yield* makeTenant(log, "b")
      yield* (yield* b.open).append(stream("x"), noStream, several(3))
      const sql = yield* connect({ url: a.url, maxConnections: 1 })
      assert.deepStrictEqual(yield* passing(sql, intrusions(b.schema, yield* currentUser(log.sql))), [])
      assert.strictEqual((yield* sql.unsafe(`SELECT FROM ${a.schema}.events`)).length, 0)
      const known = yield* sql`SELECT query FROM pg_stat_activity
        WHERE usename = ${b.schema} AND query <> '<insufficient privilege>'`
      assert.deepStrictEqual(known, [])
    }))

  control("T54 control: what rights given by hand let through is noticed", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      const b = yield* makeTenant(log, "b")
      const sql = yield* connect({ url: a.url, maxConnections: 1 })
      const noticed = Effect.map(
        passing(sql, intrusions(b.schema, yield* currentUser(log.sql)).filter(([first]) => !first?.startsWith("COPY"))),
        (found) => found.length
      )
      yield* log.sql.unsafe(`GRANT pg_read_all_data TO ${a.schema}`)
      // Rights of a role that does not inherit are there all the same, after SET ROLE.
      assert.isAbove(
        (yield* passing(sql, [["SET ROLE pg_read_all_data", `SELECT * FROM ${b.schema}.events`]])).length,
        0
      )
      const error = yield* Effect.flip(onClient(log.url, Tenants.provision(a)))
      assert.deepInclude(error, { _tag: "RoleUnfit", role: a.schema })
      yield* log.sql.unsafe(`REVOKE pg_read_all_data FROM ${a.schema}`)
      assert.strictEqual(yield* noticed, 0)
      yield* log.sql.unsafe(`GRANT USAGE ON SCHEMA ${b.schema} TO ${a.schema}`)
      yield* log.sql.unsafe(`GRANT SELECT ON ${b.schema}.events TO ${a.schema}`)
      assert.isAbove(yield* noticed, 5)
      assert.deepInclude(yield* Effect.flip(onClient(log.url, Tenants.provision(a))), { _tag: "RoleUnfit" })
    }))

  test("T54: a pooled connection that was reused after an error is still the tenant's", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      const b = yield* makeTenant(log, "b")
      yield* (yield* b.open).append(stream("x"), noStream, several(3))
      const sql = yield* connect({ url: a.url, maxConnections: 1 })
      const pid = Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([row]) => row?.pid)
      const first = yield* pid
      for (const [before, ...rest] of intrusions(b.schema, "postgres")) {
        yield* Effect.result(sql.unsafe(before!))
        for (const statement of rest) yield* Effect.result(sql.unsafe(statement))
        assert.strictEqual(
          yield* stateOf(sql.unsafe(`SELECT * FROM ${b.schema}.events`)),
          "42501",
          before
        )
      }
      assert.strictEqual(yield* currentUser(sql), a.schema)
      assert.strictEqual(yield* pid, first)
    }))

  test("T54: two tenants' appends wake only their own, with nothing but a position", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      const b = yield* makeTenant(log, "b")
      const [storeA, storeB] = [yield* a.open, yield* b.open]
      const sql = yield* connect({ url: a.url, maxConnections: 3 })
      const own = yield* sql.listen(`${a.schema}_events`)
      const others = yield* sql.listen(`${b.schema}_events`)
      yield* storeB.append(stream("secret"), noStream, several(3))
      yield* storeA.append(stream("x"), noStream, several(1))
      assert.deepInclude(yield* Queue.take(own), { channel: `${a.schema}_events`, payload: "1" })
      // Any role may listen on any channel; all that it hears is how far the log has come.
      assert.deepInclude(yield* Queue.take(others), { channel: `${b.schema}_events`, payload: "3" })
      assert.strictEqual(yield* Queue.size(own), 0)
    }))

  test("its password stands in no statement, and is changed by provisioning again", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      yield* (yield* a.open).append(stream("x"), noStream, several(1))
      const [row] = yield* log.sql<{ stored: string }>`SELECT rolpassword AS stored FROM pg_authid
        WHERE rolname = ${a.schema}`
      assert.match(row!.stored, /^SCRAM-SHA-256\$4096:/)
      const password = Redacted.make("another")
      yield* onClient(log.url, Tenants.provision({ schema: a.schema, password, connectionLimit: 5 }))
      const refused = yield* Effect.flip(a.open)
      assert.strictEqual(refused._tag, "TenantUnavailable")
      assert.notInclude(refused.message, Redacted.value(a.password))
      const store = yield* Tenants.open({ url: log.url, maxConnections: 3 }, { schema: a.schema, password })
      assert.strictEqual((yield* store.read(stream("x"))).length, 1)
      const limits = yield* log.sql`SELECT rolconnlimit AS most FROM pg_roles WHERE rolname = ${a.schema}`
      assert.deepStrictEqual(limits, [{ most: 5 }])
    }))

  test("is set up by an owner who is no superuser, and two may do it at once", (log) =>
    Effect.gen(function*() {
      const owner = roleName("operator")
      const schema = roleName("t")
      yield* dropAtEnd(log.url, owner)
      yield* dropAtEnd(log.url, schema)
      yield* log.sql.unsafe(`CREATE ROLE ${owner} LOGIN CREATEROLE PASSWORD 'x'`)
      yield* log.sql.unsafe(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ${owner}',
        current_database()); END $$`)
      const tenant = { schema, password: Redacted.make("x") }
      yield* Effect.forEach(
        Array.range(1, 4),
        () => onClient(as(log.url, owner, "x"), Tenants.provision(tenant)),
        { concurrency: "unbounded" }
      )
      const store = yield* Tenants.open({ url: log.url, maxConnections: 3 }, tenant)
      yield* store.append(stream("x"), noStream, several(1))
    }))

  test("a role that reaches further is refused before anything is granted", (log) =>
    Effect.gen(function*() {
      const other = yield* makeTenant(log, "other")
      const provision = (role: string) =>
        Effect.flip(onClient(
          log.url,
          Tenants.provision({ schema: roleName("t"), role, password: Redacted.make("x") })
        ))
      const unfit = (attributes: string) =>
        Effect.gen(function*() {
          const role = roleName("far")
          yield* dropAtEnd(log.url, role)
          yield* log.sql.unsafe(`CREATE ROLE ${role} ${attributes}`)
          assert.deepInclude(yield* provision(role), { _tag: "RoleUnfit", role })
        })
      yield* unfit("CREATEDB")
      yield* unfit("BYPASSRLS")
      yield* unfit(`IN ROLE ${other.schema}`)
      // One role for two tenants would let each read the other.
      assert.deepInclude(yield* provision(other.schema), { _tag: "RoleUnfit" })
    }))
})

class UnknownTenant extends Schema.TaggedError<UnknownTenant>()("UnknownTenant", { name: Schema.String }) {}

suite("a process that serves many tenants", (test) => {
  const serve = (log: TestLog, names: ReadonlyArray<string>, capacity: number) =>
    Effect.gen(function*() {
      const known = new Map<string, Tenants.Tenant>()
      for (const name of names) known.set(name, yield* makeTenant(log, name))
      const tenants = yield* Tenants.make({
        database: { url: log.url, maxConnections: 3 },
        find: (name) => {
          const tenant = known.get(name)
          return tenant === undefined ? Effect.fail(new UnknownTenant({ name })) : Effect.succeed(tenant)
        },
        capacity,
        idleTimeToLive: "1 minute"
      })
      const using = <A, E>(
        name: string,
        use: (store: Effect.Success<ReturnType<typeof tenants.open>>) => Effect.Effect<A, E>
      ) => Effect.scoped(Effect.flatMap(tenants.open(name), use))
      const connected = Effect.map(
        log.sql<{ readonly role: string }>`SELECT DISTINCT usename::text AS role FROM pg_stat_activity
          WHERE usename = ANY(${[...known.values()].map(({ schema }) => schema)}::text[]) ORDER BY 1`,
        (rows) => rows.map(({ role }) => [...known].find(([, { schema }]) => schema === role)![0]).toSorted()
      )
      return { tenants, using, known, connected }
    }).pipe(Effect.provideService(References.MinimumLogLevel, "Error"))

  test("opens each once, keeps no more than it may, and closes the one idle for longest", (log) =>
    Effect.gen(function*() {
      const { connected, using } = yield* serve(log, ["p", "q", "r"], 2)
      const append = (name: string) => using(name, (store) => store.append(stream("x"), any, several(1)))
      yield* append("p")
      yield* append("q")
      assert.deepStrictEqual(yield* connected, ["p", "q"])
      yield* append("p")
      // The server notices a moment later that a connection was closed.
      yield* append("r")
      yield* Effect.repeat(connected, { until: (names) => names.length === 2 })
      assert.deepStrictEqual(yield* connected, ["p", "r"])
      assert.strictEqual((yield* append("q")).version, 1)
      assert.strictEqual((yield* append("p")).version, 2)
    }))

  test("what is in use is never closed: beyond the capacity it is refused, typed, until one is given back", (log) =>
    Effect.gen(function*() {
      const { using } = yield* serve(log, ["p", "q"], 1)
      const read = (name: string) => using(name, (store) => store.read(stream("x")))
      yield* using("p", (store) =>
        Effect.gen(function*() {
          assert.deepInclude(yield* Effect.flip(read("q")), { _tag: "TooManyTenants", capacity: 1 })
          yield* store.append(stream("x"), any, several(1))
        }))
      assert.deepStrictEqual(yield* read("q"), [])
    }))

  test("many at once share one store, and one that is missing is refused without harm to the others", (log) =>
    Effect.gen(function*() {
      const { known, tenants, using } = yield* serve(log, ["p"], 2)
      const append = using("p", (store) => store.append(stream("x"), any, several(1)))
      const stranger = using("stranger", (store) => store.read(stream("x")))
      const refused = Effect.map(Effect.flip(stranger), (error) => assert.deepInclude(error, { _tag: "UnknownTenant" }))
      const all = Array.range(1, 20).flatMap(
        () => [Effect.asVoid(append), Effect.orDie(Effect.mapError(refused, String))]
      )
      yield* Effect.all(all, { concurrency: "unbounded" })
      // Known to the application, and not provisioned: refused, and served as soon as it is.
      const late = { schema: roleName("late"), password: Redacted.make("x") }
      known.set("late", late)
      const read = using("late", (store) => store.read(stream("x")))
      assert.deepInclude(yield* Effect.flip(read), { _tag: "TenantUnavailable", schema: late.schema })
      yield* dropAtEnd(log.url, late.schema)
      yield* onClient(log.url, Tenants.provision(late))
      assert.deepStrictEqual(yield* read, [])
      yield* tenants.forget("late")
      assert.deepStrictEqual(yield* read, [])
    }))

  test("a role without the right to its schema is refused, typed", (log) =>
    Effect.gen(function*() {
      const a = yield* makeTenant(log, "a")
      const b = yield* makeTenant(log, "b")
      const error = yield* Effect.flip(
        Tenants.open({ url: log.url, maxConnections: 3 }, { schema: b.schema, role: a.schema, password: a.password })
      )
      assert.strictEqual(error._tag, "TenantUnavailable")
      assert.deepInclude(error.cause, { _tag: "RightsMissing" })
      yield* onClient(b.url, Migrations.check({ schema: b.schema }))
    }))
})
