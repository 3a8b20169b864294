/**
 * Fills a log past the store, which would take far longer for millions of events.
 */
import * as Effect from "effect/Effect"
import type * as Log from "../Log.ts"
import { encodedAt } from "../Order.ts"
import { numbers } from "../Timing.ts"

const chunk = 100_000

/** What to write: orders with so many events each, one after another, behind a global position. */
export interface Orders {
  /** How many events in all. */
  readonly events: number
  /** How many in each order. */
  readonly streamLength: number
  /** The global position of the last event that is there already. */
  readonly after: number
  /** Orders are numbered; this begins their ids. */
  readonly prefix: string
}

/** Writes the events of orders. All of an order's events but the first have the body of the second. */
export const fill = (
  { sql }: Log.Log,
  { after, events, prefix, streamLength }: Orders
): Effect.Effect<void, Error> =>
  Effect.gen(function*() {
    const [first, later] = [encodedAt("0", 0), encodedAt("0", 1)]
    yield* Effect.forEach(numbers(Math.ceil(events / chunk)), (part) =>
      sql`
        INSERT INTO composable.events (
          global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
        SELECT n + 1 + ${after}::int, ${`order-${prefix}`}::text || n / ${streamLength}::int, n % ${streamLength}::int,
          CASE WHEN n % ${streamLength}::int = 0 THEN ${first.type}::text ELSE ${later.type} END, gen_random_uuid(),
          gen_random_uuid()::text, 1,
          CASE WHEN n % ${streamLength}::int = 0 THEN ${JSON.stringify(first.data)}::json
            ELSE ${JSON.stringify(later.data)}::json END, now()
        FROM generate_series(${part * chunk}::int, ${Math.min(events, (part + 1) * chunk) - 1}::int) AS n`, {
      discard: true
    })
    yield* sql`VACUUM ANALYZE composable.events`
  })
