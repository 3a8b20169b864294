import type { ReadOptions } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import { type Case, counted, countFrom, freshStream, several, versions } from "./fixture.ts"

/** Of a stream of ten events, the versions that the bounds leave. */
const bounds: ReadonlyArray<readonly [ReadOptions, ReadonlyArray<number>]> = [
  [{}, countFrom(0, 10)],
  [{ from: 0 }, countFrom(0, 10)],
  [{ from: -1 }, countFrom(0, 10)],
  [{ from: 3 }, countFrom(3, 7)],
  [{ from: 9 }, [9]],
  [{ from: 10 }, []],
  [{ from: 1_000 }, []],
  [{ to: 0 }, [0]],
  [{ to: 4 }, countFrom(0, 5)],
  [{ to: 9 }, countFrom(0, 10)],
  [{ to: 1_000 }, countFrom(0, 10)],
  [{ to: -1 }, []],
  [{ to: -2 }, []],
  [{ from: 3, to: 5 }, [3, 4, 5]],
  [{ from: 5, to: 5 }, [5]],
  [{ from: 5, to: 3 }, []],
  [{ maxCount: 0 }, []],
  [{ maxCount: 1 }, [0]],
  [{ maxCount: 3 }, [0, 1, 2]],
  [{ maxCount: 10 }, countFrom(0, 10)],
  [{ maxCount: 1_000 }, countFrom(0, 10)],
  [{ from: 4, maxCount: 2 }, [4, 5]],
  [{ from: 4, to: 5, maxCount: 9 }, [4, 5]],
  [{ direction: "forwards", from: 8 }, [8, 9]],
  [{ direction: "backwards" }, countFrom(0, 10).toReversed()],
  [{ direction: "backwards", maxCount: 1 }, [9]],
  [{ direction: "backwards", from: 7 }, [9, 8, 7]],
  [{ direction: "backwards", to: 2 }, [2, 1, 0]],
  [{ direction: "backwards", from: 3, to: 5 }, [5, 4, 3]],
  [{ direction: "backwards", from: 3, to: 5, maxCount: 2 }, [5, 4]],
  [{ direction: "backwards", to: 1_000, maxCount: 2 }, [9, 8]],
  [{ direction: "backwards", from: 10 }, []]
]

/** More than two pages of `load`, and its borders. */
const long = 2_200
const counts = [0, 1, 999, 1_000, 1_001, 1_999, 2_000, 2_001, 2_199, 2_200, 2_201, undefined]

const unknown = (name: string, options: ReadOptions): Case => ({
  name: `read: a stream without events is empty, ${name}`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      assert.deepEqual(yield* store.read(streamId, options), [])
      assert.deepEqual(yield* Stream.runCollect(store.load(streamId, options)), [])
    })
})

export const readCases: ReadonlyArray<Case> = [
  unknown("forwards", {}),
  unknown("backwards", { direction: "backwards", from: 1, maxCount: 1 }),
  {
    name: "read: bounds are inclusive versions in both directions, and a limit counts from where reading starts",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.append(streamId, ExpectedVersion.noStream, several(10))
        for (const [options, expected] of bounds) {
          const message = JSON.stringify(options)
          assert.deepEqual(versions(yield* store.read(streamId, options)), expected, `read ${message}`)
          const loaded = yield* Stream.runCollect(store.load(streamId, options))
          assert.deepEqual(versions(loaded), expected, `load ${message}`)
        }
      })
  },
  {
    name: "read: only the stream's own events, though others lie between them",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        for (let i = 0; i < 5; i++) {
          yield* store.append(a, ExpectedVersion.any, [counted(i)])
          yield* store.append(b, ExpectedVersion.any, [counted(-i), counted(-i)])
        }
        const read = yield* store.read(a)
        assert.deepEqual(read.map(({ data }) => data), countFrom(0, 5).map((count) => ({ count })))
        assert.ok(read.every(({ streamId }) => streamId === a))
      })
  },
  {
    name: `load: ${long} events page by page, both directions, any limit`,
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.append(streamId, ExpectedVersion.noStream, several(long))
        const all = countFrom(0, long)
        for (const maxCount of counts) {
          const forwards = yield* Stream.runCollect(store.load(streamId, { maxCount }))
          assert.deepEqual(versions(forwards), all.slice(0, maxCount), `forwards, at most ${maxCount}`)
          const backwards = yield* Stream.runCollect(store.load(streamId, { maxCount, direction: "backwards" }))
          assert.deepEqual(versions(backwards), all.toReversed().slice(0, maxCount), `backwards, at most ${maxCount}`)
        }
        const middle = yield* Stream.runCollect(store.load(streamId, { from: 100, to: 2_099 }))
        assert.deepEqual(versions(middle), all.slice(100, 2_100))
        const back = yield* Stream.runCollect(
          store.load(streamId, { from: 100, to: 2_099, maxCount: 1_001, direction: "backwards" })
        )
        assert.deepEqual(versions(back), all.slice(1_099, 2_100).toReversed())
      })
  }
]
