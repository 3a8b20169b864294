/**
 * T27 and T30: a catch-up of a long backlog while others append all the time and wake it, with a checkpoint at every few
 * events. `EVENTS` sets the length of the backlog; 20 000 takes a few seconds.
 */
import { EventStore, type LogPage } from "@composable-ts/core/EventStore"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as Projection from "@composable-ts/projections/Projection"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as Tally from "../../../packages/projections/test/Votes.ts"
import { checkMoves, recordMoves } from "./Processes.ts"

const database = TestDatabase.layerMigrated("log", PostgresEventStore.layer())

const backlog = Math.ceil(Number(process.env["EVENTS"] ?? "20000") / 2_000)

/** Catches up with a backlog that grows, each page seen as `change` makes it; returns the log's head. */
const caughtUp = (change: (page: LogPage) => LogPage) =>
  Effect.gen(function*() {
    const log = yield* EventStore
    const changed = {
      ...log,
      // So small that there are checkpoints all the time.
      readAll: (options: Parameters<typeof log.readAll>[0]) =>
        Effect.map(log.readAll({ ...options, limit: Math.min(options.limit, 50) }), change)
    }
    yield* Projection.catchUp(Tally.batchTally())
    yield* recordMoves
    for (let i = 0; i < backlog; i++) yield* Tally.appendVotes(2_000)
    const live = yield* Effect.forkChild(Effect.forever(Tally.appendVotes(3)))
    const applied: Array<bigint> = []
    const tally = Tally.batchTally(Tally.main, (positions) => Effect.sync(() => void applied.push(...positions)))
    const runner = yield* Effect.forkChild(Effect.provideService(Projection.run(tally), EventStore, changed))
    yield* Tally.until(BigInt(backlog * 2_000 + 100))
    yield* Fiber.interrupt(live)
    const head = yield* Tally.appendVotes(1)
    yield* Tally.until(head)
    yield* Fiber.interrupt(runner)
    return { head, applied }
  })

describe("T27, T30: a catch-up while others append", () => {
  it.live(
    "applies each event once and in order, across the seam, and its checkpoint only moves on",
    () =>
      Effect.gen(function*() {
        const { applied, head } = yield* caughtUp((page) => page)
        assert.strictEqual(yield* Tally.verify(), head)
        assert.isTrue(applied.every((position, i) => i === 0 || position > applied[i - 1]!), "out of order")
        yield* checkMoves
      }).pipe(Effect.provide(database)),
    60_000
  )

  it.live("negative control: one event that is left out at a seam shows", () =>
    Effect.gen(function*() {
      let left = 1
      yield* caughtUp((page) => {
        const isSeam = page.position === page.head && page.events.length > 1 && left > 0
        if (isSeam) left--
        return isSeam ? { ...page, events: page.events.slice(1) } : page
      })
      assert.strictEqual(left, 0)
      const failure = yield* Effect.flip(Effect.catchDefect(Tally.verify(), (defect) => Effect.fail(defect)))
      assert.match(String(failure), /deep-equal|deepStrictEqual|strictly/i)
    }).pipe(Effect.provide(database)), 60_000)
})
