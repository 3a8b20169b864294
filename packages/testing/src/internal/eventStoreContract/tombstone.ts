import type { ReadOptions, Service, StreamAppend } from "@composable-ts/core/EventStore"
import { InvalidAppend } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type { StreamId } from "@composable-ts/core/StreamId"
import * as Tombstone from "@composable-ts/core/Tombstone"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import assert from "node:assert/strict"
import {
  assertConflict,
  assertTombstoned,
  type Case,
  counted,
  countedName,
  countedType,
  countFrom,
  freshId,
  freshStream,
  headOf,
  noted,
  notedName,
  positions,
  positionsAfter,
  race,
  readLog,
  several,
  storesNothing,
  versions
} from "./fixture.ts"
import { assertIdConflict } from "./idempotency.ts"
import { awake } from "./subscribe.ts"

const { any, exact, noStream, streamExists } = ExpectedVersion

const reason = "asked to be forgotten"

/** A stream of so many events, with a tombstone behind them. */
const tombstoned = (store: Service, length: number) =>
  Effect.gen(function*() {
    const streamId = freshStream()
    if (length > 0) yield* store.append(streamId, noStream, several(length), { metadata: { secret: 7 } })
    yield* store.tombstone(streamId, any, { reason })
    return streamId
  })

/** What the log says of a stream, which reading the stream does not. */
const inLog = (store: Service, after: bigint, streamId: StreamId) =>
  Effect.map(
    readLog(store, { after, limit: 500 }),
    (events) => events.filter((event) => event.streamId === streamId)
  )

/** Nothing is left of an erased event but what keeps the log in order. */
const assertErased = (event: RecordedEvent | undefined, before: RecordedEvent | undefined): void => {
  assert.deepEqual(event, { ...before, data: null, metadata: {}, erased: true })
}

/** On a stream of so many events, the expectation holds or not. */
const modes: ReadonlyArray<readonly [expected: ExpectedVersion.ExpectedVersion, length: number, holds: boolean]> = [
  [noStream, 0, true],
  [noStream, 2, false],
  [exact(1), 0, false],
  [exact(1), 2, true],
  [exact(0), 2, false],
  [streamExists, 0, false],
  [streamExists, 2, true],
  [any, 0, true],
  [any, 2, true]
]

const mode = ([expected, length, holds]: typeof modes[number]): Case => ({
  name: `tombstone: ${ExpectedVersion.format(expected)} on a stream of ${length} ${holds ? "erases" : "conflicts"}`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      if (length > 0) yield* store.append(streamId, noStream, several(length))
      const tombstone = store.tombstone(streamId, expected, { reason })
      if (!holds) {
        const error = yield* storesNothing(store, Effect.flip(tombstone))
        assertConflict(error, { streamId, expected, actual: length - 1 })
        assert.equal((yield* store.read(streamId)).length, length)
        return
      }
      const before = yield* headOf(store)
      assert.deepEqual({ ...(yield* tombstone) }, {
        version: length,
        globalPosition: before + 1n,
        duplicate: false
      })
      assertTombstoned(yield* Effect.flip(store.read(streamId)), streamId, length)
    })
})

const refusing = (expected: ExpectedVersion.ExpectedVersion, length: number): Case => ({
  name: `tombstone: behind it an append that expects ${ExpectedVersion.format(expected)} is refused (${length} events)`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = yield* tombstoned(store, length)
      const append = store.append(streamId, expected, several(2))
      assertTombstoned(yield* storesNothing(store, Effect.flip(append)), streamId, length)
      const again = store.tombstone(streamId, expected, { reason })
      assertTombstoned(yield* storesNothing(store, Effect.flip(again)), streamId, length)
    })
})

/** Of a stream of five events and a tombstone, whether the bounds hold any. */
const bounds: ReadonlyArray<readonly [ReadOptions, holdsAny: boolean]> = [
  [{}, true],
  [{ maxCount: 1 }, true],
  [{ to: 0 }, true],
  [{ from: 2, to: 3 }, true],
  [{ from: 5 }, true],
  [{ from: 4, maxCount: 1 }, true],
  [{ direction: "backwards" }, true],
  [{ direction: "backwards", maxCount: 1 }, true],
  [{ direction: "backwards", to: 2 }, true],
  [{ from: 6 }, false],
  [{ to: -1 }, false],
  [{ from: 3, to: 2 }, false],
  [{ maxCount: 0 }, false]
]

const transactAt = (position: number): Case => ({
  name: `tombstone: a transact whose ${["first", "second", "third"][position]} stream is erased stores none`,
  check: (store) =>
    Effect.gen(function*() {
      const streams = countFrom(0, 3).map(freshStream)
      const erased = yield* tombstoned(store, 4)
      streams[position] = erased
      const [a, b, c] = streams.map((streamId): StreamAppend => ({ streamId, expected: any, events: several(2) }))
      const error = yield* storesNothing(store, Effect.flip(store.transact([a!, b!, c!])))
      assertTombstoned(error, erased, 4)
      for (const streamId of streams) {
        if (streamId !== erased) assert.deepEqual(yield* store.read(streamId), [])
      }
      yield* store.transact([a!, b!, c!].filter(({ streamId }) => streamId !== erased) as never)
    })
})

export const tombstoneCases: ReadonlyArray<Case> = [
  ...modes.map(mode),
  ...[any, noStream, streamExists, exact(0), exact(2), exact(3)].map((expected) => refusing(expected, 3)),
  ...[any, noStream, streamExists, exact(0)].map((expected) => refusing(expected, 0)),
  ...countFrom(0, 3).map(transactAt),
  {
    name: "tombstone: the events before it stay in place, without data and metadata; it says why",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = freshStream()
        const other = freshStream()
        yield* store.append(streamId, noStream, several(2), { metadata: { by: "me" } })
        yield* store.append(other, noStream, several(2), { metadata: { by: "me" } })
        yield* store.append(streamId, any, [noted({ email: "a@example.org" })], { correlationId: freshId() })
        const before = yield* readLog(store, { after, limit: 100 })
        const ids = { commandId: freshId(), correlationId: freshId(), causationId: freshId() }
        yield* store.tombstone(streamId, exact(2), { ...ids, reason, metadata: { clerk: 4 } })
        const events = yield* readLog(store, { after, limit: 100 })
        assert.deepEqual(positions(events), positionsAfter(after, 6))
        for (const [i, event] of before.entries()) {
          if (event.streamId === streamId) assertErased(events[i], event)
          else assert.deepEqual(events[i], event)
        }
        const last = events[5]!
        const { causationId, commandId, correlationId, data, erased, metadata, type, version } = last
        assert.deepEqual({ causationId, commandId, correlationId }, ids)
        assert.deepEqual({ data, erased, metadata, type, version }, {
          data: { reason },
          erased: undefined,
          metadata: { clerk: 4 },
          type: Tombstone.type,
          version: 3
        })
        assert.deepEqual(Tombstone.from(last), {
          streamId,
          version: 3,
          globalPosition: after + 6n,
          reason,
          recordedAt: last.recordedAt,
          commandId,
          correlationId
        })
        assert.deepEqual(versions(yield* store.read(other)), [0, 1])
      })
  },
  {
    name: "tombstone: reads of the stream fail whichever event they ask for, and those that ask for none are empty",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = yield* tombstoned(store, 5)
        for (const [options, holdsAny] of bounds) {
          const message = JSON.stringify(options)
          if (holdsAny) {
            assertTombstoned(yield* Effect.flip(store.read(streamId, options)), streamId, 5)
            assertTombstoned(yield* Effect.flip(Stream.runCollect(store.load(streamId, options))), streamId, 5)
          } else {
            assert.deepEqual(yield* store.read(streamId, options), [], message)
            assert.deepEqual(yield* Stream.runCollect(store.load(streamId, options)), [], message)
          }
        }
      })
  },
  {
    name: "tombstone: of a long stream every event is erased",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = yield* tombstoned(store, 1_200)
        const events = yield* inLog(store, after, streamId)
        assert.deepEqual(versions(events), countFrom(0, 1_201))
        assert.ok(events.slice(0, -1).every(({ data, erased }) => erased === true && data === null))
        assertTombstoned(yield* Effect.flip(Stream.runCollect(store.load(streamId, { to: 20 }))), streamId, 1_200)
      })
  },
  {
    name: "tombstone: the log is read by name as ever, tombstones by theirs",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = freshStream()
        yield* store.append(streamId, noStream, [counted(1), noted(2), counted(3)])
        yield* store.tombstone(streamId, any, { reason })
        const named = (names: ReadonlyArray<string>) =>
          Effect.map(readLog(store, { after, limit: 100, names }), (events) =>
            events.map(({ erased = false, version }) => [version, erased]))
        assert.deepEqual(yield* named([countedName]), [[0, true], [2, true]])
        assert.deepEqual(yield* named([notedName, Tombstone.type]), [[1, true], [3, false]])
      })
  },
  {
    name: "tombstone: the audit lists all, in order, with reason and command",
    check: (store) =>
      Effect.gen(function*() {
        const before = yield* Stream.runCollect(Tombstone.audit(store))
        const [a, b] = [yield* tombstoned(store, 2), yield* tombstoned(store, 0)]
        const commandId = freshId()
        const c = freshStream()
        yield* store.tombstone(c, any, { reason: "a court's order", commandId, correlationId: "case 7" })
        const all = yield* Stream.runCollect(Tombstone.audit(store))
        assert.deepEqual(all.slice(0, before.length), before)
        assert.deepEqual(
          all.slice(before.length).map(({ reason, streamId, version }) => [streamId, version, reason]),
          [[a, 2, reason], [b, 0, reason], [c, 0, "a court's order"]]
        )
        assert.deepEqual([all.at(-1)?.commandId, all.at(-1)?.correlationId], [commandId, "case 7"])
      })
  },
  {
    name: "tombstone: repeated with its command id, it gets the first outcome",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.append(streamId, noStream, several(3))
        const commandId = freshId()
        const tombstone = store.tombstone(streamId, exact(2), { reason, commandId })
        const first = yield* tombstone
        assert.equal(first.duplicate, false)
        assert.deepEqual({ ...(yield* storesNothing(store, tombstone)) }, { ...first, duplicate: true })
        const { lost, won } = yield* race(countFrom(0, 20).map(() => tombstone))
        assert.deepEqual(lost, [])
        for (const result of won) assert.deepEqual({ ...result }, { ...first, duplicate: true })
      })
  },
  {
    name: "tombstone: 20 at once with one command id erase once, and agree on the outcome",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.append(streamId, noStream, several(3))
        const commandId = freshId()
        const { lost, won } = yield* race(
          countFrom(0, 20).map(() => store.tombstone(streamId, any, { reason, commandId }))
        )
        assert.deepEqual(lost, [])
        assert.equal(won.filter(({ duplicate }) => !duplicate).length, 1)
        assert.deepEqual(new Set(versions(won)), new Set([3]))
      })
  },
  {
    name: "tombstone: a command id is that of an append or of a tombstone, of one stream",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const [appended, erased] = [freshId(), freshId()]
        yield* store.append(a, noStream, several(2), { commandId: appended })
        yield* store.tombstone(b, any, { reason, commandId: erased })
        const conflicting = <E>(
          attempt: Effect.Effect<unknown, E>,
          commandId: string,
          to: StreamId,
          stored: StreamId
        ) =>
          Effect.map(
            storesNothing(store, Effect.flip(attempt)),
            (error) => assertIdConflict(error, { commandId, streamIds: [to], storedStreamIds: [stored] })
          )
        yield* conflicting(store.tombstone(a, any, { reason, commandId: appended }), appended, a, a)
        yield* conflicting(store.tombstone(b, any, { reason, commandId: appended }), appended, b, a)
        yield* conflicting(store.tombstone(a, any, { reason, commandId: erased }), erased, a, b)
        yield* conflicting(store.append(b, any, several(1), { commandId: erased }), erased, b, b)
        assert.equal((yield* store.read(a)).length, 2)
      })
  },
  {
    name: "tombstone: a command stored before it still has its outcome, and its events without data",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const commandId = freshId()
        const appends = [
          { streamId: a, expected: noStream, events: several(2) },
          { streamId: b, expected: noStream, events: several(1) }
        ] as const
        const first = yield* store.transact(appends, { commandId })
        const before = yield* store.readCommand(commandId)
        yield* store.tombstone(a, any, { reason })
        const repeated = yield* storesNothing(store, store.transact(appends, { commandId }))
        assert.ok(repeated.every(({ duplicate }) => duplicate))
        assert.deepEqual(versions(repeated), versions(first))
        assert.deepEqual(positions(repeated), positions(first))
        const after = yield* store.readCommand(commandId)
        assert.equal(after.length, 3)
        assertErased(after[0], before[0])
        assertErased(after[1], before[1])
        assert.deepEqual(after[2], before[2])
        assert.equal(after[0]?.type, countedType)
      })
  },
  {
    name: "tombstone: one that races appends of the same version wins or loses, and nothing ever stands behind it",
    check: (store) =>
      Effect.gen(function*() {
        for (let round = 0; round < 30; round++) {
          const after = yield* headOf(store)
          const streamId = freshStream()
          yield* store.append(streamId, noStream, several(2))
          const appends = countFrom(0, 4).map((i) => store.append(streamId, exact(1), [counted(i)]))
          const tombstone = store.tombstone(streamId, exact(1), { reason })
          const { lost, won } = yield* race(appends.toSpliced(round % 5, 0, tombstone))
          assert.equal(won.length, 1)
          const events = yield* inLog(store, after, streamId)
          assert.deepEqual(versions(events), [0, 1, 2])
          const erased = Tombstone.is(events[2]!)
          assert.deepEqual(events.map((event) => event.erased === true), [erased, erased, false])
          for (const error of lost) {
            if (erased) assertTombstoned(error, streamId, 2)
            else assertConflict(error, { streamId, expected: exact(1), actual: 2 })
          }
        }
      })
  },
  {
    name: "tombstone: one among appends that expect any version erases what is before it and refuses the rest",
    check: (store) =>
      Effect.gen(function*() {
        for (let round = 0; round < 10; round++) {
          const after = yield* headOf(store)
          const streamId = freshStream()
          const appends = countFrom(0, 30).map((i) => store.append(streamId, any, [counted(i)]))
          const { lost, won } = yield* race(
            appends.toSpliced(round * 3, 0, store.tombstone(streamId, any, { reason }))
          )
          const events = yield* inLog(store, after, streamId)
          assert.deepEqual(versions(events), countFrom(0, won.length))
          assert.ok(Tombstone.is(events.at(-1)!), "an event stands behind the tombstone")
          assert.ok(events.slice(0, -1).every(({ erased }) => erased === true), "an event before it was not erased")
          for (const error of lost) assertTombstoned(error, streamId, won.length - 1)
        }
      })
  },
  {
    name: "tombstone: subscribers get erased events, and the tombstone, once each at the seam",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = freshStream()
        yield* store.append(streamId, noStream, several(700))
        const live: Array<RecordedEvent> = []
        const follower = yield* Effect.forkScoped(
          Stream.runForEach(Stream.take(store.subscribe({ after }), 703), (event) =>
            Effect.sync(() => void live.push(event)))
        )
        yield* Effect.yieldNow
        yield* store.append(freshStream(), noStream, [counted(1)])
        yield* store.tombstone(streamId, exact(699), { reason })
        yield* store.append(freshStream(), noStream, [counted(2)])
        yield* Fiber.join(follower)
        assert.deepEqual(positions(live), positionsAfter(after, 703))
        assert.ok(Tombstone.is(live[701]!))
        const late = yield* Stream.runCollect(Stream.take(store.subscribe({ after }), 703))
        assert.deepEqual(positions(late), positionsAfter(after, 703))
        assert.deepEqual(
          late.map(({ erased = false }) =>
            erased
          ),
          countFrom(0, 703).map((i) => i < 700)
        )
        assert.deepEqual(late.slice(700), live.slice(700))
      })
  },
  {
    name: "tombstone: it wakes whoever follows the log, idle at the head",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const seen: Array<bigint> = []
        const follower = yield* Effect.forkScoped(
          Stream.runForEach(Stream.take(store.subscribe({ after }), 5), ({ globalPosition }) =>
            Effect.sync(() => void seen.push(globalPosition)))
        )
        for (let i = 0; i < 5; i++) {
          yield* store.tombstone(freshStream(), any, { reason })
          yield* awake(Effect.gen(function*() {
            while (seen.length <= i) {
              yield* Effect.sleep("1 millis")
            }
          }))
        }
        yield* Fiber.join(follower)
        assert.deepEqual(seen, positionsAfter(after, 5))
      })
  },
  {
    name: "tombstone: it needs a reason, and the store's own types and events without data are not appended",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const invalid = <A, E>(attempt: Effect.Effect<A, E>, issue: RegExp) =>
          Effect.map(storesNothing(store, Effect.flip(attempt)), (error) => {
            assert.ok(error instanceof InvalidAppend, String(error))
            assert.match(error.issue, issue)
          })
        yield* invalid(store.tombstone(streamId, any, { reason: " " }), /reason is empty/)
        yield* invalid(store.tombstone(streamId, exact(-2), { reason }), /not a version/)
        yield* invalid(store.tombstone(streamId, any, { reason, commandId: "" }), /command id is empty/)
        const forged = { ...counted(1), type: Tombstone.type } as EncodedEvent
        yield* invalid(store.append(streamId, any, [forged]), /reserved/)
        const empty = { ...counted(1), data: null } as EncodedEvent
        yield* invalid(store.append(streamId, any, [counted(1), empty]), /no data/)
      })
  }
]
