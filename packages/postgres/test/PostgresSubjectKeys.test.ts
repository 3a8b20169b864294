/**
 * The subjects' keys in PostgreSQL: made once, shredded once, and guarded by the database; and logs that are sealed with
 * them.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type * as EventStore from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as Personal from "@composable-ts/core/Personal"
import * as PersonalData from "@composable-ts/core/PersonalData"
import { SealBroken, SubjectKeysError, SubjectShredded } from "@composable-ts/core/PersonalError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresSubjectKeys from "@composable-ts/postgres/PostgresSubjectKeys"
import * as EventStoreContract from "@composable-ts/testing/EventStoreContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Array, Cause, Effect, Exit, Fiber, Layer, Redacted, Result, Schema, Stream } from "effect"
import { randomBytes } from "node:crypto"
import { inspect } from "node:util"
import { stream } from "./Facts.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

EventStoreContract.suite(
  "PersonalData.layerEventStore on PostgreSQL",
  PersonalData.layerEventStore.pipe(
    Layer.provide([PostgresEventStore.layer(), PostgresSubjectKeys.layer()]),
    Layer.provide(TestDatabase.layer)
  )
)

const any = { _tag: "Any" } as const
const secret = "zoe@example.com"

const Customer = Action.define("Customer", {
  commands: {},
  events: { Registered: Event.v1({ email: Personal.schema(Schema.String) }) }
})
const registered = (subject: string, email = secret) =>
  Result.getOrThrow(Customer.encode(Customer.Registered({ email: Personal.present(subject, email) })))
const emailOf = (recorded: RecordedEvent): string =>
  Personal.getOrElse(Result.getOrThrow(Customer.decode(recorded)).email, (subject) => `shredded ${subject}`)
const emails = (store: EventStore.Service) => Effect.map(store.read(stream("1")), (events) => events.map(emailOf))

const masterKey = () => Redacted.make(randomBytes(32).toString("base64"))

/** Keys with connections and a cache of their own, as another process has them. */
const openKeys = ({ schema, url }: Pick<TestLog, "schema" | "url">, options: PostgresSubjectKeys.Options = {}) =>
  Effect.flatMap(
    connect({ url }),
    (client) => Effect.provideService(PostgresSubjectKeys.make({ schema, ...options }), PgClient.PgClient, client)
  )

/** The names of what opens: "key" or "shredded". */
const kinds = (openers: ReadonlyMap<string, SubjectKeys.Opener>) =>
  Object.fromEntries([...openers].map(([subject, opener]) => [subject, opener === "shredded" ? opener : "key"]))

const rows = (sql: PgClient.PgClient) =>
  sql<{ subject: string; key: Uint8Array | null; wrapped: boolean; reason: string | null }>`
    SELECT subject, key, wrapped, reason FROM subject_keys ORDER BY subject`

suite("the subjects' keys", (test, control) => {
  test("processes that make keys for the same subjects at once get the same", (log) =>
    Effect.gen(function*() {
      const processes = yield* Effect.forEach(Array.range(1, 6), () => openKeys(log), { concurrency: "unbounded" })
      const subjects = Array.makeBy(30, (i) => `p-${i}`)
      const made = yield* Effect.forEach(
        processes,
        // Each in an order of its own: were they to lock each other's rows, some would fail.
        (keys, i) => keys.sealing([...subjects.slice(i * 5), ...subjects.slice(0, i * 5)]),
        { concurrency: "unbounded" }
      )
      assert.strictEqual((yield* rows(log.sql)).length, 30)
      for (const subject of subjects) {
        const sealed = yield* Effect.forEach(made, (openers) =>
          Effect.promise(async () => {
            const opener = openers.get(subject)
            return opener === undefined || opener === "shredded" ? undefined : opener.seal("text", "place", "")
          }))
        assert.strictEqual(new Set(sealed).size, 1)
        assert.isDefined(sealed[0])
      }
    }))

  test("processes that make many keys in opposite orders do not lock each other out", (log) =>
    Effect.gen(function*() {
      const [one, other] = yield* Effect.all([openKeys(log), openKeys(log)])
      for (let round = 0; round < 4; round++) {
        const subjects = Array.makeBy(2_000, (i) => `${round}-${i}`)
        yield* Effect.all([one.sealing(subjects), other.sealing(subjects.toReversed())], { concurrency: 2 })
      }
      assert.strictEqual((yield* rows(log.sql)).length, 8_000)
    }))

  test("a key outlives the caller's transaction that was rolled back", (log) =>
    Effect.gen(function*() {
      const client = yield* connect({ url: log.url })
      const keys = yield* Effect.provideService(
        PostgresSubjectKeys.make({ schema: log.schema }),
        PgClient.PgClient,
        client
      )
      const store = PersonalData.eventStore(log.store, keys)
      yield* Effect.exit(client.withTransaction(Effect.andThen(keys.sealing(["p-1"]), Effect.fail("no"))))
      yield* store.append(stream("1"), any, [registered("p-1")])
      assert.deepStrictEqual(yield* emails(PersonalData.eventStore(log.store, yield* openKeys(log))), [secret])
    }))

  test("an old snapshot of the caller's transaction does not bring back what was shredded", (log) =>
    Effect.gen(function*() {
      const client = yield* connect({ url: log.url })
      const keys = yield* Effect.provideService(
        PostgresSubjectKeys.make({ schema: log.schema, timeToLive: 0 }),
        PgClient.PgClient,
        client
      )
      yield* keys.sealing(["p-1"])
      const elsewhere = yield* openKeys(log)
      yield* client.withTransaction(Effect.gen(function*() {
        yield* client`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`
        yield* client`SELECT 1 FROM ${client(log.schema)}.subject_keys`
        yield* elsewhere.shred("p-1", "request 17")
        assert.deepStrictEqual(kinds(yield* keys.opening(["p-1"])), { "p-1": "shredded" })
      }))
    }))

  test("a shredded key is gone from its row, which stays, and is made by nobody again", (log) =>
    Effect.gen(function*() {
      const [one, other] = yield* Effect.all([openKeys(log), openKeys(log)])
      yield* one.sealing(["p-1", "p-2"])
      const first = yield* one.shred("p-1", "request 17")
      assert.deepStrictEqual(yield* other.shred("p-1", "again"), first)
      yield* other.shred("never seen", "request 18")
      const kept = yield* rows(log.sql)
      assert.deepStrictEqual(kept.map(({ key, reason, subject }) => [subject, key?.length, reason]), [
        ["never seen", undefined, "request 18"],
        ["p-1", undefined, "request 17"],
        ["p-2", 32, null]
      ])
      assert.deepStrictEqual(kinds(yield* other.sealing(["p-1", "p-2", "never seen"])), {
        "never seen": "shredded",
        "p-1": "shredded",
        "p-2": "key"
      })
      const shreddings = yield* Stream.runCollect(one.shreddings)
      assert.deepStrictEqual(shreddings.map(({ reason, subject }) => [subject, reason]), [
        ["p-1", "request 17"],
        ["never seen", "request 18"]
      ])
      assert.deepStrictEqual(shreddings[0], first)
    }))

  test("the list of shreddings is complete and in order beyond a page", (log) =>
    Effect.gen(function*() {
      const keys = yield* openKeys(log)
      // Many at the very same time, so that a page ends among them.
      yield* log.sql`INSERT INTO subject_keys (subject, wrapped, shredded_at, reason)
        SELECT 'p-' || lpad(n::text, 5, '0'), false, '2026-01-01'::timestamptz + n / 700 * interval '1 microsecond', 'r'
        FROM generate_series(1, 1300) AS n`
      const listed = yield* Stream.runCollect(keys.shreddings)
      assert.deepStrictEqual(
        listed.map(({ subject }) => subject),
        Array.makeBy(1300, (i) => `p-${String(i + 1).padStart(5, "0")}`)
      )
    }))

  const changes = [
    "DELETE FROM subject_keys",
    "TRUNCATE subject_keys",
    "UPDATE subject_keys SET key = '\\x00' WHERE subject = 'p-2'",
    "UPDATE subject_keys SET subject = 'p-3' WHERE subject = 'p-2'",
    "UPDATE subject_keys SET key = '\\x00', shredded_at = NULL, reason = NULL WHERE subject = 'p-1'",
    "UPDATE subject_keys SET reason = 'none' WHERE subject = 'p-1'"
  ]
  const prepared = (log: TestLog) =>
    Effect.gen(function*() {
      const keys = yield* openKeys(log)
      yield* keys.sealing(["p-1", "p-2"])
      yield* keys.shred("p-1", "request 17")
    })

  test("T53: the database lets nobody delete, replace or revive one, in whatever kind of session", (log) =>
    Effect.gen(function*() {
      yield* prepared(log)
      const before = yield* rows(log.sql)
      for (const setting of ["SELECT 1", "SET session_replication_role = replica"]) {
        for (const change of changes) {
          const exit = yield* Effect.exit(Effect.scoped(Effect.gen(function*() {
            const connection = yield* log.sql.reserve
            yield* connection.executeRaw(setting, [])
            yield* Effect.ensuring(
              connection.executeRaw(change, []),
              Effect.orDie(connection.executeRaw("RESET session_replication_role", []))
            )
          })))
          assert.isTrue(Exit.isFailure(exit) && /made once and shredded once/.test(Cause.pretty(exit.cause)), change)
        }
      }
      assert.deepStrictEqual(yield* rows(log.sql), before)
    }))

  control("T53 control: without the guard they could be", (log) =>
    Effect.gen(function*() {
      yield* prepared(log)
      yield* log.sql`ALTER TABLE subject_keys DISABLE TRIGGER USER`
      for (const change of changes.toReversed().slice(0, 2)) yield* log.sql.unsafe(change)
      yield* log.sql`DELETE FROM subject_keys`
    }))

  test("a page's keys are looked up by index, among 50 000 subjects, in one statement", (log) =>
    Effect.gen(function*() {
      const sent: globalThis.Array<readonly [string, ReadonlyArray<unknown>]> = []
      const recording: PgClient.PgClient = new Proxy(log.sql, {
        get: (client, property, receiver) =>
          property === "unsafe"
            ? (text: string, parameters: ReadonlyArray<unknown> = []) => {
              sent.push([text, parameters])
              return client.unsafe(text, parameters)
            }
            : Reflect.get(client, property, receiver)
      })
      const keys = yield* Effect.provideService(
        PostgresSubjectKeys.make({ schema: log.schema }),
        PgClient.PgClient,
        recording
      )
      yield* log.sql`INSERT INTO subject_keys (subject, key, wrapped)
        SELECT 'p-' || n, sha256(n::text::bytea), false FROM generate_series(1, 50000) AS n`
      sent.length = 0
      const subjects = Array.makeBy(200, (i) => `p-${i * 7 + 1}`)
      assert.strictEqual((yield* keys.opening(subjects)).size, 200)
      assert.strictEqual((yield* keys.sealing(subjects)).size, 200)
      assert.strictEqual(sent.length, 1)
      for (const state of ["just filled", "analysed"]) {
        if (state === "analysed") yield* log.sql`ANALYZE subject_keys`
        const [text, parameters] = sent[0]!
        const lines = yield* log.sql.unsafe(`EXPLAIN ${text}`, parameters).values
        const plan = lines.map(([line]) => String(line)).join("\n")
        assert.match(plan, /Index Scan (?:using|on) subject_keys_pkey/, `${state}: ${plan}`)
        assert.notMatch(plan, /Seq Scan/)
      }
    }))

  test("shredding waits for the disk, though the session would rather not", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE TABLE commits (setting text)`
      yield* log.sql.unsafe(`CREATE FUNCTION record_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO commits VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$`)
      yield* log.sql`ALTER FUNCTION record_commit() SET search_path FROM CURRENT`
      yield* log.sql`CREATE CONSTRAINT TRIGGER record_commit AFTER INSERT OR UPDATE ON subject_keys
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION record_commit()`
      const client = yield* connect({ url: log.url, startupParameters: { synchronous_commit: "off" } })
      const keys = yield* Effect.provideService(
        PostgresSubjectKeys.make({ schema: log.schema }),
        PgClient.PgClient,
        client
      )
      yield* keys.sealing(["p-1"])
      yield* keys.shred("p-1", "request 17")
      assert.deepStrictEqual(yield* log.sql`SELECT setting FROM commits`, [{ setting: "off" }, { setting: "on" }])
    }))
})

suite("keys under a master key", (test) => {
  test("are of no use without it, and are bound to their subject", (log) =>
    Effect.gen(function*() {
      const master = masterKey()
      const store = PersonalData.eventStore(log.store, yield* openKeys(log, { masterKey: master }))
      yield* store.append(stream("1"), any, [registered("p-1")])
      assert.deepStrictEqual((yield* rows(log.sql)).map(({ key, wrapped }) => [key?.length, wrapped]), [[60, true]])
      const readWith = (options: PostgresSubjectKeys.Options) =>
        Effect.flatMap(openKeys(log, options), (keys) => emails(PersonalData.eventStore(log.store, keys)))
      assert.deepStrictEqual(yield* readWith({ masterKey: master }), [secret])
      const refused = [
        [yield* Effect.flip(readWith({})), /encrypted under a master key, and none was given/],
        [yield* Effect.flip(readWith({ masterKey: masterKey() })), /does not open with the master key that was given/]
      ] as const
      for (const [error, message] of refused) {
        assert.isTrue(error instanceof EventStoreError && error.cause instanceof SubjectKeysError && !error.retryable)
        assert.match((error as Error).message, message)
      }
      yield* log.sql`INSERT INTO subject_keys (subject, key, wrapped) SELECT 'p-2', key, true FROM subject_keys`
      const moved = yield* Effect.flip(
        Effect.flatMap(openKeys(log, { masterKey: master }), (keys) => keys.opening(["p-2"]))
      )
      assert.match(moved.message, /the key of subject "p-2" cannot be used: it does not open/)
    }))

  test("stand beside those from before there was one", (log) =>
    Effect.gen(function*() {
      yield* PersonalData.eventStore(log.store, yield* openKeys(log)).append(stream("1"), any, [registered("p-1")])
      const store = PersonalData.eventStore(log.store, yield* openKeys(log, { masterKey: masterKey() }))
      yield* store.append(stream("1"), any, [registered("p-2"), registered("p-1")])
      assert.deepStrictEqual(yield* emails(store), [secret, secret, secret])
      assert.deepStrictEqual((yield* rows(log.sql)).map(({ wrapped }) => wrapped), [false, true])
    }))

  test("one that is none is refused at once, without being told", (log) =>
    Effect.gen(function*() {
      const bad = "c2VjcmV0IG1hc3Rlcg=="
      const exit = yield* Effect.exit(openKeys(log, { masterKey: Redacted.make(bad) }))
      assert.isTrue(Exit.isFailure(exit))
      const said = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.match(said, /A master key is 32 random bytes in base64/)
      assert.notInclude(said, bad)
    }))
})

suite("a log with personal data", (test) => {
  test("T55: a subject shredded amid the appends of 4 processes: each is sealed, or refused", (log) =>
    Effect.gen(function*() {
      const stores = yield* Effect.forEach(Array.range(1, 4), () =>
        Effect.gen(function*() {
          return PersonalData.eventStore(yield* log.another, yield* openKeys(log, { timeToLive: 0 }))
        }))
      const outcomes = yield* Effect.forkChild(Effect.forEach(
        stores.flatMap((store) => Array.makeBy(25, () => store)),
        (store) => Effect.result(store.append(stream("1"), any, [registered("p-1")])),
        { concurrency: 8 }
      ))
      yield* Effect.repeat(log.store.read(stream("1")), { until: (events) => events.length >= 20 })
      const keys = yield* openKeys(log)
      yield* keys.shred("p-1", "request 17")
      const results = yield* Fiber.join(outcomes)
      const refused = results.flatMap((result) => Result.isFailure(result) ? [result.failure] : [])
      assert.isNotEmpty(refused)
      for (const error of refused) assert.instanceOf(error, SubjectShredded)
      const stored = yield* log.store.read(stream("1"))
      assert.strictEqual(stored.length, results.length - refused.length)
      for (const { data } of stored) {
        assert.deepStrictEqual(Object.keys((data as { readonly email: object }).email), ["$personal", "sealed"])
      }
      for (const store of stores) {
        assert.deepStrictEqual(yield* emails(store), stored.map(() => "shredded p-1"))
      }
    }))

  test("T55: another process reads the value no longer than its keys live", (log) =>
    Effect.gen(function*() {
      const keys = yield* openKeys(log)
      const store = PersonalData.eventStore(log.store, keys)
      const other = PersonalData.eventStore(yield* log.another, yield* openKeys(log, { timeToLive: "300 millis" }))
      yield* store.append(stream("1"), any, [registered("p-1")])
      assert.deepStrictEqual(yield* emails(other), [secret])
      yield* keys.shred("p-1", "request 17")
      assert.deepStrictEqual(yield* emails(store), ["shredded p-1"])
      yield* Effect.repeat(emails(other), { until: ([email]) => email !== secret })
      assert.deepStrictEqual(yield* emails(other), ["shredded p-1"])
    }))

  test("T57: neither the log nor an error of the keys' store tells a value or a key", (log) =>
    Effect.gen(function*() {
      const store = PersonalData.eventStore(log.store, yield* openKeys(log))
      yield* store.append(stream("1"), any, [registered("p-1")])
      const [dump] = yield* log.sql<{ text: string }>`SELECT string_agg(events::text, ' ') AS text FROM events`
      assert.notInclude(dump?.text, secret)
      const key = Buffer.from((yield* rows(log.sql))[0]!.key!).toString("hex")
      // Whatever is inserted breaks the rule, so the statement fails with its parameters at hand.
      yield* log.sql`ALTER TABLE subject_keys ADD CONSTRAINT none CHECK (subject = 'p-1')`
      const keys = yield* openKeys(log)
      const error = yield* Effect.flip(keys.sealing(["p-2"]))
      assert.isTrue(error instanceof SubjectKeysError && error.operation === "make" && !error.retryable)
      const said = `${Cause.pretty(Cause.fail(error))} ${inspect(error, { depth: 20 })}`
      // A key is 64 digits of hexadecimal, or 32 bytes as an inspector shows them.
      assert.notMatch(said, /[0-9a-f]{40}/)
      assert.notMatch(said, /Buffer|Uint8Array/)
      for (const hidden of [key, secret]) assert.notInclude(said, hidden)
    }))

  test("reads with the keys of another log are loud, not shredded", (log) =>
    Effect.gen(function*() {
      yield* PersonalData.eventStore(log.store, yield* openKeys(log)).append(stream("1"), any, [registered("p-1")])
      const wrong = yield* openKeys({ ...log, schema: `${log.schema.slice(0, 40)}_k` })
      const error = yield* Effect.flip(PersonalData.eventStore(log.store, wrong).read(stream("1")))
      assert.isTrue(error.cause instanceof SealBroken && error.cause.reason === "no key")
    }))
})

describe("a database that is away", () => {
  it.live("fails reads and appends for a while, and says so", () =>
    Effect.gen(function*() {
      const url = yield* TestDatabase.make
      const log = { url, schema: "log" }
      const client = yield* connect({ url, maxConnections: 1 })
      const keys = yield* Effect.provideService(
        PostgresSubjectKeys.make({ ...log, timeToLive: 0 }),
        PgClient.PgClient,
        client
      )
      const sql = yield* connect({ url })
      yield* keys.sealing(["p-1"])
      const locked = Effect.scoped(Effect.gen(function*() {
        const holder = yield* sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw("LOCK TABLE log.subject_keys", [])
        const waiting = yield* Effect.forkChild(Effect.flip(keys.opening(["p-1"])))
        yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND wait_event_type = 'Lock'`.pipe(
          Effect.repeat({ until: (ended) => ended.length > 0 })
        )
        yield* holder.executeRaw("ROLLBACK", [])
        return yield* Fiber.join(waiting)
      }))
      const error = yield* locked
      assert.isTrue(error instanceof SubjectKeysError && error.retryable && error.operation === "find", String(error))
      assert.deepStrictEqual(kinds(yield* keys.opening(["p-1"])), { "p-1": "key" })
    }))
})
