/**
 * T66: two processes with two projections, and everything that befalls them elsewhere in this folder in a random order:
 * they are killed, asked to stop, stopped for longer than their leases, and lose their connections. `STRIKES` says how
 * often, 4 where it is not set: thousands are a soak of hours. `SEED` repeats a run. That the check would see a double is
 * shown where a process without the fence is stopped and goes on, in `Zombie.test.ts`.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { readdirSync } from "node:fs"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { checkMoves, type Projector, projector, recordMoves, untilSome } from "./Processes.ts"
import { seeded } from "./Seed.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const strikes = Number(process.env["STRIKES"] ?? "4")
const lease = 500
const tallies = ["tally0", "tally1"]
const names = tallies.map((name): Tally.Name => ({ ...Tally.main, name }))

/** The log and the checks, on connections that are known by their name. */
const here = Layer.unwrap(
  Effect.map(
    PgClient.PgClient,
    ({ config }) =>
      PostgresEventStore.layer().pipe(Layer.provideMerge(PgClient.layer({ ...config, applicationName: "soak" })))
  )
).pipe(
  Layer.provideMerge(database)
)

describe("T66: projections under fire", () => {
  it.live(
    `are hit ${strikes} times at random, count exactly, and leave nothing behind`,
    () =>
      Effect.gen(function*() {
        const { random, seed } = seeded()
        const sql = yield* SqlClient.SqlClient
        for (const name of names) yield* Projection.catchUp(Tally.tally(name))
        yield* recordMoves
        const [before] = yield* sql<{ readonly pids: ReadonlyArray<number> }>`
          SELECT array_agg(pid) AS pids FROM pg_stat_activity WHERE datname = current_database()`
        // Sessions that are not this process's own.
        const others = `datname = current_database() AND application_name <> 'soak' AND pid NOT IN (${
          before!.pids.join()
        })`
        const grow = yield* Effect.forkChild(
          Effect.forever(Effect.andThen(Tally.appendVotes(1 + Math.floor(random() * 9)), Effect.sleep(10)))
        )
        // A process that has not come up knows no way to end but to die.
        const start = Effect.gen(function*() {
          const known = yield* sql<{ readonly member: string }>`SELECT member FROM composable.members`
          const one = yield* projector({ tallies, lease })
          yield* untilSome(
            `SELECT FROM composable.members WHERE member <> ALL('{${known.map(({ member }) => member).join()}}')`
          )
          return one
        })
        const processes = [yield* start, yield* start]
        const replaced = (victim: Projector) =>
          Effect.map(start, (next) => processes.splice(processes.indexOf(victim), 1, next))
        const deeds = {
          kill: (victim: Projector) => Effect.andThen(victim.signal("SIGKILL"), replaced(victim)),
          end: (victim: Projector) =>
            Effect.gen(function*() {
              yield* victim.signal("SIGTERM")
              assert.deepStrictEqual(yield* victim.ended, [0, null], victim.said())
              yield* replaced(victim)
            }),
          freeze: (victim: Projector) =>
            Effect.gen(function*() {
              yield* victim.signal("SIGSTOP")
              yield* Effect.sleep(lease * (0.5 + 2 * random()))
              yield* victim.signal("SIGCONT")
            }),
          disconnect: () =>
            sql.unsafe(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${others} AND random() < 0.5`)
        }
        const kinds = Object.values(deeds)
        for (let i = 0; i < strikes; i++) {
          // Both have come up, and there is work in hand.
          yield* untilSome("SELECT FROM composable.leases HAVING count(*) = count(owner)")
          yield* Effect.sleep(random() * 300)
          // Each kind in turn, so that no run goes without one.
          yield* kinds[i % kinds.length]!(processes[Math.floor(random() * 2)]!)
          for (const name of names) yield* Tally.checked(name)
        }
        yield* Fiber.interrupt(grow)
        const head = yield* Tally.append(Tally.voted("last"))
        for (const name of names) {
          yield* Tally.until(head, name)
          assert.strictEqual(yield* Tally.verify(name), head, `SEED=${seed}`)
        }
        yield* checkMoves
        for (const { pid } of processes) assert.isBelow(readdirSync(`/proc/${pid}/fd`).length, 80)
        for (const one of processes) {
          yield* one.signal("SIGTERM")
          assert.deepStrictEqual(yield* one.ended, [0, null], one.said())
        }
        // Neither sessions nor locks of theirs are left.
        yield* untilSome(`SELECT FROM pg_stat_activity WHERE ${others} HAVING count(*) = 0`)
        yield* untilSome(
          `SELECT FROM pg_locks JOIN pg_database ON oid = database AND datname = current_database()
           WHERE locktype = 'advisory' HAVING count(*) = 0`
        )
      }).pipe(Effect.scoped, Effect.provide(here)),
    60_000 + strikes * 5_000
  )
})
