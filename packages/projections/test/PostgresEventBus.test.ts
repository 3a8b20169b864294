import { EventBus, type Service } from "@composable-ts/core/EventBus"
import * as Message from "@composable-ts/core/Message"
import * as EventBusContract from "@composable-ts/testing/EventBusContract"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Queue, Redacted, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import * as PostgresEventBus from "../src/PostgresEventBus.ts"
import * as Tally from "./Votes.ts"

const bus = PostgresEventBus.layer().pipe(Layer.provideMerge(TestDatabase.layer))

EventBusContract.suite("PostgresEventBus", bus, { eachCase: 60_000 })

const numbers = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i)
const message = (nr: number, key = `k${nr % 8}`) => Message.make(Tally.voted("a"), { id: `${nr}`, time: nr, key })
const first = (bus: Service, topic: string) =>
  Effect.map(
    bus.listen([topic], { strategy: "suspend" }),
    (deliveries) => (count: number) =>
      Effect.map(Stream.runCollect(Stream.take(deliveries, count)), (all) => all.map(({ message }) => message.time))
  )

/** A member in a process of its own, which is killed at the end of the scope at the latest. */
const member = (name: string, acknowledges: "when done" | "at once") =>
  Effect.flatMap(PgClient.PgClient, ({ config }) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        const script = join(import.meta.dirname, "BusMember.ts")
        return spawn(process.execPath, [script, Redacted.value(config.url!), name, acknowledges], {
          stdio: ["ignore", "inherit", "inherit"]
        })
      }),
      (child) => Effect.promise(() => kill(child))
    ))

const kill = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, "exit")
  child.kill("SIGKILL")
  await ended
}

const until = (condition: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    while ((yield* sql.unsafe(`SELECT WHERE ${condition}`)).length === 0) yield* Effect.sleep(5)
  })

/** Messages for two members, of which one is killed with some in hand. */
const killedInTheMiddle = (acknowledges: "when done" | "at once", inTheMiddle: string) =>
  Effect.gen(function*() {
    const bus = yield* EventBus
    const sql = yield* SqlClient.SqlClient
    for (const table of ["taken", "done"]) {
      yield* sql.unsafe(`CREATE TABLE ${table} (nr bigserial, message text, key text, member text)`)
    }
    yield* member("a", "when done")
    const victim = yield* member("b", acknowledges)
    yield* until(
      `(SELECT count(DISTINCT owner) = 2 AND count(*) = count(owner) AND count(*) = 4 FROM composable.leases)`
    )
    yield* Effect.forEach(numbers(300), (nr) => bus.publish("work", message(nr)), { discard: true })
    yield* until(inTheMiddle)
    yield* Effect.promise(() => kill(victim))
  })

const takenAndNotDone = "member = 'b' AND message NOT IN (SELECT message FROM done)"

describe("members in processes of their own", () => {
  it.live(
    "share a group's messages; when one is killed with some in hand, none is lost, and keys stay in order",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        // In the middle of its work: it has taken what it has not done.
        yield* killedInTheMiddle(
          "when done",
          `EXISTS (SELECT FROM done WHERE member = 'b') AND EXISTS (SELECT FROM taken WHERE ${takenAndNotDone})`
        )
        yield* until("(SELECT count(DISTINCT message) = 300 FROM done)")
        const members = yield* sql<{ readonly member: string }>`SELECT DISTINCT member FROM done ORDER BY member`
        assert.deepStrictEqual(members.map(({ member }) => member), ["a", "b"])
        const rows = yield* sql<{ readonly key: string; readonly order: ReadonlyArray<number> }>`
        SELECT key, array_agg(message ORDER BY nr) AS order FROM (
          SELECT key, message::int, min(nr) AS nr FROM done GROUP BY key, message
        ) AS once GROUP BY key`
        for (const { key, order } of rows) {
          assert.deepStrictEqual(order, numbers(300).filter((nr) => key === `k${nr % 8}`))
        }
      })).pipe(Effect.provide(bus)),
    60_000
  )

  it.live(
    "negative control: of one that acknowledges before it is done, and is killed, messages are lost",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const atTheEnd =
          "(SELECT bool_and(position = (SELECT head FROM composable.message_log)) FROM composable.checkpoints)"
        yield* killedInTheMiddle("at once", `EXISTS (SELECT FROM taken WHERE ${takenAndNotDone}) AND ${atTheEnd}`)
        yield* until("(SELECT count(*) = count(owner) AND count(DISTINCT owner) = 1 FROM composable.leases)")
        yield* until(`${atTheEnd} AND (SELECT count(DISTINCT message) FROM done) = (
          SELECT count(DISTINCT message) FROM taken WHERE member = 'a')`)
        const lost = yield* sql.unsafe(`SELECT FROM taken WHERE ${takenAndNotDone}`)
        assert.isNotEmpty(lost, "the group lost nothing, so the test above could not tell")
      })).pipe(Effect.provide(bus)),
    60_000
  )
})

describe("a message", () => {
  it.live("published twice under one id to one topic is there once", () =>
    Effect.scoped(Effect.gen(function*() {
      const bus = yield* EventBus
      const [news, gossip] = [yield* first(bus, "news"), yield* first(bus, "gossip")]
      for (const nr of [1, 1, 2, 1, 3]) yield* bus.publish("news", message(nr))
      yield* bus.publish("gossip", message(1))
      assert.deepStrictEqual(yield* news(3), [1, 2, 3])
      assert.deepStrictEqual(yield* gossip(1), [1])
    })).pipe(Effect.provide(bus)))

  it.live("published in a transaction that rolls back is there all the same, and holds up nobody", () =>
    Effect.scoped(Effect.gen(function*() {
      const bus = yield* EventBus
      const sql = yield* SqlClient.SqlClient
      const news = yield* first(bus, "news")
      yield* Effect.exit(sql.withTransaction(Effect.gen(function*() {
        yield* bus.publish("news", message(1))
        assert.deepStrictEqual(yield* news(1), [1])
        return yield* Effect.fail("rolled back")
      })))
      assert.lengthOf(yield* sql`SELECT FROM composable.messages`, 1)
    })).pipe(Effect.provide(bus)))

  it.live("is heard by buses of other clients on the database", () =>
    Effect.scoped(Effect.gen(function*() {
      const bus = yield* EventBus
      const { config } = yield* PgClient.PgClient
      const elsewhere = yield* Layer.build(PostgresEventBus.layer().pipe(Layer.provide(PgClient.layer(config))))
      const other = yield* Effect.provideContext(EventBus, elsewhere)
      const heard = yield* first(bus, "news")
      yield* Effect.forEach(numbers(50), (nr) => other.publish("news", message(nr)), { concurrency: 8 })
      assert.deepStrictEqual((yield* heard(50)).toSorted((a, b) => a - b), numbers(50))
    })).pipe(Effect.provide(bus)))
})

describe("messages that need not be kept", () => {
  const forgetful = PostgresEventBus.layer({ keep: 0, partitions: 1 }).pipe(Layer.provideMerge(TestDatabase.layer))

  /** Lets the bus look for old messages, again and again, until so many are left; tells how many there are at the end. */
  const trimmed = (left: number, looks: number) =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      let count = -1
      for (let i = 0; i < looks && count !== left; i++) {
        yield* TestClock.adjust("1 minute")
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 10)))
        count = (yield* sql`SELECT FROM composable.messages`).length
      }
      return count
    })

  const many = 1_000

  it.effect("are deleted, and who has listened and not taken them is told", () =>
    Effect.scoped(Effect.gen(function*() {
      const bus = yield* EventBus
      const late = yield* bus.listen(["news"], { strategy: "suspend" })
      yield* Effect.forEach([1, 2, 3], (nr) => bus.publish("news", message(nr)), { discard: true })
      assert.strictEqual(yield* trimmed(0, many), 0)
      const error = yield* Effect.flip(Stream.runHead(late))
      assert.instanceOf(error.cause, PostgresEventBus.FellBehind)
      assert.match(error.message, /messages behind position 0 were deleted up to 3/)
      const news = yield* first(bus, "news")
      yield* bus.publish("news", message(4))
      assert.deepStrictEqual(yield* news(1), [4])
    })).pipe(Effect.provide(forgetful)))

  it.effect("are kept for a group until it is removed, whose name then begins anew", () =>
    Effect.scoped(Effect.gen(function*() {
      const bus = yield* EventBus
      const sql = yield* SqlClient.SqlClient
      const inside = yield* Deferred.make<void>()
      const slow = yield* Effect.forkChild(
        bus.consume(
          ["work"],
          { group: "slow" },
          () => Effect.andThen(Deferred.succeed(inside, undefined), Effect.never)
        )
      )
      while ((yield* sql`SELECT FROM composable.leases WHERE owner IS NOT NULL`).length === 0) yield* Effect.yieldNow
      yield* Effect.forEach(numbers(5), (nr) => bus.publish("work", message(nr)), { discard: true })
      yield* Deferred.await(inside)
      assert.strictEqual(yield* trimmed(0, 20), 5)
      yield* Fiber.interrupt(slow)
      yield* PostgresEventBus.removeGroup("slow")
      assert.strictEqual(yield* trimmed(0, many), 0)
      for (const table of ["checkpoints", "leases", "members", "message_consumers"]) {
        assert.lengthOf(yield* sql.unsafe(`SELECT FROM composable.${table}`), 0, table)
      }
      const taken = yield* Queue.unbounded<number>()
      const anew = yield* Effect.forkChild(
        bus.consume(["work"], { group: "slow" }, ({ message }) => Queue.offer(taken, message.time))
      )
      while ((yield* sql`SELECT FROM composable.leases WHERE owner IS NOT NULL`).length === 0) yield* Effect.yieldNow
      yield* bus.publish("work", message(6))
      assert.strictEqual(yield* Queue.take(taken), 6)
      yield* Fiber.interrupt(anew)
    })).pipe(Effect.provide(forgetful)))
})
