/**
 * Exactness through PostgreSQL: what was appended is what is read, or the append is refused.
 */
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import { assert } from "@effect/vitest"
import { Effect, Result } from "effect"
import { createHash } from "node:crypto"
import { noted, stream } from "./Facts.ts"
import * as NastyJson from "./NastyJson.ts"
import { openStore, suite } from "./TestLog.ts"

const { any, noStream } = ExpectedVersion

suite("payloads", (test) => {
  test("T48: 600 fuzzed bodies and as many metadata come back exactly", ({ store }) =>
    Effect.gen(function*() {
      const seed = 48
      const random = NastyJson.random(seed)
      const appended = Array.from({ length: 600 }, (_, i) => ({
        streamId: stream(`fuzz-${i}`),
        body: NastyJson.any(random, 5),
        metadata: { note: NastyJson.any(random, 3) }
      }))
      yield* Effect.forEach(
        appended,
        ({ body, metadata, streamId }) => store.append(streamId, noStream, [noted(body)], { metadata }),
        { concurrency: "unbounded", discard: true }
      )
      for (const { body, metadata, streamId } of appended) {
        const [event] = yield* store.read(streamId)
        const message = `seed ${seed}, ${streamId}`
        assert.deepStrictEqual(event?.data, { note: body }, message)
        assert.strictEqual(JSON.stringify(event?.data), JSON.stringify({ note: body }), message)
        assert.deepStrictEqual(event?.metadata, metadata, message)
      }
      assert.notProperty({}, "polluted")
    }))

  test("T48: a body's own __proto__ stays a key and pollutes nothing", ({ store }) =>
    Effect.gen(function*() {
      const body = JSON.parse(`{"__proto__": {"polluted": true}, "constructor": {"prototype": {"polluted": true}}}`)
      yield* store.append(stream("p"), noStream, [noted(body)])
      const [event] = yield* store.read(stream("p"))
      assert.strictEqual(JSON.stringify(event?.data), JSON.stringify({ note: body }))
      assert.notProperty({}, "polluted")
    }))

  test("T48: minus zero comes back as zero, as in JSON", ({ store }) =>
    Effect.gen(function*() {
      yield* store.append(stream("zero"), noStream, [noted([-0])])
      const [event] = yield* store.read(stream("zero"))
      assert.deepStrictEqual(event?.data, { note: [0] })
    }))

  test("T48: 1 000 levels of nesting, and 100 000 keys", ({ store }) =>
    Effect.gen(function*() {
      const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`key ${i}`, i]))
      yield* store.append(stream("deep"), noStream, [noted(NastyJson.nested(1_000)), noted(wide)])
      const [deep, broad] = yield* store.read(stream("deep"))
      assert.strictEqual(JSON.stringify(deep?.data), JSON.stringify({ note: NastyJson.nested(1_000) }))
      assert.deepStrictEqual(broad?.data, { note: wide })
    }))

  test("T49: streams are told apart by every character of their ids", ({ store }) =>
    Effect.gen(function*() {
      const ids = [...NastyJson.texts, "x".repeat(500), `${"x".repeat(499)}y`, "É".repeat(250)]
        .filter((text) => text.length > 0 && !text.includes("\0") && !/\p{Surrogate}/u.test(text))
      const streams = ids.map(stream)
      yield* Effect.forEach(streams, (streamId, i) => store.append(streamId, noStream, [noted(i)]), {
        concurrency: "unbounded",
        discard: true
      })
      for (const [i, streamId] of streams.entries()) {
        const events = yield* store.read(streamId)
        assert.deepStrictEqual(events.map(({ data, streamId }) => ({ data, streamId })), [{
          data: { note: i },
          streamId
        }])
      }
    }))

  test("T49: ids whose hash in the database is the same are still two streams", ({ sql, store }) =>
    Effect.gen(function*() {
      const rows = yield* sql<{ ids: ReadonlyArray<string> }>`
        SELECT array_agg('fact-' || n) AS ids FROM generate_series(1, 300000) AS n
        GROUP BY hashtext('fact-' || n) HAVING count(*) > 1 LIMIT 3`
      assert.isAbove(rows.length, 0)
      for (const [i, { ids: [one = "", other = ""] }] of rows.entries()) {
        const [a, b] = [stream(one.slice(5)), stream(other.slice(5))]
        yield* Effect.all([store.append(a, noStream, [noted(i)]), store.append(b, noStream, [noted(-i)])], {
          concurrency: 2
        })
        assert.deepStrictEqual((yield* store.read(b)).map(({ data }) => data), [{ note: -i + 0 }])
      }
    }))

  for (
    const [TimeZone, DateStyle] of [["Asia/Kolkata", "German"], ["America/St_Johns", "SQL, DMY"], ["UTC", "Postgres"]]
  ) {
    test(`T56: times are the same to a session in ${TimeZone} with dates in ${DateStyle}`, ({ schema, store, url }) =>
      Effect.gen(function*() {
        const startupParameters = { TimeZone: TimeZone!, DateStyle: DateStyle!, IntervalStyle: "sql_standard" }
        const elsewhere = yield* openStore({ url, startupParameters }, { schema })
        const before = Date.now()
        yield* elsewhere.append(stream("time"), noStream, [noted("2024-03-31T01:30:00Z")])
        yield* store.append(stream("time"), any, [noted("2024-10-27T01:30:00+01:00")])
        const events = yield* store.read(stream("time"))
        assert.deepStrictEqual(yield* elsewhere.read(stream("time")), events)
        for (const { recordedAt } of events) {
          assert.isAtLeast(recordedAt, before - 1)
          assert.isAtMost(recordedAt, Date.now() + 1)
        }
      }))
  }

  test("T50: an event of the largest size is read again, one of a byte more is refused", ({ store }) =>
    Effect.gen(function*() {
      const limit = 16 * 2 ** 20 - 16 * 2 ** 10
      const body = "é".repeat(limit / 2 - 6) + "x"
      const ids = { commandId: "€".repeat(255), correlationId: "€".repeat(255), causationId: "€".repeat(255) }
      const error = yield* Effect.flip(store.append(stream("€".repeat(160)), noStream, [noted(`${body}x`)], ids))
      assert.strictEqual(error._tag, "InvalidAppend")
      yield* store.append(stream("€".repeat(160)), noStream, [noted(body)], ids)
      const { events } = yield* store.readAll({ after: 0n, limit: 10 })
      const text = JSON.stringify(events[0]?.data)
      assert.strictEqual(Buffer.byteLength(text), limit)
      assert.strictEqual(sha256(text), sha256(JSON.stringify({ note: body })))
    }))

  test("T50: what could be stored but not read again is refused, alone", ({ store }) =>
    Effect.gen(function*() {
      const [large, metadata, small] = yield* Effect.all([
        Effect.result(store.append(stream("large"), noStream, [noted("é".repeat(8_400_000))])),
        Effect.result(
          store.append(stream("large"), any, [noted(1)], { metadata: { note: "x".repeat(17_000_000) } })
        ),
        store.append(stream("small"), noStream, [noted(1)])
      ], { concurrency: "unbounded" })
      assert.strictEqual(Result.isFailure(large) && large.failure._tag, "InvalidAppend")
      assert.strictEqual(Result.isFailure(metadata) && metadata.failure._tag, "InvalidAppend")
      assert.strictEqual(small.version, 0)
      assert.strictEqual((yield* store.readAll({ after: 0n, limit: 10 })).events.length, 1)
    }))

  test("T50: an append of 130 events of 1 MB is refused", ({ store }) =>
    Effect.gen(function*() {
      const megabyte = noted("x".repeat(2 ** 20))
      const error = yield* Effect.flip(
        store.append(stream("large"), noStream, [megabyte, ...Array.from({ length: 129 }, () => megabyte)])
      )
      assert.strictEqual(error._tag, "InvalidAppend")
    }))

  test("T48: a body too deep to be written is refused, alone and typed", ({ store }) =>
    Effect.gen(function*() {
      const outcomes = yield* Effect.forEach([1, 20_000, 2, 1_000_000], (depth) =>
        Effect.result(
          Effect.suspend(() => store.append(stream(`depth-${depth}`), noStream, [tooDeep(depth)]))
        ), { concurrency: "unbounded" })
      assert.deepStrictEqual(outcomes.map(Result.isSuccess), [true, false, true, false])
      assert.deepStrictEqual(
        outcomes.flatMap((outcome) => Result.isFailure(outcome) ? [outcome.failure._tag] : []),
        ["EventStoreError", "EventStoreError"]
      )
    }))
})

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")

/** The encoder is recursive too, so the depth is put in afterwards. */
const tooDeep = (depth: number): ReturnType<typeof noted> => ({ ...noted(null), data: NastyJson.nested(depth) })
