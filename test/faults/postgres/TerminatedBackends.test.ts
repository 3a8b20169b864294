/**
 * Backends terminated at random under 32 writers, with a subscriber that runs through it and foreign transactions that
 * stay open. `FAULT_SECONDS` and `FAULT_SEED` choose how long and which; the seed is in the test's name.
 */
import type { Service } from "@composable-ts/core/EventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Option, type Redacted, Schedule, Stream } from "effect"
import type { SqlError } from "effect/sql/SqlError"
import { columns, recordedAll } from "../../../packages/postgres/src/internal/rows.ts"
import { several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import { connect, suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"
import * as Follower from "./Follower.ts"
import * as Writers from "./Writers.ts"

const seconds = Number(process.env.FAULT_SECONDS ?? 2)
const seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)

const applicationName = "store under test"

/** Terminates a random one of the stores' backends, every 20 to 60 ms. */
const terminating = (log: TestLog) => {
  const random = seeded(seed)
  return log.sql`SELECT pg_terminate_backend(pid) FROM (
    SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = ${applicationName}
    ORDER BY random() LIMIT 1) AS victim`.pipe(
    Effect.andThen(Effect.suspend(() => Effect.sleep(20 + 40 * random()))),
    Effect.forever
  )
}

/** A transaction that has written, locked, and holds a snapshot. */
const openTransaction = (url: Redacted.Redacted) =>
  Effect.gen(function*() {
    const client = yield* connect({ url, maxConnections: 1 })
    const connection = yield* client.reserve
    for (
      const statement of [
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "CREATE TABLE IF NOT EXISTS public.foreign_rows (n int)",
        "CREATE TEMP TABLE foreign_temp (n int)",
        "INSERT INTO public.foreign_rows VALUES (1)",
        "SELECT * FROM public.foreign_rows FOR SHARE"
      ]
    ) yield* connection.executeRaw(statement, [])
    return connection
  })

/** So that a commit takes long enough for another to overtake it, if nothing prevents that. */
const slowCommits = ({ sql }: TestLog) =>
  Effect.gen(function*() {
    yield* sql`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_sleep(random() * random() * 0.02); RETURN NULL; END $$`
    yield* sql`CREATE TRIGGER dawdle AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION dawdle()`
  })

interface Fire {
  readonly subscribe?: Service["subscribe"]
  /** When it has burnt long enough. */
  readonly until: (follower: Follower.Follower) => Effect.Effect<unknown, SqlError>
}

const underFire = (log: TestLog, { subscribe, until }: Fire) =>
  Effect.gen(function*() {
    yield* slowCommits(log)
    const stores = yield* Effect.forEach(
      Array.range(1, 4),
      () => log.open({ url: log.url, applicationName, maxConnections: 4 })
    )
    const follower = yield* Follower.follow(subscribe === undefined ? stores[0]! : { ...stores[0]!, subscribe })
    // Many streams: on few, the unique versions would keep the commits in order, by failing most of them.
    const stop = yield* Writers.start({ stores, writers: 32, streams: 10_000, seed })
    yield* Effect.raceFirst(until(follower), terminating(log))
    yield* stop
    return follower
  })

/**
 * Follows as one would who trusts that positions only grow, and does not ask whether one is missing. It always reads up to
 * the head, where what is under way may be missed: one that lags, as on a busy machine, would miss nothing.
 */
const trustingly = ({ sql }: TestLog): Service["subscribe"] => ({ after }) =>
  Stream.paginate(after, (after) =>
    Effect.gen(function*() {
      const events = yield* Effect.fromResult(recordedAll(
        yield* sql.unsafe(
          `SELECT ${columns} FROM events WHERE global_position > $1 ORDER BY global_position`,
          [after]
        ).values
      ))
      if (events.length === 0) yield* Effect.sleep("5 millis")
      return [events, Option.some(events.at(-1)?.globalPosition ?? after)] as const
    }).pipe(Effect.orDie))

/** Waits until there is an event before the last that a follower got which it did not get, hence never will. */
const hasMissed = ({ sql }: TestLog) => ({ delivered }: Follower.Follower) =>
  Effect.suspend(() => {
    const [got, last] = [delivered.length, delivered.at(-1)?.globalPosition ?? 0n]
    return Effect.map(
      sql<{ there: number }>`SELECT count(*)::int AS there FROM events WHERE global_position <= ${last}`,
      ([row]) => (row?.there ?? 0) > got
    )
  }).pipe(Effect.repeat({ until: (missed) => missed, schedule: Schedule.spaced("10 millis") }))

const outcomes = ({ history }: TestLog) => {
  const count = (tag: string) => history.filter(({ outcome }) => outcome._tag === tag).length
  return { stored: count("Stored"), refused: count("Refused"), unknown: count("Unknown") }
}

suite(`terminated backends (FAULT_SEED=${seed})`, (test, control) => {
  test(
    `T20, T21: for ${seconds} s under 32 writers, though foreign transactions stay open`,
    (log) =>
      Effect.gen(function*() {
        const foreign = yield* openTransaction(log.url)
        yield* openTransaction(yield* TestDatabase.make)
        const enough = Effect.repeat(Effect.sync(() => outcomes(log).stored), {
          until: (stored) => stored > 100 * seconds,
          schedule: Schedule.spaced("50 millis")
        })
        const follower = yield* underFire(log, { until: () => Effect.andThen(Effect.sleep(seconds * 1_000), enough) })
        const rows = yield* Invariants.readRows(log.sql, log.schema)
        yield* Effect.timeout(follower.received(rows.length), "10 seconds")
        assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
        const { refused, unknown } = outcomes(log)
        assert.strictEqual(unknown, 0, "every outcome was found out")
        assert.isAbove(refused, 0)
        const [row] = yield* foreign.executeValues("SELECT count(*)::int FROM public.foreign_rows", [])
        assert.deepStrictEqual(row, [1], "the foreign transaction was open all the time")
      }),
    60_000 + 2_000 * seconds
  )

  control(
    "T20 control: with a sequence instead of the lock, a trusting subscriber misses events, and the store's stops",
    (log) =>
      Effect.gen(function*() {
        yield* Sabotage.drawPositionsFromSequence(log.sql, log.schema)
        const follower = yield* underFire(log, { subscribe: trustingly(log), until: hasMissed(log) })
        const rows = yield* Invariants.readRows(log.sql, log.schema)
        yield* Effect.repeat(log.sql<{ head: bigint }>`SELECT max(global_position) AS head FROM events`, {
          until: ([row]) => follower.delivered.at(-1)?.globalPosition === row?.head,
          schedule: Schedule.spaced("10 millis")
        })
        assert.isAbove(rows.length, 0)
        assert.isBelow(follower.delivered.length, rows.length)
        assert.isNotEmpty(Invariants.deliveryViolations(rows, follower.delivered))
        const error = yield* Effect.flip(Stream.runDrain(log.store.subscribe({ after: 0n })))
        assert.strictEqual(error._tag, "CorruptLog")
      }),
    60_000 + 2_000 * seconds
  )

  test("T20: a lone append whose backend is terminated while it waits is sent again", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url, applicationName: "lone" })
      const result = yield* Effect.scoped(Effect.gen(function*() {
        const holder = yield* log.sql.reserve
        yield* holder.executeRaw("BEGIN", [])
        yield* holder.executeRaw(
          `SELECT pg_advisory_xact_lock(1129270608, '${log.schema}.events'::regclass::oid::integer)`,
          []
        )
        const append = yield* Effect.forkChild(store.append(stream("a"), { _tag: "NoStream" }, several(2)))
        for (let round = 0; round < 3; round++) {
          yield* Effect.repeat(
            log.sql`SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'lone' AND wait_event = 'advisory'`,
            { until: (rows) => rows.length === 1, schedule: Schedule.spaced("5 millis") }
          )
        }
        yield* holder.executeRaw("COMMIT", [])
        return yield* Fiber.join(append)
      }))
      assert.deepStrictEqual(result, { version: 1, globalPosition: 2n, duplicate: false })
    }))

  test("T62: a subscriber goes on when its LISTEN connection is terminated, and is listened for anew", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ url: log.url, applicationName: "listens" })
      const listeners = log.sql<{ pid: number }>`SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'listens' AND query ILIKE 'LISTEN%'`
      const listener = Effect.map(
        Effect.repeat(listeners, { until: (rows) => rows.length === 1, schedule: Schedule.spaced("10 millis") }),
        ([row]) => row?.pid
      )
      const follower = yield* Follower.follow(store)
      for (let round = 0; round < 3; round++) {
        const pid = yield* listener
        yield* log.sql`SELECT pg_terminate_backend(${pid}, 1000)`
        yield* log.store.append(stream("a"), { _tag: "Any" }, several(2))
        yield* Effect.timeout(follower.received(2 * (round + 1)), "5 seconds")
        assert.notStrictEqual(yield* listener, pid)
      }
      const rows = yield* Invariants.readRows(log.sql, log.schema)
      assert.deepStrictEqual(Invariants.deliveryViolations(rows, follower.delivered), [])
    }))
})
