/**
 * The outbox on PostgreSQL: the contract, and what it cannot ask of a store in memory.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Outbox from "@composable-ts/core/Outbox"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as PostgresOutbox from "@composable-ts/postgres/PostgresOutbox"
import * as OutboxContract from "@composable-ts/testing/OutboxContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Array, Cause, Clock, Effect, Layer } from "effect"
import { inspect } from "node:util"
import { commandId, several, stream } from "./Facts.ts"
import * as Roles from "./Roles.ts"
import { connect, suite, type TestLog } from "./TestLog.ts"

const { any, noStream } = ExpectedVersion

OutboxContract.suite(
  "PostgresOutbox",
  Layer.mergeAll(PostgresEventStore.layer(), PostgresOutbox.layer()).pipe(Layer.provide(TestDatabase.layer))
)

/** An outbox of its own on the log's schema, as of another process. */
const openOn = ({ schema, url }: Pick<TestLog, "schema" | "url">, config: PgClient.PgPoolConfig = {}) =>
  Effect.gen(function*() {
    const client = yield* connect({ url, ...config })
    return yield* Effect.provideService(PostgresOutbox.open({ schema }), PgClient.PgClient, client)
  })

const forever = { limit: 10, lease: "1 hour" } as const

/** As many entries, as if stored by appends long ago; of `mail` all, or every other one of `bill`. */
const fill = ({ sql }: TestLog, from: number, to: number, kind: string) =>
  sql`INSERT INTO outbox (global_position, index, stream_id, command_id, kind, body, due_at, free_at)
    SELECT n, 0, 'fact-' || n % 1000, 'command ' || n, ${kind}, '{"to": "somebody"}', moment, moment
    FROM generate_series(${from}::bigint, ${to}) AS n,
      LATERAL (SELECT now() - interval '1 day' + n * interval '1 millisecond' AS moment) AS at`

/** Reads of any part of the outbox that a call takes, and how many pages it touches. */
const cost = (log: TestLog, call: (outbox: Outbox.Service) => Effect.Effect<unknown, unknown>) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connect({ url: log.url, maxConnections: 1 })
    const outbox = yield* Effect.provideService(PostgresOutbox.open({ schema: log.schema }), PgClient.PgClient, client)
    const figures = Effect.map(
      client.unsafe(
        `SELECT pg_stat_get_xact_numscans('${log.schema}.outbox'::regclass)::int,
          (SELECT sum(pg_stat_get_xact_blocks_fetched(c))::int FROM unnest(ARRAY[
            '${log.schema}.outbox', '${log.schema}.outbox_pkey', '${log.schema}.outbox_free'
          ]::regclass[]) AS c)`
      ).values,
      ([row]) => ({ scans: Number(row![0]), pages: Number(row![1]) })
    )
    return yield* client.withTransaction(Effect.gen(function*() {
      const before = yield* figures
      yield* call(outbox)
      const after = yield* figures
      return { scans: after.scans - before.scans, pages: after.pages - before.pages }
    }))
  }))

const range = (from: number, to: number) => Array.range(from, to).map(BigInt)

suite("the outbox on PostgreSQL", (test, control) => {
  test("of a group in one commit, each command's entries share its outcome", (log) =>
    Effect.gen(function*() {
      const outbox = yield* openOn(log)
      const store = yield* log.open({ maxConnections: 3 })
      for (let round = 0; round < 5; round++) {
        const streamId = stream(`round-${round}`)
        const kind = `kind-${round}`
        const put = (nr: number, expected: ExpectedVersion.ExpectedVersion, id = commandId()) =>
          store.append(streamId, expected, several(1 + nr % 2), { commandId: id, outbox: [{ kind, body: nr }] })
        const repeated = commandId()
        yield* put(0, noStream, repeated)
        yield* Effect.all([
          Effect.flip(put(1, noStream)),
          put(0, noStream, repeated),
          Effect.forEach(Array.range(2, 30), (nr) => put(nr, any), { concurrency: "unbounded" }),
          Effect.forEach(Array.range(1, 20), () => store.append(streamId, any, several(1)), {
            concurrency: "unbounded"
          }),
          Effect.flip(store.transact([
            { streamId: stream(`other-${round}`), expected: any, events: several(1) },
            { streamId, expected: noStream, events: several(1) }
          ], { outbox: [{ kind, body: 31 }] }))
        ], { concurrency: "unbounded" })
        const claims = yield* outbox.claim({ kinds: [kind], limit: 100, lease: "1 hour" })
        assert.deepStrictEqual(claims.map(({ body }) => Number(body)).toSorted((a, b) => a - b), [
          0,
          ...Array.range(2, 30)
        ])
        const [first] = yield* log.store.readCommand(claims[7]!.commandId)
        assert.strictEqual(first!.globalPosition, claims[7]!.globalPosition)
      }
    }))

  test("of 6 processes no two have the same entry, of several kinds at once", (log) =>
    Effect.gen(function*() {
      yield* fill(log, 1, 300, "mail")
      yield* fill(log, 301, 600, "bill")
      const workers = yield* Effect.forEach(Array.range(1, 6), () => openOn(log))
      const claimed: globalThis.Array<string> = []
      yield* Effect.forEach(workers, (outbox, i) =>
        Effect.gen(function*() {
          while (true) {
            const kinds = i % 2 === 0 ? ["mail", "bill"] : undefined
            const claims = yield* outbox.claim({ kinds, limit: 1 + i, lease: "1 hour" })
            if (claims.length === 0) return
            claimed.push(...claims.map(Outbox.idempotencyKey))
          }
        }), { concurrency: "unbounded" })
      assert.strictEqual(claimed.length, 600)
      assert.strictEqual(new Set(claimed).size, 600)
    }))

  test("a claim passes over what others are just claiming, however much, and finds what is behind it", (log) =>
    Effect.gen(function*() {
      yield* fill(log, 1, 400, "mail")
      yield* fill(log, 1_001, 1_001, "bill")
      const outbox = yield* openOn(log)
      yield* Effect.scoped(Effect.gen(function*() {
        const other = yield* log.sql.reserve
        yield* other.executeRaw("BEGIN", [])
        yield* other.executeRaw("SELECT FROM outbox WHERE global_position <= 399 FOR UPDATE", [])
        const claims = yield* outbox.claim({ kinds: ["mail", "bill"], limit: 2, lease: "1 hour" })
        assert.deepStrictEqual(claims.map(({ globalPosition }) => globalPosition), [400n, 1_001n])
        yield* other.executeRaw("ROLLBACK", [])
      }))
    }))

  control("control: without the locks, two get the same entries", (log) =>
    Effect.gen(function*() {
      yield* fill(log, 1, 10, "mail")
      const [row] = yield* log.sql<{ text: string }>`
        SELECT pg_get_functiondef((current_schema() || '.claim_outbox')::regproc) AS text`
      const unlocked = row!.text.replace("FOR UPDATE SKIP LOCKED", "OFFSET 0")
        .replace("IF cardinality(held) > 0 THEN", "PERFORM pg_sleep(0.05); IF cardinality(held) > 0 THEN")
        .replace(/WHERE o.ctid = ANY \(held\) RETURNING/, "WHERE o.global_position = ANY (positions) RETURNING")
      assert.match(unlocked, /pg_sleep[^]*ANY \(positions\)/)
      yield* log.sql.unsafe(unlocked)
      const workers = yield* Effect.forEach(Array.range(1, 2), () => openOn(log))
      const claims = yield* Effect.forEach(workers, (outbox) => outbox.claim(forever), { concurrency: "unbounded" })
      assert.isBelow(new Set(claims.flat().map(Outbox.idempotencyKey)).size, claims.flat().length)
    }))

  test(
    "claims and ends claims by index, with 1 000 000 pending, just filled or analysed",
    (log) =>
      Effect.gen(function*() {
        yield* log.sql`ALTER TABLE outbox SET (autovacuum_enabled = false)`
        yield* fill(log, 1, 100, "bill")
        yield* log.sql`ANALYZE outbox`
        yield* fill(log, 101, 900_100, "bill")
        yield* fill(log, 900_101, 1_000_100, "mail")
        for (const state of ["planned when small", "analysed"]) {
          if (state === "analysed") yield* log.sql`ANALYZE outbox`
          for (const kinds of [undefined, ["mail"], ["mail", "bill", "none"]]) {
            const { pages, scans } = yield* cost(log, (outbox) =>
              Effect.gen(function*() {
                const claims = yield* outbox.claim({ ...forever, kinds })
                assert.strictEqual(claims.length, 10)
                yield* outbox.complete(claims.slice(0, 8))
                yield* outbox.retry(claims[8]!, { after: "1 hour", error: "none" })
                yield* outbox.park(claims[9]!, "none")
                yield* outbox.revive([claims[9]!])
                yield* outbox.discard([claims[9]!])
                yield* outbox.dead({ limit: 10 })
              }))
            assert.strictEqual(scans, 0, `${state}, ${kinds?.join() ?? "all"}`)
            assert.isBelow(pages, 1_000, `${state}, ${kinds?.join() ?? "all"}`)
          }
        }
      }),
    120_000
  )

  test(
    "the ordered entries of one stream, however many, cost neither their worker nor others more",
    (log) =>
      Effect.gen(function*() {
        yield* fill(log, 1, 100_000, "mail")
        yield* log.sql`UPDATE outbox SET ordered = true, stream_id = 'fact-1'`
        yield* fill(log, 100_001, 100_003, "bill")
        yield* log.sql`VACUUM ANALYZE outbox`
        const first = yield* cost(log, (outbox) =>
          Effect.map(
            outbox.claim({ ...forever, kinds: ["mail"], worker: "a" }),
            (claims) => assert.deepStrictEqual(claims.map(({ globalPosition }) => globalPosition), range(1, 10))
          ))
        assert.deepStrictEqual([first.scans, first.pages < 1_000], [0, true], `${first.pages} pages`)
        const second = yield* cost(log, (outbox) =>
          Effect.gen(function*() {
            assert.deepStrictEqual(yield* outbox.claim({ ...forever, kinds: ["mail"], worker: "b" }), [])
            assert.strictEqual((yield* outbox.claim({ ...forever, kinds: ["bill"], worker: "b" })).length, 3)
            assert.isAbove((yield* outbox.agenda(["mail"])).overdue!, 0)
          }))
        assert.deepStrictEqual([second.scans, second.pages < 20_000], [0, true], `${second.pages} pages`)
      }),
    60_000
  )

  /** Drains 60 of 70 thousand, at times that are so far apart, and tells how many pages the first and the last claim touched. */
  const draining = (log: TestLog, apart: number) =>
    Effect.gen(function*() {
      yield* log.sql`ALTER TABLE outbox SET (autovacuum_enabled = false)`
      yield* fill(log, 1, 70_000, "mail")
      const client = yield* connect({ url: log.url, maxConnections: 1 })
      const outbox = yield* Effect.provideService(
        PostgresOutbox.open({ schema: log.schema }),
        PgClient.PgClient,
        client
      )
      const clock = yield* Clock.Clock
      const pages = Effect.map(
        client.unsafe(`SELECT pg_stat_get_xact_blocks_fetched('${log.schema}.outbox_free'::regclass)::int`).values,
        ([row]) => Number(row![0])
      )
      const round = (nr: number) =>
        client.withTransaction(Effect.gen(function*() {
          const before = yield* pages
          const claims = yield* Effect.provideService(
            outbox.claim({ ...forever, kinds: ["mail"], limit: 1_000 }),
            Clock.Clock,
            Object.create(clock, { currentTimeMillis: { value: Effect.succeed(nr * apart) } })
          )
          const touched = (yield* pages) - before
          assert.strictEqual(claims.length, 1_000)
          yield* outbox.complete(claims)
          return touched
        }))
      const costs = yield* Effect.forEach(Array.range(1, 60), round)
      return { first: costs[0]!, last: costs.at(-1)! }
    })

  test(
    "a claim costs no more behind 60 000 completed entries that nobody has vacuumed",
    (log) =>
      Effect.map(draining(log, 1), ({ first, last }) => assert.isAtMost(last, first + 50, `${first} pages at first`)),
    60_000
  )

  control(
    "control: a claim that looks at all passes by what was completed",
    (log) =>
      Effect.map(
        draining(log, 1_000),
        ({ first, last }) => assert.isAbove(last, first + 200, `${first} pages at first`)
      )
  )

  control("control: without the function's settings, a plan made for few reads all", (log) =>
    Effect.gen(function*() {
      yield* log.sql`ALTER TABLE outbox SET (autovacuum_enabled = false)`
      yield* fill(log, 1, 20, "mail")
      yield* log.sql`ANALYZE outbox`
      yield* log.sql`ALTER FUNCTION claim_outbox RESET ALL`
      const { scans } = yield* cost(log, (outbox) => outbox.claim(forever))
      assert.isAbove(scans, 0)
    }))

  test("the application's role works with entries, and stores none by hand", (log) =>
    Effect.gen(function*() {
      const schema = `${log.schema}_app`
      const { app } = yield* Roles.makeLog(log.url, schema)
      const client = yield* connect({ url: app.url })
      const events = yield* Effect.provideService(PostgresEventStore.open({ schema }), PgClient.PgClient, client)
      const outbox = yield* openOn({ url: app.url, schema })
      yield* events.append(stream("a"), any, several(1), {
        outbox: Array.makeBy(4, (body) => ({ kind: "mail", body }))
      })
      const [first, second, third, fourth] = yield* outbox.claim(forever)
      yield* outbox.complete([first!])
      yield* outbox.retry(second!, { after: 0, error: "" })
      yield* outbox.park(third!, "")
      yield* outbox.park(fourth!, "")
      assert.deepStrictEqual(
        [yield* outbox.revive([third!]), yield* outbox.discard([fourth!]), (yield* outbox.dead(forever)).length],
        [1, 1, 0]
      )
      assert.deepStrictEqual(yield* outbox.counts, [{ kind: "mail", due: 2, delayed: 0, claimed: 0, dead: 0 }])
      const error = yield* Effect.flip(client.unsafe(
        `INSERT INTO ${schema}.outbox (global_position, index, stream_id, command_id, kind, body, due_at, free_at)
        VALUES (9, 0, 'a', 'b', 'mail', '1', now(), now())`
      ))
      assert.match(inspect(error, { depth: 5 }), /permission denied/)
    }))

  test("a body too large to be read again is refused, and its events with it", (log) =>
    Effect.gen(function*() {
      const store = yield* log.open({ maxMessageSize: 100_000 })
      const outbox = yield* openOn(log, { maxMessageSize: 100_000 })
      const most = 100_000 - 16 * 1024
      const put = (bytes: number) =>
        store.append(stream("1"), any, several(1), { outbox: [{ kind: "mail", body: "ü".repeat((bytes - 2) / 2) }] })
      const error = yield* Effect.flip(put(most + 2))
      assert.match(error.message, /the body of an outbox entry of kind mail takes more than 83616 bytes/)
      yield* put(most)
      assert.strictEqual((yield* outbox.claim(forever)).length, 1)
      assert.strictEqual((yield* log.store.read(stream("1"))).length, 1)
    }))

  test("failures are typed, tell whether to try again, and show no body", (log) =>
    Effect.gen(function*() {
      const outbox = yield* openOn(log)
      const claim = { globalPosition: 1n, index: 0, token: 1n }
      yield* fill(log, 1, 1, "mail")
      yield* log.sql`ALTER TABLE outbox ADD CONSTRAINT none CHECK (attempt < 1)`
      const refused = yield* Effect.flip(outbox.claim(forever))
      assert.instanceOf(refused, Outbox.OutboxError)
      assert.notInclude(`${Cause.pretty(Cause.fail(refused))} ${inspect(refused, { depth: 20 })}`, "somebody")
      yield* log.sql`ALTER TABLE outbox RENAME TO elsewhere`
      const errors = yield* Effect.all([
        Effect.flip(outbox.claim(forever)),
        Effect.flip(outbox.complete([claim])),
        Effect.flip(outbox.retry(claim, { after: 0, error: "" })),
        Effect.flip(outbox.park(claim, "")),
        Effect.flip(outbox.dead({ limit: 1 })),
        Effect.flip(outbox.revive([claim])),
        Effect.flip(outbox.discard([claim])),
        Effect.flip(outbox.counts)
      ])
      const operations = ["claim", "complete", "retry", "park", "list dead", "revive", "discard", "count"]
      for (const [i, error] of errors.entries()) {
        assert.instanceOf(error, Outbox.OutboxError)
        if (error instanceof Outbox.OutboxError) {
          assert.deepStrictEqual([error.operation, error.retryable], [operations[i], false])
        }
      }
      const failed = yield* Effect.flip(log.store.append(stream("1"), any, several(1), {
        outbox: [{ kind: "mail", body: 1 }]
      }))
      assert.strictEqual(failed._tag, "EventStoreError")
      assert.deepStrictEqual(yield* log.store.read(stream("1")), [], "the events went with the entries")
      yield* log.sql`ALTER TABLE elsewhere RENAME TO outbox`
    }))
})
