/**
 * The cache that all implementations of the subjects' keys share, and the keys in memory.
 */
import * as MemorySubjectKeys from "@composable-ts/core/MemorySubjectKeys"
import { SubjectKeysError } from "@composable-ts/core/PersonalError"
import * as SubjectKeys from "@composable-ts/core/SubjectKeys"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"

/** Keys in memory, and the look-ups that get past the cache. */
const observed = (options?: SubjectKeys.CacheOptions) =>
  Effect.gen(function*() {
    const kept = yield* MemorySubjectKeys.operations
    const asked: Array<ReadonlyArray<string>> = []
    const operations: SubjectKeys.Operations = {
      ...kept,
      find: (subjects) => {
        asked.push(subjects)
        return kept.find(subjects)
      }
    }
    return { asked, operations, keys: SubjectKeys.make(operations, options) }
  })

const isShredded = (keys: SubjectKeys.Service, subject: string) =>
  Effect.map(keys.opening([subject]), (openers) => openers.get(subject) === "shredded")

describe("keys", () => {
  it.effect("are made by sealing, not by opening, one for each subject", () =>
    Effect.gen(function*() {
      const { keys } = yield* observed()
      assert.strictEqual((yield* keys.opening(["a"])).size, 0)
      assert.deepStrictEqual([...(yield* keys.sealing(["a", "b"])).keys()], ["a", "b"])
      const opener = (subject: string) =>
        Effect.map(keys.opening([subject]), (openers) => {
          const opener = openers.get(subject)
          return opener === undefined || opener === "shredded" ? assert.fail(`no key for ${subject}`) : opener
        })
      const [a, b] = [yield* opener("a"), yield* opener("b")]
      const sealed = yield* Effect.promise(async () => a.seal("text", "place", ""))
      assert.deepStrictEqual(
        yield* Effect.promise(() => Promise.all([a.open(sealed, "place"), b.open(sealed, "place")])),
        ["text", undefined]
      )
    }))

  it.effect("once shredded stay so, with the first record; also of a subject that had none", () =>
    Effect.gen(function*() {
      const { keys } = yield* observed()
      yield* keys.sealing(["a"])
      const first = yield* keys.shred("a", "request 17")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* keys.shred("a", "another reason"), first)
      yield* keys.shred("b", "request 18")
      const again = yield* keys.sealing(["a", "b"])
      assert.deepStrictEqual([...again.values()], ["shredded", "shredded"])
      assert.deepStrictEqual(yield* Stream.runCollect(keys.shreddings), [
        { subject: "a", reason: "request 17", time: 0 },
        { subject: "b", reason: "request 18", time: 3_600_000 }
      ])
    }))
})

describe("the cache", () => {
  it.effect("looks up what it does not know, all at once, and for as long as a key may live", () =>
    Effect.gen(function*() {
      const { asked, keys } = yield* observed({ timeToLive: "10 seconds" })
      yield* keys.sealing(["a"])
      yield* keys.opening(["a", "b", "c"])
      yield* keys.opening(["a"])
      assert.deepStrictEqual(asked, [["b", "c"]])
      yield* TestClock.adjust("9 seconds")
      yield* keys.opening(["a"])
      assert.strictEqual(asked.length, 1)
      yield* TestClock.adjust("1 second")
      yield* keys.opening(["a"])
      assert.deepStrictEqual(asked.slice(1), [["a"]])
    }))

  it.effect("is bounded: the key read longest ago makes room", () =>
    Effect.gen(function*() {
      const { asked, keys } = yield* observed({ capacity: 2 })
      yield* keys.sealing(["a", "b"])
      yield* keys.sealing(["c"])
      yield* keys.opening(["b", "c"])
      assert.deepStrictEqual(asked, [])
      yield* keys.opening(["a"])
      assert.deepStrictEqual(asked, [["a"]])
    }))

  it.effect("with no time to live keeps nothing", () =>
    Effect.gen(function*() {
      const { asked, keys } = yield* observed({ timeToLive: 0 })
      yield* keys.sealing(["a"])
      yield* keys.opening(["a"])
      yield* keys.opening(["a"])
      assert.deepStrictEqual(asked, [["a"], ["a"]])
    }))

  it.effect("forgets at once what is shredded here, and also what was being looked up meanwhile", () =>
    Effect.gen(function*() {
      const { operations } = yield* observed()
      const gate = yield* Deferred.make<void>()
      const read = yield* Deferred.make<void>()
      const keys = SubjectKeys.make({
        ...operations,
        find: (subjects) =>
          Effect.tap(
            operations.find(subjects),
            () => Effect.andThen(Deferred.succeed(read, undefined), Deferred.await(gate))
          )
      })
      yield* operations.ensure(["a"])
      const slow = yield* Effect.forkChild(isShredded(keys, "a"))
      yield* Deferred.await(read)
      yield* keys.shred("a", "request 17")
      yield* Deferred.succeed(gate, undefined)
      assert.isFalse(yield* Fiber.join(slow), "it was read before")
      assert.isTrue(yield* isShredded(keys, "a"), "what was read before came into the cache afterwards")
    }))

  it.effect("forgets also when the shredding fails, because it may have been done all the same", () =>
    Effect.gen(function*() {
      const { asked, operations } = yield* observed()
      const lost = new SubjectKeysError({ operation: "shred", retryable: true, cause: new Error("connection lost") })
      const keys = SubjectKeys.make({
        ...operations,
        shred: (...shred) => Effect.andThen(operations.shred(...shred), Effect.fail(lost))
      })
      yield* keys.sealing(["a"])
      assert.strictEqual(yield* Effect.flip(keys.shred("a", "request 17")), lost)
      assert.isTrue(yield* isShredded(keys, "a"))
      assert.deepStrictEqual(asked, [["a"]])
    }))
})
