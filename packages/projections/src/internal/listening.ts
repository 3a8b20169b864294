/**
 * Those who listen to the messages of a bus: each alone, from a place that it keeps in memory; or together with others,
 * in other processes too, from a place that they share in the database.
 */
import type { Delivery, Subscription } from "@composable-ts/core/EventBus"
import { InvalidSubscription } from "@composable-ts/core/EventBusError"
import * as UuidV7 from "@composable-ts/core/UuidV7"
import type { PgClient } from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Semaphore from "effect/Semaphore"
import type { SqlError } from "effect/sql/SqlError"
import { patiently } from "./failures.ts"
import { deliveryOf, type MessageRow } from "./messageLog.ts"
import { schema } from "./schema.ts"

/** Yields the next message, if there is one now. */
export type Next<E> = Effect.Effect<Delivery | undefined, E>

/** Messages that a listener has not seen were deleted. */
export class FellBehind extends Error {
  constructor(seen: bigint, trimmed: bigint) {
    super(
      `messages behind position ${seen} were deleted up to ${trimmed} before this subscriber took them: let the bus ` +
        `keep them for longer, take them sooner, or consume them in a group, for which they are kept`
    )
  }
}

const log = `${schema}.message_log`
const messages = `${schema}.messages`
const groups = `${schema}.message_listeners`
const members = `${schema}.message_members`

/** How many messages are read at a time, at the most. */
const pageSize = 256

interface Page {
  readonly head: bigint
  readonly trimmed: bigint
  readonly position: bigint | null
  readonly topic: string
  readonly message: MessageRow["message"]
}

/** Reads what comes behind a position: the first ones, or the last. */
const readPage = (
  client: PgClient,
  topics: ReadonlyArray<string>,
  { direction, limit, seen }: { readonly seen: bigint; readonly limit: number; readonly direction: "ASC" | "DESC" }
) =>
  client.unsafe<Page>(
    `SELECT l.head, l.trimmed, m.* FROM ${log} AS l LEFT JOIN LATERAL (
       SELECT position, topic, message FROM ${messages}
       WHERE position > $1 AND topic = ANY($2::text[]) ORDER BY position ${direction} LIMIT $3::bigint
     ) AS m ON true ORDER BY m.position`,
    [seen, topics, BigInt(limit)]
  )

/** One who listens alone, from now on. */
export const alone = (
  client: PgClient,
  { capacity, strategy, topics }: Subscription
): Effect.Effect<Next<SqlError | FellBehind>, SqlError> =>
  Effect.map(client.unsafe<{ readonly head: bigint }>(`SELECT head FROM ${log}`), ([row]) => {
    let seen = row?.head ?? 0n
    let waiting: Array<Delivery> = []
    const room = () =>
      strategy === "suspend"
        ? Math.min(capacity, pageSize)
        : strategy === "sliding"
        ? capacity
        : capacity - waiting.length
    const look = Effect.gen(function*() {
      const limit = room()
      const page = yield* readPage(client, topics, { seen, limit, direction: strategy === "sliding" ? "DESC" : "ASC" })
      const { head = seen, trimmed = 0n } = page[0] ?? {}
      if (trimmed > seen) return yield* Effect.fail(new FellBehind(seen, trimmed))
      const came = page.flatMap(({ message, position, topic }) =>
        position === null ? [] : [{ message, position, topic }]
      )
      waiting = [...waiting, ...came.map(deliveryOf)]
      if (strategy === "sliding") waiting = waiting.slice(-capacity)
      seen = strategy === "suspend" && came.length === limit ? came.at(-1)!.position : head
    })
    // Who suspends lets them wait where they are; the others must know of each before they take the next.
    return Effect.gen(function*() {
      if (strategy !== "suspend" || waiting.length === 0) yield* look
      return waiting.shift()
    })
  })

const keys = ["topics", "capacity", "strategy"] as const

/** What a newcomer to a group asks for that the group does not do. */
const disagreement = (group: Pick<Subscription, typeof keys[number]>, newcomer: Subscription): string | undefined => {
  const key = keys.find((key) => String(group[key]) !== String(newcomer[key]))
  return key === undefined ? undefined : `group ${newcomer.group} has ${key} ${group[key]}, not ${newcomer[key]}: ` +
    "ask for the same as its other members, or join a group of another name"
}

/** The group's next message, and where it stands then, by strategy. All in one statement: what it reads is one moment. */
const nextOf: Readonly<Record<Subscription["strategy"], string>> = {
  suspend: `
    next AS (
      SELECT m.position FROM ${messages} AS m, g
      WHERE m.topic = ANY(g.topics) AND m.position > g.seen ORDER BY m.position LIMIT 1
    ), place AS (SELECT next.position AS seen, '{}'::bigint[] AS waiting FROM next)`,
  sliding: `
    kept AS (
      SELECT m.position FROM ${messages} AS m, g WHERE m.topic = ANY(g.topics) AND m.position > g.seen
      ORDER BY m.position DESC LIMIT (SELECT capacity FROM g)
    ), next AS (SELECT min(position) AS position FROM kept HAVING count(*) > 0
    ), place AS (SELECT next.position AS seen, '{}'::bigint[] AS waiting FROM next)`,
  dropping: `
    came AS (
      SELECT m.position FROM ${messages} AS m, g WHERE m.topic = ANY(g.topics) AND m.position > g.seen
      ORDER BY m.position LIMIT (SELECT capacity - cardinality(waiting) FROM g)
    ), line AS (
      SELECT g.waiting || coalesce((SELECT array_agg(position ORDER BY position) FROM came), '{}') AS all FROM g
    ), next AS (SELECT line.all[1] AS position FROM line WHERE cardinality(line.all) > 0
    ), place AS (SELECT l.head AS seen, line.all[2:] AS waiting FROM line, ${log} AS l)`
}

/** The turn that was read must still be the group's, or another member has taken the same message meanwhile. */
const takeOf = (strategy: Subscription["strategy"]) => `
  WITH g AS (SELECT * FROM ${groups} WHERE name = $1), ${nextOf[strategy]}, moved AS (
    UPDATE ${groups} AS own SET turn = own.turn + 1, seen = place.seen, waiting = place.waiting
    FROM g, next, place WHERE own.name = g.name AND own.turn = g.turn RETURNING own.turn
  ) SELECT next.position, m.topic, m.message, EXISTS(SELECT FROM moved) AS taken
    FROM next LEFT JOIN ${messages} AS m ON m.position = next.position`

interface Taken {
  readonly position: bigint
  readonly topic: string | null
  readonly message: MessageRow["message"] | null
  readonly taken: boolean
}

/** A member of a group, for as long as the scope is open. The group ends with its last member that lives. */
export const together = (
  client: PgClient,
  name: string,
  subscription: Subscription,
  { time, turn }: {
    readonly time: Duration.Duration
    /** One member of this process at a time takes: they would only get into each other's way. */
    readonly turn: Semaphore.Semaphore
  }
): Effect.Effect<Next<SqlError>, SqlError | InvalidSubscription, Scope.Scope> =>
  Effect.gen(function*() {
    const { capacity, strategy, topics } = subscription
    const member = yield* Effect.clockWith((clock) => Effect.sync(() => UuidV7.make(clock.currentTimeMillisUnsafe())))
    const guarded = <A, E>(effect: Effect.Effect<A, E>) =>
      client.withTransaction(
        Effect.andThen(
          client.unsafe("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [`composable-ts listeners ${name}`]),
          effect
        )
      )
    const endWithoutMembers = client.unsafe(
      `DELETE FROM ${groups} WHERE name = $1 AND NOT EXISTS (SELECT FROM ${members} WHERE name = $1)`,
      [name]
    )
    /** Also the heartbeat, so a group that was thought dead is there again. */
    const join = guarded(Effect.gen(function*() {
      yield* client.unsafe(`DELETE FROM ${members} WHERE name = $1 AND expires_at < clock_timestamp()`, [name])
      yield* endWithoutMembers
      yield* client.unsafe(
        `INSERT INTO ${groups} (name, topics, strategy, capacity, seen)
         SELECT $1, $2::text[], $3, $4::bigint, head FROM ${log} ON CONFLICT DO NOTHING`,
        [name, topics, strategy, BigInt(capacity)]
      )
      const [group] = yield* client.unsafe<
        {
          readonly topics: Subscription["topics"]
          readonly strategy: Subscription["strategy"]
          readonly capacity: bigint
        }
      >(`SELECT topics, strategy, capacity FROM ${groups} WHERE name = $1`, [name])
      const issue = group === undefined
        ? undefined
        : disagreement({ ...group, capacity: Number(group.capacity) }, subscription)
      if (issue !== undefined) return yield* new InvalidSubscription({ topics, issue })
      yield* client.unsafe(
        `INSERT INTO ${members} VALUES ($1, $2::uuid, clock_timestamp() + $3::float8 * interval '1 millisecond')
         ON CONFLICT (name, member) DO UPDATE SET expires_at = excluded.expires_at`,
        [name, member, Duration.toMillis(time)]
      )
    }))
    const leave = guarded(Effect.andThen(
      client.unsafe(`DELETE FROM ${members} WHERE name = $1 AND member = $2::uuid`, [name, member]),
      endWithoutMembers
    ))
    yield* Effect.acquireRelease(join, () =>
      Effect.catchCause(leave, (cause) =>
        Effect.logWarning(`A member of ${name} could not say that it leaves`, cause)))
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(Effect.sleep(Duration.divideUnsafe(time, 3)), patiently(`Group ${name}`)(join)))
        .pipe(
          Effect.catchCause((cause) =>
            Effect.logError(`A member of ${name} cannot say any more that it lives`, cause)
          )
        )
    )
    const statement = takeOf(strategy)
    const next: Next<SqlError> = Effect.suspend(() =>
      Effect.flatMap(client.unsafe<Taken>(statement, [name]), ([row]) => {
        if (row === undefined) return Effect.succeed(undefined)
        const { message, position, taken, topic } = row
        return taken && message !== null && topic !== null
          ? Effect.succeed(deliveryOf({ message, position, topic }))
          : next
      })
    )
    // What was taken is gone for the others: so it is not cut off in between.
    return turn.withPermits(1)(Effect.uninterruptible(next))
  })
