import { assert, describe, it } from "@effect/vitest"
import { Array, Deferred, Effect, Exit, Fiber, Queue, Result, Schema, Scope } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import * as GroupCommit from "../src/internal/GroupCommit.ts"

interface Job {
  readonly id: number
  readonly key?: string
  readonly weight?: number
}

type Group = ReadonlyArray<GroupCommit.Submission<Job, string, string>>

const limits: GroupCommit.Limits<Job> = {
  size: 100,
  weight: 100,
  weigh: ({ weight = 1 }) => weight,
  key: ({ id, key = String(id) }) => key,
  capacity: 1_000,
  lanes: 1,
  share: 1,
  worth: 1_000
}

const ids = (group: Group) => group.map(({ input }) => input.id)
const succeedAll = (group: Group) =>
  group.forEach(({ complete, input }) => complete(Effect.succeed(`done ${input.id}`)))

/** A group commit whose flushes the test sees begin, and ends; what it leaves running ends with the test. */
const controlled = (
  given: Partial<GroupCommit.Limits<Job>> = {},
  within?: Scope.Scope,
  options?: GroupCommit.Options<string>
) =>
  Effect.gen(function*() {
    const flushes = yield* Queue.unbounded<{ readonly group: Group; readonly end: Effect.Effect<boolean> }>()
    const testEnds = yield* Deferred.make<void>()
    const flush = (group: Group) =>
      Effect.gen(function*() {
        const ended = yield* Deferred.make<void>()
        yield* Queue.offer(flushes, { group, end: Deferred.succeed(ended, undefined) })
        yield* Effect.race(Deferred.await(ended), Deferred.await(testEnds))
        succeedAll(group)
      })
    const { queue, submit } = yield* Scope.provide(
      GroupCommit.make({ ...limits, ...given }, flush, options),
      within ?? (yield* Effect.scope)
    )
    yield* Effect.addFinalizer(() => Deferred.succeed(testEnds, undefined))
    return { queue, submit, next: Queue.take(flushes), pending: Queue.size(flushes) }
  })

/** Forks so that the submission has been made when this returns. The fiber outlives the test's scope: see `controlled`. */
const begin = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Fiber.Fiber<A, E>> =>
  Effect.forkDetach(effect, { startImmediately: true })

/** Lets every fiber run until all of them wait. */
const settle = Effect.forEach(Array.range(1, 20), () => Effect.yieldNow, { discard: true })

// On the test clock, which never moves here: whatever waited for time would never end.
describe("GroupCommit", () => {
  it.effect("a lone submission goes at once", () =>
    Effect.gen(function*() {
      const { next, submit } = yield* controlled()
      const alone = yield* begin(submit({ id: 1 }))
      const { end, group } = yield* next
      assert.deepStrictEqual(ids(group), [1])
      yield* end
      assert.strictEqual(yield* Fiber.join(alone), "done 1")
    }))

  it.effect("what is submitted in one turn is one group, also when all lanes are idle", () =>
    Effect.gen(function*() {
      const { next, pending, submit } = yield* controlled({ lanes: 3, share: 5 })
      yield* settle
      yield* Effect.forEach(Array.range(1, 5), (id) => begin(submit({ id })))
      assert.deepStrictEqual(ids((yield* next).group), [1, 2, 3, 4, 5])
      yield* settle
      assert.strictEqual(yield* pending, 0)
    }))

  it.effect("what comes while a group is under way goes together into the next", () =>
    Effect.gen(function*() {
      const { next, pending, submit } = yield* controlled()
      yield* begin(submit({ id: 1 }))
      const first = yield* next
      const others = yield* Effect.forEach(Array.range(2, 9), (id) => begin(Effect.andThen(settle, submit({ id }))))
      yield* settle
      yield* settle
      assert.strictEqual(yield* pending, 0, "nothing is flushed beside the group under way")
      yield* first.end
      const second = yield* next
      assert.deepStrictEqual(ids(second.group), [2, 3, 4, 5, 6, 7, 8, 9])
      yield* second.end
      assert.deepStrictEqual(
        yield* Effect.forEach(others, Fiber.join),
        [2, 3, 4, 5, 6, 7, 8, 9].map((id) => `done ${id}`)
      )
    }))

  it.effect("as many groups are under way as there are lanes", () =>
    Effect.gen(function*() {
      const { next, pending, submit } = yield* controlled({ lanes: 2 })
      yield* begin(submit({ id: 1 }))
      yield* next
      yield* begin(submit({ id: 2 }))
      const second = yield* next
      yield* begin(submit({ id: 3 }))
      yield* settle
      assert.strictEqual(yield* pending, 0)
      yield* second.end
      assert.deepStrictEqual(ids((yield* next).group), [3])
    }))

  it.effect("what waits is shared out between the lanes, down to a group's least part", () =>
    Effect.gen(function*() {
      const { next, submit } = yield* controlled({ lanes: 2, share: 4 })
      const submitAll = (from: number, count: number) =>
        Effect.forEach(Array.makeBy(count, (i) => from + i), (id) => begin(submit({ id })))
      yield* submitAll(0, 10)
      const [first, second] = [yield* next, yield* next]
      assert.deepStrictEqual([ids(first.group), ids(second.group)], [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]])
      // With five under way, seven that wait are more than half of all.
      yield* submitAll(10, 7)
      yield* first.end
      const third = yield* next
      assert.deepStrictEqual(ids(third.group), [10, 11, 12, 13, 14, 15])
      yield* third.end
      assert.deepStrictEqual(ids((yield* next).group), [16])
    }))

  it.effect("fewer than a group's least part are not shared out", () =>
    Effect.gen(function*() {
      const { next, pending, submit } = yield* controlled({ lanes: 2, share: 4 })
      yield* Effect.forEach([1, 2, 3], (id) => begin(submit({ id })))
      assert.deepStrictEqual(ids((yield* next).group), [1, 2, 3])
      yield* settle
      assert.strictEqual(yield* pending, 0)
    }))

  it.live("where commits are slow, what comes while one is under way waits for its end, and goes together", () =>
    Effect.gen(function*() {
      const sizes: Array<number> = []
      const flush = (group: Group) =>
        Effect.andThen(
          Effect.sync(() => sizes.push(group.length)),
          Effect.delay(Effect.sync(() => succeedAll(group)), "20 millis")
        )
      const groups = yield* GroupCommit.make({ ...limits, lanes: 2, share: 4, worth: 0.04 }, flush)
      const caller = (id: number) =>
        Effect.repeat(Effect.suspend(() => groups.submit({ id })), { while: () => sizes.length < 40 })
      yield* Effect.forEach(Array.range(1, 20), caller, { concurrency: "unbounded" })
      // Nothing is known of the first; then all callers are in each.
      assert.include(sizes, 10)
      assert.deepStrictEqual(sizes.slice(-11, -1), Array.makeBy(10, () => 20))
    }))

  const groupsOf = (given: Partial<GroupCommit.Limits<Job>>, jobs: ReadonlyArray<Job>) =>
    Effect.gen(function*() {
      const { next, submit } = yield* controlled(given)
      const fibers = yield* Effect.forEach(jobs, (job) => begin(submit(job)))
      const groups: Array<ReadonlyArray<number>> = []
      while (groups.flat().length < jobs.length) {
        const { end, group } = yield* next
        groups.push(ids(group))
        yield* end
      }
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), jobs.map(({ id }) => `done ${id}`))
      return groups
    })

  it.effect("a group has no more submissions than its size", () =>
    Effect.gen(function*() {
      const groups = yield* groupsOf({ size: 3 }, Array.range(1, 8).map((id) => ({ id })))
      assert.deepStrictEqual(groups, [[1, 2, 3], [4, 5, 6], [7, 8]])
    }))

  it.effect("a group has no more weight than allowed, and what is too heavy goes alone, in its turn", () =>
    Effect.gen(function*() {
      const weights = [4, 6, 1, 11, 2, 9]
      const groups = yield* groupsOf({ weight: 10 }, weights.map((weight, id) => ({ id, weight })))
      assert.deepStrictEqual(groups, [[0, 1], [2], [3], [4], [5]])
    }))

  it.effect("equal keys go into different groups, in order of arrival", () =>
    Effect.gen(function*() {
      const keys = ["a", "b", "a", "c", "a", "a"]
      const groups = yield* groupsOf({}, keys.map((key, id) => ({ id, key })))
      assert.deepStrictEqual(groups, [[0, 1], [2, 3], [4], [5]])
    }))

  it.effect("interruption before the flush takes the submission back", () =>
    Effect.gen(function*() {
      const { next, submit } = yield* controlled()
      yield* begin(submit({ id: 1 }))
      const first = yield* next
      const second = yield* begin(submit({ id: 2 }))
      yield* begin(submit({ id: 3 }))
      yield* Fiber.interrupt(second)
      yield* first.end
      assert.deepStrictEqual(ids((yield* next).group), [3])
    }))

  it.effect("interruption during the flush waits for its outcome", () =>
    Effect.gen(function*() {
      const { next, submit } = yield* controlled()
      const first = yield* begin(submit({ id: 1 }))
      const { end } = yield* next
      const interruption = yield* begin(Fiber.interrupt(first))
      yield* settle
      assert.isUndefined(interruption.pollUnsafe(), "the outcome is not certain yet")
      yield* end
      yield* Fiber.join(interruption)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(first)))
    }))

  it.effect("beyond the capacity callers wait for room, in order, and can be interrupted there", () =>
    Effect.gen(function*() {
      const { next, pending, submit } = yield* controlled({ capacity: 2, lanes: 3 })
      yield* begin(submit({ id: 1 }))
      const first = yield* next
      yield* begin(submit({ id: 2 }))
      const second = yield* next
      const third = yield* begin(submit({ id: 3 }))
      yield* begin(submit({ id: 4 }))
      yield* settle
      assert.strictEqual(yield* pending, 0, "a lane is idle, but there is no room")
      yield* Fiber.interrupt(third)
      yield* first.end
      assert.deepStrictEqual(ids((yield* next).group), [4])
      yield* second.end
    }))

  it.effect("beyond the capacity callers fail at once, if that is asked for, until there is room again", () =>
    Effect.gen(function*() {
      const { next, pending, submit } = yield* controlled({ capacity: 2 }, undefined, {
        whenFull: { fail: () => "full" }
      })
      const first = yield* begin(submit({ id: 1 }))
      const { end } = yield* next
      const second = yield* begin(submit({ id: 2 }))
      assert.strictEqual(yield* Effect.flip(submit({ id: 3 })), "full")
      yield* end
      assert.strictEqual(yield* Fiber.join(first), "done 1")
      const fourth = yield* begin(submit({ id: 4 }))
      assert.strictEqual(yield* Effect.flip(submit({ id: 5 })), "full")
      yield* Fiber.interrupt(fourth)
      yield* begin(submit({ id: 6 }))
      const others = yield* next
      assert.include(ids(others.group), 2)
      yield* others.end
      assert.strictEqual(yield* Fiber.join(second), "done 2")
      yield* settle
      assert.isAtMost(yield* pending, 1)
    }))

  it.effect("tells how large groups are, how many wait, and when each submission has its outcome", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const { next, submit } = yield* controlled({ size: 2 }, undefined, {
        observer: {
          grouped: (size, waiting) => told.push(`${size}, and ${waiting} wait`),
          completed: (milliseconds) => told.push(milliseconds >= 0 ? "completed" : "before it came")
        }
      })
      const fibers = yield* Effect.forEach([1, 2, 3], (id) => begin(submit({ id })))
      for (let group = 0; group < 2; group++) yield* (yield* next).end
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(told, ["2, and 1 wait", "completed", "completed", "1, and 0 wait", "completed"])
    }))

  it.effect("a flush that dies fails its own submissions only, and the lane lives on", () =>
    Effect.gen(function*() {
      const { submit } = yield* GroupCommit.make<Job, string, string>(limits, (group) =>
        group.some(({ input }) =>
            input.id === 2
          )
          ? Effect.andThen(Effect.sync(() => group[0]!.complete(Effect.succeed("in time"))), Effect.die("broken"))
          : Effect.sync(() => succeedAll(group)))
      const [first, second] = yield* Effect.forEach([1, 2], (id) => begin(submit({ id })))
      assert.strictEqual(yield* Fiber.join(first!), "in time")
      assert.isTrue(Exit.hasDies(yield* Fiber.await(second!)))
      assert.strictEqual(yield* submit({ id: 3 }), "done 3")
    }))

  it.effect("a submission that a flush forgets is told so", () =>
    Effect.gen(function*() {
      const { submit } = yield* GroupCommit.make<Job, string, string>(limits, () => Effect.void)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(submit({ id: 1 }))))
    }))

  it.effect("closing waits for the flush, and completes whoever waits, for a group or for room, then or later", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { next, submit } = yield* controlled({ capacity: 2 }, scope)
      const flushed = yield* begin(submit({ id: 1 }))
      const { end } = yield* next
      const waiting = yield* begin(submit({ id: 2 }))
      const withoutRoom = yield* begin(submit({ id: 3 }))
      const closing = yield* begin(Scope.close(scope, Exit.void))
      yield* settle
      assert.isUndefined(closing.pollUnsafe(), "the flush under way is waited for")
      yield* end
      yield* Fiber.join(closing)
      assert.strictEqual(yield* Fiber.join(flushed), "done 1")
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(waiting)))
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(withoutRoom)))
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(yield* begin(submit({ id: 4 })))))
    }))

  const small = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
  const Script = Schema.Struct({
    size: small(1, 5),
    weight: small(1, 8),
    capacity: small(1, 12),
    lanes: small(1, 3),
    jobs: Schema.Array(Schema.Struct({
      key: small(0, 4),
      weight: small(1, 10),
      /** Turns that pass before it is submitted, before its flush ends, and before it is interrupted, if it is. */
      delay: small(0, 6),
      duration: small(0, 6),
      interruptedAfter: Schema.NullOr(small(0, 12)),
      fails: Schema.Boolean
    })).check(Schema.isMaxLength(30))
  })

  it.effect("whatever the schedule: each submission gets exactly its own outcome, and groups keep their limits", () =>
    Effect.gen(function*() {
      const turns = (count: number) => Effect.forEach(Array.makeBy(count, () => 0), () => Effect.yieldNow)
      const result = yield* Arbitrary.checkEffect(
        Arbitrary.schema(Script),
        (script) =>
          Effect.scoped(Effect.gen(function*() {
            const flushed: Array<number> = []
            const outcome = (id: number) =>
              script.jobs[id]!.fails ? Result.fail(`failed ${id}`) : Result.succeed(`${id}`)
            const { submit } = yield* GroupCommit.make<Job, string, string>({ ...limits, ...script }, (group) =>
              Effect.gen(function*() {
                flushed.push(...ids(group))
                const jobs = group.map(({ input }) => script.jobs[input.id]!)
                assert.isAtLeast(group.length, 1)
                assert.isAtMost(group.length, script.size)
                assert.strictEqual(new Set(jobs.map(({ key }) => key)).size, jobs.length)
                const weight = jobs.reduce((sum, job) => sum + job.weight, 0)
                assert.isTrue(weight <= script.weight || jobs.length === 1)
                yield* turns(jobs[0]!.duration)
                for (const { complete, input } of group) complete(Effect.fromResult(outcome(input.id)))
              }))
            const fibers = yield* Effect.forEach(script.jobs, (job, id) =>
              begin(Effect.gen(function*() {
                yield* turns(job.delay)
                return yield* submit({ id, key: String(job.key), weight: job.weight })
              })))
            yield* Effect.forEach(script.jobs, ({ interruptedAfter }, id) =>
              interruptedAfter === null
                ? Effect.void
                : begin(Effect.andThen(turns(interruptedAfter), Fiber.interrupt(fibers[id]!))))
            const exits = yield* Effect.forEach(fibers, Fiber.await)
            assert.strictEqual(new Set(flushed).size, flushed.length, "nothing is flushed twice")
            exits.forEach((exit, id) => {
              const { interruptedAfter } = script.jobs[id]!
              if (Exit.isSuccess(exit)) {
                assert.deepStrictEqual(Result.succeed(exit.value), outcome(id))
              } else if (Exit.hasInterrupts(exit)) {
                assert.isNotNull(interruptedAfter, `nobody interrupted ${id}`)
              } else assert.deepStrictEqual(Exit.findErrorOption(exit), Result.getFailure(outcome(id)))
              if (interruptedAfter === null) {
                assert.include(flushed, id)
              }
            })
            return true
          })),
        { runs: 300, seed: "GroupCommit" }
      )
      assert.isUndefined(Arbitrary.formatCheckFailure(result))
    }))
})
