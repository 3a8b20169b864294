/**
 * T33: processes that run a projection are killed at random points, and others go on; the counter stays exact. `KILLS`
 * says how many; 12 where it is not set.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { points } from "./Orders.ts"
import { checkMoves, projector, recordMoves } from "./Processes.ts"
import { seeded } from "./Seed.ts"

const kills = Number(process.env["KILLS"] ?? "12")

/** Starts a process that will die at a point, and waits until it has; fails if it ended otherwise. */
const untilKilled = (random: () => number) =>
  Effect.gen(function*() {
    const point = points[Math.floor(random() * points.length)]!
    // A process handles some fifteen events for each page that it reads.
    const count = 1 + Math.floor(random() * (point.endsWith("handler") ? 150 : 10))
    const delay = random() < 0.5 ? 0 : 1 + Math.floor(random() * 8)
    const child = yield* projector({
      tallies: ["tally"],
      lease: 150,
      fate: { signal: "SIGKILL", point, count, delay }
    })
    assert.deepStrictEqual(yield* child.ended, [null, "SIGKILL"], child.said())
    return point
  }).pipe(Effect.scoped)

describe("processes that run a projection", () => {
  it.live(
    `count exactly, though they are killed ${kills} times`,
    () =>
      Effect.gen(function*() {
        const { random } = seeded()
        yield* Projection.catchUp(Tally.tally())
        yield* recordMoves
        const grow = yield* Effect.forkChild(Effect.forever(Effect.gen(function*() {
          yield* Tally.appendVotes(1 + Math.floor(random() * 30))
          yield* Effect.sleep(10)
          yield* Tally.checked()
        })))
        const killing = Effect.forEach(Array.from({ length: kills }), () => untilKilled(random), { concurrency: 2 })
        const killed = yield* Effect.raceFirst(killing, Fiber.join(grow))
        yield* Fiber.interrupt(grow)
        assert.isAbove(new Set(killed).size, 2, "too few different points")
        assert.isAbove(Number(yield* Tally.verify()), 100, "killed before they had done anything")
        const head = yield* Tally.append(Tally.voted("last"))
        assert.strictEqual(yield* Projection.catchUp(Tally.tally()), head)
        assert.strictEqual(yield* Tally.verify(), head)
        assert.isAbove((yield* checkMoves).get("tally") ?? 0, kills / 4, "too few take-overs")
      }).pipe(Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer)))),
    30_000 + kills * 3_000
  )
})
