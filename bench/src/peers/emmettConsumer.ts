/**
 * Emmett's consumers: one whose handler does nothing, and one that keeps a read model with a row for each event. They are
 * timed from their start to the last event that was handled: the commit of that batch is theirs for free, and so is the
 * time that they take to find out that nothing is left.
 */
import { pongoMultiStreamProjection, postgreSQLProjection } from "@event-driven-io/emmett-postgresql"
import type { Answer, Turn } from "../PeerProgram.ts"
import * as Sql from "../ReadModelSql.ts"
import { numbers } from "../Timing.ts"
import { eventAt, type Opened, type OrderEvent } from "./emmettOrder.ts"

/** Which events came, and when the last one did. */
class Delivery {
  readonly times = new Map<string, number>()
  count = 0
  begun = 0
  last = 0

  begin(): void {
    this.begun = performance.now()
  }

  take(streamName: string, streamPosition: bigint): void {
    const key = `${streamName}@${streamPosition}`
    this.times.set(key, (this.times.get(key) ?? 0) + 1)
    this.count++
    this.last = performance.now()
  }

  answer(events: number): Answer {
    const missed = events - this.times.size
    const repeated = this.count - this.times.size
    return {
      figure: this.count / (this.last - this.begun) * 1_000,
      fault: missed + repeated === 0
        ? undefined
        : `of ${events} events it missed ${missed} and handled ${repeated} twice`
    }
  }
}

const consumerOf = ({ settings, store }: Opened) =>
  store.consumer<OrderEvent>({
    stopWhen: { noMessagesLeft: true },
    ...(settings.pulling === undefined ? {} : { pulling: settings.pulling })
  })

/** A handler that does nothing. Its checkpoint is kept by Emmett, after each event. */
export const handle = async (opened: Opened, { events, round }: Turn): Promise<Answer> => {
  const delivery = new Delivery()
  const consumer = consumerOf(opened)
  consumer.reactor<OrderEvent>({
    processorId: `noop-${round}`,
    eachMessage: ({ metadata }) => {
      delivery.take(metadata.streamName, metadata.streamPosition)
    }
  })
  delivery.begin()
  await consumer.start()
  return delivery.answer(events)
}

interface Document {
  readonly [field: string]: unknown
  readonly orderId: string
  readonly customerId: string
  readonly total: number
}

const canHandle: Array<OrderEvent["type"]> = ["Placed", "Revised"]

/** The documented way: a document for each event, in a collection of Pongo. */
const documents = (collectionName: string) =>
  pongoMultiStreamProjection<Document, OrderEvent>({
    collectionName,
    canHandle,
    getDocumentId: ({ metadata }) => `${metadata.streamName}@${metadata.streamPosition}`,
    evolve: (_document: Document | null, { data }: OrderEvent): Document => ({
      orderId: data.orderId,
      customerId: data.customerId,
      total: data.total
    })
  })

/** The fastest way that was found: a prepared statement for each event, on the connection of Emmett's transaction. */
const statements = (table: string) =>
  postgreSQLProjection<OrderEvent>({
    name: table,
    canHandle,
    init: async ({ context }) => {
      await context.connection.client.query(Sql.create(table))
    },
    handle: async (events, { connection: { client } }) => {
      for (const { data, metadata } of events) {
        await client.query({
          name: `insert into ${table}`,
          text: Sql.insert(table),
          values: [metadata.globalPosition, data.orderId, data.customerId, data.total]
        })
      }
    }
  })

const faultOf = async ({ pool, settings }: Opened, table: string, events: number): Promise<string | undefined> => {
  const total = settings.readModel === "documents" ? "(data->>'total')::int" : "total"
  const { rows } = await pool.query<{ count: number; sum: number }>(
    `SELECT count(*)::int AS count, coalesce(sum(${total}), 0)::int AS sum FROM ${table}`
  )
  const { count, sum } = rows[0]!
  const expected = numbers(events).reduce((sum, index) => sum + eventAt("1", index).data.total, 0)
  if (count !== events) return `${count} rows for ${events} events`
  return sum === expected ? undefined : `the totals sum up to ${sum}, not ${expected}`
}

/** A read model with a row for each event. */
export const project = async (opened: Opened, { events, round }: Turn): Promise<Answer> => {
  const table = `rows_${round}`
  const { settings } = opened
  const delivery = new Delivery()
  const consumer = consumerOf(opened)
  const written = settings.readModel === "documents" ? documents(table) : statements(table)
  consumer.projector<OrderEvent>({
    processorId: `rows-${round}`,
    projection: {
      ...written,
      handle: async (events, context) => {
        await written.handle(events, context)
        for (const { metadata } of events) delivery.take(metadata.streamName, metadata.streamPosition)
      }
    }
  })
  delivery.begin()
  await consumer.start()
  const answer = delivery.answer(events)
  const fault = answer.fault ?? await faultOf(opened, table, events)
  await opened.pool.query(`DROP TABLE ${table}`)
  return { ...answer, fault }
}
