/**
 * The log's tables: made once however many start, unchangeable, apart from other logs, and written only as they should.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Cause, Effect, Exit } from "effect"
import type { SqlClient } from "effect/sql"
import * as ByHand from "./ByHand.ts"
import { noted, several, stream } from "./Facts.ts"
import * as Invariants from "./Invariants.ts"
import * as Sabotage from "./Sabotage.ts"
import { rolledBack, stateOf } from "./SqlState.ts"
import { connect, openStore, suite, type TestLog } from "./TestLog.ts"

const any = { _tag: "Any" } as const

/** Everything that the migrations made, as the catalogue describes it. */
const catalogue = (sql: SqlClient.SqlClient, schema: string) =>
  sql<{ kind: string; object: string }>`
    SELECT 'column' AS kind, table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS object
    FROM information_schema.columns WHERE table_schema = ${schema}
    UNION ALL SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = ${schema}
    UNION ALL SELECT 'function', proname || md5(prosrc) FROM pg_proc WHERE pronamespace = ${schema}::regnamespace
    UNION ALL SELECT 'trigger', tgname || tgenabled::text FROM pg_trigger
      WHERE tgrelid = ${`${schema}.events`}::regclass
    UNION ALL SELECT 'constraint', conname || pg_get_constraintdef(oid) FROM pg_constraint
      WHERE conrelid = ${`${schema}.events`}::regclass
    UNION ALL SELECT 'oid', relname || oid::text FROM pg_class WHERE relnamespace = ${schema}::regnamespace
    ORDER BY 1, 2`

suite("migrations", (test) => {
  test("T58: eight processes at once on an empty database all start, and make one schema", ({ schema, sql, url }) =>
    Effect.gen(function*() {
      for (let round = 0; round < 3; round++) {
        const raced = `raced_${round}_${schema.slice(-8)}`
        const stores = yield* Effect.forEach(
          Array.range(1, 8),
          () => openStore({ url, maxConnections: 3 }, { schema: raced }),
          { concurrency: "unbounded" }
        )
        yield* Effect.forEach(stores, (store) => store.append(stream("a"), any, several(1)), {
          concurrency: "unbounded"
        })
        assert.strictEqual((yield* Invariants.assertSound(sql, raced)).length, 8)
        const names = (rows: ReadonlyArray<{ readonly kind: string; readonly object: string }>, own: string) =>
          rows.filter(({ kind }) => kind !== "oid" && kind !== "function").map(({ object }) =>
            object.replaceAll(own, "S")
          )
        assert.deepStrictEqual(
          names(yield* catalogue(sql, raced), raced),
          names(yield* catalogue(sql, schema), schema)
        )
      }
    }))

  test("a second start changes nothing", ({ another, schema, sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), any, several(2))
      const before = yield* catalogue(sql, schema)
      yield* another
      assert.deepStrictEqual(yield* catalogue(sql, schema), before)
      assert.deepStrictEqual(
        yield* sql`SELECT migration_id FROM migrations ORDER BY migration_id`,
        [{ migration_id: 1 }, { migration_id: 2 }, { migration_id: 3 }, { migration_id: 4 }]
      )
    }))

  test("a start that fails half-way leaves nothing", ({ schema, sql, url }) =>
    Effect.gen(function*() {
      const half = `half_${schema.slice(-8)}`
      yield* sql.unsafe(`CREATE SCHEMA ${half}`)
      yield* sql.unsafe(`CREATE FUNCTION ${half}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'`)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(openStore({ url }, { schema: half }))))
      assert.deepStrictEqual(yield* sql`SELECT relname FROM pg_class WHERE relnamespace = ${half}::regnamespace`, [])
      yield* sql.unsafe(`DROP FUNCTION ${half}.refuse_change()`)
      const store = yield* openStore({ url }, { schema: half })
      yield* store.append(stream("a"), any, several(1))
    }))
})

suite("the name of the schema", (test) => {
  test("two logs in one database know nothing of each other", ({ schema, sql, store, url }) =>
    Effect.gen(function*() {
      const other = `other_${schema.slice(-8)}`
      const otherStore = yield* openStore({ url }, { schema: other })
      const commandId = "the same"
      yield* store.append(stream("a"), { _tag: "NoStream" }, several(3), { commandId })
      yield* otherStore.append(stream("a"), { _tag: "NoStream" }, [noted("other")], { commandId })
      yield* Effect.forEach(Array.range(1, 40), (i) =>
        (i % 2 === 0 ? store : otherStore).append(stream("b"), any, several(1)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        (yield* otherStore.read(stream("a"))).map(({ data }) =>
          data
        ),
        [{ note: "other" }]
      )
      assert.strictEqual((yield* otherStore.readAll({ after: 0n, limit: 1 })).head, 21n)
      assert.strictEqual((yield* store.readAll({ after: 0n, limit: 1 })).head, 23n)
      yield* Invariants.assertSound(sql, other)
    }))

  test("a log waits for no append to another", ({ schema, sql, store, url }) =>
    Effect.gen(function*() {
      const otherStore = yield* openStore({ url }, { schema: `free_${schema.slice(-8)}` })
      yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw(
          `SELECT pg_advisory_xact_lock(1129270608, '${schema}.events'::regclass::oid::integer)`,
          []
        )
        yield* Effect.timeout(otherStore.append(stream("a"), any, several(1)), "5 seconds")
        yield* holder.executeRaw("COMMIT", [])
      }))
      yield* store.append(stream("a"), any, several(1))
    }))

  test("a name that would need quoting, or is too long for a channel, is refused before anything is sent", ({ sql, url }) =>
    Effect.gen(function*() {
      const client = yield* connect({ url })
      const count = Effect.map(sql`SELECT nspname FROM pg_namespace`, (rows) => rows.length)
      const before = yield* count
      const names = ["", "Log", "1log", "my-log", "log; DROP SCHEMA x", "\"log\"", "log.events", "l".repeat(52), "lög"]
      for (const schema of names) {
        const exit = yield* Effect.exit(Effect.provideService(PostgresEventStore.make({ schema }), PgClient, client))
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof TypeError, schema)
      }
      assert.strictEqual(yield* count, before)
    }))

  const serves = (name: string, schema: string) =>
    test(`${name} serves, notifications included`, ({ sql, url }) =>
      Effect.gen(function*() {
        const store = yield* openStore({ url }, { schema })
        const appended = yield* Effect.scoped(Effect.gen(function*() {
          const wait = yield* store.listen
          yield* store.append(stream("a"), any, several(1))
          return yield* wait
        }))
        assert.isUndefined(appended)
        yield* openStore({ url }, { schema })
        yield* Invariants.assertSound(sql, schema)
      }))
  serves("the longest name", "l".repeat(51))
  serves("a reserved word", "order")
})

suite("immutability", (test, control) => {
  const changes = [
    "UPDATE events SET data = '{}'",
    "UPDATE events SET version = 7 WHERE version = 2",
    "UPDATE events SET data = NULL, metadata = NULL",
    "DELETE FROM events",
    "DELETE FROM events USING pg_class WHERE false",
    "TRUNCATE events",
    `INSERT INTO events SELECT * FROM events ON CONFLICT (global_position) DO UPDATE SET data = '{}'`,
    "MERGE INTO events USING pg_class ON false WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN DO NOTHING",
    "WITH gone AS (DELETE FROM events RETURNING *) SELECT * FROM gone"
  ]
  const settings = ["SET session_replication_role = replica", "SET session_replication_role = local", "SELECT 1"]

  /** I10. */
  const fingerprint = (sql: SqlClient.SqlClient) =>
    sql`SELECT md5(string_agg(events::text, ',' ORDER BY global_position)) FROM events`

  test("T53: no change passes, whatever the superuser's session is set to", ({ sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), any, several(3))
      const before = yield* fingerprint(sql)
      for (const setting of settings) {
        for (const change of changes) {
          assert.strictEqual(yield* stateOf(rolledBack(sql, [setting, change])), "42501", `${setting}; ${change}`)
        }
      }
      assert.deepStrictEqual(yield* fingerprint(sql), before)
    }))

  test("T53: cascades and renames do not get past it", ({ schema, sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), any, several(3))
      const refused = [
        ["CREATE TABLE owner (id bigint PRIMARY KEY)", "TRUNCATE owner, events"],
        ["ALTER TABLE events RENAME TO facts", "DELETE FROM facts"],
        [`CREATE VIEW window_on AS SELECT * FROM ${schema}.events`, "DELETE FROM window_on"],
        [
          "CREATE RULE r AS ON INSERT TO events DO ALSO DELETE FROM events",
          "INSERT INTO events SELECT * FROM events WHERE false"
        ]
      ]
      for (const statements of refused) {
        assert.strictEqual(yield* stateOf(rolledBack(sql, statements)), "42501", statements.join("; "))
      }
    }))

  control(
    "T53 control: an ordinary trigger would let a replication session change events",
    ({ sql, store }) =>
      Effect.gen(function*() {
        yield* store.append(stream("a"), any, several(3))
        yield* sql`ALTER TABLE events ENABLE TRIGGER events_immutable`
        yield* rolledBack(sql, ["SET session_replication_role = replica", "DELETE FROM events"])
      })
  )
})

suite("the append functions", (test, control) => {
  for (const level of ["REPEATABLE READ", "SERIALIZABLE"]) {
    for (const count of [1, 2]) {
      test(`are refused in a transaction at ${level}: ${count} events`, ({ schema, sql }) =>
        Effect.gen(function*() {
          const state = yield* stateOf(Effect.scoped(Effect.gen(function*() {
            const connection = yield* sql.reserve
            yield* connection.executeRaw(`BEGIN ISOLATION LEVEL ${level}`, [])
            yield* Effect.addFinalizer(() => Effect.orDie(connection.executeRaw("ROLLBACK", [])))
            yield* connection.executeRaw(...ByHand.append(schema, "x", count))
          })))
          assert.strictEqual(state, "25000")
        }))
    }
  }

  test("a transaction of the user's own that rolls back leaves no gap", ({ schema, sql, store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("a"), any, several(2))
      const inTransaction = (end: string) =>
        Effect.scoped(Effect.gen(function*() {
          const connection = yield* sql.reserve
          yield* connection.executeRaw("BEGIN", [])
          yield* connection.executeRaw(...ByHand.append(schema, `one before ${end}`, 1))
          yield* connection.executeRaw(...ByHand.append(schema, `two before ${end}`, 2))
          yield* connection.executeRaw(end, [])
        }))
      yield* inTransaction("ROLLBACK")
      yield* store.append(stream("a"), any, several(2))
      yield* inTransaction("COMMIT")
      const events = (yield* store.readAll({ after: 0n, limit: 10 })).events
      assert.deepStrictEqual(
        events.map(({ streamId, version }) => [streamId, version]),
        [0, 1, 2, 3].map((version) => ["fact-a", version]).concat([0, 1, 2].map((version) => ["fact-by-hand", version]))
      )
    }))

  /** Records, at the very commit, how it is done: a deferred trigger runs then. */
  const recordCommits = ({ sql }: TestLog) =>
    Effect.gen(function*() {
      yield* sql`CREATE TABLE commits (setting text)`
      yield* sql.unsafe(`CREATE FUNCTION record_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`)
      yield* sql`ALTER FUNCTION record_commit() SET search_path FROM CURRENT`
      yield* sql`CREATE CONSTRAINT TRIGGER record_commit AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION record_commit()`
    })
  const settingsAtCommit = (log: TestLog, synchronous_commit: string) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url, maxConnections: 3, startupParameters: { synchronous_commit } })
      for (const count of [1, 2]) yield* store.append(stream("a"), any, several(count))
      yield* store.tombstone(stream(synchronous_commit), any, { reason: "asked for" })
      const rows = yield* log.sql<{ setting: string }>`DELETE FROM commits RETURNING setting`
      return rows.map(({ setting }) => setting)
    })

  test("T64: commits wait for the disk, though the session would rather not", (log) =>
    Effect.gen(function*() {
      yield* recordCommits(log)
      assert.deepStrictEqual(yield* settingsAtCommit(log, "off"), Array.makeBy(4, () => "on"))
      assert.deepStrictEqual(yield* settingsAtCommit(log, "remote_apply"), Array.makeBy(4, () => "remote_apply"))
    }))

  control("T64 control: without the guard they would not", (log) =>
    Effect.gen(function*() {
      yield* recordCommits(log)
      yield* Sabotage.commitAsSessionDoes(log.sql, log.schema)
      assert.deepStrictEqual(yield* settingsAtCommit(log, "off"), Array.makeBy(4, () => "off"))
    }))

  test("T64: the session's setting is its own again after the append", ({ schema, url }) =>
    Effect.gen(function*() {
      const client = yield* connect({ url, maxConnections: 1, startupParameters: { synchronous_commit: "off" } })
      for (const count of [1, 2]) yield* client.unsafe(...ByHand.append(schema, `of ${count}`, count))
      assert.deepStrictEqual(
        yield* client`SELECT current_setting('synchronous_commit') AS commits, current_setting('enable_seqscan') AS scans`,
        [{ commits: "off", scans: "on" }]
      )
    }))
})
