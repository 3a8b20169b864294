import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import {
  assertConflict,
  type Case,
  counted,
  countFrom,
  freshStream,
  headOf,
  positions,
  positionsAfter,
  race,
  several,
  storesNothing,
  versions
} from "./fixture.ts"

const { any, exact, noStream, streamExists } = ExpectedVersion

/** On a stream of so many events, the expectation holds or not. */
const modes: ReadonlyArray<readonly [expected: ExpectedVersion.ExpectedVersion, length: number, holds: boolean]> = [
  [noStream, 0, true],
  [noStream, 1, false],
  [noStream, 3, false],
  [exact(0), 0, false],
  [exact(0), 1, true],
  [exact(0), 3, false],
  [exact(2), 0, false],
  [exact(2), 3, true],
  [exact(3), 3, false],
  [exact(1_000_000), 3, false],
  [streamExists, 0, false],
  [streamExists, 1, true],
  [streamExists, 3, true],
  [any, 0, true],
  [any, 1, true],
  [any, 3, true]
]

const mode = ([expected, length, holds]: typeof modes[number]): Case => ({
  name: `append: ${ExpectedVersion.format(expected)} on a stream of ${length} ${holds ? "appends" : "conflicts"}`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      if (length > 0) yield* store.append(streamId, noStream, several(length))
      const append = store.append(streamId, expected, several(2))
      if (!holds) {
        const error = yield* storesNothing(store, Effect.flip(append))
        assertConflict(error, { streamId, expected, actual: length - 1 })
        assert.equal((yield* store.read(streamId)).length, length)
        return
      }
      const before = yield* headOf(store)
      assert.deepEqual({ ...(yield* append) }, {
        version: length + 1,
        globalPosition: before + 2n,
        duplicate: false
      })
      assert.deepEqual(versions(yield* store.read(streamId)), countFrom(0, length + 2))
    })
})

const racers = 64

const oneWinner = (name: string, length: number, expected: ExpectedVersion.ExpectedVersion): Case => ({
  name: `append: of ${racers} at once, one ${name} and the others learn the true version`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      if (length > 0) yield* store.append(streamId, noStream, several(length))
      const before = yield* headOf(store)
      const { lost, won } = yield* race(
        countFrom(0, racers).map((i) => store.append(streamId, expected, [counted(i), counted(i)]))
      )
      assert.equal(won.length, 1)
      assert.equal(lost.length, racers - 1)
      for (const error of lost) assertConflict(error, { streamId, expected, actual: length + 1 })
      const stored = yield* store.read(streamId, { from: length })
      assert.deepEqual(versions(stored), [length, length + 1])
      assert.deepEqual(positions(stored), positionsAfter(before, 2))
      assert.deepEqual(stored[0]?.data, stored[1]?.data, "events of two racers are mixed")
    })
})

export const expectedVersionCases: ReadonlyArray<Case> = [
  ...modes.map(mode),
  oneWinner("creates the stream", 0, noStream),
  oneWinner("carries it on", 3, exact(2)),
  {
    name: "append: racers that decide again after each conflict all get their turn",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const attempt = (expected: number): Effect.Effect<void, unknown> =>
          Effect.catchTag(
            Effect.asVoid(store.append(streamId, exact(expected), [counted(expected)])),
            "VersionConflict",
            ({ actual }) => {
              assert.ok(actual > expected, `refused at ${expected}, although the stream stands at ${actual}`)
              return attempt(actual)
            }
          )
        yield* Effect.forEach(countFrom(0, 16), () => attempt(ExpectedVersion.empty), { concurrency: "unbounded" })
        const stored = yield* store.read(streamId)
        assert.deepEqual(
          stored.map(({ data }) => data),
          countFrom(-1, 16).map((count) => ({ count }))
        )
      })
  },
  {
    name: "append: 50 at once that expect any version all succeed, without gaps",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const before = yield* headOf(store)
        const { lost, won } = yield* race(
          countFrom(0, 50).map((i) => store.append(streamId, any, [counted(i)]))
        )
        assert.deepEqual(lost, [])
        const byVersion = won.toSorted((a, b) => a.version - b.version)
        assert.deepEqual(versions(byVersion), countFrom(0, 50))
        const stored = yield* store.read(streamId)
        assert.deepEqual(positions(stored), positions(byVersion))
        assert.deepEqual(positions(stored), positionsAfter(before, 50))
        assert.equal(new Set(stored.map(({ data }) => JSON.stringify(data))).size, 50)
      })
  },
  {
    name: "append: 1 000 events at once stand in order",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const result = yield* store.append(streamId, noStream, several(1_000))
        const stored = yield* store.read(streamId)
        assert.equal(result.version, 999)
        assert.deepEqual(stored.map(({ data }) => data), countFrom(0, 1_000).map((count) => ({ count })))
        assert.equal(stored.at(-1)?.globalPosition, result.globalPosition)
      })
  }
]
