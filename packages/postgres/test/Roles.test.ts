/**
 * The application's role: it can do all that the store does, and nothing else to the log.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Migrations from "@composable-ts/postgres/Migrations"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Layer, References, Result, Schedule } from "effect"
import type { SqlClient } from "effect/sql"
import * as ByHand from "./ByHand.ts"
import { counted, several, stream } from "./Facts.ts"
import * as History from "./History.ts"
import { makeLog, makeRole, onClient } from "./Roles.ts"
import * as Sabotage from "./Sabotage.ts"
import { rolledBack, stateOf } from "./SqlState.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const { any, exact, noStream } = ExpectedVersion

/** A store on its own connections, opened without migrating. */
const openAs = (log: TestLog, url: TestLog["url"], config: { readonly maxConnections?: number } = {}) =>
  Effect.gen(function*() {
    const client = yield* connect({ url, ...config })
    const store = yield* Effect.provideService(
      PostgresEventStore.open({ schema: log.schema }),
      PgClient.PgClient,
      client
    )
    return { ...store, append: History.append(log.history, store), transact: History.transact(log.history, store) }
  }).pipe(Effect.provideService(References.MinimumLogLevel, "Error"))

/** The application's role on a log that a superuser owns. */
const makeApplication = (log: TestLog) =>
  Effect.gen(function*() {
    const app = yield* makeRole(log.url, "app")
    yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
    return { app, sql: yield* connect({ url: app.url, maxConnections: 1 }), store: yield* openAs(log, app.url) }
  })

/** Every way to change the log, or to come by the rights for it. */
const attacks = (schema: string, owner: string, app: string): ReadonlyArray<string> => {
  const events = `${schema}.events`
  return [
    `UPDATE ${events} SET data = '{}'`,
    `UPDATE ${events} SET version = 7 WHERE false`,
    `DELETE FROM ${events}`,
    `WITH gone AS (DELETE FROM ${events} RETURNING *) SELECT * FROM gone`,
    `TRUNCATE ${events}`,
    `TRUNCATE ${events} CASCADE`,
    `INSERT INTO ${events} SELECT * FROM ${events} WHERE false`,
    `INSERT INTO ${events} SELECT * FROM ${events} ON CONFLICT (global_position) DO UPDATE SET data = '{}'`,
    `MERGE INTO ${events} USING pg_class ON false WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING`,
    `COPY ${events} FROM STDIN`,
    `COPY ${events} FROM PROGRAM 'true'`,
    `COPY ${events} TO PROGRAM 'true'`,
    `SELECT * FROM ${events} FOR UPDATE`,
    `SELECT * FROM ${events} FOR NO KEY UPDATE`,
    `SELECT * FROM ${events} FOR SHARE`,
    `SELECT * FROM ${events} FOR KEY SHARE`,
    `LOCK TABLE ${events} IN ACCESS EXCLUSIVE MODE`,
    `LOCK TABLE ${events} IN SHARE MODE`,
    `LOCK TABLE ${events} IN ROW EXCLUSIVE MODE`,
    `ALTER TABLE ${events} DISABLE TRIGGER events_immutable`,
    `ALTER TABLE ${events} DISABLE TRIGGER ALL`,
    `ALTER TABLE ${events} DROP CONSTRAINT events_stream_version`,
    `ALTER TABLE ${events} ADD COLUMN extra text`,
    `ALTER TABLE ${events} SET UNLOGGED`,
    `ALTER TABLE ${events} OWNER TO ${app}`,
    `ALTER TABLE ${events} ENABLE ROW LEVEL SECURITY`,
    `DROP TRIGGER events_immutable ON ${events}`,
    `DROP INDEX ${schema}.events_command`,
    `DROP TABLE ${events}`,
    `DROP SCHEMA ${schema} CASCADE`,
    `DROP FUNCTION ${schema}.refuse_change() CASCADE`,
    `DROP FUNCTION ${schema}.append CASCADE`,
    `CREATE RULE quiet AS ON INSERT TO ${events} DO INSTEAD NOTHING`,
    `CREATE TRIGGER another BEFORE INSERT ON ${events} EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
    `CREATE INDEX ON ${events} (type)`,
    `CREATE TABLE ${schema}.mine (id int)`,
    `CREATE FUNCTION ${schema}.append() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
    `CREATE OR REPLACE FUNCTION ${schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
    `ALTER FUNCTION ${schema}.append SECURITY INVOKER`,
    `ALTER FUNCTION ${schema}.append SET search_path = ${schema}`,
    `ALTER FUNCTION ${schema}.append OWNER TO ${app}`,
    `ALTER SCHEMA ${schema} RENAME TO mine`,
    `ALTER SCHEMA ${schema} OWNER TO ${app}`,
    `INSERT INTO ${schema}.migrations VALUES (99, now(), 'forged', 1)`,
    `UPDATE ${schema}.migrations SET oldest_program = 99`,
    `DELETE FROM ${schema}.migrations`,
    "SET session_replication_role = replica",
    "SELECT set_config('session_replication_role', 'replica', false)",
    `SET ROLE ${owner}`,
    `SET SESSION AUTHORIZATION ${owner}`,
    `GRANT ${owner} TO ${app}`,
    `ALTER ROLE ${app} SUPERUSER`,
    `REASSIGN OWNED BY ${owner} TO ${app}`
  ]
}

/** Those that are not refused for lack of a right. */
const passing = (sql: SqlClient.SqlClient, statements: ReadonlyArray<string>) =>
  Effect.filter(
    statements,
    (statement) => Effect.map(stateOf(rolledBack(sql, [statement])), (state) => state !== "42501")
  )

const fingerprint = ({ sql }: TestLog) =>
  sql`SELECT count(*) AS count, md5(string_agg(events::text, ',' ORDER BY global_position)) FROM events`

/** The owner of the log; the tests' superuser, unless it was given away. */
const ownerOf = (log: TestLog) =>
  Effect.map(
    log.sql<{ readonly owner: string }>`SELECT tableowner AS owner FROM pg_tables
      WHERE schemaname = ${log.schema} AND tablename = 'events'`,
    ([row]) => row!.owner
  )

suite("the application's role", (test, control) => {
  test("T53: it appends, reads and follows, and every way to change the log is refused", (log) =>
    Effect.gen(function*() {
      const { app, sql, store } = yield* makeApplication(log)
      yield* store.append(stream("a"), noStream, several(3))
      const before = yield* fingerprint(log)
      assert.deepStrictEqual(yield* passing(sql, attacks(log.schema, yield* ownerOf(log), app.name)), [])
      const denied = yield* Effect.flip(store.tombstone(stream("a"), exact(2), { reason: "asked for" }))
      assert.deepInclude(denied, { _tag: "EventStoreError", reason: "AccessDenied" })
      assert.match(denied.message, /may not erase: GRANT EXECUTE/)
      // To grant oneself what one lacks is a warning, and does nothing.
      yield* sql.unsafe(`GRANT ALL ON ${log.schema}.events TO ${app.name}`)
      assert.strictEqual(yield* stateOf(rolledBack(sql, [`DELETE FROM ${log.schema}.events`])), "42501")
      assert.deepStrictEqual(yield* fingerprint(log), before)
      assert.strictEqual((yield* store.append(stream("a"), exact(2), several(1))).version, 3)
      assert.strictEqual((yield* store.read(stream("a"))).length, 4)
    }))

  control("T53 control: rights granted by hand are noticed", (log) =>
    Effect.gen(function*() {
      const { app, sql } = yield* makeApplication(log)
      const noticed = (right: string, statement: string) =>
        Effect.gen(function*() {
          yield* log.sql.unsafe(`GRANT ${right} TO ${app.name}`)
          const all = attacks(log.schema, yield* ownerOf(log), app.name)
          // The client cannot speak COPY.
          const found = yield* passing(sql, all.filter((attack) => !attack.startsWith("COPY")))
          assert.isTrue(found.some((attack) => attack.startsWith(statement)), right)
        })
      yield* noticed("INSERT ON events", "INSERT INTO")
      yield* noticed("UPDATE (type) ON events", "SELECT")
      yield* noticed(`CREATE ON SCHEMA ${log.schema}`, "CREATE TABLE")
      yield* noticed("UPDATE ON migrations", "UPDATE")
      yield* noticed("SET ON PARAMETER session_replication_role", "SET session_replication_role")
      yield* log.sql.unsafe(`REVOKE SET ON PARAMETER session_replication_role FROM ${app.name}`)
      // The next grant takes back what was given on the log's own objects.
      yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
      assert.deepStrictEqual(yield* passing(sql, attacks(log.schema, yield* ownerOf(log), app.name)), [])
    }))

  control(
    "T53: its owner, no superuser, changes no event either, while the triggers stand",
    ({ url }) =>
      Effect.gen(function*() {
        const schema = `owned_${Math.random().toString(36).slice(2)}`
        const { app, owner } = yield* makeLog(url, schema)
        const client = yield* connect({ url: app.url })
        const store = yield* Effect.provideService(PostgresEventStore.open({ schema }), PgClient.PgClient, client)
        yield* store.append(stream("a"), noStream, several(3))
        const sql = yield* connect({ url: owner.url, maxConnections: 1 })
        for (const change of ["UPDATE $ SET data = '{}'", "DELETE FROM $", "TRUNCATE $", "SELECT 1; DELETE FROM $"]) {
          const statements = change.replaceAll("$", `${schema}.events`).split("; ")
          assert.strictEqual(yield* stateOf(rolledBack(sql, statements)), "42501", change)
        }
        yield* rolledBack(sql, [
          `ALTER TABLE ${schema}.events DISABLE TRIGGER events_immutable`,
          `DELETE FROM ${schema}.events`
        ])
        assert.strictEqual((yield* store.read(stream("a"))).length, 3)
      })
  )

  /** What the session defines, to be found by the function in place of PostgreSQL's own; it tells as whom it ran. */
  const trap = (name: string, parameter: string, returns: string) =>
    `CREATE FUNCTION ${name}(value ${parameter}) ${returns}
     BEGIN PERFORM pg_catalog.set_config('trap.sprung_as', current_user, false); RETURN $result; END $$`
  const types = ["json", "oid", "regclass", "timestamptz"]
  const traps = (app: string): ReadonlyArray<string> => [
    ...types.flatMap((type) => [
      trap("pg_temp.spring", `pg_catalog.${type}`, "RETURNS boolean LANGUAGE plpgsql AS $$").replace("$result", "true"),
      `CREATE DOMAIN pg_temp.${type} AS pg_catalog.${type} CHECK (pg_temp.spring(VALUE))`
    ]),
    `CREATE SCHEMA trap_of_${app}`,
    trap(`trap_of_${app}.cardinality`, "integer[]", "RETURNS integer LANGUAGE plpgsql AS $$")
      .replace("$result", "pg_catalog.cardinality(value)"),
    `SET search_path = trap_of_${app}, pg_catalog`
  ]

  /** Appends on a session full of traps, and tells as whom one ran. */
  const sprungAs = (log: TestLog) =>
    Effect.gen(function*() {
      const app = yield* makeRole(log.url, "app")
      yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
      yield* log.sql.unsafe(`DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO ${app.name}',
        current_database()); END $$`)
      const sql = yield* connect({ url: app.url, maxConnections: 1 })
      for (const statement of traps(app.name)) yield* sql.unsafe(statement)
      yield* sql.unsafe(...ByHand.append(log.schema, "trapped", 1))
      const [row] = yield* sql<{ readonly sprung: string | null }>`
        SELECT nullif(current_setting('trap.sprung_as', true), '') AS sprung`
      return row?.sprung
    })

  test("what the session defines in its own schemas is not run with the owner's rights", (log) =>
    Effect.gen(function*() {
      assert.isNull(yield* sprungAs(log))
      assert.strictEqual((yield* log.store.read(stream("by-hand"))).length, 1)
    }))

  const unpinned = (name: string, path: string) =>
    control(`control: with ${name}, it would be`, (log) =>
      Effect.gen(function*() {
        for (const name of ["append", "append_one"]) yield* log.sql.unsafe(`ALTER FUNCTION ${name} ${path}`)
        assert.strictEqual(yield* sprungAs(log), yield* ownerOf(log))
      }))
  unpinned("a path that is not pinned", "RESET search_path")
  unpinned("the temporary schema not named, hence searched first", "SET search_path = pg_catalog")
})

suite("a role's own settings", (test, control) => {
  /** A store as a role with these settings. */
  const openWith = (log: TestLog, settings: Readonly<Record<string, string>>, maxConnections = 4) =>
    Effect.gen(function*() {
      const app = yield* makeRole(log.url, "app")
      yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
      for (const [name, value] of Object.entries(settings)) {
        yield* log.sql.unsafe(`ALTER ROLE ${app.name} SET ${name} = '${value}'`)
      }
      return { app, store: yield* openAs(log, app.url, { maxConnections }) }
    })

  for (const level of ["repeatable read", "serializable"]) {
    test(`${level} by default: appends are stored all the same, whoever else appends`, (log) =>
      Effect.gen(function*() {
        const { store } = yield* openWith(log, { default_transaction_isolation: level })
        const stores = [store, log.store]
        for (let round = 0; round < 5; round++) {
          const results = yield* Effect.forEach(
            Array.range(1, 32),
            (i) => Effect.result(stores[i % 2]!.append(stream("hot"), exact(round - 1), [counted(i)])),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(results.filter(Result.isSuccess).length, 1)
          for (const result of results) {
            if (Result.isFailure(result)) assert.deepInclude(result.failure, { _tag: "VersionConflict", actual: round })
          }
        }
        assert.strictEqual((yield* store.readAll({ after: 0n, limit: 10 })).head, 5n)
      }))

    test(`T17: ${level} by default: connections ended in mid-append lose nothing and store nothing twice`, (log) =>
      Effect.gen(function*() {
        const { app, store } = yield* openWith(log, { default_transaction_isolation: level })
        yield* store.append(stream("a"), any, several(1))
        const end = log.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE usename = ${app.name} AND query NOT LIKE 'LISTEN%'`
        let ended = 0
        yield* Effect.forEach(
          Array.range(1, 150),
          (i) =>
            Effect.gen(function*() {
              yield* store.append(stream(`s-${i % 5}`), any, several(2))
              // The other three are under way, or about to be.
              if (i % 10 === 0) ended += (yield* end).length
            }),
          { concurrency: 4 }
        )
        assert.isAbove(ended, 0)
        const left = yield* log.sql`SELECT FROM pg_stat_activity
          WHERE usename = ${app.name} AND state LIKE 'idle in transaction%'`
        assert.strictEqual(left.length, 0)
      }))

    test(`${level} chosen by the caller for a transaction of their own is refused, with what to do`, (log) =>
      Effect.gen(function*() {
        const { app } = yield* openWith(log, {})
        const sql = yield* connect({ url: app.url, maxConnections: 1 })
        yield* sql.unsafe(`BEGIN ISOLATION LEVEL ${level}`)
        const error = yield* Effect.flip(sql.unsafe(...ByHand.append(log.schema, "x", 1)))
        yield* sql.unsafe("ROLLBACK")
        assert.deepInclude(error.reason.cause, { code: "25000" })
        assert.match(String((error.reason.cause as { readonly hint?: string }).hint), /READ COMMITTED/)
      }))
  }

  control(
    "control: without the function's guard, it would append on a snapshot from before the lock",
    (log) =>
      Effect.gen(function*() {
        yield* Sabotage.appendInAnyIsolation(log.sql, log.schema)
        const { app } = yield* openWith(log, { default_transaction_isolation: "repeatable read" })
        const sql = yield* connect({ url: app.url, maxConnections: 1 })
        const state = yield* Effect.scoped(Effect.gen(function*() {
          const holder = yield* log.sql.reserve
          yield* holder.executeRaw("BEGIN", [])
          yield* holder.executeRaw(...ByHand.append(log.schema, "first", 1))
          const second = yield* Effect.forkChild(stateOf(sql.unsafe(...ByHand.append(log.schema, "second", 1))))
          yield* Effect.repeat(
            log.sql`SELECT FROM pg_stat_activity WHERE usename = ${app.name} AND wait_event = 'advisory'`,
            { schedule: Schedule.spaced("5 millis"), until: (rows) => rows.length === 1 }
          )
          yield* holder.executeRaw("COMMIT", [])
          return yield* Fiber.join(second)
        }))
        assert.strictEqual(state, "23505")
      })
  )

  test("read-only by default: an append is refused with what to do, at once, and reads go on", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(1))
      const { store } = yield* openWith(log, { default_transaction_read_only: "on" })
      const error = yield* Effect.flip(store.append(stream("a"), any, several(1)))
      assert.deepInclude(error, { _tag: "EventStoreError", operation: "append", retryable: false })
      assert.match(error.message, /read-only.*standby.*default_transaction_read_only/)
      assert.strictEqual((yield* store.read(stream("a"))).length, 1)
    }))

  test("T64: synchronous_commit off is not heeded", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE TABLE commits (setting text, who text)`
      yield* log.sql.unsafe(`CREATE FUNCTION record_commit() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit'), session_user); RETURN NULL; END $$`)
      yield* log.sql`ALTER FUNCTION record_commit() SET search_path FROM CURRENT`
      yield* log.sql`CREATE CONSTRAINT TRIGGER record_commit AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION record_commit()`
      const { app, store } = yield* openWith(log, { synchronous_commit: "off" })
      yield* store.append(stream("a"), any, several(1))
      assert.deepStrictEqual(yield* log.sql`SELECT setting, who FROM commits`, [{ setting: "on", who: app.name }])
    }))

  for (const setting of ["lock_timeout", "statement_timeout"]) {
    test(`${setting} shorter than the wait for the lock: the append is tried again`, (log) =>
      Effect.gen(function*() {
        const { app, store } = yield* openWith(log, { [setting]: "50ms" })
        const appended = yield* Effect.scoped(Effect.gen(function*() {
          const holder = yield* log.sql.reserve
          yield* holder.executeRaw("BEGIN", [])
          yield* holder.executeRaw(
            `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`,
            []
          )
          const append = yield* Effect.forkChild(store.append(stream("a"), noStream, several(1)))
          // It has waited, was refused, and waits again.
          const waiting = log.sql<{ since: string }>`SELECT query_start::text AS since FROM pg_stat_activity
            WHERE usename = ${app.name} AND wait_event = 'advisory'`
          const poll = { schedule: Schedule.spaced("5 millis") }
          const [first] = yield* Effect.repeat(waiting, { ...poll, until: (rows) => rows.length === 1 })
          yield* Effect.repeat(waiting, {
            ...poll,
            until: ([again]) => again !== undefined && again.since !== first?.since
          })
          yield* holder.executeRaw("COMMIT", [])
          return yield* Fiber.join(append)
        }))
        assert.deepStrictEqual(appended, { version: 0, globalPosition: 1n, duplicate: false })
      }))
  }
})

/** The contract, as a role that was granted the application's rights, on a log of an owner who is no superuser. */
const asApplication = Layer.unwrap(Effect.gen(function*() {
  const url = yield* TestDatabase.make
  const { app } = yield* makeLog(url, "shop")
  yield* Effect.scoped(Effect.flatMap(connect({ url, maxConnections: 1 }), (sql) =>
    // The operator's to grant, and the contract tests it, too.
    sql.unsafe(`GRANT EXECUTE ON FUNCTION shop.tombstone TO ${app.name}`)))
  return PostgresEventStore.layerOpen({ schema: "shop" }).pipe(Layer.provide(PgClient.layer({ url: app.url })))
}))

EventStoreContract.suite("PostgresEventStore as the application's role", asApplication)
