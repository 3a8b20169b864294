/**
 * Every statement that the stores of this package send: by index on large tables, whatever the statistics say. Left out
 * is what reads catalogues (migrating, checking, granting), and what is to read all: `LogAudit.verify` and the outbox's
 * `counts`.
 */
import type * as Outbox from "@composable-ts/core/Outbox"
import type * as SnapshotStore from "@composable-ts/core/SnapshotStore"
import type * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as PostgresSnapshotStore from "@composable-ts/postgres/PostgresSnapshotStore"
import * as PostgresSubjectKeys from "@composable-ts/postgres/PostgresSubjectKeys"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Effect, type Scope, Stream } from "effect"
import type { SqlConnection } from "effect/sql"
import * as Pipeline from "../src/internal/Pipeline.ts"
import { several, stream } from "./Facts.ts"
import { empty, fill, middle, size } from "./LargeLog.ts"
import * as QueryPlan from "./QueryPlan.ts"
import { suite, type TestLog } from "./TestLog.ts"

type Use<Service> = (service: Service) => Effect.Effect<unknown, unknown>

/** For each member of a service all ways in which it sends something; a new member does not compile without. */
type Uses<Service> = { readonly [Member in keyof Service]-?: ReadonlyArray<Use<Service>> }

const any = { _tag: "Any" } as const
const names = ["Rare", "None"]
const partition = { index: 1, count: 4 }
const page = { after: middle, limit: 500 }

const eventStore: Uses<PostgresEventStore.Service> = {
  append: [
    (store) => store.append(stream("77"), any, several(1), { commandId: "one" }),
    (store) => store.append(stream("77"), any, several(3), { commandId: "three" }),
    (store) =>
      Effect.all(
        ["each", "other"].map((id) => store.append(stream(id), any, several(1), { commandId: `of ${id}` })),
        { concurrency: "unbounded" }
      ),
    (store) =>
      Effect.all(
        ["early", "late"].map((id) =>
          store.append(stream(id), any, several(1), {
            commandId: `with an entry, ${id}`,
            outbox: [{ kind: "mail", body: { to: id } }]
          })
        ),
        { concurrency: "unbounded" }
      ),
    (store) =>
      store.append(stream("77"), any, several(2), {
        commandId: "with entries",
        outbox: [{ kind: "mail", body: { to: "somebody" } }],
        cancels: [{ key: "hold" }, { prefix: "timer." }]
      }),
    (store) =>
      Effect.flip(store.append(stream("77"), any, several(2), {
        commandId: "of an effect",
        settles: [{ globalPosition: 20n, index: 0, token: 7n }]
      }))
  ],
  transact: [
    (store) =>
      store.transact([
        { streamId: stream("77"), expected: any, events: several(2) },
        { streamId: stream("78"), expected: any, events: several(1) }
      ], { commandId: "of two" })
  ],
  tombstone: [(store) => store.tombstone(stream("88"), any, { reason: "asked for", commandId: "erasing" })],
  read: [
    (store) => store.read(stream("77")),
    (store) => store.read(stream("77"), { from: 95 }),
    (store) => store.read(stream("77"), { direction: "backwards", maxCount: 3 })
  ],
  load: [
    (store) => Stream.runDrain(store.load(stream("77"))),
    (store) => Stream.runDrain(store.load(stream("77"), { direction: "backwards" }))
  ],
  readAll: [
    (store) => store.readAll(page),
    (store) => store.readAll({ ...page, names }),
    (store) => store.readAll({ ...page, partition }),
    (store) => store.readAll({ ...page, names, partition })
  ],
  readCommand: [(store) => store.readCommand(`command ${size / 10}`)],
  // What listening and polling send is made when the store is opened.
  listen: [() => Effect.void],
  subscribe: [
    (store) => Stream.runDrain(Stream.take(store.subscribe({ after: 0n }), 1)),
    (store) => Stream.runDrain(Stream.take(store.subscribe({ after: 0n, names: ["Counted"] }), 1))
  ],
  /** Sends nothing. */
  partitionOf: [],
  health: [(store) => store.health]
}

/** Where events are missing between the first and the last of a page, it looks for the first that is. */
const damaged: Use<PostgresEventStore.Service> = (store) => Effect.flip(store.readAll({ ...page, names: ["Counted"] }))

const at = { streamId: stream("77"), stateVersion: 1, version: 1, globalPosition: 1n, state: {} }

const snapshots: Uses<SnapshotStore.Service> = {
  save: [(store) => store.save(at), (store) => store.save({ ...at, streamId: stream("new") })],
  load: [(store) => store.load(at.streamId, at)],
  remove: [(store) => store.remove(at.streamId), (store) => store.remove(at.streamId, at)]
}

const subjectKeys: Uses<SubjectKeys.Service> = {
  sealing: [(keys) => keys.sealing(Array.makeBy(200, (i) => `p-${i * 7 + 1}`))],
  opening: [(keys) => keys.opening(Array.makeBy(200, (i) => `p-${i * 7 + 2}`))],
  shred: [(keys) => keys.shred("p-3", "asked for")],
  shreddings: [(keys) => Stream.runDrain(keys.shreddings)]
}

const claims = Array.makeBy(10, (i) => ({ globalPosition: BigInt(10 * i + 10), index: 0, token: 0n }))
const [claim] = claims

const outbox: Uses<Omit<Outbox.Service, "counts">> = {
  claim: [
    (store) => store.claim({ limit: 10, lease: "1 hour" }),
    (store) => store.claim({ limit: 10, lease: "1 hour", kinds: ["mail", "bill"] })
  ],
  complete: [(store) => Effect.flip(store.complete(claims))],
  retry: [(store) => Effect.flip(store.retry(claim!, { after: "1 second", error: "busy" }))],
  park: [(store) => Effect.flip(store.park(claim!, "hopeless"))],
  dead: [(store) => store.dead({ limit: 100 }), (store) => store.dead({ limit: 100, after: claim! })],
  revive: [(store) => store.revive(claims)],
  discard: [(store) => store.discard(claims)],
  extend: [(store) => Effect.flip(store.extend(claims, "1 minute"))],
  release: [(store) => store.release(claims)],
  list: [
    (store) => store.list({ limit: 100 }),
    (store) => store.list({ limit: 100, after: claim! }),
    (store) => store.list({ limit: 100, streamId: stream("77") })
  ],
  agenda: [(store) => store.agenda(), (store) => store.agenda(["mail", "bill"])],
  cancel: [(store) => store.cancel(claims)]
}

/** What a service sends, once it is open, or to be sent later; each statement once. */
const sentBy = <Service>(
  { schema, sql }: TestLog,
  make: (options: { readonly schema: string }) => Effect.Effect<Service, unknown, PgClient | Scope.Scope>,
  uses: ReadonlyArray<Use<Service>>
) =>
  Effect.gen(function*() {
    const { client, sent } = QueryPlan.recording(sql)
    const service = yield* make({ schema }).pipe(
      Effect.provideService(PgClient, client),
      Effect.provideService(Pipeline.Open, () => Effect.succeed(client))
    )
    for (const use of uses) yield* use(service)
    return sent.filter(({ text }) => !/\bpg_catalog\b|\bpg_proc\b|\bpg_class\b|^(?:BEGIN|COMMIT)/.test(text))
  })

const allSent = (log: TestLog) =>
  Effect.gen(function*() {
    const sent = [
      ...yield* sentBy(log, PostgresEventStore.open, Object.values(eventStore).flat()),
      ...yield* sentBy(log, PostgresSnapshotStore.open, Object.values(snapshots).flat()),
      ...yield* sentBy(log, PostgresSubjectKeys.open, Object.values(subjectKeys).flat()),
      ...yield* sentBy(log, PostgresOutbox.open, Object.values(outbox).flat())
    ]
    yield* fill(log, Number(middle) + 1, Number(middle) + 1)
    yield* fill(log, Number(middle) + 500, Number(middle) + 500)
    sent.push(...yield* sentBy(log, PostgresEventStore.open, [damaged]))
    return Array.dedupeWith(sent, (one, other) => one.text === other.text)
  })

const tables = ["events", "snapshots", "subject_keys", "outbox"]

const emptyAll = (log: TestLog) =>
  Effect.gen(function*() {
    yield* empty(log)
    yield* log.sql`TRUNCATE snapshots, outbox`
    yield* log.sql`ALTER TABLE subject_keys DISABLE TRIGGER subject_keys_truncate`
    yield* log.sql`TRUNCATE subject_keys`
    yield* log.sql`ALTER TABLE subject_keys ENABLE ALWAYS TRIGGER subject_keys_truncate`
  })

/** All tables large. */
const fillAll = (log: TestLog) =>
  Effect.gen(function*() {
    const { sql } = log
    const tenth = size / 10
    yield* fill(log, 1, size)
    yield* sql`INSERT INTO snapshots (stream_id, state_version, version, global_position, state)
      SELECT 'fact-' || n, 1, 1, 1, '{}' FROM generate_series(1, ${tenth}) AS n`
    yield* sql`INSERT INTO subject_keys (subject, key, wrapped, shredded_at, reason)
      SELECT 'p-' || n, CASE WHEN n % 20 > 0 THEN sha256(n::text::bytea) END, false,
        CASE WHEN n % 20 = 0 THEN now() + n * interval '1 second' END, CASE WHEN n % 20 = 0 THEN 'asked for' END
      FROM generate_series(1, ${tenth}) AS n`
    yield* sql`INSERT INTO outbox (global_position, index, stream_id, command_id, kind, body, due_at, free_at, parked_at)
      SELECT n, 0, 'fact-' || n, 'command ' || n, CASE WHEN n % 2 = 0 THEN 'mail' ELSE 'bill' END, '{}', due, due,
        CASE WHEN n % 20 = 0 THEN due END
      FROM generate_series(1, ${size}) AS n, LATERAL (
        SELECT now() - interval '1 day' + n * interval '1 millisecond' AS due
      ) AS at`
  })

/**
 * By far less than any index has; two hundred keys need the most. Only a tombstone writes a hundred events anew, most with
 * entries in all indexes, only what is missing is looked for at five hundred positions, and only a page of shreddings may,
 * before statistics are gathered, be picked from all that there are.
 */
const maxPages = (text: string): number =>
  /\.tombstone\(|generate_series|ORDER BY shredded_at/.test(text) ? 3_000 : 1_000
/** As many as a page has. */
const maxSorted = 500

/** What is wrong with how a statement is executed. */
const faults = (connection: SqlConnection.Connection, execute: string, text: string) =>
  QueryPlan.inTransaction(
    connection,
    Effect.gen(function*() {
      const plan = yield* QueryPlan.explain(connection, execute)
      const found = QueryPlan.nodes(plan).flatMap((node) => {
        const table = node["Relation Name"]
        if (node["Node Type"] === "Seq Scan" && tables.includes(table ?? "")) return [`Seq Scan of ${table}`]
        return node["Node Type"].includes("Sort") && node["Actual Rows"] > maxSorted
          ? [`Sort of ${node["Actual Rows"]} rows`]
          : []
      })
      const pages = QueryPlan.pagesOf(plan)
      const scans = yield* QueryPlan.sequentialScans(connection, execute, tables)
      return [
        ...found,
        ...(pages > maxPages(text) ? [`${pages} pages`] : []),
        ...(scans > 0 ? [`${scans} sequential scans, within functions too`] : [])
      ]
    })
  )

/** A session that has prepared all that is sent, before the first row and settled for plans; the tables are large then. */
const grown = (log: TestLog) =>
  Effect.gen(function*() {
    const session = yield* log.sql.reserve
    for (const table of tables) yield* log.sql.unsafe(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
    const sent = yield* allSent(log)
    const statements = yield* Effect.forEach(sent, (statement, i) => {
      const prepare = QueryPlan.prepare(session, `s${i}`, statement)
      // Of what is not prepared no plan is kept.
      const again = Effect.andThen(session.executeRaw(`DEALLOCATE s${i}`, []), prepare)
      return Effect.map(prepare, (execute) => ({
        text: statement.text,
        execute: statement.isPrepared ? Effect.succeed(execute) : again
      }))
    })
    yield* emptyAll(log)
    for (const { execute } of statements) yield* QueryPlan.settle(session, [yield* execute])
    yield* fillAll(log)
    const check = Effect.map(
      Effect.forEach(statements, ({ execute, text }) =>
        Effect.map(
          Effect.flatMap(execute, (execute) => faults(session, execute, text)),
          (found) => found.length === 0 ? [] : [{ text, found }]
        )),
      (found) => found.flat()
    )
    return { check, session, statements }
  })

suite("what the stores send", (test, control) => {
  test(
    `goes by index with ${size} events, whatever the statistics and the kind of plan`,
    (log) =>
      Effect.gen(function*() {
        const { check, session, statements } = yield* grown(log)
        const called = yield* log.sql<{ name: string }>`SELECT proname AS name FROM pg_proc
        WHERE pronamespace = ${log.schema}::regnamespace AND prorettype <> 'trigger'::regtype AND proname <> 'verify'`
        for (const { name } of called) {
          assert.isTrue(
            statements.some(({ text }) => text.includes(`.${name}(`)),
            `${name}() is called by none of them`
          )
        }
        assert.deepStrictEqual(yield* check, [], "just grown")
        const modes = ["force_generic_plan", "force_custom_plan", "auto"]
        for (const statistics of ["never analysed", "analysed"]) {
          if (statistics === "analysed") yield* log.sql.unsafe(`ANALYZE ${tables.join()}`)
          for (const mode of modes) {
            yield* session.executeRaw(`SET plan_cache_mode = ${mode}`, [])
            assert.deepStrictEqual(yield* check, [], `${statistics}, ${mode}`)
          }
        }
      }),
    120_000
  )

  for (
    const [index, seen] of [
      ["subject_keys_shreddings", "Seq Scan of subject_keys"],
      ["outbox_free", "sequential scans, within functions too"]
    ] as const
  ) {
    control(`control: without ${index} it does not`, (log) =>
      Effect.gen(function*() {
        yield* log.sql.unsafe(`DROP INDEX ${index}`)
        const { check } = yield* grown(log)
        assert.include(JSON.stringify(yield* check), seen)
      }), 120_000)
  }
})
