/**
 * Erasure as the database guards it: one door, whoever asks, and what goes through it goes once and wholly. What every
 * store does of tombstones is in the contract.
 */
import * as LogAudit from "@composable-ts/postgres/LogAudit"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Effect, Fiber, Queue, Result, Schedule } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { several, stream } from "./Facts.ts"
import * as Sabotage from "./Sabotage.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const any = { _tag: "Any" } as const
const reason = "asked to be forgotten"

const codeOf = ({ reason: { cause } }: SqlError.SqlError): unknown =>
  typeof cause === "object" && cause !== null && "code" in cause ? cause.code : cause

/** Runs statements in a transaction that is rolled back, and tells the SQL state of the first that fails. */
const stateOf = (sql: SqlClient.SqlClient, statements: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const connection = yield* sql.reserve
    yield* connection.executeRaw("BEGIN", [])
    yield* Effect.addFinalizer(() => Effect.orDie(connection.executeRaw("ROLLBACK", [])))
    for (const statement of statements) {
      const result = yield* Effect.result(connection.executeRaw(statement, []))
      if (Result.isFailure(result)) return codeOf(result.failure)
    }
    return "done"
  }))

/** As a superuser can, and nobody else: writes a tombstone and erases nothing. */
const buryOnly = ({ sql }: TestLog, id: string) =>
  sql`INSERT INTO events (global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
    SELECT max(global_position) + 1, ${stream(id)}, count(*) FILTER (WHERE stream_id = ${stream(id)}), '$tombstone',
      gen_random_uuid(), ${`bury ${id}`}, 1, '{"reason":"by hand"}', now() FROM events`

const erasing = "UPDATE events SET data = NULL, metadata = NULL"
const onlyBuried = `${erasing} WHERE stream_id = 'fact-buried' AND type <> '$tombstone'`

/** A stream that is alive, and one that ends with a tombstone and was not erased. */
const aliveAndBuried = (log: TestLog) =>
  Effect.gen(function*() {
    yield* log.store.append(stream("alive"), any, several(3), { metadata: { by: "me" } })
    yield* log.store.append(stream("buried"), any, several(3), { metadata: { by: "me" } })
    yield* buryOnly(log, "buried")
  })

suite("the guard of updates", (test, control) => {
  const settings = [
    "SET session_replication_role = replica",
    "SET search_path = pg_temp, public, pg_catalog",
    "SELECT set_config('composable.tombstone', 'on', false)",
    "SELECT 1"
  ]
  const at = (schema: string, statement: string) => statement.replaceAll("events", `${schema}.events`)
  const refused = [
    `${erasing}`,
    `${erasing} WHERE stream_id = 'fact-alive'`,
    `${erasing} WHERE stream_id = 'fact-buried'`,
    `${erasing} WHERE type = '$tombstone'`,
    "UPDATE events SET data = NULL WHERE stream_id = 'fact-buried'",
    "UPDATE events SET metadata = NULL WHERE stream_id = 'fact-buried' AND version = 0",
    "UPDATE events SET data = '{}', metadata = NULL WHERE stream_id = 'fact-buried' AND version = 0",
    "UPDATE events SET data = 'null', metadata = NULL WHERE stream_id = 'fact-buried' AND version = 0",
    "UPDATE events SET data = NULL, packed = '\\x80', metadata = NULL WHERE stream_id = 'fact-buried' AND version = 0",
    "UPDATE events SET data = data WHERE stream_id = 'fact-buried' AND version = 0",
    ...[
      "global_position = 100",
      "stream_id = 'fact-alive2'",
      "version = 9",
      "type = 'Noted.v1'",
      "event_id = gen_random_uuid()",
      "command_id = 'x'",
      "command_size = 8",
      "correlation_id = 'x'",
      "causation_id = 'x'",
      "recorded_at = recorded_at + interval '1 microsecond'"
    ].map((change) => `${erasing}, ${change} WHERE stream_id = 'fact-buried' AND version = 0`)
  ]

  control(
    "T53: only data and metadata go, only all of both, only of a stream that a tombstone ends",
    (log) =>
      Effect.gen(function*() {
        yield* aliveAndBuried(log)
        for (const setting of settings) {
          for (const statement of refused) {
            const change = at(log.schema, statement)
            assert.strictEqual(yield* stateOf(log.sql, [setting, change]), "42501", `${setting}; ${change}`)
          }
          const door = at(log.schema, onlyBuried)
          assert.strictEqual(yield* stateOf(log.sql, [setting, door]), "done", setting)
          assert.strictEqual(yield* stateOf(log.sql, [setting, door, door]), "42501", `${setting}, again`)
        }
      })
  )

  control("T53: no operator of somebody else's takes part in the comparison", (log) =>
    Effect.gen(function*() {
      yield* aliveAndBuried(log)
      const trick = [
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.yes(record, record) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RETURN true; END'",
        "CREATE FUNCTION evil.yes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
        "CREATE OPERATOR evil.*= (LEFTARG = record, RIGHTARG = record, FUNCTION = evil.yes)",
        "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes)",
        "SET LOCAL search_path = evil, pg_catalog"
      ]
      const change = `UPDATE ${log.schema}.events SET type = 'Noted.v1', data = NULL, metadata = NULL WHERE version = 0`
      assert.strictEqual(yield* stateOf(log.sql, [...trick, change]), "42501")
      yield* log.sql`ALTER FUNCTION refuse_update() RESET search_path`
      assert.strictEqual(yield* stateOf(log.sql, [...trick, change]), "done", "the trick is none, so nothing was shown")
    }))

  const sabotage = (log: TestLog, piece: string, replacement: string) =>
    Sabotage.replaceIn(log.sql, `${log.schema}.refuse_update`, [[piece, replacement]])

  const broken: ReadonlyArray<readonly [name: string, piece: string, replacement: string, lets: string]> = [
    ["the other columns", "NEW *= erased", "true", `${onlyBuried} AND version = 0`.replace("SET", "SET type = 'x',")],
    ["the data that is there", "OLD.data IS NOT NULL", "true", `${onlyBuried}; ${onlyBuried}`],
    ["the tombstone's own row", "OLD.type <> '$tombstone'", "true", `${erasing} WHERE type = '$tombstone'`],
    ["the tombstone", "'$tombstone' = (", "'x' <> (", `${erasing} WHERE stream_id = 'fact-alive'`]
  ]
  for (const [name, piece, replacement, lets] of broken) {
    control(`T53 control: a guard that does not look at ${name} lets that through`, (log) =>
      Effect.gen(function*() {
        yield* aliveAndBuried(log)
        assert.strictEqual(yield* stateOf(log.sql, lets.split("; ")), "42501")
        yield* sabotage(log, piece, replacement)
        assert.strictEqual(yield* stateOf(log.sql, lets.split("; ")), "done")
      }))
  }

  control(
    "T53 control: an ordinary trigger would let a replication session change events",
    (log) =>
      Effect.gen(function*() {
        yield* aliveAndBuried(log)
        const change = ["SET session_replication_role = replica", "UPDATE events SET data = '{}'"]
        assert.strictEqual(yield* stateOf(log.sql, change), "42501")
        yield* log.sql`ALTER TABLE events ENABLE TRIGGER events_erasable`
        assert.strictEqual(yield* stateOf(log.sql, change), "done")
      })
  )

  test("UPDATE of no row passes, and changes nothing", ({ sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), any, several(1))
      assert.strictEqual(yield* stateOf(sql, ["UPDATE events SET data = '{}' WHERE false"]), "done")
    }))
})

suite("the tombstone function", (test, control) => {
  const call = (id: string) =>
    `SELECT * FROM tombstone('${stream(id)}', -3, gen_random_uuid(), 'by hand', NULL, NULL, '{"reason":"x"}', NULL)`

  /** The rights that a service needs, or some of them. */
  const asRole = (
    { schema, sql, url }: TestLog,
    grants: ReadonlyArray<string>,
    body: (client: PgClient, role: string) => Effect.Effect<void, unknown>
  ) =>
    Effect.gen(function*() {
      const role = `app_${schema.slice(-20)}`
      yield* Effect.acquireRelease(sql.unsafe(`CREATE ROLE ${role}`), () =>
        Effect.orDie(Effect.andThen(sql.unsafe(`DROP OWNED BY ${role}`), sql.unsafe(`DROP ROLE ${role}`))))
      for (const grant of grants) {
        yield* sql.unsafe(`${grant} TO ${role}`)
      }
      const client = yield* connect({ url, startupParameters: { search_path: schema, role } })
      yield* body(client, role)
    })

  test("a role that may call it erases, without any right to change events", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(3))
      const grants = [
        `GRANT USAGE ON SCHEMA ${log.schema}`,
        "GRANT SELECT, INSERT ON events",
        "GRANT EXECUTE ON FUNCTION tombstone"
      ]
      yield* asRole(log, grants, (client) =>
        Effect.gen(function*() {
          for (const change of [erasing, "DELETE FROM events", "TRUNCATE events"]) {
            assert.strictEqual(yield* stateOf(client, [change]), "42501", change)
          }
          yield* client.unsafe(call("a"))
        }))
      assert.deepStrictEqual(
        yield* log.sql`SELECT data IS NULL AS gone, type FROM events ORDER BY version DESC LIMIT 2`,
        [{ gone: false, type: "$tombstone" }, { gone: true, type: "Counted.v1" }]
      )
    }))

  test("a role that was not granted it cannot, whatever else it may", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(3))
      const grants = [`GRANT USAGE ON SCHEMA ${log.schema}`, "GRANT ALL ON events"]
      yield* asRole(log, grants, (client) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* stateOf(client, [call("a")]), "42501")
          for (const change of [erasing, "DELETE FROM events", "TRUNCATE events"]) {
            assert.strictEqual(yield* stateOf(client, [change]), "42501", change)
          }
        }))
      assert.lengthOf(yield* log.store.read(stream("a")), 3)
    }))

  control("control: had everybody the right to call it, that role could", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(3))
      yield* log.sql`GRANT EXECUTE ON FUNCTION tombstone TO PUBLIC`
      yield* asRole(
        log,
        [`GRANT USAGE ON SCHEMA ${log.schema}`],
        (client) => Effect.map(stateOf(client, [call("a")]), (state) => assert.strictEqual(state, "done"))
      )
    }))

  for (const level of ["REPEATABLE READ", "SERIALIZABLE"]) {
    test(`is refused in a transaction at ${level}`, ({ sql }) =>
      Effect.gen(function*() {
        assert.strictEqual(yield* stateOf(sql, [`SET TRANSACTION ISOLATION LEVEL ${level}`, call("a")]), "25000")
      }))
  }

  /** A tombstone asked for while an append is under way in a transaction that then commits. */
  const whileAppending = (log: TestLog) =>
    Effect.scoped(Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(2))
      const other = yield* log.sql.reserve
      yield* other.executeRaw("BEGIN", [])
      yield* other.executeRaw(
        `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`,
        []
      )
      yield* other.executeRaw(
        `INSERT INTO events (global_position, stream_id, version, type, event_id, command_id, command_size, data,
          recorded_at) VALUES (3, '${stream("a")}', 2, 'Counted.v1', gen_random_uuid(), 'c', 1, '{"count":1}', now())`,
        []
      )
      const erasing = yield* Effect.forkScoped(Effect.result(log.store.tombstone(stream("a"), any, { reason })))
      yield* Effect.repeat(
        log
          .sql`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE ${`%${log.schema}%tombstone%`}`,
        { until: (rows) => rows.length > 0, schedule: Schedule.spaced("5 millis") }
      )
      yield* other.executeRaw("COMMIT", [])
      return yield* Fiber.join(erasing)
    }))

  test("waits for the append under way, and erases its events, too", (log) =>
    Effect.gen(function*() {
      const result = Result.getOrThrow(yield* whileAppending(log))
      assert.deepStrictEqual({ ...result }, { version: 3, globalPosition: 4n, duplicate: false })
      assert.deepStrictEqual(yield* log.sql`SELECT count(data) AS left FROM events`, [{ left: 1n }])
    }))

  control("control: without the lock it runs into the append", (log) =>
    Effect.gen(function*() {
      yield* Sabotage.replaceIn(log.sql, `${log.schema}.tombstone`, [
        [`PERFORM pg_advisory_xact_lock(1129270608, '"${log.schema}".events'::regclass::oid::integer);`, ""]
      ])
      assert.isTrue(Result.isFailure(yield* whileAppending(log)))
    }))

  test("is announced like an append, with its position", ({ schema, sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), any, several(2))
      const notifications = yield* sql.listen(`${schema}_events`)
      yield* store.tombstone(stream("a"), any, { reason })
      const { payload } = yield* Effect.timeout(Queue.take(notifications), "10 seconds")
      assert.strictEqual(payload, "3")
    }))

  test("stays out of the caller's transaction: what that rolls back does not bring the data back", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(2))
      const client = yield* connect({ url: log.url })
      const store = yield* Effect.provideService(PostgresEventStore.make({ schema: log.schema }), PgClient, client)
      const rolledBack = client.withTransaction(
        Effect.andThen(store.tombstone(stream("a"), any, { reason }), Effect.fail("changed my mind"))
      )
      assert.strictEqual(yield* Effect.flip(rolledBack), "changed my mind")
      assert.strictEqual((yield* Effect.flip(log.store.read(stream("a"))))._tag, "StreamTombstoned")
    }))

  test("T11: a connection lost while it waits for its turn is resolved by the command id", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(2))
      const result = yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw(
          `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`,
          []
        )
        const erasing = yield* Effect.forkScoped(log.store.tombstone(stream("a"), any, { reason }))
        const killed = log.sql`
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE wait_event = 'advisory' AND query LIKE ${`%${log.schema}%tombstone%`}`
        yield* Effect.repeat(killed, { until: (rows) => rows.length > 0, schedule: Schedule.spaced("5 millis") })
        yield* holder.executeRaw("COMMIT", [])
        return yield* Fiber.join(erasing)
      }))
      assert.deepStrictEqual({ ...result }, { version: 2, globalPosition: 3n, duplicate: false })
    }))

  test("leaves a log that the audit finds sound, and appends to other streams at work", (log) =>
    Effect.gen(function*() {
      const stores = [log.store, yield* log.another]
      yield* Effect.forEach(Array.from({ length: 60 }, (_, i) => i), (i) => {
        const store = stores[i % 2]!
        const attempt = i % 10 === 9
          ? store.tombstone(stream(String((i - 9) / 10)), any, { reason })
          : store.append(stream(String(i % 7)), any, several(1 + i % 3))
        return Effect.result(attempt)
      }, { concurrency: "unbounded", discard: true })
      const findings = Effect.provideService(LogAudit.verify({ schema: log.schema }), PgClient, log.sql)
      assert.deepStrictEqual(yield* findings, [])
    }))
})
