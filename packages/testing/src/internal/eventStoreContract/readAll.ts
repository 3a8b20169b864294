import type { Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { nameOf } from "@composable-ts/core/RecordedEvent"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
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
  positions,
  positionsAfter,
  readLog,
  several,
  versions
} from "./fixture.ts"

const { any, exact, noStream } = ExpectedVersion

/** Twenty events: every fourth is a note. */
const mixed = (store: Service) =>
  Effect.gen(function*() {
    const after = yield* headOf(store)
    const [a, b] = [freshStream(), freshStream()]
    for (let i = 0; i < 20; i++) {
      yield* store.append(i % 2 === 0 ? a : b, any, [i % 4 === 3 ? noted(i) : counted(i)])
    }
    return { after, head: after + 20n }
  })

const paging = (limit: number): Case => ({
  name: `readAll: pages of ${limit} give the whole log in order`,
  check: (store) =>
    Effect.gen(function*() {
      const { after, head } = yield* mixed(store)
      let position = after
      while (position < head) {
        const page = yield* store.readAll({ after: position, limit })
        assert.equal(page.head, head)
        assert.ok(page.events.length > 0 && page.events.length <= limit, `${page.events.length} events`)
        assert.deepEqual(positions(page.events), positionsAfter(position, page.events.length))
        assert.equal(page.position, page.events.at(-1)?.globalPosition)
        position = page.position
      }
    })
})

const filtered = (limit: number, names: ReadonlyArray<string>): Case => ({
  name: `readAll: pages of ${limit} with only [${names.join(", ")}] omit none and move on when none fits`,
  check: (store) =>
    Effect.gen(function*() {
      const { after, head } = yield* mixed(store)
      const all = yield* readLog(store, { after, limit: 100 })
      let position = after
      while (position < head) {
        const page = yield* store.readAll({ after: position, limit, names })
        assert.equal(page.head, head)
        assert.ok(page.position > position, `the page stands still at ${position}`)
        assert.ok(page.position <= position + BigInt(limit), "more was looked at than allowed")
        assert.deepEqual(
          page.events,
          all.filter((event) =>
            event.globalPosition > position && event.globalPosition <= page.position &&
            names.includes(nameOf(event.type))
          )
        )
        position = page.position
      }
      assert.equal(position, head)
    })
})

export const readAllCases: ReadonlyArray<Case> = [
  ...[1, 3, 7, 20, 1_000].map(paging),
  ...[1, 3, 7, 1_000].map((limit) => filtered(limit, [notedName])),
  filtered(3, [notedName, countedName]),
  filtered(7, ["Unheard"]),
  filtered(7, []),
  {
    name: "readAll: at the head there is nothing, and the position stays",
    check: (store) =>
      Effect.gen(function*() {
        const { head } = yield* mixed(store)
        const [last] = yield* readLog(store, { after: head - 1n, limit: 1 })
        assert.ok(last !== undefined)
        const { eventId } = last
        for (const names of [undefined, [notedName]]) {
          const page = yield* store.readAll({ after: head, limit: 10, names })
          const atTheEnd = { events: [], position: head, head, previousEventId: eventId, lastEventId: eventId }
          assert.deepEqual({ ...page }, atTheEnd)
        }
      })
  },
  {
    name: "readAll: behind a negative position begins as behind 0, with the first event of the log",
    check: (store) =>
      Effect.gen(function*() {
        yield* mixed(store)
        const filters = [{}, { names: [notedName] }, { partition: { index: 1, count: 2 } }]
        for (const filter of filters) {
          const { events, previousEventId } = yield* store.readAll({ after: 0n, limit: 3, ...filter })
          for (const after of [-1n, -2n, -1_000_000n]) {
            const page = yield* store.readAll({ after, limit: 3, ...filter })
            assert.deepEqual(page.events, events)
            assert.equal(page.previousEventId, previousEventId)
          }
        }
      })
  },
  {
    name: "readAll: a page names the events at its borders, also those that a filter leaves out",
    check: (store) =>
      Effect.gen(function*() {
        const { after, head } = yield* mixed(store)
        const ids = new Map((yield* readLog(store, { after, limit: 100 })).map((event) => [
          event.globalPosition,
          event.eventId
        ]))
        for (const filter of [{}, { names: ["Unheard"] }, { partition: { index: 0, count: 1_000_003 } }]) {
          for (let position = after; position <= head; position++) {
            const page = yield* store.readAll({ after: position, limit: 3, ...filter })
            if (position > after) assert.equal(page.previousEventId, ids.get(position))
            if (page.position > after) assert.equal(page.lastEventId, ids.get(page.position))
          }
        }
        const start = yield* store.readAll({ after: 0n, limit: 0 })
        assert.deepEqual([start.previousEventId, start.lastEventId], [undefined, undefined])
      })
  },
  {
    name: "readAll: there is no event at a border beyond the log's end",
    check: (store) =>
      Effect.gen(function*() {
        const { head } = yield* mixed(store)
        const page = yield* store.readAll({ after: head + 5n, limit: 10 })
        const beyond = { events: [], position: head + 5n, head, previousEventId: undefined, lastEventId: undefined }
        assert.deepEqual({ ...page }, beyond)
      })
  },
  ...[1, 2, 3, 8].map((count): Case => ({
    name: `readAll: ${count} partitions hold every event once, each stream in one of them, in order`,
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        // So many that not one partition in ten thousand million is empty by chance.
        const streams = countFrom(0, 25 * count).map(freshStream)
        for (const [i, streamId] of [...streams, ...streams].entries()) yield* store.append(streamId, any, [counted(i)])
        const parts = yield* Effect.forEach(countFrom(0, count), (index) =>
          Effect.map(
            store.readAll({ after, limit: 1_000, partition: { index, count } }),
            (page) => {
              assert.equal(page.position, page.head)
              return page.events
            }
          ))
        for (const events of parts) {
          assert.ok(events.length > 0, `${streams.length} streams, and none in this partition`)
          assert.deepEqual(positions(events), positions(events).toSorted((a, b) => Number(a - b)))
        }
        const places = parts.flatMap((events, index) => events.map(({ streamId }) => ({ streamId, index })))
        assert.equal(places.length, 2 * streams.length)
        if (store.partitionOf !== undefined) {
          for (const { index, streamId } of places) assert.equal(store.partitionOf(streamId, count), index)
        }
        for (const streamId of streams) {
          const indexes = new Set(places.filter((place) => place.streamId === streamId).map(({ index }) => index))
          assert.equal(indexes.size, 1)
        }
        const noneOfTheName = yield* store.readAll({
          after,
          limit: 1_000,
          names: [notedName],
          partition: { index: 0, count }
        })
        assert.deepEqual(noneOfTheName.events, [])
      })
  })),
  {
    name: "readAll: events are the same as in their streams and in their commands",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = freshStream()
        yield* store.append(streamId, noStream, [noted({ a: [1] }), counted(1)], { metadata: { m: "x" } })
        const log = yield* readLog(store, { after, limit: 10 })
        assert.deepEqual(log, yield* store.read(streamId))
        assert.deepEqual(log, yield* store.readCommand(log[0]!.commandId))
      })
  },
  {
    name: "global positions have no gap, though appends were refused between them",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streamId = freshStream()
        const commandId = streamId
        yield* store.append(streamId, noStream, several(2), { commandId })
        yield* Effect.forEach(
          countFrom(0, 60),
          (i) =>
            Effect.ignore(
              i % 3 === 0 ?
                store.append(freshStream(), noStream, several(2))
                : i % 3 === 1
                ? store.append(streamId, exact(99), [counted(i)])
                : store.append(streamId, any, [counted(i)], { commandId })
            ),
          { concurrency: "unbounded" }
        )
        assert.deepEqual(positions(yield* readLog(store, { after, limit: 1_000 })), positionsAfter(after, 42))
      })
  },
  {
    name: "global order agrees with each stream's order, under many writers",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const streams = countFrom(0, 5).map(freshStream)
        const appended = yield* Effect.forEach(
          countFrom(0, 160),
          (i) => store.append(streams[i % 5]!, any, several(1 + i % 3)),
          { concurrency: 16 }
        )
        const log = yield* readLog(store, { after, limit: 50 })
        assert.deepEqual(positions(log), positionsAfter(after, log.length))
        for (const streamId of streams) {
          const events = log.filter((event) => event.streamId === streamId)
          assert.deepEqual(versions(events), countFrom(0, events.length))
          assert.deepEqual(events, yield* store.read(streamId))
        }
        for (const { globalPosition, version } of appended) {
          assert.equal(log[Number(globalPosition - after) - 1]?.version, version)
        }
      })
  },
  {
    name: "readAll: a reader that pages while others write misses nothing",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const writers = yield* Effect.forkScoped(Effect.forEach(
          countFrom(0, 200),
          (i) => Effect.andThen(store.append(freshStream(), noStream, several(1 + i % 3)), Effect.yieldNow),
          { concurrency: 12, discard: true }
        ))
        const seen: Array<bigint> = []
        let position = after
        while (writers.pollUnsafe() === undefined || position < (yield* headOf(store))) {
          const page = yield* store.readAll({ after: position, limit: 7 })
          seen.push(...positions(page.events))
          position = page.position
          yield* Effect.yieldNow
        }
        yield* Fiber.join(writers)
        assert.equal(seen.length, Number((yield* headOf(store)) - after))
        assert.deepEqual(seen, positionsAfter(after, seen.length))
      })
  }
]
