/**
 * A subscriber that comes late to a long log: it gets everything, in memory that does not grow with the log.
 *
 * `FAULT_EVENTS` says how long the log is; a million is a night's work.
 */
import { assert } from "@effect/vitest"
import { Array, Effect, Fiber, Redacted, Stream } from "effect"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { noted, several, stream } from "../../../packages/postgres/test/Facts.ts"
import { suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"

const events = Number(process.env.FAULT_EVENTS ?? 8_000)
const program = fileURLToPath(new URL("./CatchUp.ts", import.meta.url))

/** A log whose bodies alone take twice what the reading process may have. */
const grow = ({ sql }: TestLog) =>
  sql`INSERT INTO events (global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
    SELECT n, 'fact-' || n, 0, 'Noted.v1', gen_random_uuid(), 'command-' || n, 1,
      json_build_object('note', repeat(md5(n::text), ${Math.ceil(100_000_000 / 32 / events)}::int)), now()
    FROM generate_series(1, ${events}) AS n`

/** What a process says that follows the log to its head with little memory. */
const follow = ({ schema, url }: TestLog, mode: "stream" | "collect") =>
  Effect.promise(() =>
    promisify(execFile)(process.execPath, [
      "--max-old-space-size=48",
      program,
      JSON.stringify({ url: Redacted.value(url), schema, mode })
    ], {
      env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NODE_")))
    }).then(({ stdout }) => JSON.parse(stdout) as unknown, () => "ended without a word")
  )

suite("catching up", (test, control) => {
  control(
    `T60: ${events} events, in order, in little memory; a process that keeps them runs out of it`,
    (log) =>
      Effect.gen(function*() {
        yield* grow(log)
        assert.deepStrictEqual(yield* follow(log, "stream"), { count: events, last: String(events), ordered: true })
        assert.strictEqual(yield* follow(log, "collect"), "ended without a word")
      }),
    60_000 + events
  )

  test("T26: one event in a thousand fits, and none of those is passed over", ({ store }) =>
    Effect.gen(function*() {
      const followed = yield* Effect.forkChild(
        Stream.runCollect(Stream.take(store.subscribe({ after: 0n, names: ["Noted"] }), 6))
      )
      for (const i of Array.range(1, 6)) {
        yield* store.append(stream(`s-${i}`), { _tag: "Any" }, several(999))
        yield* store.append(stream(`s-${i}`), { _tag: "Any" }, [noted(i)])
      }
      const { events } = yield* store.readAll({ after: 0n, limit: 6_000, names: ["Noted"] })
      assert.deepStrictEqual(
        events.map(({ globalPosition }) => Number(globalPosition)),
        Array.makeBy(6, (i) => 1_000 * (i + 1))
      )
      assert.deepStrictEqual(yield* Fiber.join(followed), events)
    }))
})
