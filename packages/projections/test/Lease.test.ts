import * as LeaseContract from "@composable-ts/testing/LeaseContract"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { SqlClient } from "effect/sql"
import * as Lease from "../src/Lease.ts"
import { leases } from "./Tables.ts"

LeaseContract.suite("Lease", leases("400 millis"))

const subscriber = { name: "tally", version: 1 }
const part = { ...subscriber, partition: 0 }
const [first, second] = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"] as const

describe("whoever listens", () => {
  it.live("is told when a process comes, gives back a lease or goes, and not of heartbeats", () =>
    Effect.gen(function*() {
      const service = yield* Lease.Leases
      const client = yield* PgClient.PgClient
      yield* service.declare(subscriber, 1)
      const told = yield* client.listen(Lease.channel)
      const heard = Effect.gen(function*() {
        // What was sent before on the same connection comes first.
        yield* client.notify(Lease.channel, "end")
        let count = 0
        while (true) {
          const { payload } = yield* Queue.take(told)
          if (payload === "end") return count
          count++
        }
      })
      yield* service.renew(first, [subscriber])
      assert.strictEqual(yield* heard, 1)
      yield* service.renew(first, [subscriber])
      yield* service.survey
      const [held] = yield* service.take(first, [part])
      assert.strictEqual(yield* heard, 0)
      yield* service.release(second, held!)
      assert.strictEqual(yield* heard, 0)
      yield* service.release(first, held!)
      assert.strictEqual(yield* heard, 1)
      yield* service.leave(first, subscriber)
      assert.strictEqual(yield* heard, 1)
    }).pipe(Effect.scoped, Effect.provide(leases("10 seconds"))))
})

describe("the tables", () => {
  it.live("can be read by people: who owns what, until when, since how many take-overs", () =>
    Effect.gen(function*() {
      const service = yield* Lease.Leases
      const sql = yield* SqlClient.SqlClient
      yield* service.declare(subscriber, 2)
      yield* service.renew(first, [subscriber])
      yield* service.take(first, [part])
      assert.deepStrictEqual(
        yield* sql`
          SELECT projection, version, partition, owner, epoch, expires_at > now() AS alive FROM composable.leases
          ORDER BY partition`,
        [
          { projection: "tally", version: 1, partition: 0, owner: first, epoch: 1n, alive: true },
          { projection: "tally", version: 1, partition: 1, owner: null, epoch: 0n, alive: false }
        ]
      )
    }).pipe(Effect.provide(leases("10 seconds"))))

  it.live("forget processes that are long gone", () =>
    Effect.gen(function*() {
      const service = yield* Lease.Leases
      const sql = yield* SqlClient.SqlClient
      yield* service.renew(first, [subscriber])
      yield* sql`UPDATE composable.members SET expires_at = now() - interval '2 minutes'`
      yield* service.renew(second, [subscriber])
      assert.deepStrictEqual(yield* sql`SELECT member FROM composable.members`, [{ member: second }])
    }).pipe(Effect.provide(leases("10 seconds"))))
})
