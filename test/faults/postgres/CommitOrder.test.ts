/**
 * Appends under way at the same time, in every order of beginning and commit: a reader that goes by positions never
 * skips one, and never sees a stream's events in another order than the stream's own.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { assert } from "@effect/vitest"
import { Array, Effect, Exit, Fiber } from "effect"
import { commandId, several, stream } from "../../../packages/postgres/test/Facts.ts"
import * as Invariants from "../../../packages/postgres/test/Invariants.ts"
import { random as seeded } from "../../../packages/postgres/test/NastyJson.ts"
import * as Sabotage from "../../../packages/postgres/test/Sabotage.ts"
import { suite, type TestLog } from "../../../packages/postgres/test/TestLog.ts"
import * as ByHand from "./ByHand.ts"
import * as Follower from "./Follower.ts"
import * as Gate from "./Gate.ts"

const { any, noStream } = ExpectedVersion

const seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)

/** A store whose sessions have this name. */
const named = (log: TestLog, applicationName: string) => log.open({ url: log.url, applicationName })

/** Everything, by pages of this size. */
const paged = ({ store }: TestLog, limit: number) =>
  Effect.gen(function*() {
    const events: Array<RecordedEvent> = []
    let after = 0n
    while (true) {
      const page = yield* store.readAll({ after, limit })
      events.push(...page.events)
      if (page.position === after) return events
      after = page.position
    }
  })

suite(`commits in every order (FAULT_SEED=${seed})`, (test, control) => {
  test("T15, T17, T30: an append held before its commit holds up the next, and no reader passes it", (log) =>
    Effect.gen(function*() {
      const first = yield* named(log, Gate.held)
      const second = yield* named(log, "second")
      const gate = yield* Gate.shut(log)
      const follower = yield* Follower.follow(log.store)
      const a = yield* Effect.forkChild(first.append(stream("a"), noStream, several(2)))
      yield* gate.reached(1)
      const b = yield* Effect.forkChild(second.append(stream("b"), noStream, several(1)))
      yield* Gate.waiting(log.sql, "second", 1)
      for (let poll = 0; poll < 10; poll++) {
        assert.deepStrictEqual(yield* log.store.readAll({ after: 0n, limit: 10 }), {
          events: [],
          position: 0n,
          head: 0n,
          previousEventId: undefined,
          lastEventId: undefined
        })
      }
      yield* gate.open
      assert.deepInclude(yield* Fiber.join(a), { version: 1, globalPosition: 2n })
      assert.deepInclude(yield* Fiber.join(b), { version: 0, globalPosition: 3n })
      yield* Effect.timeout(follower.received(3), "5 seconds")
      assert.deepStrictEqual(follower.delivered.map(({ globalPosition }) => globalPosition), [1n, 2n, 3n])
    }))

  control(
    "T15 control: with a sequence instead of the lock, a reader passes the held append for ever",
    (log) =>
      Effect.gen(function*() {
        yield* Sabotage.drawPositionsFromSequence(log.sql, log.schema)
        const first = yield* named(log, Gate.held)
        const gate = yield* Gate.shut(log)
        const a = yield* Effect.forkChild(first.append(stream("a"), noStream, several(2)))
        yield* gate.reached(1)
        yield* log.store.append(stream("b"), noStream, several(1))
        // A reader that trusts positions: the store's own notices the gaps.
        const behind = (position: bigint) =>
          log.sql<{ at: bigint }>`
            SELECT global_position AS at FROM events WHERE global_position > ${position} ORDER BY global_position`
        const seen = yield* behind(0n)
        assert.strictEqual(seen.length, 1)
        yield* gate.open
        yield* Fiber.join(a)
        assert.deepStrictEqual(yield* behind(seen[0]!.at), [])
        assert.strictEqual((yield* Invariants.readRows(log.sql, log.schema)).length, 3)
      })
  )

  test("T16: an append that fails before its commit leaves no hole", (log) =>
    Effect.gen(function*() {
      const first = yield* named(log, Gate.doomed)
      const second = yield* named(log, "second")
      const gate = yield* Gate.shut(log)
      const follower = yield* Follower.follow(log.store)
      const a = yield* Effect.forkChild(Effect.flip(first.append(stream("a"), noStream, several(2))))
      yield* Gate.waiting(log.sql, Gate.doomed, 1)
      const b = yield* Effect.forkChild(second.append(stream("b"), noStream, several(1)))
      yield* Gate.waiting(log.sql, "second", 1)
      yield* gate.open
      assert.deepInclude(yield* Fiber.join(a), { _tag: "EventStoreError", retryable: false })
      assert.deepInclude(yield* Fiber.join(b), { version: 0, globalPosition: 1n })
      yield* Effect.timeout(follower.received(1), "5 seconds")
    }))

  test("T04: the loser of a race leaves nothing, not even its command id", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), noStream, several(1))
      const options = { commandId: commandId() }
      const losers = [
        { streamId: stream("b"), expected: any, events: several(2) },
        { streamId: stream("a"), expected: noStream, events: several(1) }
      ] as const
      const conflict = yield* Effect.flip(log.store.transact(losers, options))
      assert.deepInclude(conflict, { _tag: "VersionConflict", actual: 0 })
      assert.deepStrictEqual(yield* log.store.readCommand(options.commandId), [])
      const [first, second] = yield* log.store.transact([losers[0], { ...losers[1], expected: any }], options)
      assert.deepInclude(first, { version: 1, globalPosition: 3n, duplicate: false })
      assert.deepInclude(second, { version: 1, globalPosition: 4n, duplicate: false })
    }))

  test("T18, T19: a transaction that began before another's append, and appends after it, stands behind it", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE TABLE foreign_rows (n int)`
      const follower = yield* Follower.follow(log.store)
      const session = yield* ByHand.session(log)
      yield* session.withTransaction(Effect.gen(function*() {
        yield* session`INSERT INTO foreign_rows VALUES (1)`
        yield* log.store.append(stream("a"), noStream, several(1))
        yield* ByHand.append(session, log, stream("a"), several(1))
      }))
      yield* Effect.timeout(follower.received(2), "5 seconds")
      assert.deepStrictEqual(follower.delivered.map(({ version }) => version), [0, 1])
      const xids = yield* log.sql<
        { xid: bigint }
      >`SELECT xmin::text::bigint AS xid FROM events ORDER BY global_position`
      assert.isTrue(xids[0]!.xid > xids[1]!.xid, "by transaction ids they stand the other way round")
    }))

  test("T25: 20 transactions open at once, that append and commit in reverse order", (log) =>
    Effect.gen(function*() {
      yield* log.sql`CREATE TABLE foreign_rows (n int)`
      const follower = yield* Follower.follow(log.store)
      const sessions = yield* Effect.forEach(Array.range(1, 20), () => ByHand.session(log))
      for (const session of sessions) {
        yield* session.unsafe("BEGIN")
        yield* session`INSERT INTO foreign_rows VALUES (1)`
      }
      for (const session of sessions.toReversed()) {
        yield* ByHand.append(session, log, stream("a"), several(200))
        yield* session.unsafe("COMMIT")
      }
      yield* Effect.timeout(follower.received(4_000), "10 seconds")
      assert.isTrue(
        follower.delivered.every(({ globalPosition, version }, i) => globalPosition === BigInt(i + 1) && version === i)
      )
    }))

  test("T28: pages of any size hold everything, whatever was stored, refused or failed at their bounds", (log) =>
    Effect.gen(function*() {
      const random = seeded(seed)
      const doomed = yield* named(log, Gate.doomed)
      const gate = yield* Gate.shut(log)
      yield* gate.open
      let stored = 0
      for (let step = 0; step <= 32; step++) {
        const count = 1 + Math.floor(random() * 4)
        const streamId = stream(`s-${Math.floor(random() * 3)}`)
        switch (Math.floor(random() * 3)) {
          case 0:
            yield* log.store.append(streamId, any, several(count))
            stored += count
            break
          case 1:
            assert.isTrue(Exit.isFailure(yield* Effect.exit(doomed.append(streamId, any, several(count)))))
            break
          case 2:
            yield* Effect.flip(log.store.append(streamId, ExpectedVersion.exact(10_000), several(count)))
        }
        if (step % 4 > 0) continue
        for (const limit of [1, 2, 3, 7, 500]) {
          const positions = (yield* paged(log, limit)).map(({ globalPosition }) => Number(globalPosition))
          assert.deepStrictEqual(positions, stored === 0 ? [] : Array.range(1, stored))
        }
      }
      assert.isAbove(stored, 10)
    }))
})
