import type { Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import {
  type Case,
  counted,
  countedName,
  countFrom,
  freshStream,
  headOf,
  noted,
  notedName,
  notedType,
  positions,
  positionsAfter,
  readLog,
  several
} from "./fixture.ts"

const { any, noStream } = ExpectedVersion

/** Writers that go on in the background: so many appends of one event. */
const writing = (store: Service, appends: number) =>
  Effect.forkScoped(Effect.forEach(
    countFrom(0, appends),
    (i) => Effect.andThen(store.append(freshStream(), noStream, [counted(i)]), Effect.yieldNow),
    { concurrency: 8, discard: true }
  ))

/** The first so many that a subscription sees. */
const follow = (store: Service, after: bigint, count: number) =>
  Stream.runCollect(Stream.take(store.subscribe({ after }), count))

const patience = "10 seconds"

/** Long enough for a wake-up on any store; a wake-up that never comes would otherwise only show as a hanging test. */
export const awake = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.timeoutOrElse(effect, {
    duration: patience,
    orElse: () => Effect.die(new Error(`nothing came of it within ${patience}: is the listener woken?`))
  })

export const subscribeCases: ReadonlyArray<Case> = [
  {
    name: "subscribe: first what is there, then what comes, without gap or duplicate at the seam",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        yield* store.append(freshStream(), noStream, several(700))
        const writers = yield* writing(store, 500)
        assert.deepEqual(positions(yield* follow(store, after, 1_200)), positionsAfter(after, 1_200))
        yield* Fiber.join(writers)
      })
  },
  {
    name: "subscribe: from the head, while appends are in flight, misses none",
    check: (store) =>
      Effect.gen(function*() {
        const before = yield* headOf(store)
        const writers = yield* writing(store, 400)
        let head = before
        while (head < before + 100n) {
          yield* Effect.yieldNow
          head = yield* headOf(store)
        }
        const left = Number(before + 400n - head)
        assert.deepEqual(positions(yield* follow(store, head, left)), positionsAfter(head, left))
        yield* Fiber.join(writers)
      })
  },
  {
    name: "subscribe: idle at the head, it wakes for each append",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const seen: Array<bigint> = []
        const reader = yield* Effect.forkScoped(
          Stream.runForEach(Stream.take(store.subscribe({ after }), 5), (event) =>
            Effect.sync(() => void seen.push(event.globalPosition)))
        )
        for (let i = 0; i < 5; i++) {
          yield* store.append(freshStream(), noStream, [counted(i)])
          yield* awake(Effect.gen(function*() {
            while (seen.length <= i) {
              yield* Effect.sleep("1 millis")
            }
          }))
        }
        yield* Fiber.join(reader)
        assert.deepEqual(seen, positionsAfter(after, 5))
      })
  },
  {
    name: "subscribe: several subscribers all get everything",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const readers = yield* Effect.forEach(countFrom(0, 5), () => Effect.forkScoped(follow(store, after, 100)))
        yield* Fiber.join(yield* writing(store, 100))
        for (const reader of readers) {
          assert.deepEqual(positions(yield* Fiber.join(reader)), positionsAfter(after, 100))
        }
      })
  },
  {
    name: "subscribe: only the events asked for, also when pages of others lie between",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = freshStream()
        const reader = yield* Effect.forkScoped(
          Stream.runCollect(Stream.take(store.subscribe({ after, names: [notedName] }), 3))
        )
        for (let i = 0; i < 3; i++) {
          yield* store.append(streamId, any, several(600))
          yield* store.append(streamId, any, [noted(i)])
        }
        const seen = yield* Fiber.join(reader)
        assert.deepEqual(seen.map(({ data, type }) => [type, data]), [0, 1, 2].map((note) => [notedType, { note }]))
        assert.deepEqual(positions(seen), [after + 601n, after + 1_202n, after + 1_803n])
        assert.equal((yield* readLog(store, { after, limit: 500, names: [countedName] })).length, 1_800)
      })
  },
  {
    name: "subscribe: ends with its scope, and leaves the store at work",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        for (let i = 0; i < 20; i++) {
          const reader = yield* Effect.forkScoped(Stream.runDrain(store.subscribe({ after })))
          yield* Effect.yieldNow
          yield* Fiber.interrupt(reader)
        }
        yield* store.append(freshStream(), noStream, several(2))
        assert.deepEqual(positions(yield* follow(store, after, 2)), positionsAfter(after, 2))
      })
  },
  {
    name: "subscribe: from behind the end of the log fails at once, for what was there is lost",
    check: (store) =>
      Effect.gen(function*() {
        yield* store.append(freshStream(), noStream, [counted(1)])
        const head = yield* headOf(store)
        for (const names of [undefined, [notedName]]) {
          const beyond = Effect.flip(Stream.runDrain(store.subscribe({ after: head + 1n, names })))
          assert.deepEqual({ ...yield* awake(beyond) }, { _tag: "PositionBeyondHead", position: head + 1n, head })
        }
      })
  },
  {
    name: "listen: an append after listening began wakes the first wait, however late it begins",
    check: (store) =>
      Effect.gen(function*() {
        const appended = yield* store.listen
        yield* store.append(freshStream(), noStream, [counted(1)])
        yield* awake(appended)
      })
  },
  {
    name: "listen: an append wakes whoever waits, again and again",
    check: (store) =>
      Effect.gen(function*() {
        const head = yield* headOf(store)
        const listeners = yield* Effect.all([store.listen, store.listen, store.listen])
        // It may wake for nothing, so each looks, as a reader does, whether what it waits for has come.
        const waiters = yield* Effect.forEach(listeners, (appended) =>
          Effect.forkScoped(Effect.gen(function*() {
            let seen = head
            while (seen < head + 5n) {
              yield* appended
              seen = yield* headOf(store)
            }
          })))
        for (let i = 0; i < 5; i++) {
          yield* Effect.yieldNow
          yield* i % 2 === 0
            ? store.append(freshStream(), noStream, [counted(i)])
            : store.transact([{ streamId: freshStream(), expected: any, events: [counted(i)] }])
        }
        yield* awake(Effect.forEach(waiters, (waiter) => Fiber.join(waiter)))
      })
  }
]
