import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { TestClock } from "effect/testing"
import * as Progress from "../src/internal/progress.ts"
import * as Lease from "../src/Lease.ts"

const part = (name: string, version = 1) => ({ name, version, partition: 0, epoch: 1n })

const setUp = Effect.gen(function*() {
  const client = yield* PgClient.PgClient
  const progress = yield* Progress.make(client)
  const notifications = yield* client.listen(Progress.channel)
  return {
    progress,
    /** What has been announced up to now. */
    heard: Effect.gen(function*() {
      // Announcements go out one after the other: what was due is on its way when this one is.
      progress.moved(part("probe"), 1n)
      progress.awaited("probe v1")
      const payloads: Array<string> = []
      while (!payloads.includes("probe v1")) payloads.push((yield* Queue.take(notifications)).payload)
      return payloads.filter((each) => each !== "probe v1")
    })
  }
})

describe("announcements of progress", () => {
  it.effect("go out while somebody waits, and are made up for when the wait is heard of late", () =>
    Effect.gen(function*() {
      const { heard, progress } = yield* setUp
      progress.moved(part("a"), 1n)
      assert.deepStrictEqual(yield* heard, ["a v1"], "who has just begun cannot know whether somebody waits")
      yield* TestClock.adjust("4 seconds")
      progress.moved(part("a"), 2n)
      progress.moved(part("b"), 1n)
      assert.deepStrictEqual(yield* heard, [])
      progress.awaited("a v1")
      assert.deepStrictEqual(yield* heard, ["a v1"], "moved before it was heard that somebody waits")
      progress.awaited("a v1")
      assert.deepStrictEqual(yield* heard, [], "announced already")
      progress.moved(part("a"), 3n)
      assert.deepStrictEqual(yield* heard, ["a v1"])
      yield* TestClock.adjust("4 seconds")
      progress.moved(part("a"), 4n)
      assert.deepStrictEqual(yield* heard, [], "nobody has said for long that it waits")
      progress.awaited(undefined)
      assert.deepStrictEqual((yield* heard).toSorted(), ["a v1", "b v1"], "what was not heard is made up for")
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer)))

  it.effect("of any version go out while somebody waits for the one that serves", () =>
    Effect.gen(function*() {
      const { heard, progress } = yield* setUp
      yield* TestClock.adjust("4 seconds")
      progress.moved(part("a", 1), 1n)
      progress.moved(part("a", 2), 1n)
      progress.moved(part("ab", 2), 1n)
      progress.awaited(Progress.servingOf("a"))
      assert.deepStrictEqual(yield* heard, ["a v1", "a v2"])
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer)))

  it.effect("are asked for once in a while by who waits", () =>
    Effect.gen(function*() {
      const client = yield* PgClient.PgClient
      const notifications = yield* client.listen(Lease.channel)
      const say = Progress.waiting(client)
      const asked = Effect.gen(function*() {
        yield* client.notify(Lease.channel, "")
        const payloads: Array<string> = []
        while (!payloads.includes("")) payloads.push((yield* Queue.take(notifications)).payload)
        return payloads.flatMap((each) => Progress.awaitedIn(each) ?? [])
      })
      yield* Effect.all([say("a v1"), say("b v1")])
      yield* Effect.all([say("a v1"), say("b v1")])
      assert.deepStrictEqual(yield* asked, ["a v1", "b v1"])
      yield* TestClock.adjust("1 second")
      yield* say("a v1")
      assert.deepStrictEqual(yield* asked, ["a v1"])
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer)))
})
