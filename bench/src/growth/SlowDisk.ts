/**
 * What a slow disk costs. Each transaction that inserts events waits once, at its commit and before its locks are
 * released: so a commit takes longer in the server itself, where the next in the queue feels it, and reads do not.
 */
import * as Effect from "effect/Effect"
import { connections, query, work } from "../floor/Connection.ts"
import * as FloorLog from "../floor/FloorLog.ts"
import * as Log from "../Log.ts"
import { crowd, crowdAsync, p50, sequence, sequenceAsync } from "../Timing.ts"
import { append, check } from "./Appends.ts"
import { points, Rounds, type Studying } from "./Study.ts"

const delays = [0, 1, 5, 20]
const callers = 32

/**
 * A deferred trigger runs for each row, and sleeps for the first one. A setting keeps the delay, so that what is done
 * without one is the same.
 */
const slowCommit = (table: string) => `
  CREATE OR REPLACE FUNCTION public.slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF current_setting('bench.waited', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
      PERFORM set_config('bench.waited', pg_current_xact_id()::text, true);
      PERFORM pg_sleep((SELECT milliseconds FROM public.slow_disk) / 1000.0);
    END IF;
    RETURN NULL;
  END $$;
  CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON ${table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.slow_commit()`

/** What a slow disk costs. */
export const study: Studying = (profile) =>
  Effect.gen(function*() {
    const { milliseconds } = profile
    const log = yield* Log.open
    const clients = yield* connections(log.url, callers)
    const run = (text: string) => query(clients[0]!, { text, rowMode: "array" })
    yield* run("CREATE TABLE public.slow_disk AS SELECT 0::float8 AS milliseconds")
    yield* run(FloorLog.create)
    yield* run(slowCommit("composable.events"))
    yield* run(slowCommit("floor.events"))
    const found = new Rounds()
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const delay of delays) {
        yield* run(`UPDATE public.slow_disk SET milliseconds = ${delay}`)
        const name = `d${delay}r${round}.`
        const inserts = yield* work(() =>
          sequenceAsync(milliseconds, (index) => FloorLog.insertOne(clients[0]!, `${name}s`, index))
        )
        const ofFloor = yield* work(() =>
          crowdAsync(milliseconds, callers, (caller, index) =>
            FloorLog.insertOne(clients[caller]!, `${name}${caller}`, index))
        )
        const before = yield* Log.head(log)
        const appends = yield* sequence(milliseconds, (index) =>
          append(log, `${name}s`, index))
        const ofOurs = yield* crowd(milliseconds, callers, (caller, index) =>
          append(log, `${name}${caller}`, index))
        yield* check(log, before, appends.length + ofOurs.count)
        if (p50(appends) < delay) yield* Effect.fail(new Error(`an append took ${p50(appends)} ms: no commit waited`))
        if (round < profile.warmUp) continue
        found.add(delay, [p50(inserts), p50(appends), ofFloor.perSecond, ofOurs.perSecond])
      }
    }
    const rows = delays.map((delay) => found.row(delay))
    return {
      name: "disk",
      title: "A slow disk",
      about:
        "Each commit waits for so long in the server, by a deferred trigger that sleeps once in a transaction, while " +
        "it holds its locks. The floor inserts one row by one statement, on a connection for each caller: its commits " +
        "wait side by side, as those of PostgreSQL share a flush.",
      columns: [
        "delay, ms",
        "INSERT, ms (p50)",
        "append, ms (p50)",
        `INSERT, ${callers} connections, rows/s`,
        `append, ${callers} callers, appends/s`
      ],
      rows,
      plots: [{
        file: "growth-disk.svg",
        title: `Appends a second of ${callers} callers, by the delay of a commit`,
        x: { label: "delay of a commit, ms", scale: "linear" },
        y: { label: "appends/s", scale: "log" },
        series: [
          { name: "append", points: points(rows, 0, 4) },
          { name: "INSERT", points: points(rows, 0, 3) }
        ]
      }],
      bars: []
    }
  })
