/**
 * The switch of queries from one version of a read model to another.
 *
 * In one transaction: the checkpoints of the version that serves are held where they are, so that it shows nothing new;
 * the other's are to reach the furthest of them, in every partition; then the views are switched. So no query sees an
 * older state after the switch than any has seen before it. Nothing else holds the two versions together.
 */
import { EventStore } from "@composable-ts/core/EventStore"
import type { LogReadError } from "@composable-ts/core/EventStoreError"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import * as Checkpoint from "../Checkpoint.ts"
import type { Subscriber } from "../Lease.ts"
import { NotCaughtUp, SwitchFailed, VersionRetired } from "../ProjectionError.ts"
import { isContention, isOutage, patiently } from "./failures.ts"
import { pageSize } from "./LogReader.ts"
import * as Progress from "./progress.ts"
import { schema } from "./schema.ts"
import { type NameTaken, show } from "./servingViews.ts"
import { onNotification } from "./signals.ts"
import { nameOf } from "./subject.ts"
import * as Versions from "./versions.ts"

/** What can be switched to. */
export interface Candidate extends Subscriber {
  readonly place: Versions.Place
}

/** Each statement sees what has been committed meanwhile, whatever the database's default is. */
export const begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

/** How long the version that serves is held up for the other to come up to it, in milliseconds. */
const patienceMillis = 1_000

/** Provides the read model's database. */
export const onReadModel = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, SqlClient.SqlClient> | PgClient.PgClient> =>
  Effect.flatMap(PgClient.PgClient, (client) => Effect.provideService(effect, SqlClient.SqlClient, client))

/** What does not pass by itself is the failure of the switch. */
export const orFail =
  ({ name: projection, version }: Subscriber) => <A, R>(effect: Effect.Effect<A, SqlError | NameTaken, R>) =>
    Effect.mapError(effect, (error) =>
      isSqlError(error) && (isContention(error) || isOutage(error))
        ? error
        : new SwitchFailed({ projection, version, cause: error }))

/** Keeps the checkpoints of the version that serves where they are, and returns the furthest. */
const hold = ({ name, version }: Subscriber) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(`SET LOCAL lock_timeout = ${patienceMillis}`)
    const rows = yield* sql.unsafe<{ readonly position: bigint }>(
      `SELECT position FROM ${schema}.checkpoints WHERE projection = $1 AND version = $2 ORDER BY partition FOR SHARE`,
      [name, version]
    )
    return Versions.greatest(rows.map(({ position }) => position))
  })

/** Waits, not for long, until all partitions of a version have reached a position. */
const reach = (candidate: Subscriber, position: bigint) =>
  Effect.gen(function*() {
    const { name: projection, version } = candidate
    const checkpoints = yield* Checkpoint.make
    for (let waited = 0;; waited += 5) {
      const reached = Versions.least((yield* checkpoints.read(candidate)).map((checkpoint) => checkpoint.position))
      if (reached !== undefined && reached >= position) return
      if (reached === undefined || waited >= patienceMillis) {
        return yield* new NotCaughtUp({ projection, version, position, reached })
      }
      yield* Effect.sleep(5)
    }
  })

/** A stream that waits to be repaired would be seen in an older state than the version that serves shows. */
const noneParked = (candidate: Subscriber, current: Subscriber) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe<{ readonly stream: string }>(
      `SELECT stream FROM ${schema}.parked_streams AS p
       WHERE projection = $1 AND version = $2 AND NOT EXISTS (
         SELECT FROM ${schema}.parked_streams AS s
         WHERE s.projection = p.projection AND s.version = $3 AND s.stream = p.stream
       ) ORDER BY stream LIMIT 1`,
      [candidate.name, candidate.version, current.version]
    )
    const [parked] = rows
    if (parked === undefined) return
    const cause = new Error(
      `it has parked ${parked.stream}, perhaps others, which version ${current.version} has not: replay or discard them`
    )
    return yield* new SwitchFailed({ projection: candidate.name, version: candidate.version, cause })
  })

/** Switches in one transaction, or changes nothing. */
export const attempt = (
  candidate: Candidate
): Effect.Effect<
  void,
  NotCaughtUp | VersionRetired | SwitchFailed | SqlError | LogReadError,
  EventStore | SqlClient.SqlClient
> =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const events = yield* EventStore
    const { name: projection, place, version } = candidate
    const { head } = yield* events.readAll({ after: 0n, limit: 0 })
    yield* Effect.gen(function*() {
      yield* Versions.lock(projection)
      const versions = yield* Versions.of(projection)
      const known = versions.find((each) => each.version === version)
      if (known?.retired === true) return yield* new VersionRetired({ projection, version })
      if (known?.serving === true) return
      const current = versions.find(({ serving }) => serving)
      // Where nothing tells what was shown, the log's end is more than that.
      yield* reach(candidate, (current === undefined ? undefined : yield* hold(current)) ?? head)
      if (current !== undefined) yield* noneParked(candidate, { name: projection, version: current.version })
      yield* orFail(candidate)(show(candidate, place, current?.place))
      yield* Versions.serve(candidate, { channel: Progress.channel, payload: Progress.payloadOf(candidate) })
    }).pipe(sql.withTransaction, Effect.provideService(SqlClient.BeginTransaction, begin))
  })

/** How long to wait before the next look when nothing is heard, and between two attempts. */
const pause = "1 second"

/** Switches when the version has caught up, unless it has served before or a later one serves; then it returns. */
export const whenDue = (
  candidate: Candidate
): Effect.Effect<void, VersionRetired | SwitchFailed | SqlError | LogReadError, EventStore | PgClient.PgClient> =>
  Effect.scoped(Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    // Apart from the handlers', whose pool may be used up by the very version that is to come up.
    const client = Context.get(yield* Layer.build(PgClient.layer({ ...config, maxConnections: 2 })), PgClient.PgClient)
    const moves = yield* Queue.sliding<void>(1)
    yield* onNotification(client, Progress.channel, () => void Queue.offerUnsafe(moves, undefined))
    const say = Progress.waiting(client)
    const moved = patiently(nameOf(candidate))(say(Progress.servingOf(candidate.name))).pipe(
      Effect.andThen(Effect.timeoutOption(Queue.take(moves), pause))
    )
    yield* follow(candidate, moved).pipe(
      Effect.provideService(SqlClient.SqlClient, client)
    )
  }))

const follow = (candidate: Candidate, moved: Effect.Effect<unknown, SqlError>) =>
  Effect.gen(function*() {
    const events = yield* EventStore
    const who = nameOf(candidate)
    while (true) {
      const versions = yield* patiently(who)(Versions.of(candidate.name))
      const known = versions.find(({ version }) => version === candidate.version)
      const current = versions.find(({ serving }) => serving)
      if (known?.retired === true) {
        return yield* new VersionRetired({ projection: candidate.name, version: candidate.version })
      }
      if (known?.servedBefore === true) return
      if (current !== undefined && current.version > candidate.version) {
        return yield* Effect.logInfo(`${who} is kept up to date, and not switched to: v${current.version} serves`)
      }
      const reached = Versions.least(known?.positions ?? [])
      if (reached !== undefined && known?.pausedAt === undefined) {
        const { head } = yield* patiently(who)(events.readAll({ after: 0n, limit: 0 }))
        if (reached + BigInt(pageSize) >= (Versions.greatest(current?.positions ?? []) ?? head)) {
          yield* switchOrWait(candidate)
          continue
        }
      }
      yield* moved
    }
  })

/** One attempt; what stands in its way for now is waited for. */
const switchOrWait = (candidate: Candidate) =>
  Effect.catchIf(
    patiently(nameOf(candidate))(attempt(candidate)),
    (error): error is NotCaughtUp | SqlError =>
      error instanceof NotCaughtUp || isSqlError(error) && isContention(error),
    (error) =>
      Effect.andThen(
        Effect.logWarning(`${nameOf(candidate)} was not switched to, and will be tried again`, error),
        Effect.sleep(pause)
      )
  )
