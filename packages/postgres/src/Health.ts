/**
 * How the store and its database are, as a value: for a readiness probe, a dashboard, or the person who is called at night.
 */
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import * as ConnectionPool from "./ConnectionPool.ts"
import { inRealTime, inTime } from "./internal/inTime.ts"
import type { Listener } from "./internal/Listener.ts"
import { failed } from "./internal/sqlFailure.ts"
import type * as WakeUp from "./WakeUp.ts"

/** What to do something about. Each message says what happened and the way out. */
export interface Problem {
  /**
   * - `Unreachable`: no answer in time, or no connection.
   * - `LogUnreadable`: the database answers, but not about the log.
   * - `Standby`: the server takes no appends.
   * - `DurabilityOff`: a setting of the server lets it lose what it has acknowledged.
   * - `AppendsStalled`: appends wait for a transaction that does not end.
   * - `ConnectionsScarce`: nine tenths of the server's connections are taken.
   * - `NotListening`: notifications of appends do not arrive, so the store polls.
   */
  readonly kind:
    | "Unreachable"
    | "LogUnreadable"
    | "Standby"
    | "DurabilityOff"
    | "AppendsStalled"
    | "ConnectionsScarce"
    | "NotListening"
  readonly message: string
}

/** A session of the server. */
export interface Session {
  readonly pid: number
  readonly applicationName: string
  /** `active`, `idle in transaction`, …; undefined where the role may not know (grant it `pg_read_all_stats`). */
  readonly state: string | undefined
  /** When its transaction began, in milliseconds since the Unix epoch; undefined where the role may not know. */
  readonly transactionSince: number | undefined
}

/** The lock under which the log is appended to, one group of appends at a time. */
export interface AppendLock {
  /** Who holds it right now. */
  readonly holder: Session | undefined
  /** Who keeps the holder waiting, if it waits itself. */
  readonly holderWaitsFor: ReadonlyArray<Session>
  /** How many groups wait for it. */
  readonly waiting: number
  /** How long the first of them has waited, in milliseconds. */
  readonly longestWait: number
}

/** What the server says. */
export interface Server {
  readonly version: string
  readonly isStandby: boolean
  /** The number of the last migration of the log. */
  readonly schemaVersion: number
  /** The last position of the log. */
  readonly head: bigint
  /** The setting for the client's transactions. The store's own appends do not run with `off`. */
  readonly synchronousCommit: string
  readonly fsync: boolean
  readonly fullPageWrites: boolean
  /** Of all its clients, and how many it lends at the most. */
  readonly connections: { readonly used: number; readonly max: number }
  readonly appendLock: AppendLock
}

/** The callers of this store. */
export interface AppendQueue {
  /** How many appends wait to be sent. */
  readonly waiting: number
  /** How many are under way. */
  readonly underWay: number
}

/** How the store is. */
export interface Report {
  /**
   * `unreachable`: nothing works. `failing`: the database answers, but appends or reads fail. `degraded`: it works, and
   * something needs a person. `healthy`: there are no problems.
   */
  readonly status: "healthy" | "degraded" | "failing" | "unreachable"
  readonly problems: ReadonlyArray<Problem>
  readonly wakeUp: WakeUp.State
  /** How long ago the listening connection proved to be alive, in milliseconds. */
  readonly heartbeatAge: number | undefined
  readonly appends: AppendQueue
  /**
   * The client's pool: its size, how many milliseconds a connection of it had to be waited for, and how it is used, where
   * `ConnectionPool` observes it.
   */
  readonly pool: {
    readonly size: number | undefined
    readonly waited: number | undefined
    readonly usage: ConnectionPool.Usage | undefined
  }
  readonly server: Server | undefined
}

/** What counts as what. */
export interface Options {
  /** How long to wait for the database at the most. Default 2 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Appends that wait for so long are stalled. Default 5 seconds. */
  readonly stalledAfter?: Duration.Input | undefined
}

/**
 * The health of the event store.
 *
 * @example
 * ```ts no-run
 * import * as Health from "@composable-ts/postgres/Health"
 * import * as Effect from "effect/Effect"
 *
 * export const isReady = Effect.gen(function*() {
 *   const health = yield* Health.Health
 *   const { problems, status } = yield* health.check
 *   for (const { message } of problems) yield* Effect.logWarning(message)
 *   return status === "healthy" || status === "degraded"
 * })
 * ```
 */
export class Health extends Context.Service<Health, {
  /** Asks the database. It never fails and never takes longer than its time-out. */
  readonly check: Effect.Effect<Report>
}>()("@composable-ts/postgres/Health") {}

/** What {@link make} looks at. */
export interface Store {
  readonly client: PgClient
  /** The schema, as SQL takes it. */
  readonly schema: string
  readonly listener: Listener
  readonly appends: () => AppendQueue
}

class NoAnswer extends Schema.TaggedError<NoAnswer>()("NoAnswer", {}) {}

/** The first key of the lock that the append function takes; the second is the table. */
const appendLockKey = 1_129_270_608

const serverText = (schema: string): string => `
  SELECT current_setting('server_version'), pg_is_in_recovery(),
    (SELECT max(migration_id) FROM ${schema}.migrations)::int,
    (SELECT coalesce(max(global_position), 0) FROM ${schema}.events),
    current_setting('synchronous_commit'), current_setting('fsync')::bool, current_setting('full_page_writes')::bool,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`

type ServerRow = readonly [string, boolean, number, bigint, string, boolean, boolean, number, number]

const sessionColumns = (alias: string): string =>
  `${alias}.pid, coalesce(${alias}.application_name, ''), ${alias}.state,
   (extract(epoch FROM ${alias}.xact_start) * 1000)::float8`

type SessionRow = readonly [pid: number, name: string, state: string | null, since: number | null]

/** The waiters' own columns need no right, so a stalled append and its cause are known to any role. */
const lockText = (schema: string): string => `
  WITH locks AS MATERIALIZED (
    SELECT pid, granted, waitstart FROM pg_locks
    WHERE locktype = 'advisory' AND classid = ${appendLockKey} AND objid = '${schema}.events'::regclass::oid
      AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  ), queue AS (
    SELECT count(*)::int AS waiting,
      coalesce(extract(epoch FROM clock_timestamp() - min(waitstart)) * 1000, 0)::float8 AS longest
    FROM locks WHERE NOT granted
  )
  SELECT waiting, longest, ${sessionColumns("holder")}, ${sessionColumns("blocker")}
  FROM queue
  LEFT JOIN locks ON granted
  LEFT JOIN pg_stat_activity AS holder ON holder.pid = locks.pid
  LEFT JOIN pg_stat_activity AS blocker ON waiting > 0 AND blocker.pid = ANY(pg_blocking_pids(locks.pid))`

type LockRow = readonly [waiting: number, longest: number, ...(SessionRow | NoSession), ...(SessionRow | NoSession)]
type NoSession = readonly [null, string, null, null]

const session = (pid: number | null, applicationName: string, state: string | null, since: number | null) =>
  pid === null
    ? undefined
    : { pid, applicationName, state: state ?? undefined, transactionSince: since ?? undefined } satisfies Session

const appendLock = (rows: ReadonlyArray<LockRow>): AppendLock => {
  const [waiting, longestWait, ...columns] = rows[0]!
  return {
    waiting,
    longestWait,
    holder: session(columns[0], columns[1], columns[2], columns[3]),
    holderWaitsFor: rows.flatMap((row) => session(row[6], row[7], row[8], row[9]) ?? [])
  }
}

const server = (row: ServerRow, lock: AppendLock): Server => ({
  version: row[0],
  isStandby: row[1],
  schemaVersion: row[2],
  head: row[3],
  synchronousCommit: row[4],
  fsync: row[5],
  fullPageWrites: row[6],
  connections: { used: row[7], max: row[8] },
  appendLock: lock
})

const named = ({ applicationName, pid, state, transactionSince }: Session): string => {
  const since = transactionSince === undefined ? "" : ` since ${new Date(transactionSince).toISOString()}`
  return `pid ${pid} (${applicationName === "" ? "unnamed" : applicationName}, ${state ?? "state unknown"}${since})`
}

const stalledBy = ({ holder, holderWaitsFor }: AppendLock): string => {
  if (holder === undefined) return "a holder that has just let go"
  const others = holderWaitsFor.length === 0
    ? ""
    : `, which itself waits for ${holderWaitsFor.map(named).join(" and ")}`
  return `${named(holder)}${others}`
}

const durability = ({ fsync, fullPageWrites, synchronousCommit }: Server): ReadonlyArray<Problem> => {
  const warnings = [
    fsync ? undefined : "fsync is off: a crash of the machine can lose or destroy events. Switch it on, and restart",
    fullPageWrites
      ? undefined
      : "full_page_writes is off: a crash of the machine can destroy pages of the log. Switch it on, and reload",
    synchronousCommit === "off"
      ? "synchronous_commit is off for this role or database: appends do not heed it, but a crash can lose what your own " +
        "transactions acknowledged. Switch it on"
      : undefined
  ]
  return warnings.flatMap((message) => message === undefined ? [] : [{ kind: "DurabilityOff", message }])
}

const serverProblems = (server: Server, stalledAfter: number): ReadonlyArray<Problem> => {
  const { appendLock, connections } = server
  const problems = [...durability(server)]
  if (server.isStandby) {
    problems.push({
      kind: "Standby",
      message: "The server is a standby, where nothing can be appended: connect to the primary"
    })
  }
  if (appendLock.longestWait >= stalledAfter) {
    problems.push({
      kind: "AppendsStalled",
      message: `Appends have waited for ${Math.round(appendLock.longestWait)} ms for ${stalledBy(appendLock)}: ` +
        "end that transaction, or terminate it with pg_terminate_backend"
    })
  }
  if (connections.used >= 0.9 * connections.max) {
    problems.push({
      kind: "ConnectionsScarce",
      message: `${connections.used} of the server's ${connections.max} connections are taken: lower the clients' ` +
        "maxConnections, put a pooler before it, or raise max_connections"
    })
  }
  return problems
}

const wakeUpProblems = ({ listening, reason }: WakeUp.State): ReadonlyArray<Problem> =>
  listening || reason === "unused" || reason === "chosen" || reason === "connecting"
    ? []
    : [{
      kind: "NotListening",
      message:
        `The store does not listen for appends (${reason}) and polls, so readers learn of them later: behind a ` +
        "pooler in transaction mode choose { wakeUp: { by: \"poll\" } }, else see to the connection"
    }]

const serious: ReadonlySet<Problem["kind"]> = new Set(["LogUnreadable", "Standby"])

const statusOf = (problems: ReadonlyArray<Problem>): Report["status"] => {
  if (problems.some(({ kind }) => kind === "Unreachable")) return "unreachable"
  if (problems.some(({ kind }) => serious.has(kind))) return "failing"
  return problems.length === 0 ? "healthy" : "degraded"
}

/** The check of a store. */
export const make = (
  { appends, client, listener, schema }: Store,
  { stalledAfter = "5 seconds", timeout = "2 seconds" }: Options = {}
): Effect.Effect<Report> => {
  const serverStatement = serverText(schema)
  const lockStatement = lockText(schema)
  // Not the driver's type, for a client that is no pool has none.
  const size = "maxConnections" in client.config && typeof client.config.maxConnections === "number"
    ? client.config.maxConnections
    : undefined

  const ask = Effect.scoped(Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    const connection = yield* client.reserve
    const waited = (yield* Clock.currentTimeMillis) - began
    const [row] = yield* connection.executeValuesUnprepared(serverStatement, [])
    const locks = yield* connection.executeValuesUnprepared(lockStatement, [])
    return {
      waited,
      server: server(row as unknown as ServerRow, appendLock(locks as unknown as ReadonlyArray<LockRow>))
    }
  }))

  const unanswered = (error: SqlError | NoAnswer): Problem => {
    if (error._tag === "NoAnswer") {
      return {
        kind: "Unreachable",
        message: `The database gave neither a connection nor an answer within ${
          Duration.format(Duration.fromInputUnsafe(timeout))
        }: see that it runs, the network to it, and whether all of the pool's connections are in use`
      }
    }
    const { message, reason } = failed("tell its health")(error)
    return {
      kind: error.reason._tag === "ConnectionError" || reason === "Unreachable" ? "Unreachable" : "LogUnreadable",
      message
    }
  }

  return Effect.gen(function*() {
    const answer = yield* Effect.result(inTime(ask, { duration: timeout, late: () => new NoAnswer() }))
    const wakeUp = yield* listener.state
    const now = yield* Clock.currentTimeMillis
    const found = answer._tag === "Success" ? answer.success : undefined
    const problems = [
      ...(answer._tag === "Success"
        ? serverProblems(answer.success.server, Duration.toMillis(stalledAfter))
        : [unanswered(answer.failure)]),
      ...wakeUpProblems(wakeUp)
    ]
    return {
      status: statusOf(problems),
      problems,
      wakeUp,
      heartbeatAge: wakeUp.lastHeartbeat === undefined ? undefined : now - wakeUp.lastHeartbeat,
      appends: appends(),
      pool: { size, waited: found?.waited, usage: ConnectionPool.usageOf(client) },
      server: found?.server
    }
  }).pipe(inRealTime)
}
