import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber } from "effect"
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
