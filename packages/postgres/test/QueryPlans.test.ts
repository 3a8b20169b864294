/**
 * How PostgreSQL executes the store's statements on a large log: by index and touching few pages; also when the log has
 * just grown from nothing, no statistics were gathered, and the session's plans were made when it was empty.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import type { SqlConnection } from "effect/sql"
import * as Pipeline from "../src/internal/Pipeline.ts"
import { several, stream } from "./Facts.ts"
import { empty, fill, middle, size } from "./LargeLog.ts"
import * as QueryPlan from "./QueryPlan.ts"
import { explain, inTransaction, nodes, pagesOf, sequentialScans, settle } from "./QueryPlan.ts"
import { make, suite, type TestLog } from "./TestLog.ts"

/** The statement that the store sends for an operation. */
const statementOf = (
  { schema, sql }: TestLog,
  operation: (store: EventStore.Service) => Effect.Effect<unknown, unknown>
): Effect.Effect<QueryPlan.Statement, unknown, never> =>
  Effect.scoped(Effect.gen(function*() {
    const { client, sent } = QueryPlan.recording(sql)
    const store = yield* PostgresEventStore.make({ schema }).pipe(
      Effect.provideService(PgClient, client),
      Effect.provideService(Pipeline.Open, () => Effect.succeed(client))
    )
    yield* operation(store)
    return sent.at(-1) ?? (yield* Effect.die(new Error("The operation sent nothing")))
  }))

interface Operation {
  readonly name: string
  readonly indexes: ReadonlyArray<string>
  /** At the most; a page of 500 events of this size has 13. */
  readonly pages: number
  readonly run: (store: EventStore.Service) => Effect.Effect<unknown, unknown>
}

const streamIndex = ["events_stream_version"]

/** The store's reads. */
const reads: ReadonlyArray<Operation> = [
  { name: "read forwards", indexes: streamIndex, pages: 40, run: (store) => store.read(stream("77")) },
  { name: "read a tail", indexes: streamIndex, pages: 8, run: (store) => store.read(stream("77"), { from: 95 }) },
  {
    name: "read backwards",
    indexes: streamIndex,
    pages: 8,
    run: (store) => store.read(stream("77"), { direction: "backwards", maxCount: 3 })
  },
  {
    name: "readAll",
    indexes: ["events_pkey"],
    pages: 45,
    run: (store) => store.readAll({ after: middle, limit: 500 })
  },
  {
    name: "readAll at the head",
    indexes: ["events_pkey"],
    pages: 16,
    run: (store) => store.readAll({ after: BigInt(size), limit: 500 })
  },
  {
    name: "readAll of names",
    indexes: ["events_pkey"],
    pages: 45,
    run: (store) => store.readAll({ after: middle, limit: 500, names: ["Rare", "None"] })
  },
  {
    name: "readAll of a partition",
    indexes: ["events_pkey"],
    pages: 45,
    run: (store) => store.readAll({ after: middle, limit: 500, names: ["Rare"], partition: { index: 1, count: 4 } })
  },
  {
    name: "readCommand",
    indexes: ["events_command", "events_pkey"],
    pages: 12,
    run: (store) => store.readCommand("command 20000")
  }
]

/** Prepared when the store is opened. */
const poll: Operation = { name: "poll", indexes: ["events_pkey"], pages: 8, run: () => Effect.void }

const appendOne: Operation = {
  name: "append one",
  indexes: [],
  // Three look-ups and three entries in indexes.
  pages: 50,
  run: (store) => store.append(stream("77"), { _tag: "Any" }, several(1), { commandId: "alone" })
}

const appendEach: Operation = {
  name: "append a group of single events",
  indexes: [],
  // Three look-ups and three entries in indexes, for each of two commands.
  pages: 100,
  run: (store) =>
    Effect.all([
      store.append(stream("77"), { _tag: "Any" }, several(1), { commandId: "new" }),
      store.append(stream("fresh"), { _tag: "NoStream" }, several(1), { commandId: "newer" })
    ], { concurrency: 2 })
}

const appendGroup: Operation = {
  name: "append a group",
  indexes: [],
  // As many, and an entry more in two indexes.
  pages: 110,
  run: (store) =>
    Effect.all([
      store.append(stream("77"), { _tag: "Any" }, several(2), { commandId: "larger" }),
      store.append(stream("unheard"), { _tag: "NoStream" }, several(1), { commandId: "largest" })
    ], { concurrency: 2 })
}

const tombstone: Operation = {
  name: "tombstone",
  indexes: [],
  // A hundred events to erase: each is found, its stream's end looked up, and written anew, some with entries in indexes.
  pages: 3_000,
  run: (store) => store.tombstone(stream("88"), { _tag: "Any" }, { reason: "asked for", commandId: "newest" })
}

interface Prepared extends Operation {
  readonly execute: string
}

/** Prepares the operation's statement on this connection, as the client does. */
const prepare = (log: TestLog, connection: SqlConnection.Connection, operation: Operation) =>
  Effect.gen(function*() {
    const statement = yield* statementOf(log, operation.run)
    const execute = yield* QueryPlan.prepare(connection, operation.name, statement)
    return { ...operation, execute }
  })

const always = ["Limit", "Index Scan", "Index Only Scan", "Nested Loop", "Result", "Function Scan"]

/**
 * A command's events are taken for many without statistics, and a plan for known bounds may rather sort a stream's few
 * events than fetch them in order: a bitmap then. A page of the log comes in the index's order and is not sorted.
 */
const allowedFor = (name: string, state: string): ReadonlyArray<string> => {
  const bitmap = ["Sort", "Bitmap Heap Scan", "Bitmap Index Scan"]
  if (name === "readCommand" && state === "just grown") return [...always, ...bitmap]
  if (name.startsWith("read ") && state === "custom plans") return [...always, ...bitmap]
  // The log's end is looked up once, and scanned as the one row that it is. What a filter leaves out is counted, too.
  if (name === "readAll of names" || name === "readAll of a partition") {
    return [...always, "Append", "CTE Scan", "Subquery Scan", "Aggregate"]
  }
  if (name.startsWith("readAll")) return [...always, "Append", "CTE Scan", "Subquery Scan"]
  return name === "readCommand" ? [...always, "Sort"] : always
}

const check = (connection: SqlConnection.Connection, { execute, indexes, name, pages }: Prepared, state: string) =>
  inTransaction(
    connection,
    Effect.gen(function*() {
      const message = `${name}, ${state}`
      const plan = yield* explain(connection, execute)
      const all = nodes(plan)
      assert.isAtMost(pagesOf(plan), pages, message)
      for (const node of all) assert.include(allowedFor(name, state), node["Node Type"], message)
      const used = new Set(all.flatMap((node) => node["Index Name"] ?? []))
      assert.deepStrictEqual([...used].toSorted(), indexes, message)
      assert.strictEqual(yield* sequentialScans(connection, execute), 0, message)
    })
  )

/** A session whose plans were made when the log was small, and analysed, before it grew. */
const plannedWhenSmall = (log: TestLog, operations: ReadonlyArray<Operation>) =>
  Effect.gen(function*() {
    const connection = yield* log.sql.reserve
    const prepared = yield* Effect.forEach(operations, (operation) => prepare(log, connection, operation))
    yield* empty(log)
    yield* fill(log, 1, 50)
    yield* log.sql`ANALYZE events`
    yield* settle(connection, prepared.map(({ execute }) => execute))
    yield* fill(log, 51, 20_000)
    return Effect.forEach(prepared, ({ execute }) => inTransaction(connection, sequentialScans(connection, execute)))
  })

suite("on a large log, the store", (test, control) => {
  test(
    `reads and appends by index, with ${size} events, and plans made before the first`,
    (log) =>
      Effect.gen(function*() {
        const { sql } = log
        yield* sql`ALTER TABLE events SET (autovacuum_enabled = false)`
        const old = yield* sql.reserve
        const prepared = yield* Effect.forEach(
          [...reads, poll, appendOne, appendEach, appendGroup, tombstone],
          (operation) => prepare(log, old, operation)
        )
        yield* empty(log)
        yield* settle(old, prepared.map(({ execute }) => execute))
        yield* fill(log, 1, size)
        yield* Effect.forEach(prepared, (operation) => check(old, operation, "just grown"))
        yield* sql`ANALYZE events`
        yield* Effect.forEach(prepared, (operation) => check(old, operation, "analysed"))
        yield* old.executeRaw("SET plan_cache_mode = force_generic_plan", [])
        yield* Effect.forEach(prepared, (operation) => check(old, operation, "generic plans"))
        yield* old.executeRaw("SET plan_cache_mode = force_custom_plan", [])
        yield* Effect.forEach(prepared, (operation) => check(old, operation, "custom plans"))
      }),
    120_000
  )

  test("appends and erases by index, also with plans made on a small log with statistics", (log) =>
    Effect.gen(function*() {
      const scans = yield* yield* plannedWhenSmall(log, [appendOne, appendEach, appendGroup, tombstone])
      assert.deepStrictEqual(scans, [0, 0, 0, 0])
    }))

  control("control: without the functions' setting, such plans read all of the log", (log) =>
    Effect.gen(function*() {
      for (const name of ["append", "append_one", "append_each"]) {
        yield* log.sql.unsafe(`ALTER FUNCTION ${log.schema}.${name} RESET enable_seqscan`)
      }
      assert.notInclude(yield* yield* plannedWhenSmall(log, [appendOne, appendEach, appendGroup]), 0)
    }))

  control(
    "control: without the function's setting, such plans read all of the log to erase",
    (log) =>
      Effect.gen(function*() {
        yield* log.sql.unsafe(`ALTER FUNCTION ${log.schema}.tombstone RESET enable_seqscan`)
        assert.notDeepEqual(yield* yield* plannedWhenSmall(log, [tombstone]), [0])
      })
  )

  control(
    "control: such plans make reads read all of the log, until it is analysed again",
    (log) =>
      Effect.gen(function*() {
        const scans = yield* plannedWhenSmall(log, reads)
        assert.notInclude(yield* scans, 0)
        yield* log.sql`ANALYZE events`
        assert.deepStrictEqual(yield* scans, reads.map(() => 0))
      })
  )
})

describe("a log that is still small", () => {
  it.live("is not analysed by itself, so that no such plans are made", () =>
    Effect.gen(function*() {
      const server = yield* EmbeddedPostgres.start({ settings: { autovacuum_naptime: "1s" } })
      const log = yield* make(server.url)
      yield* fill(log, 1, 9_000)
      yield* log.sql`CREATE TABLE ordinary AS TABLE events`
      const gathered = (table: string) =>
        Effect.map(
          log.sql<{ pages: number }>`SELECT relpages AS pages FROM pg_class WHERE oid = ${table}::regclass`,
          ([row]) => row?.pages !== 0
        )
      const wait = { until: (done: boolean) => done, schedule: Schedule.spaced("100 millis") }
      yield* Effect.repeat(gathered("ordinary"), wait)
      assert.isFalse(yield* gathered("events"))
      yield* fill(log, 9_001, 12_000)
      yield* Effect.repeat(gathered("events"), wait)
    }), 60_000)
})
