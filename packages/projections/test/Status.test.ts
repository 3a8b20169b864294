import { EventStore, type ReadAllOptions } from "@composable-ts/core/EventStore"
import { EventStoreError } from "@composable-ts/core/EventStoreError"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Logger } from "effect"
import { SqlClient } from "effect/sql"
import * as Projection from "../src/Projection.ts"
import * as Status from "../src/Status.ts"
import * as Tally from "./Votes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const health = Status.health([Tally.main], { maxLag: "1 hour" })

describe("Status", () => {
  it.live("tells how far a projection is, who works on it and how far it lags", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const goOn = yield* Deferred.make<void>()
      const inside = yield* Deferred.make<void>()
      const slow = Tally.tally(Tally.main, {
        before: ({ globalPosition }) =>
          globalPosition === 21n
            ? Effect.andThen(Deferred.succeed(inside, undefined), Deferred.await(goOn))
            : Effect.void
      })
      yield* Tally.appendVotes(20)
      const runner = yield* Effect.forkChild(Projection.run(slow))
      yield* Tally.until(20n)
      yield* Tally.append(Tally.voted("a"), Tally.voted("b"))
      yield* Deferred.await(inside)
      const [part, ...more] = yield* Status.of(Tally.main)
      assert.lengthOf(more, 0)
      assert.isDefined(part)
      const [lease] = yield* sql`SELECT owner FROM composable.leases`
      assert.deepInclude(part, { partition: 0, position: 20n, behind: 2n, epoch: 1n, error: undefined })
      assert.strictEqual(part.owner, lease?.["owner"])
      assert.isTrue(Duration.isGreaterThan(part.lag, Duration.zero))
      assert.deepStrictEqual(yield* health, { healthy: true, complaints: [] })
      const strict = yield* Status.health([Tally.main], { maxLag: 0 })
      assert.match(
        strict.complaints.join(),
        /tally v1, partition 0, is at position 20, 2 behind .*, Voted.v2 of votes-1 at 21, is .* process .* works on it$/
      )
      yield* Deferred.succeed(goOn, undefined)
      yield* Tally.until(22n)
      const [done] = yield* Status.of(Tally.main)
      assert.deepInclude(done, { position: 22n, behind: 0n, lag: Duration.zero })
      yield* Fiber.interrupt(runner)
      assert.match((yield* health).complaints.join(), /no process works on it$/)
    }).pipe(Effect.provide(database)))

  it.live("names the session whose lock a projection waits for", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Tally.appendVotes(20)
      yield* Projection.catchUp(Tally.tally())
      const runner = yield* Effect.forkChild(Projection.run(Tally.tally()))
      const [pid, complaint] = yield* sql.withTransaction(Effect.gen(function*() {
        const [me] = yield* sql<{ readonly pid: number }>`SELECT pg_backend_pid() AS pid`
        yield* sql`LOCK TABLE tally_v1_votes IN ACCESS EXCLUSIVE MODE`
        yield* Tally.append(Tally.voted("a"))
        while (true) {
          const { complaints, healthy } = yield* Status.health([Tally.main], { maxLag: 0 })
          if (complaints.some((each) => each.includes("waits for"))) {
            return [me?.pid, complaints.join(), healthy] as const
          }
          yield* Effect.sleep(5)
        }
      }))
      assert.match(complaint, new RegExp(`Voted.v2 of votes-1 at 21.*its transaction waits for pid ${pid} `))
      yield* Tally.until(21n)
      assert.deepStrictEqual(yield* health, { healthy: true, complaints: [] })
      const [row] = yield* sql`SELECT position, state, error FROM composable.projection_status`
      assert.deepStrictEqual(row, { position: 21n, state: "running", error: null })
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.provide(database)))

  it.live("names who holds the row of a checkpoint, and complains of one that stands still, whatever it may lag", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Projection.catchUp(Tally.tally())
      const runner = yield* Effect.forkChild(Projection.run(Tally.tally()))
      yield* Tally.until(yield* Tally.append(Tally.voted("a")))
      const still = Status.health([Tally.main], { maxLag: "1 hour", maxStill: "50 millis" })
      assert.deepStrictEqual(yield* still, { healthy: true, complaints: [] })
      const [pid, complaint] = yield* sql.withTransaction(Effect.gen(function*() {
        const [me] = yield* sql<{ readonly pid: number }>`SELECT pg_backend_pid() AS pid`
        yield* sql`SELECT FROM composable.checkpoints FOR UPDATE`
        yield* Tally.append(Tally.voted("a"))
        while (true) {
          const { complaints } = yield* still
          if (complaints.some((each) => each.includes("waits for"))) return [me?.pid, complaints.join()] as const
          yield* Effect.sleep(5)
        }
      }))
      assert.match(complaint, new RegExp(`at position 1, 1 behind .* has not moved for .*waits for pid ${pid} `))
      yield* Tally.until(2n)
      assert.deepStrictEqual(yield* still, { healthy: true, complaints: [] })
      const relaxed = yield* Status.health([Tally.main], { maxLag: "1 hour" })
      assert.deepStrictEqual(relaxed, { healthy: true, complaints: [] })
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.provide(database)))

  it.live("lists who stands by, and tells the rate, which decays", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* Tally.appendVotes(700)
      yield* Projection.catchUp(Tally.tally())
      const applied = (yield* Tally.log).filter(({ type }) => !type.startsWith("Noted")).length
      const [first] = yield* Status.of(Tally.main)
      assert.approximately(first?.rate ?? 0, applied / 60, applied / 120)
      yield* sql`UPDATE composable.checkpoints SET updated_at = updated_at - interval '1 minute'`
      const [later] = yield* Status.of(Tally.main)
      assert.isBelow(later?.rate ?? Infinity, (first?.rate ?? 0) / 2)
      // So long ago that the exponential would be too small to be a number.
      yield* sql`UPDATE composable.checkpoints SET updated_at = updated_at - interval '1 year', rate = 1e300`
      yield* Projection.catchUp(Tally.tally())
      yield* Tally.append(Tally.voted("a"))
      const runners = [1, 2, 3].map(() => Projection.run(Tally.tally()))
      const running = yield* Effect.forkChild(Effect.all(runners, { concurrency: 3 }))
      let part: Status.PartStatus | undefined
      while (part?.owner === undefined || part.standby.length < 2) {
        part = (yield* Status.of(Tally.main))[0]
        yield* Effect.sleep(5)
      }
      const members = yield* sql<{ readonly member: string }>`SELECT member FROM composable.members`
      assert.sameMembers([part.owner, ...part.standby], members.map(({ member }) => member))
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(database)))

  it.live("tells that a projection waits for the log's database, and when it has gone on", () =>
    Effect.gen(function*() {
      const own = yield* EventStore
      let isAway = false
      const away = new EventStoreError({ operation: "read", retryable: true, cause: new Error("unplugged") })
      const runner = yield* Effect.forkChild(
        Effect.provideService(Projection.run(Tally.tally()), EventStore, {
          ...own,
          readAll: (options: ReadAllOptions) => Effect.suspend(() => isAway ? Effect.fail(away) : own.readAll(options))
        })
      )
      yield* Tally.until(yield* Tally.appendVotes(5))
      isAway = true
      yield* Tally.append(Tally.voted("a"))
      const state = Effect.map(Status.of(Tally.main), ([part]) => part)
      let part = yield* state
      while (part?.state !== "waiting") part = yield* state
      assert.match(part.waitingFor?.message ?? "", /unplugged/)
      assert.match((yield* health).complaints.join(), /waits since .* for a database that is away: .*unplugged/)
      isAway = false
      yield* Tally.until(6n)
      part = yield* state
      assert.deepInclude(part, { state: "running", waitingFor: undefined })
      assert.deepStrictEqual(yield* health, { healthy: true, complaints: [] })
      yield* Fiber.interrupt(runner)
    }).pipe(Effect.provide(database), Effect.provide(Logger.layer([]))))

  it.live("tells why a projection stopped, until it has gone on", () =>
    Effect.gen(function*() {
      const poisoned = Tally.tally(Tally.main, {
        before: ({ globalPosition }) => globalPosition === 10n ? Effect.fail("out of paper\0") : Effect.void
      })
      yield* Tally.appendVotes(20)
      yield* Effect.flip(Projection.run(poisoned))
      const [part] = yield* Status.of(Tally.main)
      assert.deepInclude(part, { position: 9n, behind: 11n, owner: undefined })
      assert.match(part?.error?.message ?? "", /stopped behind global position 9.*out of paper$/)
      const { complaints, healthy } = yield* health
      assert.isFalse(healthy)
      assert.match(complaints.join(), /^Projection tally v1, partition 0, has stopped at position 9, 11 behind.*paper$/)
      yield* Projection.catchUp(Tally.tally())
      assert.isUndefined((yield* Status.of(Tally.main))[0]?.error)
    }).pipe(Effect.provide(database)))

  it.live("knows nothing of what was never run, and health says so", () =>
    Effect.gen(function*() {
      yield* Projection.catchUp(Tally.tally())
      const other = { name: "other", version: 3 }
      assert.deepStrictEqual(yield* Status.of(other), [])
      assert.deepStrictEqual(yield* Status.health([other], { maxLag: "1 hour" }), {
        healthy: false,
        complaints: ["Projection other v3 has never been run"]
      })
    }).pipe(Effect.provide(database)))
})
