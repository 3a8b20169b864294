/**
 * Bringing a schema up to date, whoever else does; what a program refuses to work on; whom the log's rights are granted.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Migrations from "@composable-ts/postgres/Migrations"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Duration, Effect, Fiber, Redacted, Result, Schedule, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { lockMigrations, migrate } from "../src/internal/migrate.ts"
import type { Migration } from "../src/internal/Migration.ts"
import { migrations } from "../src/internal/schema.ts"
import { inspect, judge } from "../src/internal/schemaState.ts"
import { several, stream } from "./Facts.ts"
import { additive, altering, breaking, halfwayLock, laterId, slow } from "./MoreMigrations.ts"
import { dropAtEnd, makeRole, onClient, roleName } from "./Roles.ts"
import { stateOf } from "./SqlState.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const { any } = ExpectedVersion

/** A program that knows these migrations, as it starts: the owner's, then the application's. */
const migrateTo = (known: ReadonlyArray<Migration>, schema: string, lockTimeout: Duration.Input = "5 seconds") =>
  migrate(schema, known, Duration.fromInputUnsafe(lockTimeout))
const checkAs = (known: ReadonlyArray<Migration>, schema: string) =>
  Effect.gen(function*() {
    yield* judge(schema, known, yield* inspect(yield* SqlClient.SqlClient, schema, known))
  })

/** Columns, indexes and functions: what the catalogue shows of the schema. */
const shape = ({ schema, sql }: TestLog) =>
  sql`SELECT 'column' AS kind, table_name || '.' || column_name || ' ' || data_type AS object
    FROM information_schema.columns WHERE table_schema = ${schema}
    UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = ${schema}
    UNION ALL SELECT 'function', proname || md5(prosrc) FROM pg_proc WHERE pronamespace = ${schema}::regnamespace
    ORDER BY 1, 2`

/** What can be looked at while a migration holds its locks. */
const columns = ({ schema, sql }: TestLog) =>
  sql`SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = ${schema}::regnamespace ORDER BY 1, 2`

const runs = ({ sql }: TestLog) =>
  sql`SELECT migration_id AS id, name, oldest_program AS oldest FROM migrations ORDER BY 1`

const untilWaiting = (log: TestLog, applicationName: string) =>
  Effect.repeat(
    log.sql`SELECT FROM pg_stat_activity WHERE application_name = ${applicationName} AND wait_event_type = 'Lock'`,
    { schedule: Schedule.spaced("5 millis"), until: (rows) => rows.length > 0 }
  )

suite("migrating", (test) => {
  test("T58: eight processes at once, on a schema at the previous migration, make one step of it", (log) =>
    Effect.gen(function*() {
      yield* Effect.forEach(
        Array.range(1, 8),
        () => onClient(log.url, migrateTo(additive, log.schema)),
        { concurrency: "unbounded" }
      )
      const done = yield* runs(log)
      assert.deepStrictEqual(done.at(-1), { id: laterId, name: "later", oldest: migrations.length })
      assert.strictEqual(done.length, laterId)
      const before = yield* shape(log)
      yield* onClient(log.url, migrateTo(additive, log.schema))
      assert.deepStrictEqual(yield* shape(log), before)
      assert.deepStrictEqual(yield* runs(log), done)
    }))

  test("T58: a process killed in mid-migration leaves nothing half-done", (log) =>
    Effect.gen(function*() {
      const before = yield* columns(log)
      const holder = yield* log.sql.reserve
      yield* holder.executeRaw(`SELECT pg_advisory_lock(${halfwayLock})`, [])
      const victim = spawn(process.execPath, [
        fileURLToPath(new URL("MigrationVictim.ts", import.meta.url)),
        Redacted.value(log.url),
        log.schema
      ], { stdio: ["ignore", "ignore", "inherit"] })
      yield* untilWaiting(log, "victim")
      const ended = once(victim, "exit")
      victim.kill("SIGKILL")
      yield* Effect.promise(() => ended)
      // The next process waits for what the server still does for the dead one, which is then undone.
      const next = yield* Effect.forkChild(onClient(log.url, migrateTo(additive, log.schema)))
      assert.deepStrictEqual(yield* columns(log), before)
      yield* log.store.append(stream("a"), any, several(1))
      yield* holder.executeRaw(`SELECT pg_advisory_unlock(${halfwayLock})`, [])
      yield* Fiber.join(next)
      yield* onClient(log.url, checkAs(additive, log.schema))
      assert.strictEqual((yield* runs(log)).length, laterId)
      const extra = yield* log.sql`SELECT FROM information_schema.columns
        WHERE table_schema = ${log.schema} AND column_name = 'extra'`
      assert.strictEqual(extra.length, 0)
    }))

  test("T58: what waits behind a long query gives up, typed, and appends go on", (log) =>
    Effect.gen(function*() {
      const before = yield* shape(log)
      yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw("SELECT count(*) FROM events", [])
        const error = yield* Effect.flip(onClient(log.url, migrateTo(altering, log.schema, "100 millis")))
        assert.deepInclude(error, { _tag: "MigrationBlocked", schema: log.schema, waited: 100 })
        yield* log.store.append(stream("a"), any, several(1))
        assert.deepStrictEqual(yield* shape(log), before)
        yield* holder.executeRaw("COMMIT", [])
      }))
      yield* onClient(log.url, migrateTo(altering, log.schema))
      yield* log.store.append(stream("a"), any, several(1))
    }))

  test("a schema that is up to date is opened while a dump holds every table", (log) =>
    Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const dump = yield* log.sql.reserve
        yield* dump.executeRaw("BEGIN", [])
        yield* dump.executeRaw("LOCK TABLE events, migrations IN ACCESS SHARE MODE", [])
        yield* log.another
        yield* dump.executeRaw("COMMIT", [])
      }))
    }))

  const asRoleWith = (log: TestLog, startupParameters: Readonly<Record<string, string>>) =>
    Effect.gen(function*() {
      const schema = `own_${log.schema.slice(-12)}`
      const app = yield* makeRole(log.url, "app")
      const bring = Effect.scoped(Effect.gen(function*() {
        const sql = yield* connect({ url: log.url, startupParameters, maxConnections: 1, applicationName: schema })
        const steps = Effect.andThen(migrateTo(slow, schema), Migrations.grant({ schema, role: app.name }))
        yield* Effect.provideService(steps, SqlClient.SqlClient, sql)
      }))
      return { bring, check: onClient(app.url, Migrations.check({ schema })), schema }
    })

  const settings = { default_transaction_isolation: "serializable", default_transaction_read_only: "on" }
  for (const [name, value] of Object.entries(settings)) {
    test(`a role with ${name} ${value} migrates and grants all the same, also when raced`, (log) =>
      Effect.gen(function*() {
        const { bring, check } = yield* asRoleWith(log, { [name]: value })
        yield* Effect.forEach(Array.range(1, 4), () => bring, { concurrency: "unbounded" })
        yield* check
      }))
  }

  test("a role's own timeouts end neither a long migration nor the wait for another's", (log) =>
    Effect.gen(function*() {
      const { bring, check, schema } = yield* asRoleWith(log, { statement_timeout: "100ms", lock_timeout: "100ms" })
      yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* Effect.provideService(lockMigrations(log.sql, schema), log.sql.transactionService, [holder, 0])
        const brought = yield* Effect.forkChild(bring)
        yield* Effect.repeat(
          log.sql`SELECT FROM pg_stat_activity WHERE application_name = ${schema} AND wait_event = 'advisory'
            AND clock_timestamp() - query_start > '200 ms'`,
          { schedule: Schedule.spaced("5 millis"), until: (rows) => rows.length > 0 }
        )
        yield* holder.executeRaw("COMMIT", [])
        yield* Fiber.join(brought)
      }))
      yield* check
    }))
})

suite("programs and schemas of different versions", (test) => {
  test("T59: an older program goes on, and starts, when all that is newer only adds", (log) =>
    Effect.gen(function*() {
      const followed = yield* Effect.forkChild(Stream.runCollect(Stream.take(log.store.subscribe({ after: 0n }), 60)))
      const append = (store: typeof log.store, times: number) =>
        Effect.forEach(Array.range(1, times), (i) => store.append(stream(`s-${i % 3}`), any, several(1)))
      const before = yield* Effect.forkChild(append(log.store, 40))
      yield* onClient(log.url, migrateTo(additive, log.schema))
      yield* Fiber.join(before)
      const old = yield* log.another
      yield* append(old, 20)
      yield* onClient(log.url, checkAs(additive, log.schema))
      assert.deepStrictEqual(
        (yield* Fiber.join(followed)).map(({ globalPosition }) => Number(globalPosition)),
        Array.range(1, 60)
      )
    }))

  test("T59: an older program is refused when what is newer breaks it, and neither migrates nor opens", (log) =>
    Effect.gen(function*() {
      yield* onClient(log.url, migrateTo(breaking, log.schema))
      const before = yield* shape(log)
      for (const start of [log.another, onClient(log.url, Migrations.migrate({ schema: log.schema }))]) {
        const error = yield* Effect.flip(start)
        assert.deepInclude(error, { _tag: "SchemaTooNew", migration: `000${laterId}_later` })
        assert.match(error.message, /a newer version of @composable-ts\/postgres made it/)
      }
      assert.deepStrictEqual(yield* shape(log), before)
      yield* onClient(log.url, checkAs(breaking, log.schema))
    }))

  test("T59 control: it is the mark that rules the older program out", (log) =>
    Effect.gen(function*() {
      yield* onClient(log.url, migrateTo(breaking, log.schema))
      yield* log.sql`UPDATE migrations SET oldest_program = 1`
      yield* log.another
    }))

  test("a migration of the same number and another name is not taken for one's own", (log) =>
    Effect.gen(function*() {
      yield* log.sql`UPDATE migrations SET name = 'elsewhere' WHERE migration_id = 1`
      const error = yield* Effect.flip(log.another)
      assert.deepInclude(error, { _tag: "SchemaTooNew", migration: "0001_elsewhere" })
    }))

  test("a newer program that may not migrate is told what is missing, and how to run it", (log) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(onClient(log.url, checkAs(additive, log.schema)))
      assert.deepInclude(error, { _tag: "MigrationMissing", missing: [`000${laterId}_later`] })
      assert.include(error.message, `Migrations.migrate({ schema: "${log.schema}" })`)
    }))

  test("where there is no log, opening is refused and makes none", ({ sql, url }) =>
    Effect.gen(function*() {
      const client = yield* connect({ url })
      const open = (schema: string) =>
        Effect.flip(Effect.provideService(PostgresEventStore.open({ schema }), PgClient, client))
      const missing = migrations.map(({ name }, i) => `${String(i + 1).padStart(4, "0")}_${name}`)
      assert.deepInclude(yield* open("nowhere"), { _tag: "MigrationMissing", missing })
      yield* sql`CREATE SCHEMA empty`
      assert.deepInclude(yield* open("empty"), { _tag: "MigrationMissing", missing })
      assert.deepStrictEqual(yield* sql`SELECT relname FROM pg_class WHERE relnamespace = 'empty'::regnamespace`, [])
      assert.strictEqual((yield* sql`SELECT FROM pg_namespace WHERE nspname = 'nowhere'`).length, 0)
    }))
})

suite("T22: a log that was tampered with", (test, control) => {
  const damages: Readonly<Record<string, string>> = {
    "DROP TRIGGER events_immutable ON events": "trigger events_immutable",
    "ALTER TABLE events DISABLE TRIGGER events_immutable": "trigger events_immutable",
    "ALTER TABLE events ENABLE TRIGGER events_immutable": "trigger events_immutable",
    "ALTER TABLE events ENABLE REPLICA TRIGGER events_immutable": "trigger events_immutable",
    [
      `CREATE OR REPLACE TRIGGER events_immutable BEFORE UPDATE OR DELETE ON events
      FOR EACH STATEMENT EXECUTE FUNCTION refuse_change(); ALTER TABLE events ENABLE ALWAYS TRIGGER events_immutable`
    ]: "trigger events_immutable",
    "ALTER TABLE events DROP CONSTRAINT events_stream_version": "unique constraint events_stream_version",
    [
      `ALTER TABLE events DROP CONSTRAINT events_stream_version;
      CREATE INDEX events_stream_version ON events (stream_id, version)`
    ]: "unique constraint events_stream_version",
    "ALTER TABLE events DROP CONSTRAINT events_pkey": "primary key events_pkey",
    "DROP INDEX events_command": "unique index events_command",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'events_command'::regclass":
      "unique index events_command",
    "CREATE RULE quiet AS ON INSERT TO events DO INSTEAD NOTHING": "no rule on events",
    "ALTER TABLE events ENABLE ROW LEVEL SECURITY": "no row-level security on events",
    "ALTER TABLE events SET UNLOGGED": "events survive a crash",
    "ALTER TABLE events RENAME TO facts": "table events",
    "ALTER FUNCTION append SECURITY INVOKER": "function append",
    "ALTER FUNCTION append RESET search_path": "function append",
    "ALTER FUNCTION append SET search_path = pg_catalog": "function append",
    "ALTER FUNCTION append RENAME TO put": "function append"
  }
  for (const [damage, part] of Object.entries(damages)) {
    control(
      `is refused by owner and application: ${damage.replaceAll(/\s+/g, " ").slice(0, 80)}`,
      (log) =>
        Effect.gen(function*() {
          const app = yield* makeRole(log.url, "app")
          yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
          yield* onClient(app.url, Migrations.check({ schema: log.schema }))
          for (const statement of damage.split(";")) yield* log.sql.unsafe(statement)
          for (
            const error of [
              yield* Effect.flip(log.another),
              yield* Effect.flip(onClient(app.url, Migrations.check({ schema: log.schema })))
            ]
          ) {
            assert.strictEqual(error._tag, "LogDamaged")
            assert.isTrue("parts" in error && error.parts.some((damaged) => damaged.startsWith(part)), error.message)
          }
        })
    )
  }

  test("is not what users' own triggers and indexes make of it", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE INDEX ON events (type)`
      yield* log.sql`CREATE TRIGGER own AFTER INSERT ON events EXECUTE FUNCTION suppress_redundant_updates_trigger()`
      yield* log.another
    }))
})

suite("granting", (test) => {
  const rightsOf = (log: TestLog, role: string) =>
    log.sql<{ readonly right: string }>`
      SELECT c.relname || ' ' || a.privilege_type AS right
      FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = ${log.schema}::regnamespace
        AND a.grantee = ${role}::regrole
      UNION ALL SELECT p.proname || ' ' || a.privilege_type
      FROM pg_proc p, aclexplode(p.proacl) a WHERE p.pronamespace = ${log.schema}::regnamespace
        AND a.grantee IN (0, ${role}::regrole)
      UNION ALL SELECT 'schema ' || a.privilege_type
      FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = ${log.schema} AND a.grantee = ${role}::regrole
      ORDER BY 1`

  test("gives exactly what the migrations state; again changes nothing; more is taken back", (log) =>
    Effect.gen(function*() {
      const app = yield* makeRole(log.url, "app")
      const grant = onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
      yield* grant
      const stated = migrations.flatMap(({ rights }) => rights.map(({ object, privilege }) => `${object} ${privilege}`))
      const expected = [...stated, "migrations SELECT", "schema USAGE"].toSorted()
      const granted = Effect.map(rightsOf(log, app.name), (rows) => rows.map(({ right }) => right).toSorted())
      assert.deepStrictEqual(yield* granted, expected)
      yield* log.sql.unsafe(`GRANT ALL ON events, migrations TO ${app.name}`)
      yield* log.sql.unsafe(`GRANT ALL ON SCHEMA ${log.schema} TO ${app.name}`)
      assert.notDeepEqual(yield* granted, expected)
      yield* Effect.forEach(Array.range(1, 8), () => grant, { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* granted, expected)
    }))

  test("a program is told which rights it lacks, until they are granted", (log) =>
    Effect.gen(function*() {
      const app = yield* makeRole(log.url, "app")
      const check = onClient(app.url, Migrations.check({ schema: log.schema }))
      assert.deepInclude(yield* Effect.flip(check), { _tag: "RightsMissing", role: app.name })
      yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
      yield* check
      yield* log.sql.unsafe(`REVOKE EXECUTE ON FUNCTION append_one FROM ${app.name}`)
      const error = yield* Effect.flip(check)
      assert.deepInclude(error, { _tag: "RightsMissing", role: app.name })
      assert.deepStrictEqual("rights" in error ? error.rights : [], ["EXECUTE ON FUNCTION append_one"])
      const running = yield* connect({ url: app.url })
      yield* log.sql.unsafe(`GRANT EXECUTE ON FUNCTION append_one TO ${app.name}`)
      const store = yield* Effect.provideService(PostgresEventStore.open({ schema: log.schema }), PgClient, running)
      yield* log.sql.unsafe(`REVOKE EXECUTE ON FUNCTION append_one FROM ${app.name}`)
      const refused = yield* Effect.flip(store.append(stream("a"), any, several(1)))
      assert.deepInclude(refused, { _tag: "EventStoreError", retryable: false })
      assert.include(refused.message, "Migrations.grant")
    }))

  test("the next grant covers what a later migration made", (log) =>
    Effect.gen(function*() {
      const app = yield* makeRole(log.url, "app")
      const { grant } = yield* Effect.promise(() => import("../src/internal/grant.ts"))
      yield* onClient(log.url, grant(log.schema, app.name, migrations))
      yield* onClient(log.url, migrateTo(additive, log.schema))
      assert.deepInclude(yield* Effect.flip(onClient(app.url, checkAs(additive, log.schema))), {
        _tag: "RightsMissing",
        rights: ["SELECT ON TABLE later"]
      })
      yield* onClient(log.url, grant(log.schema, app.name, additive))
      yield* onClient(app.url, checkAs(additive, log.schema))
    }))

  test("a role whose rights cannot be bounded is refused, and gets none", (log) =>
    Effect.gen(function*() {
      const { url } = log
      const [owner] = yield* log.sql<{ readonly name: string }>`SELECT current_user::text AS name`
      const unfit = (attributes: string, issue: RegExp) =>
        Effect.gen(function*() {
          const name = roleName("unfit")
          yield* dropAtEnd(url, name)
          yield* log.sql.unsafe(`CREATE ROLE ${name} ${attributes}`)
          const error = yield* Effect.flip(onClient(url, Migrations.grant({ schema: log.schema, role: name })))
          assert.deepInclude(error, { _tag: "RoleUnfit", role: name })
          assert.match(error.message, issue)
          assert.deepStrictEqual((yield* rightsOf(log, name)).filter(({ right }) => right.startsWith("events")), [])
        })
      yield* unfit("SUPERUSER", /superuser/)
      yield* unfit("CREATEROLE", /CREATEROLE/)
      yield* unfit(`IN ROLE ${owner!.name}`, new RegExp(`rights of .*${owner!.name}`))
      yield* unfit("IN ROLE pg_write_all_data", /pg_write_all_data/)
      yield* unfit("NOINHERIT IN ROLE pg_execute_server_program", /pg_execute_server_program/)
      const missing = yield* Effect.flip(onClient(url, Migrations.grant({ schema: log.schema, role: "nobody_here" })))
      assert.deepInclude(missing, { _tag: "RoleUnfit", role: "nobody_here" })
    }))

  test("nobody but the owner grants: an application's role cannot pass its rights on", (log) =>
    Effect.gen(function*() {
      const app = yield* makeRole(log.url, "app")
      const friend = yield* makeRole(log.url, "friend")
      yield* onClient(log.url, Migrations.grant({ schema: log.schema, role: app.name }))
      yield* Effect.result(onClient(app.url, Migrations.grant({ schema: log.schema, role: friend.name })))
      const seen = yield* Effect.result(onClient(friend.url, Migrations.check({ schema: log.schema })))
      assert.isTrue(Result.isFailure(seen) && seen.failure._tag === "RightsMissing")
      assert.strictEqual(
        yield* stateOf(onClient(
          friend.url,
          Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(`SELECT FROM ${log.schema}.events`))
        )),
        "42501"
      )
    }))
})
