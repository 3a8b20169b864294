/**
 * Who works on what, with processes that come, go, are killed, are slow, or have a clock of their own.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Lease from "@composable-ts/projections/Lease"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { checkMoves, projector, recordMoves, untilSome } from "./Processes.ts"
import { seeded } from "./Seed.ts"

const database = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer))

const hour = 3_600_000

/** An effect with clients of its own, as another process would have them. */
const elsewhere = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const { config } = yield* PgClient.PgClient
    const clients = PgClient.layer({ ...config, maxConnections: 5 })
    return yield* Effect.provide(effect, Layer.provideMerge(PostgresEventStore.layer(), clients))
  })

/** Runs a projection as another process would, with leases that last for long. */
const runElsewhere = <E, R>(projection: Projection.Projection<E, R>) =>
  elsewhere(Projection.run(projection)).pipe(Effect.provideService(Lease.Time, hour), Effect.forkChild)

describe("a handler that takes longer than the lease (T36)", () => {
  it.live("keeps it, by heartbeats beside it: nobody takes over, and nothing is applied twice", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      let calls = 0
      // Ten leases long, by the database's clock.
      const slow = Tally.tally(Tally.main, {
        before: ({ globalPosition }) =>
          globalPosition === 5n
            ? Effect.andThen(Effect.sync(() => calls++), sql`SELECT pg_sleep(3)`)
            : Effect.void
      })
      yield* Tally.appendVotes(20)
      const runners = yield* Effect.forkChild(
        Effect.all([elsewhere(Projection.run(slow)), elsewhere(Projection.run(slow))], { concurrency: 2 }).pipe(
          Effect.provideService(Lease.Time, "300 millis")
        )
      )
      yield* Effect.raceFirst(Tally.until(20n), Fiber.join(runners))
      assert.strictEqual(calls, 1)
      assert.strictEqual(yield* Tally.verify(), 20n)
      assert.deepStrictEqual(yield* sql`SELECT epoch FROM composable.leases`, [{ epoch: 1n }])
      yield* Fiber.interrupt(runners)
    }).pipe(Effect.provide(database)))

  it.live("and cannot renew it loses it: the events are applied in a later epoch, and its own work is undone", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const inside = yield* Deferred.make<void>()
      // Once only: when the first hears of the second, it may itself take the lease that is free before that does.
      const stuck = Tally.tally(Tally.main, {
        after: ({ globalPosition }) =>
          globalPosition === 5n && !Deferred.isDoneUnsafe(inside)
            ? Effect.andThen(Deferred.succeed(inside, undefined), Effect.never)
            : Effect.void
      })
      yield* Tally.appendVotes(20)
      const first = yield* runElsewhere(stuck)
      yield* Deferred.await(inside)
      // Taken over by a process that died at once.
      yield* sql`
        UPDATE composable.leases
        SET owner = gen_random_uuid(), epoch = epoch + 1, expires_at = clock_timestamp() - interval '1 second'`
      const second = yield* runElsewhere(Tally.tally())
      yield* Tally.until(20n)
      assert.strictEqual(yield* Tally.verify(), 20n)
      yield* Fiber.interruptAll([first, second])
    }).pipe(Effect.provide(database)))
})

describe("processes whose clocks are wrong by ten minutes (T37)", () => {
  const tenMinutes = 600_000
  for (const [first, second] of [[tenMinutes, -tenMinutes], [-tenMinutes, tenMinutes]] as const) {
    it.live(`${first} and ${second} ms: neither steals, and the second takes over when the first dies`, () =>
      Effect.gen(function*() {
        const lease = 400
        yield* Projection.catchUp(Tally.tally())
        yield* recordMoves
        const owner = yield* projector({ tallies: ["tally"], lease, clock: first })
        yield* untilSome("SELECT FROM composable.leases WHERE owner IS NOT NULL")
        const { epoch } = yield* untilSome("SELECT epoch FROM composable.leases")
        yield* projector({ tallies: ["tally"], lease, clock: second })
        yield* untilSome("SELECT FROM composable.members HAVING count(*) = 2")
        // The first has renewed its lease so often that the second had every occasion.
        for (let i = 0; i < 6; i++) {
          const { until } = yield* untilSome("SELECT expires_at::text AS until FROM composable.leases")
          yield* untilSome(`SELECT FROM composable.leases WHERE expires_at > '${until}'`)
          yield* Tally.until(yield* Tally.appendVotes(10))
        }
        assert.deepStrictEqual(yield* untilSome("SELECT epoch FROM composable.leases"), { epoch })
        yield* owner.signal("SIGKILL")
        yield* Tally.until(yield* Tally.appendVotes(10))
        assert.strictEqual(yield* Tally.verify(), 70n)
        assert.strictEqual((yield* checkMoves).get("tally"), 2)
      }).pipe(Effect.scoped, Effect.provide(database)))
  }
})

describe("two processes with eight projections (T34)", () => {
  const tallies = Array.from({ length: 8 }, (_, i) => `tally${i}`)
  const rounds = Number(process.env["KILLS"] ?? "4")

  it.live(
    `killed in turn ${rounds} times: all count exactly, and one works on each at a time`,
    () =>
      Effect.gen(function*() {
        const { random } = seeded()
        for (const name of tallies) yield* Projection.catchUp(Tally.tally({ ...Tally.main, name }))
        yield* recordMoves
        const grow = yield* Effect.forkChild(
          Effect.forever(Effect.andThen(Tally.appendVotes(1 + Math.floor(random() * 5)), Effect.sleep(20)))
        )
        const shared = "SELECT FROM composable.leases WHERE owner IS NOT NULL GROUP BY owner HAVING count(*) = 4"
        const start = projector({ tallies, lease: 500 })
        let [older, newer] = [yield* start, yield* start]
        for (let round = 0; round < rounds; round++) {
          yield* untilSome(shared)
          yield* Effect.sleep(random() * 50)
          yield* older.signal("SIGKILL")
          ;[older, newer] = [newer, yield* start]
        }
        yield* Fiber.interrupt(grow)
        const head = yield* Tally.append(Tally.voted("last"))
        for (const name of tallies) {
          yield* Tally.until(head, { ...Tally.main, name })
          assert.strictEqual(yield* Tally.verify({ ...Tally.main, name }), head)
        }
        yield* checkMoves
      }).pipe(Effect.scoped, Effect.provide(database)),
    30_000 + rounds * 10_000
  )
})

// The lease is an hour long in what follows: whatever happens is due to what the processes tell each other.
describe("a process that is asked to stop (T65)", () => {
  it.live("hands over at once, and has left nothing half done", () =>
    Effect.gen(function*() {
      yield* Projection.catchUp(Tally.tally())
      yield* recordMoves
      const grow = yield* Effect.forkChild(
        Effect.forever(Effect.andThen(Tally.appendVotes(20), Effect.sleep(5)))
      )
      const start = projector({ tallies: ["tally"], lease: hour })
      let older = yield* start
      yield* untilSome("SELECT FROM composable.leases WHERE owner IS NOT NULL")
      let newer = yield* start
      for (let round = 0; round < 2; round++) {
        yield* untilSome("SELECT FROM composable.members HAVING count(*) = 2")
        const { owner } = yield* untilSome("SELECT owner FROM composable.leases WHERE owner IS NOT NULL")
        yield* older.signal("SIGTERM")
        assert.deepStrictEqual(yield* older.ended, [0, null], older.said())
        yield* untilSome(`SELECT FROM composable.leases WHERE owner <> '${owner}'`)
        ;[older, newer] = [newer, yield* start]
      }
      yield* Fiber.interrupt(grow)
      const head = yield* Tally.append(Tally.voted("last"))
      yield* Tally.until(head)
      assert.strictEqual(yield* Tally.verify(), head)
      yield* checkMoves
    }).pipe(Effect.scoped, Effect.provide(database)))
})

describe("the load", () => {
  /** Waits until the leases are shared like this. */
  const untilShared = (...shares: ReadonlyArray<number>) =>
    untilSome(`
      SELECT FROM (
        SELECT array_agg(n ORDER BY n DESC)::int[] AS shares FROM (
          SELECT count(*) AS n FROM composable.leases WHERE owner IS NOT NULL GROUP BY owner
        ) AS owners
      ) AS all_shares WHERE shares = ARRAY[${shares.join()}]`)

  it.live("is shared evenly by processes that come and go, over all projections, and nothing is lost by it", () =>
    Effect.gen(function*() {
      const tallies = Array.from({ length: 8 }, (_, i) => `tally${i}`)
      for (const name of tallies) yield* Projection.catchUp(Tally.tally({ ...Tally.main, name }))
      yield* recordMoves
      const grow = yield* Effect.forkChild(
        Effect.forever(Effect.andThen(Tally.appendVotes(3), Effect.sleep(20)))
      )
      const [first, ...more] = tallies.map((name) => Tally.tally({ ...Tally.main, name }))
      const start = Effect.forkChild(
        elsewhere(Projection.run(first!, ...more)).pipe(Effect.provideService(Lease.Time, hour))
      )
      const a = yield* start
      yield* untilShared(8)
      const b = yield* start
      yield* untilShared(4, 4)
      const c = yield* start
      yield* untilShared(3, 3, 2)
      yield* Fiber.interrupt(a)
      yield* untilShared(4, 4)
      yield* Fiber.interrupt(b)
      yield* untilShared(8)
      yield* Fiber.interrupt(grow)
      const head = yield* Tally.append(Tally.voted("last"))
      for (const name of tallies) {
        yield* Tally.until(head, { ...Tally.main, name })
        assert.strictEqual(yield* Tally.verify({ ...Tally.main, name }), head)
      }
      yield* Fiber.interrupt(c)
      yield* checkMoves
    }).pipe(Effect.provide(database)))
})
