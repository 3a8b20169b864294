/**
 * How PostgreSQL executes the store's statements on a large log: by index and touching few pages; also when the log has
 * just grown from nothing, no statistics were gathered, and the session's plans were made when it was empty.
 */
import type * as EventStore from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import type { SqlConnection } from "effect/sql"
import * as Database from "../src/internal/Database.ts"
import { several, stream } from "./Facts.ts"
import { make, suite, type TestLog } from "./TestLog.ts"

interface Statement {
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
}

/** The statement that the store sends for an operation. */
const statementOf = (
  { schema, sql }: TestLog,
  operation: (store: EventStore.Service) => Effect.Effect<unknown, unknown>
): Effect.Effect<Statement, unknown, never> =>
  Effect.scoped(Effect.gen(function*() {
    let sent: Statement | undefined
    const recording: PgClient = new Proxy(sql, {
      get: (client, property, receiver) =>
        property === "unsafe"
          ? (text: string, parameters: ReadonlyArray<unknown> = []) => {
            sent = { text, parameters }
            return client.unsafe(text, parameters)
          }
          : Reflect.get(client, property, receiver)
    })
    const store = yield* PostgresEventStore.make({ schema }).pipe(
      Effect.provideService(PgClient, recording),
      Effect.provideService(Database.Pipeline, () => Effect.succeed(recording))
    )
    yield* operation(store)
    return sent ?? (yield* Effect.die(new Error("The operation sent nothing")))
  }))

/** As many events of 2 000 streams, five of each to a command, in turn, as if written by the store. */
const fill = ({ sql }: TestLog, from: number, to: number) =>
  sql`INSERT INTO events (
      global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
    SELECT n, 'fact-' || (n - 1) / 5 % 2000, (n - 1) / 10000 * 5 + (n - 1) % 5,
      CASE WHEN n % 1000 = 0 THEN 'Rare.v1' ELSE 'Counted.v1' END, gen_random_uuid(), 'command ' || (n - 1) / 5,
      CASE WHEN n % 5 = 1 THEN 5 END, '{"count": 1}', now()
    FROM generate_series(${BigInt(from)}::bigint, ${BigInt(to)}) AS n`

const element = (value: unknown): string =>
  typeof value === "string" ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : String(value)

/** As it was before the first event. */
const empty = ({ sql }: TestLog) =>
  sql.withTransaction(Effect.gen(function*() {
    yield* sql`ALTER TABLE events DISABLE TRIGGER events_immutable`
    yield* sql`TRUNCATE events`
    yield* sql`ALTER TABLE events ENABLE ALWAYS TRIGGER events_immutable`
  }))

const literal = (value: unknown): string => {
  if (value === null || typeof value === "number" || typeof value === "bigint") return String(value)
  if (typeof value === "object" && "value" in value) return literal(value.value)
  const text = Array.isArray(value) ? `{${value.map(element).join(",")}}` : String(value)
  return `'${text.replaceAll("'", "''")}'`
}

/** The type that the client states for a parameter, where the statement does not. */
const typeOf = (value: unknown): string => {
  if (Array.isArray(value)) return "text[]"
  return { string: "text", number: "int4", bigint: "int8" }[typeof value as string] ?? "unknown"
}

const Plan = Schema.Struct({
  "Node Type": Schema.String,
  "Index Name": Schema.optionalKey(Schema.String),
  "Shared Hit Blocks": Schema.Int,
  "Shared Read Blocks": Schema.Int,
  Plans: Schema.optionalKey(Schema.Array(Schema.suspend((): Schema.Codec<Plan> => Plan)))
})
interface Plan {
  readonly "Node Type": string
  readonly "Index Name"?: string
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
  readonly Plans?: ReadonlyArray<Plan>
}
const decodePlans = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Tuple([Schema.Struct({ Plan })])]))

const explain = (connection: SqlConnection.Connection, statement: string) =>
  Effect.gen(function*() {
    const rows = yield* connection.executeValuesUnprepared(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`, [])
    const [[{ Plan: plan }]] = yield* decodePlans(rows[0])
    return plan
  })

const nodes = (plan: Plan): ReadonlyArray<Plan> => [plan, ...(plan.Plans ?? []).flatMap(nodes)]
const pagesOf = (plan: Plan) => plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

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
    run: (store) => store.readAll({ after: 100_000n, limit: 500 })
  },
  {
    name: "readAll at the head",
    indexes: ["events_pkey"],
    pages: 16,
    run: (store) => store.readAll({ after: 200_000n, limit: 500 })
  },
  {
    name: "readAll of names",
    indexes: ["events_pkey"],
    pages: 45,
    run: (store) => store.readAll({ after: 100_000n, limit: 500, names: ["Rare", "None"] })
  },
  {
    name: "readAll of a partition",
    indexes: ["events_pkey"],
    pages: 45,
    run: (store) => store.readAll({ after: 100_000n, limit: 500, names: ["Rare"], partition: { index: 1, count: 4 } })
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

const list = (items: ReadonlyArray<string>): string => items.length === 0 ? "" : `(${items.join(", ")})`

/** Prepares the operation's statement on this connection, as the client does. */
const prepare = (log: TestLog, connection: SqlConnection.Connection, operation: Operation) =>
  Effect.gen(function*() {
    const { parameters, text } = yield* statementOf(log, operation.run)
    yield* connection.executeRaw(`PREPARE "${operation.name}" ${list(parameters.map(typeOf))} AS ${text}`, [])
    const execute = `EXECUTE "${operation.name}" ${list(parameters.map(literal))}`
    return { ...operation, execute }
  })

/** Undoes what it did. */
const inTransaction = <A, E>(connection: SqlConnection.Connection, effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    connection.executeRaw("BEGIN", []),
    () => effect,
    () => Effect.orDie(connection.executeRaw("ROLLBACK", []))
  )

/** How many sequential scans of the log a statement takes, those of the functions it calls included. */
const sequentialScans = (connection: SqlConnection.Connection, statement: string) =>
  Effect.gen(function*() {
    const count = Effect.map(
      connection.executeValues("SELECT pg_stat_get_xact_numscans('events'::regclass)::int", []),
      ([row]) => Number(row?.[0])
    )
    const before = yield* count
    yield* connection.executeRaw(statement, [])
    return (yield* count) - before
  })

const always = ["Limit", "Index Scan", "Index Only Scan", "Nested Loop", "Result", "Function Scan"]

/**
 * A join hides the index's order, so a page of the log is sorted. A command's events are taken for many without
 * statistics, and a plan for known bounds may rather sort a stream's few events than fetch them in order: a bitmap then.
 */
const allowedFor = (name: string, state: string): ReadonlyArray<string> => {
  const bitmap = ["Sort", "Bitmap Heap Scan", "Bitmap Index Scan"]
  if (name === "readCommand" && state === "just grown") return [...always, ...bitmap]
  if (name.startsWith("read ") && state === "custom plans") return [...always, ...bitmap]
  // The log's end is looked up once, and scanned as the one row that it is. What a filter leaves out is counted, too.
  if (name === "readAll of names" || name === "readAll of a partition") {
    return [...always, "Sort", "CTE Scan", "Subquery Scan", "Aggregate"]
  }
  if (name.startsWith("readAll")) return [...always, "Sort", "CTE Scan", "Subquery Scan"]
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

const settle = (connection: SqlConnection.Connection, prepared: ReadonlyArray<Prepared>) =>
  Effect.forEach(
    prepared,
    ({ execute }) =>
      Effect.replicateEffect(inTransaction(connection, connection.executeRaw(execute, [])), 10, { discard: true })
  )

/** A session whose plans were made when the log was small, and analysed, before it grew. */
const plannedWhenSmall = (log: TestLog, operations: ReadonlyArray<Operation>) =>
  Effect.gen(function*() {
    const connection = yield* log.sql.reserve
    const prepared = yield* Effect.forEach(operations, (operation) => prepare(log, connection, operation))
    yield* empty(log)
    yield* fill(log, 1, 50)
    yield* log.sql`ANALYZE events`
    yield* settle(connection, prepared)
    yield* fill(log, 51, 20_000)
    return Effect.forEach(prepared, ({ execute }) => inTransaction(connection, sequentialScans(connection, execute)))
  })

suite("on a large log, the store", (test, control) => {
  test("reads and appends by index, with 200 000 events, and plans made before the first", (log) =>
    Effect.gen(function*() {
      const { sql } = log
      yield* sql`ALTER TABLE events SET (autovacuum_enabled = false)`
      const old = yield* sql.reserve
      const prepared = yield* Effect.forEach(
        [...reads, poll, appendOne, appendEach, appendGroup, tombstone],
        (operation) => prepare(log, old, operation)
      )
      yield* empty(log)
      yield* settle(old, prepared)
      yield* fill(log, 1, 200_000)
      yield* Effect.forEach(prepared, (operation) => check(old, operation, "just grown"))
      yield* sql`ANALYZE events`
      yield* Effect.forEach(prepared, (operation) => check(old, operation, "analysed"))
      yield* old.executeRaw("SET plan_cache_mode = force_generic_plan", [])
      yield* Effect.forEach(prepared, (operation) => check(old, operation, "generic plans"))
      yield* old.executeRaw("SET plan_cache_mode = force_custom_plan", [])
      yield* Effect.forEach(prepared, (operation) => check(old, operation, "custom plans"))
    }))

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
