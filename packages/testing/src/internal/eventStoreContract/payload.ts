import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import assert from "node:assert/strict"
import { type Case, freshStream, noted } from "./fixture.ts"

const { noStream } = ExpectedVersion

const nested = (depth: number): Schema.Json => {
  let value: Schema.Json = "deep"
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { in: value }
  return value
}

/** Each is to come back exactly as it went in. */
const payloads: Readonly<Record<string, Schema.Json>> = {
  "unicode": "zoë — 🦊 👩‍👩‍👧 \u{10ffff} 漢字 \u202e\ufeff\u2028\u2029",
  "unnormalised text": ["é", "e\u0301", "Å", "\u212b"],
  "control characters": "\u0001\u001f\u007f\b\f\n\r\t\\ \" / \\u0000 \\\\u0000",
  "NUL characters": { text: "a\0b\0", "ke\0y": "\0" },
  "halves of surrogate pairs": ["\ud83d", "\ude00\ud83d", { "\udfff": "\ud800x" }],
  "keys of prototypes": JSON.parse(`{"__proto__": {"polluted": true}, "constructor": {"prototype": 1}, "toString": 2}`),
  "an empty key, and one that looks like a number": { "": 1, "0": 2, "-0": 3, " ": 4 },
  "null, true, false": [null, true, false, { a: null }],
  "null alone": null,
  "empty objects, arrays and texts": [{}, [], "", [{}], { a: {} }, [[]]],
  "whole numbers": [0, 1, -1, 2 ** 53 - 1, -(2 ** 53 - 1), 2 ** 53, 2 ** 64],
  "broken numbers": [0.1, 0.1 + 0.2, 1e308, -1.7976931348623157e308, 5e-324, 1e21, 1e-7, 123456789.12345679],
  "deep nesting": nested(100),
  "text that looks like SQL, JSON or a placeholder": ["'; DROP TABLE events; --", "{\"a\":1}", "$1", "${x}", "\\x00"],
  "text that looks like a date or a number": ["2024-02-30T25:61:61Z", "1e5", "NaN", "Infinity", "9007199254740993"],
  "ten thousand members": Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`key ${i}`, i])),
  "a megabyte": "0123456789abcdef".repeat(2 ** 16)
}

const roundTrip = ([name, note]: readonly [string, Schema.Json]): Case => ({
  name: `payload: ${name} comes back exactly`,
  check: (store) =>
    Effect.gen(function*() {
      const streamId = freshStream()
      yield* store.append(streamId, noStream, [noted(note), noted([note])], { metadata: { note } })
      const [one, two] = yield* store.read(streamId)
      assert.deepEqual(one?.data, { note })
      assert.deepEqual(two?.data, { note: [note] })
      assert.deepEqual(one?.metadata, { note })
      assert.equal(Object.hasOwn(Object.prototype, "polluted"), false)
    })
})

interface Box {
  inner: Array<number>
}

/** A reader that does what it must not: it may be refused, but it must not succeed in changing the log. */
const tamper = (event: { readonly data: unknown; readonly metadata: unknown }): void => {
  for (const value of [event.data, event.metadata]) {
    try {
      const { note } = value as { note: Box }
      note.inner.push(99)
      Object.assign(note, { inner: [] })
    } catch (error) {
      assert.ok(error instanceof TypeError, String(error))
    }
  }
}

export const payloadCases: ReadonlyArray<Case> = [
  ...Object.entries(payloads).map(roundTrip),
  {
    name: "payload: changing a value after its append changes nothing stored",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const note: Box & Record<string, Array<number>> = { inner: [1, 2] }
        yield* store.append(streamId, noStream, [noted(note)], { metadata: { note } })
        note.inner.push(3)
        note["other"] = []
        const [event] = yield* store.read(streamId)
        assert.deepEqual(event?.data, { note: { inner: [1, 2] } })
        assert.deepEqual(event?.metadata, { note: { inner: [1, 2] } })
      })
  },
  {
    name: "payload: changing what was read changes nothing stored",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        const note = { inner: [1, 2] }
        const { globalPosition } = yield* store.append(streamId, noStream, [noted(note)], {
          metadata: { note },
          commandId: streamId
        })
        const reads = [
          store.read(streamId),
          store.readCommand(streamId),
          Effect.map(store.readAll({ after: globalPosition - 1n, limit: 1 }), ({ events }) => events)
        ]
        for (const read of reads) {
          for (const event of yield* read) {
            tamper(event)
            try {
              Object.assign(event, { version: 99 })
            } catch (error) {
              assert.ok(error instanceof TypeError, String(error))
            }
          }
        }
        for (const read of reads) {
          const [event] = yield* read
          assert.deepEqual(event?.data, { note })
          assert.deepEqual(event?.metadata, { note })
          assert.equal(event?.version, 0)
        }
      })
  },
  {
    name: "payload: changing the list that was read changes nothing stored",
    check: (store) =>
      Effect.gen(function*() {
        const streamId = freshStream()
        yield* store.append(streamId, noStream, [noted(1), noted(2)], { commandId: streamId })
        for (const read of [store.read(streamId), store.readCommand(streamId)]) {
          const events = yield* read
          try {
            ;(events as Array<unknown>).length = 0
          } catch (error) {
            assert.ok(error instanceof TypeError, String(error))
          }
          assert.equal((yield* read).length, 2)
        }
      })
  }
]
