/**
 * T33: processes that run a projection are killed at random points, and others go on; the counter stays exact. `KILLS`
 * says how many; 30 where it is not set.
 */
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { seeded } from "./Seed.ts"

const kills = Number(process.env["KILLS"] ?? "30")

const points = ["before a handler", "after a handler", "before a commit", "after a commit"] as const

const script = fileURLToPath(new URL("./Projector.ts", import.meta.url))

/** Starts a process that will die at a point, and waits until it has; fails if it ended otherwise. */
const untilKilled = (url: string, random: () => number) =>
  Effect.gen(function*() {
    const point = points[Math.floor(random() * points.length)]!
    // A process handles some fifteen events for each page that it reads.
    const count = 1 + Math.floor(random() * (point.endsWith("handler") ? 150 : 10))
    const delay = random() < 0.5 ? 0 : 1 + Math.floor(random() * 8)
    let said = ""
    const [code, signal] = yield* Effect.acquireUseRelease(
      Effect.sync((): ChildProcess =>
        spawn(process.execPath, [script, url, point, `${count}`, `${delay}`], { stdio: ["ignore", "ignore", "pipe"] })
      ),
      (child) =>
        Effect.promise(async () => {
          child.stderr?.setEncoding("utf8").on("data", (text: string) => said += text)
          return await once(child, "close")
        }),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    assert.deepStrictEqual([code, signal], [null, "SIGKILL"], said)
    return point
  })

describe("processes that run a projection", () => {
  it.live(
    `count exactly, though they are killed ${kills} times`,
    () =>
      Effect.gen(function*() {
        const { random } = seeded()
        const { config } = yield* PgClient.PgClient
        assert.isDefined(config.url)
        const url = Redacted.value(config.url)
        const grow = yield* Effect.forkChild(Effect.forever(Effect.gen(function*() {
          yield* Tally.appendVotes(1 + Math.floor(random() * 30))
          yield* Effect.sleep(10)
          yield* Tally.checked()
        })))
        const killing = Effect.forEach(Array.from({ length: kills }), () => untilKilled(url, random), {
          concurrency: 2
        })
        const killed = yield* Effect.raceFirst(killing, Fiber.join(grow))
        yield* Fiber.interrupt(grow)
        assert.isAbove(new Set(killed).size, 2, "too few different points")
        assert.isAbove(Number(yield* Tally.verify()), 100, "killed before they had done anything")
        const head = yield* Tally.append(Tally.voted("last"))
        assert.strictEqual(yield* Projection.catchUp(Tally.tally()), head)
        assert.strictEqual(yield* Tally.verify(), head)
      }).pipe(Effect.provide(PostgresEventStore.layer().pipe(Layer.provideMerge(TestDatabase.layer)))),
    30_000 + kills * 2_000
  )
})
