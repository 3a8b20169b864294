/**
 * The store's errors, each provoked on a real server: what they are called, whether they pass, and that they tell nothing
 * of what the events hold.
 */
import { EventStoreError, type FailureReason } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Cause, Effect, Fiber, Redacted, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import { connect as connectSocket, type Socket } from "node:net"
import { inspect } from "node:util"
import { noted, several, stream } from "./Facts.ts"
import * as Sabotage from "./Sabotage.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const { any } = ExpectedVersion

const pause = Schedule.spaced("10 millis")

/** What a caller can switch on. */
const assertFails = (error: unknown, reason: FailureReason, retryable: boolean, message: RegExp): void => {
  assert.instanceOf(error, EventStoreError)
  assert.deepInclude(error, { reason, retryable })
  assert.match(error.message, message)
}

/** A store of a role of its own, which may do all that a store does, and no more. */
const ofRole = (log: TestLog) =>
  Effect.gen(function*() {
    const name = `role_${log.schema}`
    const database = new URL(Redacted.value(log.url)).pathname.slice(1)
    yield* log.sql.unsafe(`CREATE ROLE ${name} LOGIN PASSWORD 'secret'`)
    yield* Effect.addFinalizer(() =>
      Effect.ignore(Effect.andThen(log.sql.unsafe(`DROP OWNED BY ${name}`), log.sql.unsafe(`DROP ROLE ${name}`)))
    )
    yield* log.sql.unsafe(`GRANT CREATE ON DATABASE ${database} TO ${name}`)
    yield* log.sql.unsafe(`GRANT ALL ON SCHEMA ${log.schema} TO ${name}`)
    yield* log.sql.unsafe(`GRANT ALL ON ALL TABLES IN SCHEMA ${log.schema} TO ${name}`)
    yield* log.sql.unsafe(`GRANT ALL ON ALL FUNCTIONS IN SCHEMA ${log.schema} TO ${name}`)
    const store = yield* log.open({ username: name, password: Redacted.make("secret") })
    const disconnect = log.sql`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = ${name}`
    return { name, store, disconnect }
  })

/** A session that lets nobody read the table; the effect ends it. */
const lockTable = ({ sql }: TestLog) =>
  Effect.gen(function*() {
    const connection = yield* sql.reserve
    yield* connection.executeRaw("BEGIN", [])
    yield* connection.executeRaw("LOCK TABLE events", [])
    return connection.executeRaw("COMMIT", [])
  })

/** A read that waits for the table, what an administrator then does to it, and how it fails. */
const interfered = (log: TestLog, deed: "pg_cancel_backend" | "pg_terminate_backend") =>
  Effect.gen(function*() {
    const store = yield* log.open({ applicationName: "reads" }, { wakeUp: { by: "poll" } })
    const release = yield* lockTable(log)
    const read = yield* Effect.forkChild(Effect.flip(store.read(stream("a"))))
    yield* Effect.repeat(
      log.sql.unsafe(`SELECT ${deed}(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'reads' AND wait_event = 'relation'`),
      { until: (rows) => rows.length === 1, schedule: pause }
    )
    const error = yield* Fiber.join(read)
    yield* release
    return error
  })

/** A store on a client that the test uses for transactions of its own. */
const withClient = (log: TestLog, config: PgClient.PgPoolConfig = {}) =>
  Effect.gen(function*() {
    const client = yield* connect({ url: log.url, startupParameters: { search_path: log.schema }, ...config })
    const make = PostgresEventStore.make({ schema: log.schema, wakeUp: { by: "poll" } })
    return { client, store: yield* Effect.provideService(make, PgClient.PgClient, client) }
  })

suite("errors", (test) => {
  test("Unreachable: the connection is lost, and no other can be had", (log) =>
    Effect.gen(function*() {
      const direct = new URL(Redacted.value(log.url))
      const sockets: Array<Socket> = []
      let port = Number(direct.port)
      const open = () => {
        const socket = connectSocket(port, "127.0.0.1")
        sockets.push(socket)
        return socket
      }
      const store = yield* log.open({ url: log.url, stream: open }, { wakeUp: { by: "poll" } })
      const release = yield* lockTable(log)
      const read = yield* Effect.forkChild(Effect.flip(store.read(stream("a"))))
      yield* Effect.repeat(log.sql`SELECT FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass`, {
        until: (rows) => rows.length === 1,
        schedule: pause
      })
      // Nobody listens there.
      port = 1
      sockets.forEach((socket) => socket.destroy())
      assertFails(
        yield* Fiber.join(read),
        "Unreachable",
        true,
        /failed to read \(worth another try\): .*cannot be reached/
      )
      const refused = yield* Effect.flip(store.readAll({ after: 0n, limit: 1 }))
      assertFails(refused, "Unreachable", true, /failed to read the log .*see that it runs/)
      assert.include(inspect(refused, { depth: 10 }), "ECONNREFUSED 127.0.0.1:1")
      yield* release
    }))

  test("Unreachable: an administrator ends the session", (log) =>
    Effect.gen(function*() {
      assertFails(yield* interfered(log, "pg_terminate_backend"), "Unreachable", true, /connection was lost/)
    }))

  test("StatementTimeout: an administrator cancels the statement, or the server's patience ends", (log) =>
    Effect.gen(function*() {
      assertFails(yield* interfered(log, "pg_cancel_backend"), "StatementTimeout", true, /cancelled the statement/)
      const store = yield* log.open({ startupParameters: { statement_timeout: "100" } }, { wakeUp: { by: "poll" } })
      const release = yield* lockTable(log)
      assertFails(yield* Effect.flip(store.read(stream("a"))), "StatementTimeout", true, /statement_timeout ran out/)
      yield* release
    }))

  test("LockTimeout: another transaction does not let go", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ startupParameters: { lock_timeout: "100" } }, { wakeUp: { by: "poll" } })
      const release = yield* lockTable(log)
      assertFails(yield* Effect.flip(store.read(stream("a"))), "LockTimeout", true, /lock_timeout ran out/)
      yield* release
    }))

  test("Deadlock: a transaction that reads the log waits for one that waits for it", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE TABLE mine (n int)`
      const { client, store } = yield* withClient(log, {
        startupParameters: { search_path: log.schema, deadlock_timeout: "100ms" }
      })
      const other = yield* log.sql.reserve
      yield* other.executeRaw("SET deadlock_timeout = '60s'", [])
      yield* other.executeRaw("BEGIN", [])
      yield* other.executeRaw("LOCK TABLE events", [])
      const error = yield* Effect.flip(client.withTransaction(Effect.gen(function*() {
        yield* client`LOCK TABLE mine`
        yield* Effect.forkScoped(other.executeRaw("LOCK TABLE mine", []))
        yield* store.read(stream("a"))
      })))
      assertFails(error, "Deadlock", true, /waited for each other/)
      yield* other.executeRaw("ROLLBACK", [])
    }))

  test("Serialization: a serializable transaction that reads the log was overtaken", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE TABLE mine (n int)`
      yield* log.sql`CREATE TABLE theirs (n int)`
      const { client, store } = yield* withClient(log)
      yield* store.append(stream("a"), any, several(1))
      const serializable = Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL SERIALIZABLE")
      const error = yield* Effect.flip(serializable(client.withTransaction(Effect.gen(function*() {
        yield* client`SELECT * FROM theirs`
        yield* client`INSERT INTO mine VALUES (1)`
        yield* serializable(log.sql.withTransaction(
          Effect.andThen(log.sql`SELECT * FROM mine`, log.sql`INSERT INTO theirs VALUES (1)`)
        ))
        yield* store.read(stream("a"))
      }))))
      assertFails(error, "Serialization", true, /try the whole transaction again/)
    }))

  test("TooManyConnections, AccessDenied, ReadOnly: what the role may", (log) =>
    Effect.gen(function*() {
      const { disconnect, name, store } = yield* ofRole(log)
      const readAgain = Effect.andThen(disconnect, Effect.flip(store.read(stream("a"))))
      yield* log.sql.unsafe(`ALTER ROLE ${name} CONNECTION LIMIT 0`)
      assertFails(yield* readAgain, "TooManyConnections", true, /lower the clients' maxConnections/)
      yield* log.sql.unsafe(`ALTER ROLE ${name} CONNECTION LIMIT -1 PASSWORD 'another'`)
      assertFails(yield* readAgain, "AccessDenied", false, /refused the password/)
      yield* log.sql.unsafe(`ALTER ROLE ${name} NOLOGIN PASSWORD 'secret'`)
      assertFails(yield* readAgain, "AccessDenied", false, /Migrations\.grant/)
      yield* log.sql.unsafe(`ALTER ROLE ${name} LOGIN`)
      yield* log.sql.unsafe(`REVOKE SELECT ON events FROM ${name}`)
      assertFails(yield* readAgain, "AccessDenied", false, /lacks a right/)
      yield* log.sql.unsafe(`GRANT SELECT ON events TO ${name}`)
      yield* log.sql.unsafe(`ALTER ROLE ${name} SET default_transaction_read_only = on`)
      yield* disconnect
      const error = yield* Effect.flip(store.append(stream("a"), any, several(1)))
      assertFails(error, "ReadOnly", false, /connect to the primary/)
    }))

  test("NotMigrated: the log is not there", (log) =>
    Effect.gen(function*() {
      yield* log.sql.unsafe(`ALTER SCHEMA ${log.schema} RENAME TO elsewhere`)
      assertFails(yield* Effect.flip(log.store.read(stream("a"))), "NotMigrated", false, /migrate/)
      assertFails(yield* Effect.flip(log.store.append(stream("a"), any, several(1))), "NotMigrated", false, /migrate/)
      yield* log.sql.unsafe(`ALTER SCHEMA elsewhere RENAME TO ${log.schema}`)
    }))

  test("whatever the state, by its code", (log) =>
    Effect.gen(function*() {
      const { name, store } = yield* ofRole(log)
      yield* store.append(stream("a"), any, several(1))
      yield* log.sql`CREATE TABLE wanted (state text)`
      yield* log.sql`INSERT INTO wanted VALUES ('')`
      yield* log.sql.unsafe(`GRANT SELECT ON wanted TO ${name}`)
      yield* log.sql.unsafe(`CREATE FUNCTION refuse() RETURNS boolean LANGUAGE plpgsql AS $$
        DECLARE wanted text := (SELECT state FROM ${log.schema}.wanted);
        BEGIN RAISE EXCEPTION 'said the server' USING ERRCODE = wanted; END $$`)
      yield* log.sql`ALTER TABLE events ENABLE ROW LEVEL SECURITY`
      yield* log.sql.unsafe(`CREATE POLICY refused ON events FOR SELECT TO ${name} USING (${log.schema}.refuse())`)
      for (
        const [state, reason, retryable, message] of [
          ["53100", "DiskFull", true, /make room/],
          ["53200", "OutOfMemory", true, /out of memory/],
          ["57P01", "ShuttingDown", true, /it passes/],
          ["57P03", "ShuttingDown", true, /it passes/],
          ["57P05", "Unreachable", true, /connection was lost/],
          ["08006", "Unreachable", true, /connection was lost/],
          ["3F000", "NotMigrated", false, /schema's name/],
          ["42883", "NotMigrated", false, /functions are not there/],
          ["58030", "Other", false, /refused with SQL state 58030: said the server/],
          ["XX001", "Other", false, /SQL state XX001: said the server/],
          ["22012", "Other", false, /SQL state 22012$/],
          ["P0001", "Other", false, /SQL state P0001$/]
        ] as const
      ) {
        yield* log.sql`UPDATE wanted SET state = ${state}`
        assertFails(yield* Effect.flip(store.read(stream("a"))), reason, retryable, message)
      }
      yield* log.sql`ALTER TABLE events DISABLE ROW LEVEL SECURITY`
    }))
})

const secret = "4111 1111 1111 1111"

/** All that a logger, a tracer or an inspector might show. */
const shown = (error: Error): string =>
  [
    error.message,
    String(error),
    JSON.stringify(error),
    Cause.pretty(Cause.fail(error)),
    inspect(error, { depth: Infinity, showHidden: true })
  ].join("\n")

/** Ways in which the server's error repeats an event's content. */
const telltale: Readonly<Record<string, (log: TestLog) => Effect.Effect<unknown, unknown>>> = {
  "a check that fails": ({ sql }) => sql`ALTER TABLE events ADD CONSTRAINT short CHECK (length(data::text) < 5)`,
  "a unique index": ({ sql }) =>
    Effect.andThen(
      sql`CREATE UNIQUE INDEX once ON events ((data::text))`,
      sql`INSERT INTO events SELECT 1, 'fact-b', 0, 'Noted.v1', gen_random_uuid(), 'c', 1, null, null, null,
        ${`{"note":"${secret}"}`}::json, null, now()`
    ),
  "JSON that is none": ({ schema, sql }) =>
    Sabotage.replaceIn(sql, `${schema}.append_one`, [["body::json", "(body || '}')::json"]]),
  "a number that is none": ({ schema, sql }) =>
    Sabotage.replaceIn(sql, `${schema}.append_one`, [["body::json", "to_json(body::integer)"]]),
  "a trigger of the user's": ({ sql }) =>
    Effect.andThen(
      sql`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no %', NEW.data USING DETAIL = NEW.data, HINT = NEW.data; END $$`,
      sql`CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()`
    )
}

suite("T57: an error tells nothing of what an event holds", (_test, control) => {
  for (const [name, sabotage] of Object.entries(telltale)) {
    control(name, (log) =>
      Effect.gen(function*() {
        yield* sabotage(log)
        const error = yield* Effect.flip(log.store.append(stream("a"), any, [noted(secret)]))
        assert.instanceOf(error, EventStoreError)
        assert.strictEqual(error.reason, "Other")
        assert.match(error.message, /SQL state \w{5}/)
        assert.notInclude(shown(error), secret)
      }))
  }

  control("control: the driver's own error does", ({ sql, ...log }) =>
    Effect.gen(function*() {
      yield* telltale["a check that fails"]!({ sql, ...log })
      const error = yield* Effect.flip(
        sql`INSERT INTO events SELECT 1, 'fact-b', 0, 'Noted.v1', gen_random_uuid(), 'c', 1,
        null, null, null, ${`{"note":"${secret}"}`}::json, null, now()`
      )
      assert.include(shown(error), secret)
    }))
})
