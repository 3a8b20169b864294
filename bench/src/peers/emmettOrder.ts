/**
 * The order in the hands of Emmett, and its event store as a user opens it: with its defaults, or with the best settings
 * that were found.
 */
import type { Event } from "@event-driven-io/emmett"
import { getPostgreSQLEventStore, type PostgresEventStore } from "@event-driven-io/emmett-postgresql"
import pg from "pg"
import { type Content, contentAt, initial, type State, stateAfter, totalOf } from "../OrderContent.ts"

/** The body of an event: its index in `SQL` is what a read model keeps. */
export interface Body extends Content {
  readonly total: number
  readonly [field: string]: unknown
}

export type OrderEvent = Event<"Placed", Body> | Event<"Revised", Body>

/** The event with this index in the stream of an order. */
export const eventAt = (id: string, index: number): OrderEvent => {
  const content = contentAt(id, index)
  return { type: index === 0 ? "Placed" : "Revised", data: { ...content, total: totalOf(content) } }
}

export const initialState = (): State => initial

export const evolve = (state: State, { data, type }: OrderEvent): State =>
  type === "Placed"
    ? { ...state, placed: true, total: data.total }
    : { ...state, revisions: state.revisions + 1, total: data.total }

/** Whether an order's state is what so many events lead to. */
export const isAfter = (state: State, id: string, events: number): boolean => {
  const { placed, revisions, total } = stateAfter(id, events)
  return state.placed === placed && state.revisions === revisions && state.total === total
}

/** How a user may set it up. */
export interface Settings {
  /** Connections of the pool; its own default when undefined. */
  readonly connections: number | undefined
  /** How consumers ask for events; its own defaults when undefined. */
  readonly pulling: { readonly batchSize: number; readonly pullingFrequencyInMs: number } | undefined
  /** Whether read models are documents of Pongo, the documented way, or written by prepared statements. */
  readonly readModel: "documents" | "statements"
}

/** An opened store. */
export interface Opened {
  readonly settings: Settings
  readonly url: string
  readonly store: PostgresEventStore
  /** To fill the log, and to check results. */
  readonly pool: pg.Pool
}

/** Opens it, its schema made. */
export const open = async (url: string, settings: Settings): Promise<Opened> => {
  const pool = new pg.Pool({ connectionString: url, max: settings.connections ?? 10 })
  if (settings.connections === undefined) {
    const store = getPostgreSQLEventStore(url)
    await store.schema.migrate()
    return { settings, url, store, pool }
  }
  await getPostgreSQLEventStore(url, { connectionOptions: { pool } }).schema.migrate()
  // Without a look, before each call, whether the schema is there.
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool }, schema: { autoMigration: "None" } })
  return { settings, url, store, pool }
}

/** What is wrong with the events of streams whose names begin like this, given how many there should be. */
export const faultOf = async ({ pool }: Opened, prefix: string, count: number): Promise<string | undefined> => {
  const { rows } = await pool.query<{ stored: number; broken: number }>(
    `SELECT coalesce(sum(n), 0)::int AS stored, count(*) FILTER (WHERE n <> last)::int AS broken
     FROM (
       SELECT count(*) AS n, max(stream_position) AS last FROM emt_messages WHERE starts_with(stream_id, $1)
       GROUP BY stream_id
     ) AS streams`,
    [`order-${prefix}`]
  )
  const { broken, stored } = rows[0]!
  if (stored !== count) return `${count} events were acknowledged, but ${stored} are stored`
  return broken > 0 ? `${broken} streams have gaps` : undefined
}
