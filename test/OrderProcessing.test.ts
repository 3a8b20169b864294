/**
 * Order processing from end to end: real processes, a real PostgreSQL, real files, exact figures.
 */
import * as EventStore from "@composable-ts/core/EventStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as EmbeddedPostgres from "@composable-ts/testing/EmbeddedPostgres"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Document, documents, exactRevenue, expectedReport, toLines } from "./order-processing/Documents.ts"
import { demo, type Ended, orders, ordersReading, start } from "./order-processing/Program.ts"

/** A folder of its own for each test, gone at its end. */
const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "orders-test-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const test = (name: string, run: (folder: string) => Promise<void>) =>
  it.live(name, () => Effect.flatMap(folder, (path) => Effect.promise(() => run(path))), 60_000)

/** Parses what a command printed, which must be JSON and nothing else. */
const json = ({ code, stderr, stdout }: Ended) => {
  assert.strictEqual(code, 0, stderr)
  return JSON.parse(stdout)
}

const byName = (left: { readonly country?: string; readonly category?: string }, right: typeof left) =>
  `${left.country}${left.category}` < `${right.country}${right.category}` ? -1 : 1

/** The report's JSON document, its groups in the order of their names. */
const report = async (path: string) => {
  const document = json(await orders(path, "report", "--json"))
  document.byCountry.sort(byName)
  document.byCategory.sort(byName)
  return document
}

/** Runs on the log in a folder. Commands that run meanwhile share its server, which spares them the start. */
const withLog = <A>(path: string, use: Effect.Effect<A, unknown, EventStore.EventStore>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.gen(function*() {
    const { url } = yield* EmbeddedPostgres.start({ dataDir: join(path, ".orders") })
    const log = PostgresEventStore.layer().pipe(Layer.provide(PgClient.layer({ url })))
    return yield* Effect.provide(use, log)
  })))

/** Every event of the log, as `stream: type`. */
const wholeLog = Effect.gen(function*() {
  const store = yield* EventStore.EventStore
  const { head } = yield* store.readAll({ after: 0n, limit: 1 })
  const events: ReadonlyArray<RecordedEvent> = (yield* store.readAll({ after: 0n, limit: Number(head) })).events
  return events.map(({ streamId, type }) => `${streamId}: ${type}`).sort()
})

/** A test whose commands find the server running. */
const sharedTest = (name: string, run: (folder: string) => Promise<void>) =>
  test(name, (path) => withLog(path, Effect.promise(() => run(path))))

const expectedLog = (imported: ReadonlyArray<Document>) =>
  imported.flatMap(({ orderId, shippedAt }) => [
    `order-${orderId}: OrderPlaced.v1`,
    ...shippedAt === null ? [] : [`order-${orderId}: OrderShipped.v1`]
  ]).sort()

const good = documents(200)

/** The good orders with bad lines among them, and what must be said of these. */
const withMistakes = () => {
  const line = (i: number) => JSON.stringify(good[i])
  const spoiled = (i: number, change: object) => JSON.stringify({ ...good[i], orderId: `bad-${i}`, ...change })
  const firstLine = good[0]!.lines[0]!
  const { customerId: _, ...nobody } = good[5]!
  const mistakes: ReadonlyArray<readonly [text: string, reason: RegExp]> = [
    ["{\"orderId\": ", /^not JSON: /],
    ["a plain sentence", /^not JSON: /],
    [JSON.stringify({ ...nobody, orderId: "bad" }), /^customerId: missing$/],
    [spoiled(1, { lines: [{ ...firstLine, quantity: -2 }] }), /^order bad-1 asks for -2 of product P0/],
    [spoiled(2, { lines: [{ ...firstLine, unitPrice: 9.5 }] }), /^lines\[0\]\.unitPrice: expected a decimal number in/],
    [spoiled(3, { orderedAt: "2026-02-30" }), /^orderedAt: expected a day that exists$/],
    [spoiled(4, { lines: [] }), /^order bad-4 has no lines$/],
    [spoiled(5, { shippedAt: "2020-01-01" }), /cannot have been shipped before that/],
    [spoiled(6, { customerName: "x".repeat(5 * 1024 * 1024) }), /^longer than 1048576 bytes$/],
    [JSON.stringify({ ...good[0], customerName: "Somebody else" }), /^order 1 is already placed with other content$/]
  ]
  const lines = ["\uFEFF" + line(0), ""]
  const refusals: Array<{ readonly line: number; readonly reason: RegExp }> = []
  for (let i = 1; i < good.length; i++) {
    const mistake = i % 15 === 0 ? mistakes[i / 15 - 1] : undefined
    if (mistake !== undefined) {
      lines.push(mistake[0])
      refusals.push({ line: lines.length, reason: mistake[1] })
    }
    lines.push(i % 2 === 0 ? line(i) : `${line(i)}\r`)
  }
  assert.strictEqual(refusals.length, mistakes.length)
  return { text: lines.join("\n"), refusals }
}

describe("order processing", () => {
  test("imports the good lines, names the bad ones, and does so again without a change", async (path) => {
    const { refusals, text } = withMistakes()
    writeFileSync(join(path, "orders.ndjson"), text)

    const first = await orders(path, "import", "orders.ndjson", "--json")
    assert.strictEqual(first.code, 1)
    const outcome = JSON.parse(first.stdout)
    const shipped = good.filter(({ shippedAt }) => shippedAt !== null).length
    const { alreadyThere, lines, placed, refused } = outcome
    assert.deepStrictEqual({ lines, placed, shipped: outcome.shipped, alreadyThere, refused }, {
      lines: 210,
      placed: 200,
      shipped,
      alreadyThere: 0,
      refused: 10
    })
    assert.deepStrictEqual(
      outcome.refusedLines.map(({ line }: { line: number }) => line),
      refusals.map(({ line }) => line)
    )
    refusals.forEach(({ line, reason }, i) => {
      assert.match(outcome.refusedLines[i].reason, reason)
      assert.include(first.stderr, `line ${line}: ${outcome.refusedLines[i].reason}\n`)
    })
    assert.deepStrictEqual(await report(path), expectedReport(good))

    const second = await orders(path, "import", "orders.ndjson")
    assert.strictEqual(second.code, 1)
    assert.include(second.stdout, "0 orders placed, 0 shipped, 200 there already, 10 refused")
    assert.deepStrictEqual(await report(path), expectedReport(good))
    assert.deepStrictEqual(await withLog(path, wholeLog), expectedLog(good))
  })

  sharedTest("reads standard input, and lists what it imported", async (path) => {
    const some = good.slice(0, 30)
    const imported = await ordersReading(path, toLines(some), "import", "-")
    assert.strictEqual(imported.code, 0, imported.stderr)
    assert.include(imported.stdout, "30 lines in")
    assert.deepStrictEqual(
      json(await orders(path, "list", "--json")).map(({ orderId }: { orderId: string }) => orderId).sort(),
      some.map(({ orderId }) => orderId).sort()
    )
    const open = json(await orders(path, "list", "--status", "placed", "--json"))
    assert.strictEqual(open.length, some.filter(({ shippedAt }) => shippedAt === null).length)
    const table = (await orders(path, "list", "--limit", "5")).stdout.trimEnd().split("\n")
    assert.strictEqual(table.length, 6)
    assert.match(table[0]!, /^ORDER +STATUS +ORDERED/)
    // The totals are right-aligned, so all lines end in one column.
    assert.strictEqual(new Set(table.map((line) => [...line].length)).size, 1)
  })

  test("killed half-way and run again, has every order and no event twice", async (path) => {
    const many = documents(600)
    const file = join(path, "orders.ndjson")
    writeFileSync(file, toLines(many))
    const left = await withLog(
      path,
      Effect.gen(function*() {
        const importer = start(path, "import", "orders.ndjson")
        const log = yield* EventStore.EventStore
        yield* Stream.runDrain(Stream.take(log.subscribe({ after: 0n }), 200))
        importer.process.kill("SIGKILL")
        const { signal } = yield* Effect.promise(() => importer.ended)
        assert.strictEqual(signal, "SIGKILL")
        return yield* wholeLog
      })
    )
    assert.isAtLeast(left.length, 200)
    assert.isBelow(left.length, expectedLog(many).length)

    const again = await orders(path, "import", "orders.ndjson", "--json")
    assert.strictEqual(again.code, 0, again.stderr)
    const { alreadyThere, placed } = JSON.parse(again.stdout)
    assert.isAbove(alreadyThere, 0)
    assert.isAbove(placed, 0)
    assert.deepStrictEqual(await withLog(path, wholeLog), expectedLog(many))
    assert.deepStrictEqual(await report(path), expectedReport(many))
  })

  sharedTest("shows an order now, at a version and at a time", async (path) => {
    const order = { ...good[0]!, shippedAt: "2026-04-02" }
    await ordersReading(path, toLines([{ ...order, shippedAt: null }]), "import", "-")
    await ordersReading(path, toLines([order]), "import", "-")

    const history = json(await orders(path, "history", "1", "--json"))
    assert.deepStrictEqual(history.map(({ type, version }: { type: string; version: number }) => [version, type]), [
      [0, "OrderPlaced.v1"],
      [1, "OrderShipped.v1"]
    ])
    assert.match(history[0].commandId, /^place:1:[0-9a-f]{64}$/)
    const [placedAt, shippedAt] = history.map(({ recordedAt }: { recordedAt: string }) => recordedAt)

    const now = json(await orders(path, "show", "1", "--json"))
    assert.strictEqual(now.status, "Shipped")
    assert.strictEqual(now.version, 1)
    assert.strictEqual(now.shippedOn, "2026-04-02")
    assert.deepStrictEqual(now.order.lines, order.lines)
    const { afterDiscounts, beforeDiscounts } = exactRevenue(order.lines)
    assert.deepStrictEqual([now.beforeDiscounts, now.afterDiscounts], [beforeDiscounts, afterDiscounts])

    for (
      const [flag, moment, status] of [
        ["--at-version", "0", "Placed"],
        ["--at-version", "1", "Shipped"],
        ["--at", placedAt, "Placed"],
        ["--at", shippedAt, "Shipped"],
        ["--at", "2099-01-01", "Shipped"]
      ]
    ) {
      assert.strictEqual(
        json(await orders(path, "show", "1", flag, moment, "--json")).status,
        status,
        `${flag} ${moment}`
      )
    }

    const failures: ReadonlyArray<readonly [args: ReadonlyArray<string>, code: number, message: string]> = [
      [["show", "2"], 1, "There is no order 2."],
      [["history", "2"], 1, "There is no order 2."],
      [["show", "1", "--at-version", "2"], 1, "Order 1 has come to version 1 so far."],
      [["show", "1", "--at", "2020-01-01"], 1, "There was no order 1 yet at 2020-01-01T00:00:00.000Z."],
      [["show", "1", "--at", "yesterday"], 2, "a time such as 2026-11-23T16:05:00Z"],
      [["show", "1", "--at-version", "0", "--at", "2099-01-01"], 2, "give one of them, not both"],
      [["show"], 2, "Missing required argument: order"],
      [["import", "missing.ndjson"], 2, "missing.ndjson cannot be imported: there is no such file."],
      [["import", "."], 2, "it is a folder"]
    ]
    for (const [args, code, message] of failures) {
      const ended = await orders(path, ...args)
      assert.strictEqual(ended.code, code, args.join(" "))
      assert.strictEqual(ended.stdout, "", args.join(" "))
      assert.include(ended.stderr, message)
      assert.notMatch(ended.stderr, /^\s+at /m)
    }
  })

  test("serves several commands at once on one data folder", async (path) => {
    writeFileSync(join(path, "orders.ndjson"), toLines(good))
    const importing = () => orders(path, "import", "orders.ndjson", "--json")
    const [left, right, during] = await Promise.all([importing(), importing(), orders(path, "report", "--json")])
    const outcomes = [json(left), json(right)]
    assert.strictEqual(outcomes[0].placed + outcomes[1].placed, 200)
    assert.strictEqual(outcomes[0].refused + outcomes[1].refused, 0)
    assert.isAtMost(json(during).orders, 200)
    assert.deepStrictEqual(await withLog(path, wholeLog), expectedLog(good))
    assert.deepStrictEqual(await report(path), expectedReport(good))
  })

  test("ends cleanly on Ctrl-C, and takes its server with it", async (path) => {
    const importer = start(path, "import", "-")
    importer.process.stdin?.write(toLines(good.slice(0, 100)))
    await withLog(
      path,
      Effect.flatMap(EventStore.EventStore, (log) => Stream.runDrain(Stream.take(log.subscribe({ after: 0n }), 20)))
    )
    assert.isTrue(existsSync(join(path, ".orders", "cluster", "postmaster.pid")))
    importer.process.kill("SIGINT")
    const { code, stderr } = await importer.ended
    assert.strictEqual(code, 130, stderr)
    assert.strictEqual(stderr, "")
    assert.isFalse(existsSync(join(path, ".orders", "cluster", "postmaster.pid")))
  })

  test("gives the tour", async (path) => {
    const { code, stderr, stdout } = await demo(path)
    assert.strictEqual(code, 0, stderr)
    assert.strictEqual(stderr, "")
    for (
      const line of [
        "25 orders placed, 21 shipped, 0 there already, 0 refused",
        "line 2 refused: order 2027 asks for -6 of product T03: a quantity must be positive",
        "AlreadyShipped: order 2003 is already shipped",
        "second: version 1, duplicate: true",
        "0 orders placed, 0 shipped, 25 there already, 0 refused"
      ]
    ) assert.include(stdout, line)
    assert.match(stdout, /^ +Orders +27$/m)
  })
})
