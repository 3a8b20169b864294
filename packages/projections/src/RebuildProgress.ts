/**
 * How a rebuild gets on: how far it is, how fast, and how long it still takes; as a stream of values, and as metrics.
 *
 * Positions are those of the log, whether or not they hold events that matter to the projection. Rates are measured, by
 * the database's clock, over the last half minute.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { patiently } from "./internal/failures.ts"
import { nameOf } from "./internal/subject.ts"
import { onReadModel } from "./internal/switching.ts"
import * as Versions from "./internal/versions.ts"
import type { Subscriber } from "./Lease.ts"

/** What a version is doing. */
export type State = "Unknown" | "Building" | "Paused" | "Serving" | "Standby" | "Retired"

/** How far a version is. */
export interface Progress extends Subscriber {
  /**
   * `Unknown` before it was first run; `Building` until it serves; `Standby` when it has served and another does now;
   * `Paused` while nobody shall work on it.
   */
  readonly state: State
  /** Everything up to this global position is in the read model: the slowest partition's. */
  readonly position: bigint
  /** The log's last position. */
  readonly head: bigint
  /** How many positions are done each second, on average over the partitions; `undefined` after one look. */
  readonly rate: number | undefined
  /** When the slowest partition will be at the log's end if all goes on like this; `undefined` if it does not gain on it. */
  readonly timeLeft: Duration.Duration | undefined
}

/** One look. */
interface Look {
  readonly at: number
  readonly state: State
  readonly positions: ReadonlyArray<bigint>
  readonly head: bigint
}

/** How far back rates reach. */
const windowMillis = 30_000

const stateOf = (version: Versions.Version | undefined): State => {
  if (version === undefined) return "Unknown"
  if (version.retired) return "Retired"
  if (version.pausedAt !== undefined) return "Paused"
  if (version.serving) return "Serving"
  if (version.servedBefore) return "Standby"
  return version.positions.length === 0 ? "Unknown" : "Building"
}

const look = (subscriber: Subscriber) =>
  onReadModel(Effect.gen(function*() {
    const client = yield* PgClient.PgClient
    const events = yield* EventStore
    const [now] = yield* client<{ readonly at: number }>`
      SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS at`
    const version = yield* Versions.find(subscriber)
    const { head } = yield* events.readAll({ after: 0n, limit: 0 })
    return { at: now!.at, state: stateOf(version), positions: version?.positions ?? [], head } satisfies Look
  }))

const slowest = ({ positions }: Look): bigint => Versions.least(positions) ?? 0n

const gap = (each: Look): number => Math.max(0, Number(each.head - slowest(each)))

const total = ({ positions }: Look): number => positions.reduce((sum, position) => sum + Number(position), 0)

const progressOf = ({ name, version }: Subscriber, looks: ReadonlyArray<Look>): Progress => {
  const last = looks.at(-1)!
  const first = looks[0]!
  const seconds = (last.at - first.at) / 1_000
  const gained = gap(first) - gap(last)
  const measured = seconds > 0 && first.positions.length === last.positions.length && last.positions.length > 0
  return {
    name,
    version,
    state: last.state,
    position: slowest(last),
    head: last.head,
    rate: measured ? (total(last) - total(first)) / last.positions.length / seconds : undefined,
    timeLeft: gap(last) === 0
      ? Duration.zero
      : measured && gained > 0
      ? Duration.seconds(gap(last) * seconds / gained)
      : undefined
  }
}

/** How far a version is: one look, then another after each interval. It does not end by itself. */
export const watch = (
  subscriber: Subscriber,
  every: Duration.Input = "1 second"
): Stream.Stream<Progress, SqlError | LogReadError, EventStore | PgClient.PgClient> =>
  Stream.paginate<ReadonlyArray<Look>, Progress, SqlError | LogReadError, EventStore | PgClient.PgClient>(
    [],
    (before) =>
      Effect.gen(function*() {
        if (before.length > 0) yield* Effect.sleep(every)
        const now = yield* patiently(nameOf(subscriber))(look(subscriber))
        // After a pause, or a beginning from scratch, what was measured before says nothing.
        const same = before.at(-1)?.state === now.state && total(before.at(-1)!) <= total(now)
        const looks = [...(same ? before.filter(({ at }) => now.at - at <= windowMillis) : []), now]
        return [[progressOf(subscriber, looks)], Option.some(looks)] as const
      })
  )

const position = Metric.gauge("composable_rebuild_position", {
  description: "The log's position up to which a new version of a read model was built, by projection and version"
})
const head = Metric.gauge("composable_rebuild_head", {
  description: "The log's last position, as a rebuild sees it, by projection and version"
})
const rate = Metric.gauge("composable_rebuild_rate", {
  description: "Positions of the log that a rebuild does each second, by projection and version"
})
const secondsLeft = Metric.gauge("composable_rebuild_seconds_left", {
  description: "How long a rebuild still takes if it goes on like this, by projection and version"
})

/**
 * Keeps the gauges `composable_rebuild_position`, `_head`, `_rate` and `_seconds_left` of a version, by the attributes
 * `projection` and `version`, until it serves. `Rebuild.run` does so for what it runs.
 */
export const measure = (
  subscriber: Subscriber
): Effect.Effect<void, SqlError | LogReadError, EventStore | PgClient.PgClient> => {
  const attributes = { projection: subscriber.name, version: `${subscriber.version}` }
  const set = (gauge: Metric.Gauge<number>, value: number) =>
    Metric.update(Metric.withAttributes(gauge, attributes), value)
  return watch(subscriber).pipe(
    Stream.takeUntil(({ state }) => state === "Serving" || state === "Standby" || state === "Retired"),
    Stream.runForEach((progress) =>
      Effect.all([
        set(position, Number(progress.position)),
        set(head, Number(progress.head)),
        progress.rate === undefined ? Effect.void : set(rate, progress.rate),
        progress.timeLeft === undefined ? Effect.void : set(secondsLeft, Duration.toSeconds(progress.timeLeft))
      ], { discard: true })
    )
  )
}
