/**
 * What a store sends, and how PostgreSQL executes it, as a session that has it prepared.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import { Effect, Schema } from "effect"
import type { SqlConnection } from "effect/sql"

/** A statement as it was sent. */
export interface Statement {
  readonly text: string
  readonly parameters: ReadonlyArray<unknown>
  /** Whether a session keeps it, and perhaps its plan. */
  readonly isPrepared: boolean
}

/** Whose answer to a property is another. */
const answering = <Target extends object>(target: Target, answers: (property: PropertyKey) => unknown): Target =>
  new Proxy(target, {
    get: (inner, property, receiver) => answers(property) ?? Reflect.get(inner, property, receiver)
  })

/** By which a connection sends a statement. */
const sends: ReadonlySet<PropertyKey> = new Set<keyof SqlConnection.Connection>([
  "execute",
  "executeRaw",
  "executeStream",
  "executeUnprepared",
  "executeValues",
  "executeValuesUnprepared"
])

type Send = (text: string, parameters?: ReadonlyArray<unknown>, ...rest: ReadonlyArray<unknown>) => unknown

/** The client, and what is sent by it as text: at once, in a transaction, or on a connection that is reserved. */
export const recording = (client: PgClient) => {
  const sent: Array<Statement> = []
  const noted = (send: Send, isPrepared: boolean): Send => (text, parameters = [], ...rest) => {
    sent.push({ text, parameters, isPrepared })
    return send(text, parameters, ...rest)
  }
  const connection = (inner: SqlConnection.Connection): SqlConnection.Connection =>
    answering(inner, (property) =>
      sends.has(property)
        ? noted(Reflect.get(inner, property).bind(inner), !String(property).endsWith("Unprepared"))
        : undefined)
  const unsafe: Send = (text, parameters = []) => {
    const place = sent.push({ text, parameters, isPrepared: true }) - 1
    const statement = client.unsafe(text, parameters)
    return answering(statement, (property) => {
      if (property === "valuesUnprepared" || property === "unprepared") {
        sent[place] = { text, parameters, isPrepared: false }
      }
      return undefined
    })
  }
  const recorder = answering(client, (property) => {
    if (property === "unsafe") return unsafe
    return property === "reserve" ? Effect.map(client.reserve, connection) : undefined
  })
  return { client: recorder, sent }
}

const element = (value: unknown): string =>
  typeof value === "string" ? `"${value.replaceAll(/["\\]/g, "\\$&")}"` : String(value)

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

const list = (items: ReadonlyArray<string>): string => items.length === 0 ? "" : `(${items.join(", ")})`

/** Prepares a statement on this connection, as the client does; what executes it. */
export const prepare = (connection: SqlConnection.Connection, name: string, { parameters, text }: Statement) =>
  Effect.as(
    connection.executeRaw(`PREPARE "${name}" ${list(parameters.map(typeOf))} AS ${text}`, []),
    `EXECUTE "${name}" ${list(parameters.map(literal))}`
  )

const Plan = Schema.Struct({
  "Node Type": Schema.String,
  "Relation Name": Schema.optionalKey(Schema.String),
  "Index Name": Schema.optionalKey(Schema.String),
  "Actual Rows": Schema.Number,
  "Shared Hit Blocks": Schema.Int,
  "Shared Read Blocks": Schema.Int,
  Plans: Schema.optionalKey(Schema.Array(Schema.suspend((): Schema.Codec<Plan> => Plan)))
})
/** A node of a plan, with those below it. */
export interface Plan {
  readonly "Node Type": string
  readonly "Relation Name"?: string
  readonly "Index Name"?: string
  readonly "Actual Rows": number
  readonly "Shared Hit Blocks": number
  readonly "Shared Read Blocks": number
  readonly Plans?: ReadonlyArray<Plan>
}
const decodePlans = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Tuple([Schema.Struct({ Plan })])]))

/** Executes a statement, and says how. */
export const explain = (connection: SqlConnection.Connection, statement: string) =>
  Effect.gen(function*() {
    const rows = yield* connection.executeValuesUnprepared(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${statement}`, [])
    const [[{ Plan: plan }]] = yield* decodePlans(rows[0])
    return plan
  })

/** A plan's nodes. */
export const nodes = (plan: Plan): ReadonlyArray<Plan> => [plan, ...(plan.Plans ?? []).flatMap(nodes)]

/** How many pages a plan has touched. */
export const pagesOf = (plan: Plan): number => plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

/** Undoes what it did. */
export const inTransaction = <A, E>(connection: SqlConnection.Connection, effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    connection.executeRaw("BEGIN", []),
    () => effect,
    () => Effect.orDie(connection.executeRaw("ROLLBACK", []))
  )

/** How many sequential scans of these tables a statement takes, those of the functions it calls included. */
export const sequentialScans = (
  connection: SqlConnection.Connection,
  statement: string,
  tables: ReadonlyArray<string> = ["events"]
) =>
  Effect.gen(function*() {
    const count = Effect.map(
      connection.executeValues(
        `SELECT sum(pg_stat_get_xact_numscans(name::regclass))::int FROM unnest(ARRAY['${
          tables.join("','")
        }']) AS name`,
        []
      ),
      ([row]) => Number(row?.[0])
    )
    const before = yield* count
    yield* connection.executeRaw(statement, [])
    return (yield* count) - before
  })

/** Executes statements so often that the session settles for a plan. */
export const settle = (connection: SqlConnection.Connection, statements: ReadonlyArray<string>) =>
  Effect.forEach(
    statements,
    (execute) =>
      Effect.replicateEffect(inTransaction(connection, connection.executeRaw(execute, [])), 10, { discard: true })
  )
