import type { AppendResult, StreamAppend } from "@composable-ts/core/EventStore"
import { CommandIdConflict } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import {
  assertConflict,
  type Case,
  counted,
  countFrom,
  freshId,
  freshStream,
  noted,
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
      })
  },
  {
    name: "command id: T09: with other events than the first it is refused",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const commandId = freshId()
        const to = (streamId: typeof a, ...events: StreamAppend["events"]) => ({ streamId, expected: any, events })
        yield* store.transact([to(a, counted(1), counted(2)), to(b, counted(3))], { commandId })
        const others: ReadonlyArray<NonEmptyReadonlyArray<StreamAppend>> = [
          [to(a, counted(1), counted(7)), to(b, counted(3))],
          [to(a, counted(2), counted(1)), to(b, counted(3))],
          [to(a, counted(1)), to(b, counted(3))],
          [to(a, counted(1), counted(2), counted(2)), to(b, counted(3))],
          [to(a, counted(1), counted(3)), to(b, counted(2))],
          [to(a, counted(1), noted(null)), to(b, counted(3))],
          [to(a, counted(1), { ...noted(null), data: counted(2).data }), to(b, counted(3))]
        ]
        for (const other of others) {
          const error = yield* storesNothing(store, Effect.flip(store.transact(other, { commandId })))
          assertIdConflict(error, { commandId, streamIds: [a, b], storedStreamIds: [a, b] })
        }
        const again = store.transact([to(b, counted(3)), to(a, counted(1)), to(a, counted(2))], { commandId })
        assert.ok((yield* storesNothing(store, again)).every(({ duplicate }) => duplicate))
      })
  },
  {
    name: "command id: T09: the events of a repetition are compared as JSON",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const commandId = freshId()
        const data = { list: [1, { a: -0, b: "é\u0000\ud800" }, []], empty: {}, no: null, big: 1e308, small: 5e-324 }
        const append = (note: Schema.Json) => store.append(streamId, any, [noted(note)], { commandId })
        const first = yield* append(data)
        const { list, ...others } = data
        const reordered = { ...others, list: [1, { b: "é\u0000\ud800", a: 0 }, []] }
        for (const same of [data, reordered]) {
          assert.deepEqual(plain(yield* storesNothing(store, append(same))), repetitionOf(first))
        }
        const different: ReadonlyArray<Schema.Json> = [
          null,
          {},
          others,
          { ...data, more: null },
          { ...data, list: [...list, null] },
          { ...data, list: { 0: 1, 1: list[1]!, 2: [] } },
          { ...data, empty: [] },
          { ...data, no: false },
          { ...data, big: "1e308" }
        ]
        for (const other of different) {
          const error = yield* storesNothing(store, Effect.flip(append(other)))
          assertIdConflict(error, { commandId, streamIds: [streamId], storedStreamIds: [streamId] })
        }
      })
  },
  {
    name:
      "command id: T09: of 50 at once with one id and two payloads, those of one are stored once, the others refused",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const commandId = freshId()
        const { lost, won } = yield* race(
          countFrom(0, 50).map((i) => store.append(streamId, any, [counted(i % 2)], { commandId }))
        )
        assert.equal(won.length, 25)
        assert.equal(won.filter(({ duplicate }) => !duplicate).length, 1)
        for (const error of lost) {
          assertIdConflict(error, { commandId, streamIds: [streamId], storedStreamIds: [streamId] })
        }
        assert.equal((yield* store.read(streamId)).length, 1)
      })
  },
  {
    name: "command id: a fingerprint tells a repetition from another command, whatever the events",
    check: (store) =>
      Effect.gen(function*() {
        const [streamId, another] = [freshStream(), freshStream()]
        const commandId = freshId()
        const append = (count: number, fingerprint?: string, to = streamId) =>
          store.append(to, any, [counted(count), counted(8)], { commandId, fingerprint })
        const first = yield* append(1, "one")
        for (const repetition of [append(1, "one"), append(2, "one"), append(1)]) {
          assert.deepEqual(plain(yield* storesNothing(store, repetition)), repetitionOf(first))
        }
        for (const other of [append(1, "other"), append(2, "other"), append(2)]) {
          const error = yield* storesNothing(store, Effect.flip(other))
          assertIdConflict(error, { commandId, streamIds: [streamId], storedStreamIds: [streamId] })
        }
        const elsewhere = yield* storesNothing(store, Effect.flip(append(1, "one", another)))
        assertIdConflict(elsewhere, { commandId, streamIds: [another], storedStreamIds: [streamId] })
        assert.deepEqual((yield* store.readCommand(commandId)).map(({ fingerprint }) => fingerprint), [
          "one",
          undefined
        ])
        const plainId = freshId()
        yield* store.append(streamId, any, [counted(1)], { commandId: plainId })
        const late = store.append(streamId, any, [counted(2)], { commandId: plainId, fingerprint: "one" })
        assert.ok((yield* storesNothing(store, Effect.flip(late))) instanceof CommandIdConflict)
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
