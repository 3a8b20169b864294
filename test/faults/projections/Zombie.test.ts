/**
 * T35: an owner that is stopped for so long that another takes over, and then goes on as if nothing had happened. What
 * keeps it from applying anything is the fence of the checkpoint alone: the test lets no heartbeat through. The control
 * takes the fence away, too, and must see doubles.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schedule } from "effect"
import { SqlClient } from "effect/sql"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { type Point, points } from "./Orders.ts"
import { checkMoves, type Projector, projector, recordMoves, untilSome } from "./Processes.ts"
import { seeded } from "./Seed.ts"

const database = PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer))

const hour = 3_600_000

/** Waits until a process of this database has stopped at its point. */
const untilStopped = (said: () => string, pid: number) =>
  Effect.gen(function*() {
    while (!(yield* stateOf(pid)).startsWith("T")) {
      assert.strictEqual(said(), "", "the process has something to say")
      yield* Effect.sleep(5)
    }
  })

/** The state of a process, as `ps` has it: `T` when it is stopped. */
const stateOf = (pid: number) =>
  Effect.promise(async () => {
    const { readFile } = await import("node:fs/promises")
    const status = await readFile(`/proc/${pid}/stat`, "utf8")
    return status.slice(status.lastIndexOf(")") + 2)
  })

/** What was applied more than once. */
const doubles = "SELECT position FROM tally_v1_applied GROUP BY position HAVING count(*) > 1"

/** Waits until a process has said something; fails if it ends before. */
const untilSaid = (process: Projector, text: string) =>
  Effect.raceFirst(
    Effect.gen(function*() {
      while (!process.said().includes(text)) yield* Effect.sleep(5)
    }),
    Effect.andThen(process.ended, Effect.sync(() => assert.fail(process.said())))
  )

/** An owner stops at a point; another takes over and goes on; then the first goes on, too. */
const stoppedAt = (point: Point, unfenced: boolean) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    yield* Projection.catchUp(Tally.tally())
    yield* recordMoves
    yield* Tally.appendVotes(40)
    // It reads once to see that the log is the same, and then a page; before the third read it has committed.
    const fate = { signal: "SIGSTOP", point, count: point === "after a commit" ? 3 : 1, delay: 0 } as const
    const zombie = yield* projector({ tallies: ["tally"], lease: hour, fate, unfenced })
    yield* untilStopped(zombie.said, zombie.pid)
    const [owned] = yield* sql`SELECT owner, epoch FROM composable.leases`
    const successor = yield* projector({ tallies: ["tally"], lease: hour })
    // A heartbeat that was on its way when its process stopped may yet renew the lease: it expires until it is taken.
    yield* Effect.repeat(
      sql`WITH expired AS (
        UPDATE composable.leases SET expires_at = clock_timestamp() - interval '1 second'
        WHERE owner = ${owned?.["owner"]}
      ) SELECT FROM composable.leases WHERE owner <> ${owned?.["owner"]} AND expires_at > now()`,
      { until: (rows) => rows.length > 0, schedule: Schedule.spaced("20 millis") }
    )
    yield* Tally.until(40n)
    yield* Tally.verify()
    const head = yield* sql.withTransaction(Effect.gen(function*() {
      // No heartbeat gets through, or it might tell the first owner before it comes to the fence.
      yield* sql`LOCK TABLE composable.members IN SHARE ROW EXCLUSIVE MODE`
      yield* zombie.signal("SIGCONT")
      const head = yield* Tally.appendVotes(20)
      yield* unfenced ? untilSome(`${doubles} LIMIT 1`) : untilSaid(zombie, "was taken over by another process")
      return head
    }))
    // Without the fence a checkpoint may come to stand anywhere, and neither go on.
    if (!unfenced) yield* Tally.until(head)
    const verdict = yield* Effect.exit(Effect.andThen(Tally.verify(), checkMoves))
    // And when the successor goes, it goes on.
    if (!unfenced) {
      yield* successor.signal("SIGTERM")
      assert.deepStrictEqual(yield* successor.ended, [0, null], successor.said())
      const last = yield* Tally.appendVotes(20)
      yield* Tally.until(last)
      assert.strictEqual(yield* Tally.verify(), last)
    }
    return verdict
  }).pipe(Effect.scoped)

describe("an owner that is stopped, replaced, and goes on (T35)", () => {
  for (const point of points) {
    it.live(`${point}: applies nothing, stands by, and works again when it is its turn`, () =>
      Effect.gen(function*() {
        const verdict = yield* stoppedAt(point, false)
        assert.isTrue(Exit.isSuccess(verdict), String(verdict))
      }).pipe(Effect.provide(database)))
  }

  it.live("control: applies everything twice without the fence", () =>
    Effect.gen(function*() {
      const verdict = yield* stoppedAt("after a read", true)
      assert.isTrue(Exit.isFailure(verdict), "the counter did not show the doubles")
      const sql = yield* SqlClient.SqlClient
      assert.isAbove((yield* sql.unsafe(doubles)).length, 20)
    }).pipe(Effect.provide(database)))
})

describe("two processes that are stopped for three times their lease, again and again", () => {
  const rounds = Number(process.env["STOPS"] ?? "1")
  it.live(`count exactly, ${rounds} times`, () =>
    Effect.gen(function*() {
      const { random } = seeded()
      const lease = 300
      yield* Projection.catchUp(Tally.tally())
      yield* recordMoves
      const [a, b] = [
        yield* projector({ tallies: ["tally"], lease }),
        yield* projector({ tallies: ["tally"], lease })
      ]
      yield* untilSome("SELECT FROM composable.members HAVING count(*) = 2")
      for (let round = 0; round < rounds; round++) {
        yield* Tally.appendVotes(1 + Math.floor(random() * 400))
        yield* Effect.sleep(random() * 30)
        for (const victim of [a, b]) {
          yield* victim.signal("SIGSTOP")
          yield* Effect.sleep(3 * lease)
          yield* Tally.checked()
          yield* victim.signal("SIGCONT")
        }
      }
      const head = yield* Tally.appendVotes(20)
      yield* Tally.until(head)
      assert.strictEqual(yield* Tally.verify(), head)
      yield* checkMoves
      yield* untilSome(`SELECT FROM composable.leases WHERE epoch > ${rounds}`)
      for (const each of [a, b]) {
        yield* each.signal("SIGTERM")
        assert.deepStrictEqual(yield* each.ended, [0, null], each.said())
      }
    }).pipe(Effect.scoped, Effect.provide(database)), 30_000 + rounds * 10_000)
})
