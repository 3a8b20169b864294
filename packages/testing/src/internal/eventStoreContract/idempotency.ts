import type { AppendResult } from "@composable-ts/core/EventStore"
import { CommandIdConflict } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import {
  assertConflict,
  type Case,
  counted,
  countFrom,
  freshId,
  freshStream,
  race,
  several,
  storesNothing,
  versions
} from "./fixture.ts"

const { any, exact, noStream } = ExpectedVersion

export const assertIdConflict = (
  error: unknown,
  expected: Pick<CommandIdConflict, "commandId" | "streamIds" | "storedStreamIds">
) => {
  assert.ok(error instanceof CommandIdConflict, `expected a CommandIdConflict, got ${String(error)}`)
  assert.equal(error.commandId, expected.commandId)
  assert.deepEqual(error.streamIds.toSorted(), expected.streamIds.toSorted())
  assert.deepEqual(error.storedStreamIds.toSorted(), expected.storedStreamIds.toSorted())
}

const plain = ({ duplicate, globalPosition, version }: AppendResult): AppendResult => ({
  version,
  globalPosition,
  duplicate
})
const repetitionOf = (first: AppendResult): AppendResult => plain({ ...first, duplicate: true })

const concurrently = (expected: ExpectedVersion.ExpectedVersion): Case => ({
  name: `command id: 50 at once that expect ${ExpectedVersion.format(expected)} store once and agree on the outcome`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      const commandId = freshId()
      const { lost, won } = yield* race(
        countFrom(0, 50).map(() => store.append(streamId, expected, several(2), { commandId }))
      )
      assert.deepEqual(lost, [])
      assert.equal(won.filter(({ duplicate }) => !duplicate).length, 1)
      const stored = yield* store.read(streamId)
      assert.deepEqual(versions(stored), [0, 1])
      for (const { globalPosition, version } of won) {
        assert.equal(version, 1)
        assert.equal(globalPosition, stored[1]?.globalPosition)
      }
    })
})

export const idempotencyCases: ReadonlyArray<Case> = [
  concurrently(any),
  concurrently(noStream),
  {
    name: "command id: a repetition gets the first outcome, though its expectation no longer holds",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const commandId = freshId()
        const append = store.append(streamId, noStream, several(3), { commandId })
        const first = yield* append
        assert.equal(first.duplicate, false)
        for (let i = 0; i < 3; i++) {
          assert.deepEqual(plain(yield* storesNothing(store, append)), repetitionOf(first))
        }
      })
  },
  {
    name: "command id: a repetition gets the first outcome, though others appended since",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const commandId = freshId()
        yield* store.append(streamId, noStream, several(2))
        const append = store.append(streamId, exact(1), [counted(7)], { commandId })
        const first = yield* append
        yield* store.append(streamId, exact(2), several(4))
        yield* store.append(freshStream(), noStream, several(4))
        assert.deepEqual(plain(yield* storesNothing(store, append)), repetitionOf(first))
        const other = store.append(streamId, any, several(5), { commandId })
        assert.deepEqual(plain(yield* storesNothing(store, other)), repetitionOf(first))
      })
  },
  {
    name: "command id: on another stream it is refused",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const another = freshStream()
        const commandId = freshId()
        yield* store.append(streamId, noStream, several(2), { commandId })
        assertIdConflict(
          yield* storesNothing(store, Effect.flip(store.append(another, any, [counted(1)], { commandId }))),
          { commandId, streamIds: [another], storedStreamIds: [streamId] }
        )
        assert.deepEqual(yield* store.read(another), [])
      })
  },
  {
    name: "command id: two streams at once with one id, and one of them is refused",
    check: (store) =>
      Effect.gen(function*() {
        const commandId = freshId()
        const streamIds = countFrom(0, 20).map(freshStream)
        const { lost, won } = yield* race(
          streamIds.map((streamId) => store.append(streamId, noStream, [counted(1)], { commandId }))
        )
        assert.equal(won.length, 1)
        assert.equal(won[0]?.duplicate, false)
        for (const error of lost) assert.ok(error instanceof CommandIdConflict, String(error))
        const stored = yield* Effect.forEach(streamIds, (streamId) => store.read(streamId))
        assert.equal(stored.flat().length, 1)
      })
  },
  {
    name: "command id: a refused append leaves its id free",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const commandId = freshId()
        const error = yield* Effect.flip(store.append(streamId, exact(4), [counted(1)], { commandId }))
        assertConflict(error, { streamId, expected: exact(4), actual: ExpectedVersion.empty })
        assert.deepEqual(yield* store.readCommand(commandId), [])
        assert.equal((yield* store.append(streamId, noStream, [counted(2)], { commandId })).duplicate, false)
        assert.deepEqual((yield* store.read(streamId)).map(({ data }) => data), [{ count: 2 }])
      })
  },
  {
    name: "command id: two ids that only look alike are two",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const id = freshId()
        const ids = [`${id}é`, `${id}e\u0301`, `${id}É`, `${id}é `, ` ${id}é`]
        for (const commandId of ids) {
          const { duplicate } = yield* store.append(streamId, any, [counted(1)], { commandId })
          assert.equal(duplicate, false)
        }
        assert.equal((yield* store.read(streamId)).length, ids.length)
      })
  },
  {
    name: "command id: a repeated transact gets the first outcome, in the order now asked for",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const commandId = freshId()
        const toA = { streamId: a, expected: noStream, events: several(2) }
        const toB = { streamId: b, expected: noStream, events: several(3) }
        const first = yield* store.transact([toA, toB], { commandId })
        yield* store.append(a, any, several(2))
        const again = first.map(repetitionOf)
        const repeated = yield* storesNothing(store, store.transact([toA, toB], { commandId }))
        assert.deepEqual(repeated.map(plain), again)
        const reversed = yield* storesNothing(store, store.transact([toB, toA], { commandId }))
        assert.deepEqual(reversed.map(plain), again.toReversed())
      })
  },
  {
    name: "command id: a repeated transact that names a stream twice gets the first outcome of each",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const commandId = freshId()
        const appends = [
          { streamId: a, expected: noStream, events: several(2) },
          { streamId: b, expected: noStream, events: several(3) },
          { streamId: a, expected: ExpectedVersion.exact(1), events: several(1) }
        ] as const
        const first = yield* store.transact(appends, { commandId })
        const repeated = yield* storesNothing(store, store.transact(appends, { commandId }))
        assert.deepEqual(repeated.map(plain), first.map(repetitionOf))
      })
  },
  {
    name: "command id: a transact with other streams than the first is refused",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b, c] = [freshStream(), freshStream(), freshStream()]
        const commandId = freshId()
        const to = (streamId: typeof a) => ({ streamId, expected: any, events: several(1) })
        yield* store.transact([to(a), to(b)], { commandId })
        const refused = (...streamIds: readonly [typeof a, ...ReadonlyArray<typeof a>]) =>
          Effect.gen(function*() {
            const [first, ...rest] = streamIds
            const appends = store.transact([to(first), ...rest.map(to)], { commandId })
            const error = yield* storesNothing(store, Effect.flip(appends))
            assertIdConflict(error, { commandId, streamIds, storedStreamIds: [a, b] })
          })
        yield* refused(a)
        yield* refused(a, c)
        yield* refused(a, b, c)
      })
  },
  {
    name: "readCommand: the events of a command, of all its streams, in order",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const commandId = freshId()
        yield* store.append(a, noStream, several(2))
        yield* store.transact([
          { streamId: a, expected: exact(1), events: several(2) },
          { streamId: b, expected: noStream, events: several(1) }
        ], { commandId })
        yield* store.append(a, any, several(1))
        const events = yield* store.readCommand(commandId)
        assert.deepEqual(events.map(({ streamId, version }) => [streamId, version]), [[a, 2], [a, 3], [b, 0]])
        assert.deepEqual(events.slice(0, 2), yield* store.read(a, { from: 2, to: 3 }))
        assert.deepEqual(yield* store.readCommand(freshId()), [])
      })
  }
]
