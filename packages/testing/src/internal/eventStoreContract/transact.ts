import type { StreamAppend } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { StreamId } from "@composable-ts/core/StreamId"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import assert from "node:assert/strict"
import {
  assertConflict,
  type Case,
  countFrom,
  freshStream,
  headOf,
  positions,
  positionsAfter,
  several,
  storesNothing,
  versions
} from "./fixture.ts"

const { any, exact, noStream, streamExists } = ExpectedVersion

const to = (streamId: StreamId, expected: ExpectedVersion.ExpectedVersion, count = 1): StreamAppend => ({
  streamId,
  expected,
  events: several(count)
})

const conflictAt = (position: number): Case => ({
  name: `transact: a conflict of the ${["first", "second", "third"][position]} append stores none`,
  check: (store) =>
    Effect.gen(function*() {
      const [a, b, c] = [freshStream(), freshStream(), freshStream()]
      const existing = [a, b, c][position]!
      yield* store.append(existing, noStream, several(5))
      const error = yield* storesNothing(
        store,
        Effect.flip(store.transact([to(a, noStream, 2), to(b, noStream), to(c, noStream, 3)]))
      )
      assertConflict(error, { streamId: existing, expected: noStream, actual: 4 })
      const lengths = yield* Effect.forEach([a, b, c], (streamId) => Effect.map(store.read(streamId), (e) => e.length))
      assert.deepEqual(lengths, countFrom(0, 3).map((i) => i === position ? 5 : 0))
    })
})

const shuffled = (streams: ReadonlyArray<StreamId>, turn: number): NonEmptyReadonlyArray<StreamAppend> => {
  const turned = [...streams.slice(turn % streams.length), ...streams.slice(0, turn % streams.length)]
  const [first, ...rest] = turn % 2 === 0 ? turned : turned.toReversed()
  return [to(first!, any), ...rest.map((streamId) => to(streamId, any))]
}

export const transactCases: ReadonlyArray<Case> = [
  {
    name: "transact: stores in all streams and answers in the order of the appends",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b, c] = [freshStream(), freshStream(), freshStream()]
        yield* store.append(b, noStream, several(4))
        const before = yield* headOf(store)
        const results = yield* store.transact([to(c, noStream, 2), to(b, exact(3), 3), to(a, any)])
        assert.deepEqual(versions(results), [1, 6, 0])
        const stored = (yield* Effect.forEach([c, b, a], (streamId) => store.read(streamId))).flat()
        assert.deepEqual(positions(stored).slice(-1), positions(results).slice(-1))
        const written = stored.filter(({ globalPosition }) => globalPosition > before)
        assert.deepEqual(positions(written), positionsAfter(before, 6))
        assert.deepEqual(positions(results), [before + 2n, before + 5n, before + 6n])
        assert.equal(new Set(written.map(({ commandId }) => commandId)).size, 1)
      })
  },
  ...countFrom(0, 3).map(conflictAt),
  {
    name: "transact: a stream named twice sees its own first append",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const results = yield* store.transact([
          to(a, noStream, 2),
          to(b, noStream),
          to(a, exact(1)),
          to(a, streamExists)
        ])
        assert.deepEqual(versions(results), [1, 0, 2, 3])
        assert.deepEqual(versions(yield* store.read(a)), [0, 1, 2, 3])
        const log = (yield* store.read(a)).map(({ globalPosition }) => globalPosition)
        assert.deepEqual(log.toSorted((x, y) => x < y ? -1 : 1), log)
      })
  },
  {
    name: "transact: a stream named twice conflicts with its own first append",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const error = yield* storesNothing(
          store,
          Effect.flip(store.transact([to(streamId, noStream, 2), to(streamId, noStream)]))
        )
        assertConflict(error, { streamId, expected: noStream, actual: 1 })
      })
  },
  {
    name: "transact: streams in opposite orders, all at once, never wait for each other for good",
    check: (store) =>
      Effect.gen(function*() {
        const streams = countFrom(0, 4).map(freshStream)
        const rounds = 40
        const before = yield* headOf(store)
        yield* Effect.forEach(countFrom(0, rounds), (turn) => store.transact(shuffled(streams, turn)), {
          concurrency: "unbounded"
        })
        for (const streamId of streams) {
          assert.deepEqual(versions(yield* store.read(streamId)), countFrom(0, rounds))
        }
        assert.equal(yield* headOf(store), before + BigInt(rounds * streams.length))
      })
  },
  {
    name: "transact: of two at once that need the same two versions, one stores both and the other none",
    check: (store) =>
      Effect.gen(function*() {
        for (let round = 0; round < 10; round++) {
          const [a, b] = [freshStream(), freshStream()]
          const results = yield* Effect.all([
            Effect.result(store.transact([to(a, noStream, 2), to(b, noStream, 2)])),
            Effect.result(store.transact([to(b, noStream, 3), to(a, noStream, 3)]))
          ], { concurrency: "unbounded" })
          assert.deepEqual(results.map((result) => result._tag).toSorted(), ["Failure", "Success"])
          const lengths = [(yield* store.read(a)).length, (yield* store.read(b)).length]
          assert.equal(lengths[0], lengths[1])
        }
      })
  },
  {
    name: "transact: no reader ever sees a part",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const before = yield* headOf(store)
        const writers = yield* Effect.forkScoped(Effect.forEach(
          countFrom(0, 100),
          () => Effect.andThen(store.transact([to(a, any, 2), to(b, any)]), Effect.yieldNow),
          { concurrency: 8, discard: true }
        ))
        const end = before + 300n
        let head = before
        while (head < end) {
          head = yield* headOf(store)
          assert.equal((head - before) % 3n, 0n, "a reader saw a part of a transact")
          yield* Effect.yieldNow
          if (writers.pollUnsafe() !== undefined) yield* Fiber.join(writers)
        }
      })
  }
]
