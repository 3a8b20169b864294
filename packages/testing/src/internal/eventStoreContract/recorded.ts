import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import assert from "node:assert/strict"
import {
  type Case,
  counted,
  countedType,
  countFrom,
  freshId,
  freshStream,
  headOf,
  readLog,
  several
} from "./fixture.ts"

const { any, noStream } = ExpectedVersion

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** How far the store's clock may be from this machine's, in milliseconds. */
const skew = 60_000

/** What is behind `category-`: each is a stream of its own. */
const ids = [
  "a",
  "A",
  " a",
  "a ",
  "a-b-c",
  "a_c",
  "a%c",
  "é",
  "e\u0301",
  "'; DROP TABLE events; --",
  "\"quoted\" \\ $1 ${x}",
  "new\nline\ttab\r",
  "🦊👩‍👩‍👧",
  "\u{10ffff}\ufffe\u202e",
  "__proto__",
  "constructor"
]

export const recordedCases: ReadonlyArray<Case> = [
  {
    name: "recorded: says where the event stands and what it is",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const { globalPosition, version } = yield* store.append(streamId, noStream, [counted(7)])
        const [event] = yield* store.read(streamId)
        assert.ok(event !== undefined)
        const { commandId, eventId, recordedAt, ...rest } = event
        assert.deepEqual(rest, {
          streamId,
          version,
          globalPosition,
          type: countedType,
          data: { count: 7 },
          correlationId: commandId,
          causationId: commandId,
          metadata: {}
        })
        assert.match(eventId, uuidV7)
        assert.match(commandId, uuidV7)
        assert.equal(typeof recordedAt, "number")
      })
  },
  {
    name: "recorded: event ids are UUIDv7s, each different; command ids too, one an append",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* Effect.forEach(countFrom(0, 20), () => store.append(streamId, any, several(5)), {
          concurrency: "unbounded"
        })
        const events = yield* store.read(streamId)
        assert.ok(events.every(({ commandId, eventId }) => uuidV7.test(eventId) && uuidV7.test(commandId)))
        assert.equal(new Set(events.map(({ eventId }) => eventId)).size, 100)
        assert.equal(new Set(events.map(({ commandId }) => commandId)).size, 20)
      })
  },
  {
    name: "recorded: correlation and cause are the command unless said otherwise",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b, c] = [freshId(), freshId(), freshId()]
        const tried = [
          { commandId: a },
          { commandId: b, correlationId: "talk" },
          { commandId: c, correlationId: "talk", causationId: "cause" }
        ]
        const streamId = freshStream()
        for (const options of tried) yield* store.append(streamId, any, several(2), options)
        const traced = (yield* store.read(streamId)).map(({ causationId, commandId, correlationId }) => [
          commandId,
          correlationId,
          causationId
        ])
        assert.deepEqual(traced, [[a, a, a], [a, a, a], [b, "talk", b], [b, "talk", b], [c, "talk", "cause"], [
          c,
          "talk",
          "cause"
        ]])
      })
  },
  {
    name: "recorded: metadata comes back with every event of the append",
    check: (store) =>
      Effect.gen(function*() {
        const [a, b] = [freshStream(), freshStream()]
        const metadata = {
          user: "zoë 🦊",
          trace: { id: "00-ab-01", flags: [1, 0.1, null, true] },
          nul: "\0",
          half: "\ud83d"
        }
        yield* store.transact([
          { streamId: a, expected: noStream, events: several(2) },
          { streamId: b, expected: noStream, events: several(1) }
        ], { metadata })
        const events = [...(yield* store.read(a)), ...(yield* store.read(b))]
        assert.deepEqual(events.map((event) => event.metadata), [metadata, metadata, metadata])
      })
  },
  {
    name: "recorded: the time is now, in milliseconds, and never runs backwards",
    check: (store) =>
      Effect.gen(function*() {
        const after = yield* headOf(store)
        const started = Date.now()
        for (let i = 0; i < 50; i++) yield* store.append(freshStream(), noStream, several(1 + i % 2))
        const times = (yield* readLog(store, { after, limit: 1_000 })).map(({ recordedAt }) => recordedAt)
        assert.equal(times.length, 75)
        assert.deepEqual(times.toSorted((x, y) => x - y), times)
        for (const time of times) {
          assert.ok(time > started - skew && time < Date.now() + skew, `${time} is not near ${started}`)
        }
      })
  },
  {
    name: "stream ids: any text is one, and no two are confused",
    check: (store) =>
      Effect.gen(function*() {
        const unique = freshId()
        const streams = [...ids.map((id) => `${unique} ${id}`), `${unique} `.padEnd(StreamId.maxBytes - 9, "x")]
          .map((id) => Result.getOrThrow(StreamId.make("contract", id)))
        for (const [i, streamId] of streams.entries()) yield* store.append(streamId, noStream, [counted(i)])
        for (const [i, streamId] of streams.entries()) {
          const events = yield* store.read(streamId)
          assert.deepEqual(events.map((event) => [event.streamId, event.data]), [[streamId, { count: i }]])
        }
      })
  },
  {
    name: "stream ids: one id in two categories is two streams",
    check: (store) =>
      Effect.gen(function*() {
        const id = freshId()
        const [a, b] = [Result.getOrThrow(StreamId.make("cat", id)), Result.getOrThrow(StreamId.make("cat2", id))]
        yield* store.append(a, noStream, [counted(1)])
        yield* store.append(b, noStream, [counted(2)])
        assert.deepEqual((yield* store.read(a)).map(({ data }) => data), [{ count: 1 }])
      })
  }
]
