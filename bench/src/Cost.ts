/**
 * What a piece of work costs this process and the server in CPU time and memory. Others on the machine disturb it far less
 * than they do the time on the clock.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { readFileSync } from "node:fs"
import { getHeapStatistics } from "node:v8"
import * as Garbage from "./Garbage.ts"

/** What something cost. */
export interface Cost {
  /** CPU time of this process in microseconds, its collector and compiler included. */
  readonly client: number
  /** CPU time of the database's sessions in microseconds; undefined where the system does not tell. */
  readonly server: number | undefined
  /** How far the heap grew at the most, in bytes; what was garbage, but not collected yet, counts. */
  readonly heap: number
}

/** Of the kernel's clock, which counts in hundredths of a second. */
const tick = 10_000

/** The CPU time of a process so far, or undefined where there is no such file. */
const cpuOf = (pid: number): number | undefined => {
  try {
    // The name of the program, in brackets, may hold spaces.
    const [user, system] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ").slice(11, 13)
    return (Number(user) + Number(system)) * tick
  } catch {
    return undefined
  }
}

const sessions = (sql: SqlClient.SqlClient): Effect.Effect<ReadonlyArray<number>, SqlError> =>
  Effect.map(
    sql<
      { pid: number }
    >`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'`,
    (rows) => rows.map(({ pid }) => pid)
  )

const total = (pids: ReadonlyArray<number>): number | undefined => {
  const known = pids.flatMap((pid) => cpuOf(pid) ?? [])
  return known.length === 0 ? undefined : known.reduce((sum, time) => sum + time, 0)
}

const sampling = 5

/** Measures what the work costs. The sessions of the database are those that are there when it ends. */
export const during = <A, E, R>(
  sql: SqlClient.SqlClient,
  work: Effect.Effect<A, E, R>
): Effect.Effect<readonly [A, Cost], E | SqlError, R> =>
  Effect.scoped(Effect.gen(function*() {
    const serverBefore = total(yield* sessions(sql))
    Garbage.collect()
    const before = getHeapStatistics().used_heap_size
    let highest = before
    const look = () => {
      highest = Math.max(highest, getHeapStatistics().used_heap_size)
    }
    yield* Effect.acquireRelease(Effect.sync(() => setInterval(look, sampling)), (timer) =>
      Effect.sync(() => clearInterval(timer)))
    const clientBefore = process.cpuUsage()
    const result = yield* work
    const { system, user } = process.cpuUsage(clientBefore)
    look()
    const serverAfter = total(yield* sessions(sql))
    return [result, {
      client: user + system,
      server: serverBefore === undefined || serverAfter === undefined ? undefined : serverAfter - serverBefore,
      heap: highest - before
    }]
  }))
