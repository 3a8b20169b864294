/**
 * Processes that run tallies, and what can be done to them.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { Redacted } from "effect"
import { SqlClient } from "effect/sql"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import type { Orders } from "./Orders.ts"

const script = fileURLToPath(new URL("./Projector.ts", import.meta.url))

/** A process under way. */
export interface Projector {
  readonly signal: (signal: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM") => Effect.Effect<void>
  /** Waits until it has ended: the exit code, and the signal that ended it. */
  readonly ended: Effect.Effect<readonly [code: number | null, signal: NodeJS.Signals | null]>
  readonly pid: number
  /** What it has said so far. */
  readonly said: () => string
}

/** Starts a process on this database, which is killed at the end of the scope. */
export const projector = (
  orders: Omit<Orders, "url">
): Effect.Effect<Projector, never, PgClient.PgClient | Scope.Scope> =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    assert.isDefined(config.url)
    const url = Redacted.value(config.url)
    const child = yield* Effect.acquireRelease(
      Effect.sync((): ChildProcess =>
        spawn(process.execPath, [script, JSON.stringify({ url, ...orders } satisfies Orders)], {
          stdio: ["ignore", "pipe", "pipe"]
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let said = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => said += text)
    }
    const closed = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>
    return {
      signal: (signal) => Effect.sync(() => assert.isTrue(child.kill(signal), `${signal}: ${said}`)),
      ended: Effect.promise(() => closed),
      pid: child.pid ?? assert.fail("no process"),
      said: () => said
    }
  })

/** Waits until a statement answers with a row. */
export const untilSome = (statement: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    while (true) {
      const rows = yield* sql.unsafe<Readonly<Record<string, unknown>>>(statement)
      if (rows[0] !== undefined) return rows[0]
      yield* Effect.sleep(5)
    }
  })

/**
 * Keeps a record of every move of every checkpoint from now on, by a trigger; checks it at the end: each move begins where
 * the last one ended, and no epoch moves it after a later one has (I8, I9).
 */
export const recordMoves = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const statements = [
    "CREATE TABLE moves (nr bigserial, name text, partition int, was bigint, came bigint, epoch bigint)",
    `CREATE FUNCTION record_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO moves (name, partition, was, came, epoch)
      VALUES (new.projection, new.partition, old.position, new.position, new.epoch);
      RETURN NULL;
    END $$`,
    `CREATE TRIGGER record_move AFTER UPDATE OF position ON composable.checkpoints
      FOR EACH ROW EXECUTE FUNCTION record_move()`
  ]
  for (const statement of statements) yield* sql.unsafe(statement)
})

/** See {@link recordMoves}. Returns how many epochs there were, by the name of the projection. */
export const checkMoves = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const wrong = yield* sql.unsafe(`
    SELECT * FROM (
      SELECT *, lag(came) OVER w AS before, lag(epoch) OVER w AS epoch_before FROM moves
      WINDOW w AS (PARTITION BY name, partition ORDER BY nr)
    ) AS m WHERE came <= was OR was <> before OR epoch < epoch_before`)
  assert.deepStrictEqual(wrong, [])
  const epochs = yield* sql.unsafe<{ readonly name: string; readonly epochs: number }>(
    "SELECT name, count(DISTINCT epoch)::int AS epochs FROM moves GROUP BY name"
  )
  return new Map(epochs.map(({ epochs, name }) => [name, epochs]))
})
