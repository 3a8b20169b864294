/**
 * A read model's table as a value, and the statement that makes batches fast: many rows written by one.
 *
 * {@link upsert} takes rows as code has them, typed by the columns, and writes them in one statement whose text does not
 * depend on their number: it is prepared once. One for each event is many times slower.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { checkLength, qualified, quoted } from "./internal/identifier.ts"

/** What code has for a value of a column's type; a `numeric` as its digits, a `date` as `2026-11-23`. */
interface Values {
  readonly text: string
  readonly uuid: string
  readonly boolean: boolean
  readonly smallint: number
  readonly integer: number
  readonly bigint: bigint
  readonly real: number
  readonly "double precision": number
  readonly numeric: string
  readonly date: string
  readonly timestamptz: Date
  readonly bytea: Uint8Array
  readonly json: unknown
  readonly jsonb: unknown
}

type Scalar = keyof Values

/** The type of a column that may be part of a key: it has an order. */
export type KeyType = Exclude<Scalar, "json" | "jsonb">

/** The type of a column, which may be an array. `null` behind it lets it be absent, as in SQL. */
export type ColumnType = Scalar | `${Scalar}[]` | `${Scalar} null` | `${Scalar}[] null`

type ValueOf<Type extends ColumnType> = Type extends `${infer Some extends Exclude<ColumnType, `${string} null`>} null`
  ? ValueOf<Some> | null
  : Type extends `${infer Element extends Scalar}[]` ? ReadonlyArray<Values[Element] | null>
  : Type extends Scalar ? Values[Type]
  : never

/** Columns by their names. */
export type Columns = Readonly<Record<string, ColumnType>>

/** A row of a table. */
export type Row<C extends Columns> = { readonly [Name in keyof C]: ValueOf<C[Name]> }

/** A table. */
export interface Table<C extends Columns> {
  readonly name: string
  readonly columns: C
  /** The primary key. */
  readonly key: ReadonlyArray<string>
}

/**
 * Describes a table: its columns and its key. Without a schema in its name it is found by the `search_path`, so that each
 * version of a read model has its own, see `ReadModel`. Throws a `RangeError` for a name that PostgreSQL would cut.
 *
 * @example
 * ```ts
 * import * as Table from "@composable-ts/projections/Table"
 *
 * const orders = Table.define("orders", {
 *   columns: { id: "text", total: "bigint", tags: "text[]", shipped: "timestamptz null" },
 *   key: ["id"]
 * })
 *
 * orders.key // => ["id"]
 * ```
 */
export const define = <const C extends Columns, const K extends KeyColumn<C>>(
  name: string,
  { columns, key }: { readonly columns: C; readonly key: readonly [K, ...ReadonlyArray<K>] }
): Table<C> => {
  for (const part of [...name.split("."), ...Object.keys(columns)]) checkLength(part)
  return { name, columns, key }
}

/** The columns that a key may have. */
type KeyColumn<C extends Columns> = { [Name in keyof C]: C[Name] extends KeyType ? Name : never }[keyof C] & string

const nameOf = ({ name }: Table<Columns>): string => qualified(...name.split("."))

const typeOf = (type: ColumnType): string => type.replace(/ null$/, "")

/** Makes the table. */
export const create = <C extends Columns>(
  table: Table<C>
): Effect.Effect<void, SqlError, SqlClient.SqlClient> => {
  const columns = Object.entries(table.columns).map(([name, type]) =>
    `${quoted(name)} ${typeOf(type)}${type.endsWith(" null") ? "" : " NOT NULL"}`
  )
  const key = table.key.map(quoted).join(", ")
  return Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => Effect.asVoid(sql.unsafe(`CREATE TABLE ${nameOf(table)} (${columns.join(", ")}, PRIMARY KEY (${key}))`))
  )
}

/**
 * The statement. Values travel as text, a column at a time; of rows with one key the last counts, by the database's own
 * equality; and rows are written in the key's order, so that two batches at once do not block each other crosswise.
 */
const statementOf = (table: Table<Columns>): string => {
  const columns = Object.entries(table.columns)
  const names = columns.map(([name]) => quoted(name)).join(", ")
  const key = table.key.map(quoted).join(", ")
  const raw = columns.map((_, i) => `c${i}`)
  const values = columns.map(([name, type], i) => `c${i}::${typeOf(type)} AS ${quoted(name)}`).join(", ")
  let nr = "nr"
  while (nr in table.columns) nr += "_"
  const updates = columns.filter(([name]) => !table.key.includes(name))
    .map(([name]) => `${quoted(name)} = excluded.${quoted(name)}`)
  return `INSERT INTO ${nameOf(table)} (${names})
    SELECT DISTINCT ON (${key}) ${names} FROM (
      SELECT ${values}, ${nr} FROM unnest(${columns.map((_, i) => `$${i + 1}::text::text[]`).join(", ")})
      WITH ORDINALITY AS raw(${raw.join(", ")}, ${nr})
    ) AS typed ORDER BY ${key}, ${nr} DESC
    ON CONFLICT (${key}) DO ${updates.length === 0 ? "NOTHING" : `UPDATE SET ${updates.join(", ")}`}`
}

/** A table's statement is put together once. */
const statements = new WeakMap<Table<Columns>, string>()

const cached = (table: Table<Columns>): string => {
  const known = statements.get(table)
  if (known !== undefined) return known
  const statement = statementOf(table)
  statements.set(table, statement)
  return statement
}

const hex = (bytes: Uint8Array): string =>
  `\\x${bytes.reduce((text, byte) => text + byte.toString(16).padStart(2, "0"), "")}`

const scalarText = (type: string, value: unknown): string => {
  if (type === "json" || type === "jsonb") return JSON.stringify(value)
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return hex(value)
  return String(value)
}

const inArray = (text: string | null): string =>
  text === null ? "NULL" : `"${text.replaceAll("\\", "\\\\").replaceAll("\"", "\\\"")}"`

/** An array as the database reads it from text: the client knows no type for one that holds nothing but nulls. */
const arrayText = (texts: ReadonlyArray<string | null>): string => `{${texts.map(inArray).join(",")}}`

/** A value as the database reads it from text. */
const textOf = (type: ColumnType, value: unknown): string | null => {
  const plain = typeOf(type)
  const isJson = plain === "json" || plain === "jsonb"
  if (value === null && (type.endsWith(" null") || !isJson)) return null
  if (!plain.endsWith("[]")) return scalarText(plain, value)
  const element = plain.slice(0, -2)
  const elements = value as ReadonlyArray<unknown>
  return arrayText(elements.map((each) => each === null ? null : scalarText(element, each)))
}

/**
 * Writes rows in one statement: new ones are inserted, and those whose key is there are replaced in these columns. Of
 * several rows with one key the last one counts. Without rows it does nothing.
 *
 * @example
 * ```ts no-run
 * import * as Table from "@composable-ts/projections/Table"
 *
 * const orders = Table.define("orders", { columns: { id: "text", total: "bigint" }, key: ["id"] })
 *
 * export const write = Table.upsert(orders, [{ id: "1", total: 200n }, { id: "2", total: 350n }])
 * ```
 */
export const upsert = <C extends Columns>(
  table: Table<C>,
  rows: ReadonlyArray<Row<C>>
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  rows.length === 0 ?
    Effect.void :
    Effect.flatMap(SqlClient.SqlClient, (sql) =>
      Effect.asVoid(Effect.suspend(() =>
        sql.unsafe(
          cached(table),
          Object.entries(table.columns).map(([name, type]) => arrayText(rows.map((row) => textOf(type, row[name]))))
        )
      )))
