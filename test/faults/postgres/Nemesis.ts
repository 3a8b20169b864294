/**
 * One randomised run: processes of clients on a server to which everything happens that happens to servers, and what is
 * known of it afterwards. The seed chooses the workload and the faults; the timing of processes it cannot choose.
 */
import type { EmbeddedPostgres } from "@composable-ts/testing/EmbeddedPostgres"
import type * as PgClient from "@effect/sql-pg/PgClient"
import { Array, Effect, Fiber, Redacted, Schedule, type Scope } from "effect"
import type { SqlError } from "effect/sql"
import { randomUUID } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"
import { connect, openStore } from "../../../packages/postgres/test/TestLog.ts"
import { processTable } from "../../../packages/testing/src/internal/processTable.ts"
import * as Checker from "./Checker.ts"
import * as Clients from "./Clients.ts"
import { readHistory } from "./Operation.ts"
import * as TcpProxy from "./TcpProxy.ts"

/** How much happens in a run. */
export interface Profile {
  readonly seed: number
  readonly processes: number
  /** For each of the two stores of a process. */
  readonly writers: number
  readonly operations: number
  readonly streams: number
  /** The faults that may happen. */
  readonly faults: ReadonlyArray<Fault>
  /** How many of them. */
  readonly strikes: number
  /** Takes a safeguard out of the schema before anyone begins. */
  readonly sabotage?: (sql: PgClient.PgClient, schema: string) => Effect.Effect<unknown, SqlError.SqlError>
}

/** What can happen. */
export const faults = [
  "terminate",
  "cutRequest",
  "cutReply",
  "replyLost",
  "requestCut",
  "requestUnanswered",
  "resetAll",
  "freeze",
  "killServer",
  "holdLock",
  "killWriters",
  "killSubscribers"
] as const

export type Fault = typeof faults[number]

/** What came of a run. */
export interface Report {
  readonly evidence: Checker.Evidence
  /** Each fault, as often as it happened. */
  readonly happened: Readonly<Record<string, number>>
  /** The folder with what the processes wrote down. */
  readonly records: string
  /** What the server still held for clients that were gone. */
  readonly left: ReadonlyArray<object>
}

const pause = Schedule.spaced("10 millis")

/** The server's processes, itself first. */
const processesOf = (server: EmbeddedPostgres) =>
  Effect.promise(async () => {
    const postmaster = Number(readFileSync(join(server.dataDir, "cluster/postmaster.pid"), "utf8").split("\n")[0])
    const children = (await processTable()).filter(({ parent }) => parent === postmaster)
    return [postmaster, ...children.map(({ pid }) => pid)]
  })

/** Some may have ended in the meantime. */
const signalAll = (pids: ReadonlyArray<number>, name: NodeJS.Signals) =>
  Effect.forEach(pids, (pid) => Effect.ignore(Effect.try(() => process.kill(pid, name))), { discard: true })

/** Everything stops for a while, and goes on as if no time had passed. */
const freeze = (server: EmbeddedPostgres, millis: number) =>
  Effect.acquireUseRelease(
    Effect.tap(processesOf(server), (pids) => signalAll(pids, "SIGSTOP")),
    () => Effect.sleep(millis),
    (pids) => signalAll(pids, "SIGCONT")
  )

/** A transaction that has written and locks rows, held open as long as the server lives, then by another. */
const foreignTransaction = (url: Redacted.Redacted) =>
  Effect.scoped(Effect.gen(function*() {
    const client = yield* connect({ url, maxConnections: 1, applicationName: "foreign" })
    const connection = yield* client.reserve
    for (
      const statement of [
        "BEGIN ISOLATION LEVEL REPEATABLE READ",
        "CREATE TEMP TABLE foreign_temp (n int)",
        "INSERT INTO public.foreign_rows VALUES (1)",
        "SELECT * FROM public.foreign_rows FOR SHARE"
      ]
    ) yield* connection.executeRaw(statement, [])
    return yield* Effect.forever(Effect.andThen(connection.executeRaw("SELECT 1", []), Effect.sleep("50 millis")))
  })).pipe(Effect.retry(pause))

const holdLock = (sql: PgClient.PgClient, schema: string, millis: number) =>
  sql.withTransaction(Effect.andThen(
    // The log may not be there yet.
    sql`SELECT pg_advisory_xact_lock(1129270608, to_regclass(${`${schema}.events`})::oid::integer)`,
    Effect.sleep(millis)
  ))

/** Runs to the end of the workload, and leaves no process behind. */
export const run = (
  server: EmbeddedPostgres,
  profile: Profile
): Effect.Effect<Report, unknown, Scope.Scope> =>
  Effect.gen(function*() {
    const schema = `run_${randomUUID().replaceAll("-", "")}`
    const records = mkdtempSync(join(tmpdir(), `faults-${profile.seed}-`))
    const random = seeded(profile.seed)
    const below = (bound: number) => Math.floor(random() * bound)
    const sql = yield* connect({ url: server.url })
    const proxy = yield* TcpProxy.make(server.port)
    const direct = Redacted.value(server.url)
    const proxied = new URL(direct)
    proxied.port = String(proxy.port)
    const happened: Record<string, number> = {}

    let processes = 0
    const files: Array<string> = []
    /** A process with a store behind the proxy, and one whose statements may not take long. */
    const place = (startupParameters: Clients.Target["startupParameters"]) => {
      const name = `process-${processes++}`
      const file = join(records, `${name}.jsonl`)
      files.push(file)
      const targets = [{ url: proxied.href }, { url: direct, ...(startupParameters && { startupParameters }) }]
      return { name, file, schema, targets }
    }
    const startWriters = (operations: number) =>
      Clients.start({
        ...place({ statement_timeout: "150ms" }),
        _tag: "Writers",
        seed: profile.seed + processes,
        writers: profile.writers,
        operations,
        streams: profile.streams,
        impatient: 300
      })
    const lastDelivered = () => {
      const last: Array<string> = ["0", "0"]
      for (const { event, subscriber } of readHistory(files.filter((file) => existsSync(file))).deliveries) {
        last[Number(subscriber.slice("subscriber-".length))] = String(event.position)
      }
      return last
    }
    const startSubscribers = Effect.suspend(() =>
      Clients.start({ ...place(undefined), _tag: "Subscribers", after: lastDelivered() })
    )

    yield* sql`CREATE TABLE IF NOT EXISTS public.foreign_rows (n int)`
    if (profile.sabotage !== undefined) {
      yield* Effect.scoped(openStore({ url: server.url }, { schema }))
      yield* profile.sabotage(sql, schema)
    }
    const foreign = profile.seed % 2 === 0 ? yield* Effect.forkScoped(foreignTransaction(server.url)) : undefined
    let subscribers = yield* startSubscribers
    const writers = yield* Effect.forEach(
      Array.range(1, profile.processes),
      () => startWriters(profile.operations)
    )

    const isAppend = (data: Buffer) => data.includes("mark-")
    let kills = 0
    const strike = (fault: Fault): Effect.Effect<unknown, unknown, Scope.Scope> => {
      switch (fault) {
        case "terminate":
          return sql`SELECT pg_terminate_backend(pid) FROM (
            SELECT pid FROM pg_stat_activity WHERE application_name = ${Clients.applicationName}
            ORDER BY pid OFFSET ${below(8)} LIMIT 1) AS victim`
        case "cutRequest":
          return Effect.sync(() => proxy.cutAfter("request", below(4_000)))
        case "cutReply":
          return Effect.sync(() => proxy.cutAfter("reply", below(4_000)))
        case "replyLost":
        case "requestCut":
        case "requestUnanswered":
          return Effect.sync(() => proxy.arrange({ kind: fault, when: isAppend }))
        case "resetAll":
          return Effect.sync(proxy.resetAll)
        case "freeze":
          return freeze(server, 20 + below(300))
        case "killServer":
          // The end of the workload may come between the two.
          return kills++ < 2 ? Effect.uninterruptible(Effect.andThen(server.kill, server.restart)) : Effect.void
        case "holdLock":
          return holdLock(sql, schema, 20 + below(300))
        case "killWriters": {
          const index = below(writers.length)
          return Effect.gen(function*() {
            yield* writers[index]!.kill
            // One that had done its work needs no successor, and nobody would wait for it.
            if ((yield* writers[index]!.ended) === "done") return
            writers[index] = yield* startWriters(Math.ceil(profile.operations / 4))
          })
        }
        case "killSubscribers":
          return Effect.gen(function*() {
            yield* subscribers.kill
            subscribers = yield* startSubscribers
          })
      }
    }
    const earlier: Array<Checker.Row> = []
    const nemesis = Effect.gen(function*() {
      // So that the work gets done: who strikes for ever can hold it up for ever.
      for (let strikes = 0; strikes < profile.strikes; strikes++) {
        yield* Effect.sleep(10 + below(150))
        const fault = profile.faults[below(profile.faults.length)]!
        happened[fault] = (happened[fault] ?? 0) + 1
        // The nemesis suffers from its own deeds, and goes on.
        yield* Effect.retry(Effect.catchDefect(strike(fault), Effect.fail), { schedule: pause, times: 100 })
        if (below(5) === 0) {
          const rows = yield* Effect.option(Checker.readRows(sql, schema))
          if (rows._tag === "Some") earlier.splice(0, Infinity, ...rows.value)
        }
      }
      return yield* Effect.never
    })
    const workload = Effect.gen(function*() {
      let index = 0
      // One that was killed has a successor in its place.
      while (index < writers.length) if ((yield* writers[index]!.ended) === "done") index++
    })
    yield* Effect.raceFirst(workload, nemesis)
    proxy.resetAll()

    const rows = yield* Effect.retry(Checker.readRows(sql, schema), { schedule: pause, times: 500 })
    const head = rows.at(-1)?.position ?? 0n
    const delivered = Effect.repeat(Effect.sync(() => subscribers.positions()), {
      until: (positions) => positions.length === 2 && positions.every((position) => position >= head),
      schedule: pause
    })
    // What is missing after that shows in the evidence.
    yield* Effect.timeoutOption(delivered, "20 seconds")
    yield* subscribers.kill
    if (foreign !== undefined) yield* Fiber.interrupt(foreign)
    const stillThere = sql`SELECT pid, application_name, state, query, (SELECT count(*)::int FROM pg_locks
        WHERE pg_locks.pid = pg_stat_activity.pid AND locktype = 'advisory') AS locks
      FROM pg_stat_activity WHERE application_name IN (${Clients.applicationName}, 'foreign')`
    // A backend that is in the midst of a statement learns only then that its client is gone.
    const left = yield* Effect.repeat(stillThere, {
      until: (rows) => rows.length === 0,
      schedule: Schedule.upTo(pause, { duration: "10 seconds" })
    }).pipe(Effect.andThen(stillThere))
    const { deliveries, operations } = readHistory(files.filter((file) => existsSync(file)))
    return {
      evidence: { rows, earlier, operations, deliveries, subscribers: ["subscriber-0", "subscriber-1"] },
      happened,
      records,
      left
    }
  })
