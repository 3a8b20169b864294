/**
 * Snapshots on PostgreSQL: the contract, and what it cannot ask of a store in memory.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import { InvalidSnapshot, type Snapshot } from "@composable-ts/core/Snapshot"
import { SnapshotStore, SnapshotStoreError } from "@composable-ts/core/SnapshotStore"
import * as Store from "@composable-ts/core/Store"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresSnapshotStore from "@composable-ts/postgres/PostgresSnapshotStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import * as SnapshotStoreContract from "@composable-ts/testing/SnapshotStoreContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Array, Cause, Effect, Fiber, Layer, Option, Schedule, Schema } from "effect"
import { inspect } from "node:util"
import { quoted } from "../src/internal/schemaName.ts"
import { snapshotLock } from "../src/internal/snapshotTable.ts"
import { several, stream } from "./Facts.ts"
import * as Sabotage from "./Sabotage.ts"
import { connect, make, suite, type TestLog } from "./TestLog.ts"

SnapshotStoreContract.suite(
  "PostgresSnapshotStore",
  PostgresSnapshotStore.layer().pipe(Layer.provide(TestDatabase.layer))
)

const snapshotAt = (version: number, state: Schema.Json = { version }): Snapshot => ({
  streamId: stream("1"),
  version,
  globalPosition: BigInt(version + 1),
  stateVersion: 1,
  state
})
const only = { stateVersion: 1 }

/** A snapshot store of its own on the log's schema, as of another process. */
const openOn = ({ schema, url }: Pick<TestLog, "schema" | "url">, config: PgClient.PgPoolConfig = {}) =>
  Effect.gen(function*() {
    const client = yield* connect({ url, ...config })
    return yield* Effect.provideService(PostgresSnapshotStore.make({ schema }), PgClient.PgClient, client)
  })

suite("snapshots on PostgreSQL", (test, control) => {
  test("of 8 processes that race with 40 versions each, the latest stays", (log) =>
    Effect.gen(function*() {
      const stores = yield* Effect.forEach(Array.range(1, 8), () => openOn(log), { concurrency: "unbounded" })
      for (let round = 0; round < 2; round++) {
        const base = round * 1_000
        const saves = stores.flatMap((store, i) =>
          Array.makeBy(40, (n) => store.save(snapshotAt(base + ((n * 37 + i * 11) % 320))))
        )
        yield* Effect.all(saves, { concurrency: "unbounded" })
        const highest = Math.max(...stores.flatMap((_, i) => Array.makeBy(40, (n) => base + ((n * 37 + i * 11) % 320))))
        assert.deepStrictEqual(yield* stores[0]!.load(stream("1"), only), Option.some(snapshotAt(highest)))
      }
    }))

  control("control: without the comparison in the statement, it does not", (log) =>
    Effect.gen(function*() {
      const store = yield* openOn(log)
      yield* store.save(snapshotAt(5))
      yield* log.sql`INSERT INTO snapshots AS kept (stream_id, state_version, version, global_position, state)
        VALUES ('fact-1', 1, 4, 5, '{}')
        ON CONFLICT (stream_id, state_version) DO UPDATE SET version = excluded.version`
      assert.strictEqual(Option.getOrThrow(yield* store.load(stream("1"), only)).version, 4)
    }))

  const rows = ({ sql }: TestLog) => sql`SELECT stream_id, state_version FROM snapshots ORDER BY 1, 2`
  const erase = ({ store }: TestLog, id = "1") =>
    store.tombstone(stream(id), { _tag: "Any" }, { reason: "asked to be forgotten" })

  /** Waits until somebody waits for a stream's lock, which is none of the log's. */
  const untilOneWaits = ({ sql }: TestLog) =>
    Effect.repeat(
      sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 'snapshots'::regclass`,
      {
        until: (waiting) => waiting.length > 0,
        schedule: Schedule.spaced("5 millis")
      }
    )

  test("a tombstone deletes its stream's, of all state versions, and from then on none is kept", (log) =>
    Effect.gen(function*() {
      const store = yield* openOn(log)
      yield* log.store.append(stream("1"), { _tag: "Any" }, several(3))
      const [first, other] = [snapshotAt(0), { ...snapshotAt(0), streamId: stream("2") }]
      for (const snapshot of [first, { ...first, stateVersion: 2 }, other]) yield* store.save(snapshot)
      yield* erase(log)
      const left = [{ stream_id: other.streamId, state_version: 1 }]
      assert.deepStrictEqual(yield* rows(log), left)
      assert.deepStrictEqual(yield* store.save(snapshotAt(2)), { saved: false })
      assert.deepStrictEqual(yield* store.save({ ...other, version: 1 }), { saved: true })
      assert.deepStrictEqual(yield* rows(log), left)
    }))

  /** A save that is written and not committed when the tombstone comes. */
  const erasedWhileSaving = (log: TestLog) =>
    Effect.scoped(Effect.gen(function*() {
      yield* log.store.append(stream("1"), { _tag: "Any" }, several(3))
      const saver = yield* log.sql.reserve
      yield* saver.executeRaw("BEGIN", [])
      yield* saver.executeRaw(
        "INSERT INTO snapshots (stream_id, state_version, version, global_position, state) VALUES ('fact-1', 1, 2, 3, '1')",
        []
      )
      const erasing = yield* Effect.forkChild(erase(log))
      yield* Effect.raceFirst(untilOneWaits(log), Fiber.await(erasing))
      yield* saver.executeRaw("COMMIT", [])
      yield* Fiber.join(erasing)
      return yield* rows(log)
    }))

  test("a tombstone deletes one that was being saved when it came", (log) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* erasedWhileSaving(log), [])
    }))

  control("control: a tombstone that does not wait for saves leaves it", (log) =>
    Effect.gen(function*() {
      const lock = `PERFORM pg_advisory_xact_lock(${snapshotLock(quoted(log.schema), "stream")});`
      yield* Sabotage.replaceIn(log.sql, `${log.schema}.tombstone`, [[lock, ""]])
      assert.strictEqual((yield* erasedWhileSaving(log)).length, 1)
    }))

  /** A tombstone that is written and not committed when the save comes. */
  const savedWhileErasing = (log: TestLog) =>
    Effect.scoped(Effect.gen(function*() {
      yield* log.store.append(stream("1"), { _tag: "Any" }, several(3))
      const store = yield* openOn(log)
      const eraser = yield* log.sql.reserve
      yield* eraser.executeRaw("BEGIN", [])
      yield* eraser.executeRaw(
        `SELECT * FROM tombstone('fact-1', -3, gen_random_uuid(), 'by hand', NULL, NULL, '{"reason":"x"}', NULL)`,
        []
      )
      const saving = yield* Effect.forkChild(store.save(snapshotAt(2)))
      yield* Effect.raceFirst(untilOneWaits(log), Fiber.await(saving))
      yield* eraser.executeRaw("COMMIT", [])
      return { ...(yield* Fiber.join(saving)), rows: (yield* rows(log)).length }
    }))

  test("a save that a tombstone overtakes saves nothing", (log) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* savedWhileErasing(log), { saved: false, rows: 0 })
    }))

  control("control: a save that does not wait for tombstones keeps what was erased", (log) =>
    Effect.gen(function*() {
      const lock = `PERFORM pg_advisory_xact_lock_shared(${snapshotLock(quoted(log.schema), "NEW.stream_id")});`
      yield* Sabotage.replaceIn(log.sql, `${log.schema}.refuse_erased_snapshot`, [[lock, ""]])
      assert.deepStrictEqual(yield* savedWhileErasing(log), { saved: true, rows: 1 })
    }))

  test("a state too large to be read again is refused, and the largest other comes back", (log) =>
    Effect.gen(function*() {
      const store = yield* openOn(log, { maxMessageSize: 100_000 })
      const most = 100_000 - 16 * 1024
      const text = (bytes: number): string => "ü".repeat((bytes - 2) / 2)
      const kept = snapshotAt(1, text(most))
      assert.deepStrictEqual(yield* store.save(kept), { saved: true })
      const error = yield* Effect.flip(store.save(snapshotAt(2, text(most + 2))))
      assert.instanceOf(error, InvalidSnapshot)
      assert.match(error.message, /its state takes more than 83616 bytes of JSON: keep less in the state/)
      assert.deepStrictEqual(yield* store.load(stream("1"), only), Option.some(kept))
    }))

  test("failures are typed, and tell whether to try again", (log) =>
    Effect.gen(function*() {
      const store = yield* openOn(log)
      yield* log.sql`ALTER TABLE snapshots RENAME TO elsewhere`
      const errors = yield* Effect.all([
        Effect.flip(store.save(snapshotAt(1))),
        Effect.flip(store.load(stream("1"), only)),
        Effect.flip(store.remove(stream("1")))
      ])
      yield* log.sql`ALTER TABLE elsewhere RENAME TO snapshots`
      for (const [i, operation] of (["save", "load", "remove"] as const).entries()) {
        const error = errors[i]
        assert.isTrue(error instanceof SnapshotStoreError && error.operation === operation && !error.retryable)
      }
      yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw("LOCK TABLE snapshots", [])
        const client = yield* connect({ url: log.url, startupParameters: { lock_timeout: "50ms" } })
        // The migrations are there, so the store opens without the table.
        const impatient = yield* Effect.provideService(
          PostgresSnapshotStore.make({ schema: log.schema }),
          PgClient.PgClient,
          client
        )
        const error = yield* Effect.flip(impatient.load(stream("1"), only))
        assert.isTrue(error instanceof SnapshotStoreError && error.retryable)
        yield* holder.executeRaw("ROLLBACK", [])
      }))
    }))

  test("T57: no failure shows the state, though the server's own answer does", (log) =>
    Effect.gen(function*() {
      const store = yield* openOn(log)
      yield* log.sql`ALTER TABLE snapshots ADD CONSTRAINT none CHECK (version < 0)`
      const answer = yield* Effect.flip(
        log.sql`INSERT INTO snapshots (stream_id, state_version, version, global_position, state)
          VALUES ('fact-1', 1, 1, 1, '"zoe@example.com"')`
      )
      assert.include(inspect(answer, { depth: 20 }), "zoe@example.com", "the control")
      const error = yield* Effect.flip(store.save(snapshotAt(1, "zoe@example.com")))
      assert.match(error.message, /SQL state 23514: .*violates check constraint "none"/)
      assert.notInclude(`${Cause.pretty(Cause.fail(error))} ${inspect(error, { depth: 20 })}`, "zoe@example.com")
    }))

  test("a row's next state goes beside its last, with no new entry in the index", (log) =>
    Effect.gen(function*() {
      // On connections of its own, each time, for the server counts what a connection did when it ends, or much later.
      const rewrite = (version: number) =>
        Effect.scoped(Effect.flatMap(
          openOn(log, { startupParameters: { synchronous_commit: "off" } }),
          (store) =>
            Effect.forEach(
              Array.range(1, 200),
              (n) => store.save({ ...snapshotAt(version, { text: "s".repeat(300) }), streamId: stream(`${n}`) }),
              { discard: true }
            )
        ))
      const updates = Effect.map(
        log.sql<{ all: bigint; hot: bigint }>`
          SELECT pg_stat_get_tuples_updated('snapshots'::regclass) AS all,
            pg_stat_get_tuples_hot_updated('snapshots'::regclass) AS hot`,
        ([row]) => ({ all: Number(row?.all), hot: Number(row?.hot) })
      )
      yield* rewrite(0)
      // A snapshot of somebody else's, an ANALYZE for instance, keeps pages from being freed meanwhile: so there may be
      // rounds that fall short, but not all of them.
      for (let version = 1, share = 0; share < 0.97; version++) {
        const before = yield* updates
        yield* rewrite(version)
        const after = yield* Effect.repeat(updates, {
          until: ({ all }) => all >= before.all + 200,
          schedule: Schedule.spaced("100 millis")
        })
        share = (after.hot - before.hot) / (after.all - before.all)
      }
    }))

  const plans = (log: TestLog) =>
    Effect.gen(function*() {
      const texts: globalThis.Array<readonly [string, ReadonlyArray<unknown>]> = []
      const recording: PgClient.PgClient = new Proxy(log.sql, {
        get: (client, property, receiver) =>
          property === "unsafe"
            ? (text: string, parameters: ReadonlyArray<unknown> = []) => {
              texts.push([text, parameters])
              return client.unsafe(text, parameters)
            }
            : Reflect.get(client, property, receiver)
      })
      const store = yield* Effect.provideService(
        PostgresSnapshotStore.make({ schema: log.schema }),
        PgClient.PgClient,
        recording
      )
      texts.length = 0
      const at = { ...snapshotAt(7), streamId: stream("77") }
      yield* store.load(at.streamId, only)
      yield* store.remove(at.streamId)
      yield* store.save(at)
      return yield* Effect.forEach(texts, ([text, parameters]) =>
        Effect.map(
          log.sql.unsafe(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ${text}`, parameters)
            .values,
          (rows) => rows.map(([line]) => String(line)).join("\n")
        ))
    })

  test("all statements go by the key, in a table of 100 000 rows, analysed or just filled", (log) =>
    Effect.gen(function*() {
      yield* openOn(log)
      yield* log.sql`INSERT INTO snapshots (stream_id, state_version, version, global_position, state)
        SELECT 'fact-' || n, 1, 1, 1, '{}' FROM generate_series(1, 100000) AS n`
      for (const state of ["just filled", "analysed"]) {
        if (state === "analysed") yield* log.sql`ANALYZE snapshots`
        const [load, remove, save] = yield* plans(log)
        for (const plan of [load, remove]) {
          assert.match(plan!, /Index Scan (?:using|on) snapshots_pkey/, `${state}: ${plan}`)
          assert.notMatch(plan!, /Seq Scan|Sort/, `${state}: ${plan}`)
        }
        assert.match(save!, /Conflict Arbiter Indexes: snapshots_pkey/)
        assert.notMatch(save!, /Seq Scan/)
      }
    }))
})

describe("a server that is killed", () => {
  it.live("has every saved snapshot when it is back", () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start({})
      const log = yield* make(server.url)
      const store = yield* openOn(log)
      for (let version = 0; version < 20; version++) yield* store.save(snapshotAt(version))
      yield* server.kill
      const outcome = yield* Effect.flip(store.load(stream("1"), only))
      assert.isTrue(outcome.retryable)
      yield* server.restart
      const again = Effect.retry(store.load(stream("1"), only), { schedule: Schedule.spaced("100 millis") })
      assert.deepStrictEqual(yield* again, Option.some(snapshotAt(19)))
    }), 60_000)
})

const Counter = Action.define("Counter", {
  commands: { Count: { by: Schema.Int } },
  events: { Counted: Event.v1({ count: Schema.Int }) }
})
const Sum = Schema.Struct({ sum: Schema.Int, events: Schema.Int })
const counterWith = <const P extends { readonly state: typeof Sum; readonly version: number } | undefined>(
  snapshot: P
) =>
  Aggregate.define(Counter, {
    category: "fact",
    initial: { sum: 0, events: 0 },
    decide: (_state, command) => Fx.append(Counter.Counted({ count: command.by })),
    evolve: ({ events, sum }, { count }) => ({ sum: sum + count, events: events + 1 }),
    snapshot
  })
const counter = counterWith({ state: Sum, version: 1 })

/** A client that counts the statements it sends, and the rows it gets. */
const counting = (client: PgClient.PgClient) => {
  const seen = { statements: 0, rows: 0 }
  const counted: PgClient.PgClient = new Proxy(client, {
    get: (client, property, receiver) =>
      property === "unsafe"
        ? (text: string, parameters: ReadonlyArray<unknown> = []) => {
          const statement = client.unsafe(text, parameters)
          return new Proxy(statement, {
            get: (statement, property) => {
              const value = Reflect.get(statement, property, statement)
              if (property !== "values") return value
              return Effect.tap(value as Effect.Effect<ReadonlyArray<unknown>>, (rows) =>
                Effect.sync(() => {
                  seen.statements += 1
                  seen.rows += rows.length
                }))
            }
          })
        }
        : Reflect.get(client, property, receiver)
  })
  return { counted, seen }
}

suite("an aggregate with snapshots on PostgreSQL", (test) => {
  test("loads a long stream by its snapshot and its tail alone", (log) =>
    Effect.gen(function*() {
      yield* log.sql`INSERT INTO events (
          global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
        SELECT n, 'fact-1', n - 1, 'Counted.v1', gen_random_uuid(), 'command ' || n, 1, '{"count": 2}', now()
        FROM generate_series(1, 20000) AS n`
      const { counted, seen } = counting(yield* connect({ url: log.url }))
      const events = yield* Effect.provideService(
        PostgresEventStore.make({ schema: log.schema }),
        PgClient.PgClient,
        counted
      )
      const snapshots = yield* Effect.provideService(
        PostgresSnapshotStore.make({ schema: log.schema }),
        PgClient.PgClient,
        counted
      )
      const cold = Store.aggregate(counter).pipe(
        Effect.provideService(EventStore, events),
        Effect.provideService(SnapshotStore, snapshots)
      )
      const writer = yield* cold
      seen.rows = 0
      yield* writer.saveSnapshot("1")
      assert.isAtLeast(seen.rows, 20_000, "the control: without a snapshot all is read")
      for (let i = 0; i < 3; i++) yield* writer.dispatch("1", Counter.Count({ by: 1 }))
      Object.assign(seen, { statements: 0, rows: 0 })
      const { state, version } = yield* (yield* cold).state("1")
      assert.deepStrictEqual([state, version], [{ sum: 40_003, events: 20_003 }, 20_002])
      // The snapshot, the event that it stands at, and the three behind it.
      assert.deepStrictEqual(seen, { statements: 3, rows: 5 })
    }))
})
