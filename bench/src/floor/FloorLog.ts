/**
 * A table of events with the same columns, constraints and indexes as ours, written without our lock, checks, groups or
 * notifications: what PostgreSQL itself asks for storing the same rows.
 */
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import type pg from "pg"
import { eventAt, type OrderEvent } from "../Order.ts"
import * as Copy from "./Copy.ts"

const table = "floor.events"

/** Makes the table, in a database that holds our log. */
export const create = `
  CREATE SCHEMA floor;
  CREATE TABLE ${table} (LIKE composable.events INCLUDING ALL);
  CREATE SEQUENCE floor.positions;
  ALTER TABLE ${table} ALTER global_position SET DEFAULT nextval('floor.positions')`

const bodyOf = ({ _tag, ...body }: OrderEvent): string => JSON.stringify(body)

/** Inserts one event by a statement of its own, hence in a commit of its own. */
export const insertOne = async (client: pg.Client, id: string, version: number): Promise<void> => {
  const event = eventAt(id, version)
  await client.query({
    name: "insert one",
    text: `INSERT INTO ${table} (stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
      VALUES ($1, $2, $3, $4, $5, 1, $6, now())`,
    values: [`order-${id}`, version, `${event._tag}.v1`, randomUUID(), randomUUID(), bodyOf(event)]
  })
}

/** Inserts some events of one stream by one statement. */
export const insertMany = async (client: pg.Client, id: string, versions: ReadonlyArray<number>): Promise<void> => {
  const events = versions.map((version) => eventAt(id, version))
  const sizes = versions.map((_, index) => index === 0 ? versions.length : null)
  await client.query({
    name: "insert many",
    text: `INSERT INTO ${table} (stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
      SELECT $1, e.version, e.type, e.id, $2, e.size, e.data::json, now()
      FROM unnest($3::int[], $4::text[], $5::uuid[], $6::int[], $7::text[]) AS e(version, type, id, size, data)`,
    values: [
      `order-${id}`,
      randomUUID(),
      versions,
      events.map(({ _tag }) => `${_tag}.v1`),
      events.map(() => randomUUID()),
      sizes,
      events.map(bodyOf)
    ]
  })
}

/** Inserts some events of one stream by COPY. */
export const copyMany = (client: pg.Client, id: string, versions: ReadonlyArray<number>): Promise<void> => {
  const now = new Date().toISOString()
  const command = randomUUID()
  const lines = versions.map((version, index) => {
    const event = eventAt(id, version)
    const size = index === 0 ? versions.length : "\\N"
    const body = Copy.escaped(bodyOf(event))
    return `order-${id}\t${version}\t${event._tag}.v1\t${randomUUID()}\t${command}\t${size}\t${body}\t${now}\n`
  })
  return Copy.copy(
    client,
    `COPY ${table} (stream_id, version, type, event_id, command_id, command_size, data, recorded_at) FROM STDIN`,
    lines.join("")
  )
}

/** Inserts one event and tells about it in the same statement. Resolves to its position. */
export const insertAndNotify = async (client: pg.Client, id: string, version: number): Promise<string> => {
  const event = eventAt(id, version)
  const { rows } = await client.query<[string]>({
    name: "insert and notify",
    rowMode: "array",
    text: `WITH stored AS (
        INSERT INTO ${table} (stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
        VALUES ($1, $2, $3, $4, $5, 1, $6, now()) RETURNING global_position
      ) SELECT global_position, pg_notify('floor', global_position::text) FROM stored`,
    values: [`order-${id}`, version, `${event._tag}.v1`, randomUUID(), randomUUID(), bodyOf(event)]
  })
  return rows[0]![0]
}

/** What is wrong with the rows, given how many should stand in each stream whose id begins like this. */
export const faultOf = (client: pg.Client, prefix: string, count: number): Effect.Effect<string | undefined, Error> =>
  Effect.tryPromise({
    try: async () => {
      const { rows } = await client.query<[number, number]>({
        rowMode: "array",
        text: `SELECT coalesce(sum(n), 0)::int, count(*) FILTER (WHERE n <> highest + 1)::int FROM (
            SELECT count(*) AS n, max(version) AS highest FROM ${table} WHERE starts_with(stream_id, $1) GROUP BY stream_id
          ) AS streams`,
        values: [`order-${prefix}`]
      })
      const [stored, broken] = rows[0]!
      if (stored !== count) return `${count} events were acknowledged, but ${stored} are stored`
      return broken > 0 ? `${broken} streams have gaps` : undefined
    },
    catch: (reason) => reason instanceof Error ? reason : new Error(String(reason))
  })
