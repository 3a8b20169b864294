/**
 * What must compile, and what must not. Checked by the compiler; nothing here runs.
 */
import * as Table from "../../src/Table.ts"

const table = Table.define("t", {
  columns: {
    id: "text",
    n: "bigint",
    at: "timestamptz null",
    tags: "text[]",
    scores: "integer[] null",
    document: "jsonb"
  },
  key: ["id", "n"]
})

type Row = Table.Row<typeof table.columns>

/** Holds exactly when two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <_T extends true>(): void => {}

same<Same<Row["n"], bigint>>()
same<Same<Row["at"], Date | null>>()
same<Same<Row["tags"], ReadonlyArray<string | null>>>()
same<Same<Row["scores"], ReadonlyArray<number | null> | null>>()

const row: Row = { id: "1", n: 1n, at: null, tags: [], scores: null, document: { any: "thing" } }

Table.upsert(table, [row])
// @ts-expect-error: a column is missing
Table.upsert(table, [{ id: "1", n: 1n, at: null, tags: [], document: 1 }])
// @ts-expect-error: a bigint is no number
Table.upsert(table, [{ ...row, n: 1 }])
// @ts-expect-error: this column cannot be absent
Table.upsert(table, [{ ...row, id: null }])
// @ts-expect-error: a key has columns that cannot be absent
Table.define("t", { columns: { id: "text null" }, key: ["id"] })
// @ts-expect-error: a document has no order
Table.define("t", { columns: { id: "jsonb" }, key: ["id"] })
// @ts-expect-error: no such column
Table.define("t", { columns: { id: "text" }, key: ["nr"] })
// @ts-expect-error: no such type
Table.define("t", { columns: { id: "varchar" }, key: ["id"] })
