/**
 * A log so large that a plan which reads all of it is no option.
 */
import { Effect } from "effect"
import type { TestLog } from "./TestLog.ts"

/** How many events it has: 10⁶ at night. */
export const size = Number(process.env["PLAN_EVENTS"] ?? 200_000)

/** A position in the middle. */
export const middle = BigInt(size / 2)

const streams = size / 100

/** The events of these positions, a hundred to a stream, five of each stream in turn to a command, as if written by the store. */
export const fill = ({ sql }: TestLog, from: number, to: number) =>
  sql`INSERT INTO events (
      global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
    SELECT n, 'fact-' || (n - 1) / 5 % ${streams}, (n - 1) / ${5 * streams} * 5 + (n - 1) % 5,
      CASE WHEN n % 1000 = 0 THEN 'Rare.v1' ELSE 'Counted.v1' END, gen_random_uuid(), 'command ' || (n - 1) / 5,
      CASE WHEN n % 5 = 1 THEN 5 END, '{"count": 1}', now()
    FROM generate_series(${BigInt(from)}::bigint, ${BigInt(to)}) AS n`

/** As it was before the first event. */
export const empty = ({ sql }: TestLog) =>
  sql.withTransaction(Effect.gen(function*() {
    yield* sql`ALTER TABLE events DISABLE TRIGGER events_immutable`
    yield* sql`TRUNCATE events`
    yield* sql`ALTER TABLE events ENABLE ALWAYS TRIGGER events_immutable`
  }))
