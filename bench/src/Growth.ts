/**
 * `pnpm bench --growth`: how the cost of appends, loads and catch-up grows with the log, and that of appends with the
 * number of callers. Logs of all sizes take turns, and so do crowds of callers, so that noise hits all of them alike.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Store from "@composable-ts/core/Store"
import * as Projection from "@composable-ts/projections/Projection"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { loadavg } from "node:os"
import * as Cost from "./Cost.ts"
import * as Log from "./Log.ts"
import { encodedAt, Order, order, streamOf } from "./Order.ts"
import type { Profile } from "./Profile.ts"
import type { Server } from "./Server.ts"
import { median } from "./Statistics.ts"
import { crowd, numbers, p50, rate, sequence } from "./Timing.ts"

/** The numbers of events in the log; the last takes minutes and gigabytes, so it is for a full run. */
const sizes = (profile: Profile): ReadonlyArray<number> =>
  ({ smoke: [1_000, 2_000], quick: [1_000, 1_000_000], full: [1_000, 1_000_000, 10_000_000] })[profile.name]

const crowds = [1, 32, 128, 1_000]
const streamLength = 100
const chunk = 100_000

/** One size of log. Costs are in microseconds of CPU time for each append. */
export interface OfLog {
  readonly events: number
  readonly append: number
  readonly client: number
  readonly server: number | undefined
  readonly load: number
  readonly catchUp: number
  readonly catchUpHeap: number
}

/** One number of callers. */
export interface OfCallers {
  readonly callers: number
  readonly perSecond: number
  readonly client: number
  readonly server: number | undefined
  readonly heap: number
}

/** What was found, and how much else the machine had to do meanwhile. */
export interface Growth {
  readonly logs: ReadonlyArray<OfLog>
  readonly callers: ReadonlyArray<OfCallers>
  readonly loadBefore: number
  readonly loadAfter: number
}

/** Writes so many events past the store, which would take far longer: orders of a hundred events, one after another. */
const fill = ({ sql }: Log.Log, count: number): Effect.Effect<void, Error> =>
  Effect.gen(function*() {
    const [first, later] = [encodedAt("0", 0), encodedAt("0", 1)]
    yield* Effect.forEach(numbers(Math.ceil(count / chunk)), (part) =>
      sql`
        INSERT INTO composable.events (
          global_position, stream_id, version, type, event_id, command_id, command_size, data, recorded_at)
        SELECT n + 1, 'order-' || n / ${streamLength}::int, n % ${streamLength}::int,
          CASE WHEN n % ${streamLength}::int = 0 THEN ${first.type}::text ELSE ${later.type} END, gen_random_uuid(),
          gen_random_uuid()::text, 1,
          CASE WHEN n % ${streamLength}::int = 0 THEN ${JSON.stringify(first.data)}::json
            ELSE ${JSON.stringify(later.data)}::json END, now()
        FROM generate_series(${part * chunk}::int, ${Math.min(count, (part + 1) * chunk) - 1}::int) AS n`, {
      discard: true
    })
    yield* sql`VACUUM ANALYZE composable.events`
  })

const append = (log: Log.Log, id: string, version: number) =>
  log.events.append(streamOf(id), ExpectedVersion.exact(version - 1), Log.encoded(id, version, 1))

/** A projection with a checkpoint and nothing else, over all of the log. */
const catchUp = (log: Log.Log, round: number, events: number) =>
  Effect.gen(function*() {
    let seen = 0
    const handle = () => Effect.sync(() => void seen++)
    const projection = Projection.define(Order, {
      name: "growth",
      version: round + 1,
      setUp: Effect.void,
      on: { Placed: handle, Revised: handle }
    })
    const start = performance.now()
    yield* Projection.catchUp(projection)
    const { perSecond } = rate(seen, start)
    return seen < events ? yield* Effect.fail(new Error(`${seen} of ${events} events were seen`)) : perSecond
  }).pipe(Effect.provideContext(log.context))

const load = (log: Log.Log, milliseconds: number, events: number) =>
  sequence(milliseconds, (index) =>
    Effect.gen(function*() {
      const orders = yield* Store.aggregate(order)
      const id = `${index * 7_919 % (events / streamLength)}`
      const { version } = yield* orders.state(id)
      if (version !== streamLength - 1) yield* Effect.fail(new Error(`order ${id} stands at ${version}`))
    })).pipe(Effect.provideContext(log.context), Effect.map(p50))

/** What rounds of appends came to. */
interface Round {
  readonly appends: number
  readonly cost: Cost.Cost
}

/**
 * CPU time for each append, over all rounds: the system counts the server's in steps of ten milliseconds, which is too
 * coarse for a round.
 */
const perAppend = (rounds: ReadonlyArray<Round>): Pick<OfCallers, "client" | "server"> => {
  const sum = (of: (round: Round) => number) => rounds.reduce((total, round) => total + of(round), 0)
  const appends = sum((round) => round.appends)
  return {
    client: sum(({ cost }) => cost.client) / appends,
    server: rounds.some(({ cost }) => cost.server === undefined)
      ? undefined
      : sum(({ cost }) => cost.server ?? 0) / appends
  }
}

interface LogRound extends Round {
  readonly append: number
  readonly load: number
}

const ofLogs = (logs: ReadonlyArray<readonly [number, Log.Log]>, profile: Profile) =>
  Effect.gen(function*() {
    const rounds = new Map(logs.map(([events]) => [events, [] as Array<LogRound>]))
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const [events, log] of logs) {
        const [durations, cost] = yield* Cost.during(
          log.sql,
          sequence(profile.milliseconds, (index) => append(log, `s${round}`, index))
        )
        const loaded = yield* load(log, profile.milliseconds, events)
        if (round >= profile.warmUp) {
          rounds.get(events)!.push({ appends: durations.length, cost, append: p50(durations), load: loaded })
        }
      }
    }
    const found: Array<OfLog> = []
    for (const [events, log] of logs) {
      const ofLog = rounds.get(events)!
      // The short one is over before the compiler has seen it.
      if (events < chunk) yield* Effect.forEach(numbers(5), (round) => catchUp(log, round, events))
      const [perSecond, { heap }] = yield* Cost.during(log.sql, catchUp(log, 5, events))
      found.push({
        events,
        append: median(ofLog.map(({ append }) => append)),
        ...perAppend(ofLog),
        load: median(ofLog.map(({ load }) => load)),
        catchUp: perSecond,
        catchUpHeap: heap
      })
    }
    return found
  })

interface CallersRound extends Round {
  readonly perSecond: number
}

const ofCallers = (log: Log.Log, profile: Profile) =>
  Effect.gen(function*() {
    const rounds = new Map(crowds.map((callers) => [callers, [] as Array<CallersRound>]))
    for (let round = 0; round < profile.warmUp + profile.rounds; round++) {
      for (const callers of crowds) {
        const before = yield* Log.head(log)
        const [{ count, perSecond }, cost] = yield* Cost.during(
          log.sql,
          crowd(profile.milliseconds, callers, (caller, index) => append(log, `c${callers}r${round}.${caller}`, index))
        )
        const fault = yield* Log.faultOf(log, before, count)
        if (fault !== undefined) yield* Effect.fail(new Error(fault))
        if (round >= profile.warmUp) rounds.get(callers)!.push({ appends: count, cost, perSecond })
      }
    }
    return [...rounds].map(([callers, ofCallers]): OfCallers => {
      const { client, server } = perAppend(ofCallers)
      const perSecond = median(ofCallers.map(({ perSecond }) => perSecond))
      return { callers, perSecond, client, server, heap: median(ofCallers.map(({ cost }) => cost.heap)) }
    })
  })

/** Measures. */
export const measure = (profile: Profile): Effect.Effect<Growth, Error, Server | Scope.Scope> =>
  Effect.gen(function*() {
    const loadBefore = loadavg()[0]!
    const logs = yield* Effect.forEach(sizes(profile), (events) =>
      Effect.gen(function*() {
        console.error(`filling a log with ${events} events …`)
        const log = yield* Log.open
        yield* fill(log, events)
        return [events, log] as const
      }))
    console.error("measuring the growth of the log …")
    const ofLog = yield* ofLogs(logs, profile)
    console.error("measuring the growth of callers …")
    const callers = yield* ofCallers(logs[0]![1], profile)
    return { logs: ofLog, callers, loadBefore, loadAfter: loadavg()[0]! }
  })

const number = (value: number | undefined): string =>
  value === undefined
    ? "–"
    : value.toLocaleString("en-GB", value >= 1_000 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 })

const mebibytes = (bytes: number): string => number(bytes / 2 ** 20)

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> =>
  [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`)

/** As Markdown. */
export const markdown = ({ callers, loadAfter, loadBefore, logs }: Growth, profile: string): string =>
  [
    `# Growth, profile ${profile}`,
    "",
    `Load average ${loadBefore.toFixed(1)} at the start, ${
      loadAfter.toFixed(1)
    } at the end. Medians of the rounds; CPU is`,
    "time of this process and of the database's sessions, for each append; heap is how far it grew, garbage included.",
    "",
    "## Events in the log",
    "",
    ...table(
      [
        "events",
        "append, ms (p50)",
        "client CPU, µs",
        "server CPU, µs",
        "load of 100, ms (p50)",
        "catch-up, events/s",
        "heap of catch-up, MiB"
      ],
      logs.map((log) => [
        number(log.events),
        number(log.append),
        number(log.client),
        number(log.server),
        number(log.load),
        number(log.catchUp),
        mebibytes(log.catchUpHeap)
      ])
    ),
    "",
    "## Callers at once, each to a stream of its own",
    "",
    ...table(
      ["callers", "appends/s", "client CPU, µs", "server CPU, µs", "heap, MiB", "heap for a caller, KiB"],
      callers.map((row) => [
        number(row.callers),
        number(row.perSecond),
        number(row.client),
        number(row.server),
        mebibytes(row.heap),
        number(row.heap / row.callers / 2 ** 10)
      ])
    ),
    ""
  ].join("\n")
