import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import { SqlClient } from "effect/sql"
import * as Table from "../src/Table.ts"

const database = TestDatabase.layer

/** How many rows the measurement writes; `ROWS` for one that says something. */
const rows = Number(process.env["ROWS"] ?? "500")

const everything = Table.define("every \"thing\"", {
  columns: {
    id: "bigint",
    text: "text",
    uuid: "uuid",
    yes: "boolean",
    small: "smallint",
    whole: "integer",
    single: "real",
    double: "double precision",
    exact: "numeric",
    day: "date",
    at: "timestamptz",
    bytes: "bytea",
    json: "json",
    jsonb: "jsonb",
    texts: "text[]",
    numbers: "bigint[]",
    times: "timestamptz[]",
    documents: "jsonb[]",
    maybe: "text null",
    perhaps: "integer[] null",
    document: "jsonb null"
  },
  key: ["id"]
})

const full: Table.Row<typeof everything.columns> = {
  id: 9_223_372_036_854_775_807n,
  text: "o'clock \"\\ {NULL}, ü 🎈\n",
  uuid: "0190a8b0-0000-7000-8000-000000000001",
  yes: true,
  small: -32_768,
  whole: 2_147_483_647,
  single: 0.5,
  double: 1e-300,
  exact: "12345678901234567890.000000000001",
  day: "2024-02-29",
  at: new Date("2024-03-31T01:30:00.123Z"),
  bytes: new Uint8Array([0, 1, 255]),
  json: { b: [1, null, "\"x\""], a: "}" },
  jsonb: { a: { b: [] }, n: 1.5 },
  texts: ["a,b", "\"quoted\"", "\\", "", "NULL", "{}", null],
  numbers: [1n, -9_007_199_254_740_993n, null],
  times: [new Date(0)],
  documents: [{ a: "\"" }, [1], "x"],
  maybe: "",
  perhaps: [1, 2],
  document: { here: true }
}

const bare: Table.Row<typeof everything.columns> = {
  ...full,
  id: 0n,
  double: Number.POSITIVE_INFINITY,
  json: null,
  jsonb: "text",
  texts: [],
  maybe: null,
  perhaps: null,
  document: null
}

const items = Table.define("items", {
  columns: { owner: "text", nr: "numeric", note: "text null", n: "bigint" },
  key: ["owner", "nr"]
})

describe("upsert", () => {
  it.live("keeps each type's values as they are", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Table.create(everything)
      yield* Table.upsert(everything, [full, bare])
      const [first, second] = yield* sql<typeof full>`SELECT * FROM ${
        sql.literal("\"every \"\"thing\"\"\"")
      } ORDER BY id`
      assert.deepStrictEqual(first, bare)
      assert.deepStrictEqual(second, full)
      // The absence of a document is not the document null.
      const [kinds] = yield* sql.unsafe(
        `SELECT document IS NULL AS absent, json::text AS json FROM "every ""thing""" WHERE id = 0`
      )
      assert.deepStrictEqual(kinds, { absent: true, json: "null" })
      yield* Table.upsert(everything, [{ ...full, id: 0n }])
      assert.deepStrictEqual((yield* sql.unsafe(`SELECT * FROM "every ""thing""" WHERE id = 0`))[0], {
        ...full,
        id: 0n
      })
    }).pipe(Effect.provide(database)))

  it.live("inserts what is new, replaces what is there, and leaves other columns alone", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Table.create(items)
      yield* sql`ALTER TABLE items ADD COLUMN mine text DEFAULT 'default'`
      yield* Table.upsert(items, [{ owner: "a", nr: "1", note: "first", n: 1n }])
      yield* sql`UPDATE items SET mine = 'changed'`
      yield* Table.upsert(items, [
        { owner: "b", nr: "1", note: null, n: 2n },
        { owner: "a", nr: "1", note: null, n: 3n }
      ])
      yield* Table.upsert(items, [])
      assert.deepStrictEqual(yield* sql`SELECT * FROM items ORDER BY owner`, [
        { owner: "a", nr: "1", note: null, n: 3n, mine: "changed" },
        { owner: "b", nr: "1", note: null, n: 2n, mine: "default" }
      ])
    }).pipe(Effect.provide(database)))

  it.live("lets the last row of a key win, by the database's equality", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Table.create(items)
      // 1, 1.0 and 01 are one number.
      const batchOf = (owner: string) =>
        ["1", "1.0", "2", "01", "1.00"].map((nr, i) => ({ owner, nr, note: `${i}`, n: BigInt(i) }))
      yield* Table.upsert(items, batchOf("a"))
      yield* Table.upsert(items, batchOf("b").toReversed())
      assert.deepStrictEqual(yield* sql`SELECT owner, nr::int AS nr, note FROM items ORDER BY 1, 2`, [
        { owner: "a", nr: 1, note: "4" },
        { owner: "a", nr: 2, note: "2" },
        { owner: "b", nr: 1, note: "0" },
        { owner: "b", nr: 2, note: "2" }
      ])
    }).pipe(Effect.provide(database)))

  it.live("does nothing about a row that is there and has a key only", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const seen = Table.define("public.seen", { columns: { id: "uuid" }, key: ["id"] })
      yield* Table.create(seen)
      for (let i = 0; i < 2; i++) yield* Table.upsert(seen, [{ id: full.uuid }, { id: full.uuid }])
      assert.deepStrictEqual(yield* sql`SELECT * FROM seen`, [{ id: full.uuid }])
    }).pipe(Effect.provide(database)))

  it.live("does not block another batch crosswise, whatever their rows' order", () =>
    Effect.gen(function*() {
      yield* Table.create(items)
      const batch = Array.from({ length: 200 }, (_, i) => ({ owner: `${i}`, nr: "1", note: null, n: 0n }))
      yield* Effect.forEach(
        Array.from({ length: 40 }, (_, i) => i % 2 === 0 ? batch : batch.toReversed()),
        (each) => Table.upsert(items, each),
        { concurrency: 8, discard: true }
      )
    }).pipe(Effect.provide(database)))

  it.live(`writes ${rows} rows by one statement; what that takes is measured with ROWS`, () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Table.create(items)
      const batch = Array.from({ length: rows }, (_, i) => ({ owner: `${i}`, nr: "1", note: "note", n: BigInt(i) }))
      const [together] = yield* Effect.timed(sql.withTransaction(Table.upsert(items, batch)))
      const [apart] = yield* Effect.timed(
        sql.withTransaction(Effect.forEach(batch, (row) =>
          sql`INSERT INTO items (owner, nr, note, n) VALUES (${`x${row.owner}`}, ${row.nr}::numeric, ${row.note}, ${row.n})
              ON CONFLICT (owner, nr) DO UPDATE SET note = excluded.note, n = excluded.n`, { discard: true }))
      )
      if (process.env["ROWS"] !== undefined) {
        process.stderr.write(`${rows} rows: ${Duration.format(together)} together, ${Duration.format(apart)} apart\n`)
      }
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM items`, [{ n: 2 * rows }])
    }).pipe(Effect.provide(database)))

  it("refuses names that PostgreSQL would cut", () => {
    assert.throws(() => Table.define("n".repeat(64), { columns: { id: "text" }, key: ["id"] }), RangeError)
    assert.throws(() => Table.define("t", { columns: { ["ü".repeat(32)]: "text" }, key: ["ü".repeat(32)] }), RangeError)
  })
})
