/**
 * Exactness of both codecs: what an event's schema encodes is stored, read and decoded to an equal value, or refused.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import * as Codec from "@composable-ts/postgres/Codec"
import { assert, it } from "@effect/vitest"
import { Arbitrary, type Array, Effect, Result, Schema } from "effect"
import * as MessagePack from "../src/internal/messagePack.ts"
import { commandId, counted, noted, several, stream } from "./Facts.ts"
import * as NastyJson from "./NastyJson.ts"
import { suite, type TestLog } from "./TestLog.ts"

const { any, noStream } = ExpectedVersion
const codecs = [Codec.json, Codec.messagePack]

/** How often each property is tried, with up to 60 values each time. */
const runs = Number(process.env.CODEC_RUNS ?? 8)

const allOf = (events: ReadonlyArray<EncodedEvent>): Array.NonEmptyReadonlyArray<EncodedEvent> => {
  const [first, ...rest] = events
  return [first!, ...rest]
}

/** An event whose whole body this is, also where its type would not allow it. */
const holding = (data: unknown): EncodedEvent => ({ ...noted(null), data: data as Schema.Json })

/** How many rows hold their body in which column. */
const columns = ({ sql }: TestLog) =>
  Effect.map(
    sql<{ json: bigint; packed: bigint }>`SELECT count(data) AS json, count(packed) AS packed FROM events`,
    ([row]) => [Number(row!.json), Number(row!.packed)]
  )

/** The bodies come back as JSON brings them back. */
const comesBack = (store: Service, id: string, events: ReadonlyArray<EncodedEvent>) =>
  Effect.gen(function*() {
    yield* store.append(stream(id), noStream, allOf(events))
    const stored = yield* store.read(stream(id))
    assert.strictEqual(stored.length, events.length)
    for (const [i, { data }] of events.entries()) {
      assert.isTrue(
        JSON.stringify(stored[i]!.data) === JSON.stringify(data),
        `event ${i} of ${id} came back as another`
      )
    }
    return stored
  })

/** Every bit pattern of a double, but those that JSON cannot hold. */
const word = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 32 - 1 }))
const doubles = Arbitrary.schema(Schema.Tuple([word, word])).pipe(
  Arbitrary.map(([high, low]) => {
    const view = new DataView(new ArrayBuffer(8))
    view.setUint32(0, high)
    view.setUint32(4, low)
    return view.getFloat64(0)
  }),
  Arbitrary.filter(Number.isFinite)
)

/** A negative zero comes back as zero, as of JSON. */
const sameNumber = (one: number, other: number) => Object.is(one + 0, other)

/** For any list of values, in one append: what is decoded of what was stored of what was encoded is equal. */
const property = <A>(
  schema: Schema.Codec<A, unknown>,
  {
    same = Schema.toEquivalence(schema),
    values = Arbitrary.schema(schema)
  }: { readonly values?: Arbitrary.Arbitrary<A>; readonly same?: (sent: A, got: A) => boolean } = {}
) => {
  const Values = Action.define("Values", { commands: {}, events: { Stored: Event.v1({ value: schema }) } })
  let lists = 0
  return (store: Service) =>
    Effect.map(
      Arbitrary.checkEffect(Arbitrary.array(values, { minLength: 1, maxLength: 60 }), (list) =>
        Effect.gen(function*() {
          const events = list.map((value) => Result.getOrThrow(Values.encode(Values.Stored({ value }))))
          const streamId = stream(`list-${lists++}`)
          yield* store.append(streamId, noStream, allOf(events))
          const stored = yield* store.read(streamId)
          return stored.length === list.length && stored.every((event, i) =>
            JSON.stringify(event.data) === JSON.stringify(events[i]!.data) &&
            same(list[i]!, Result.getOrThrow(Values.decode(event)).value)
          )
        }), { runs, seed: "Codec", size: 40 }),
      (result) => assert.isUndefined(Arbitrary.formatCheckFailure(result))
    )
}

/** Any character, and any half of one; also in texts so long that encoders have another way for them. */
const texts = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff })))),
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))
  ]),
  ([units, times]) => String.fromCharCode(...units.map((unit) => unit % 8 === 0 ? 0xfeff : unit)).repeat(times)
)

const properties: Readonly<Record<string, () => (store: Service) => Effect.Effect<void, unknown>>> = {
  "doubles of every bit pattern": () => property(Schema.Finite, { values: doubles, same: sameNumber }),
  "numbers, also those that JSON does not have": () => property(Schema.Number, { same: sameNumber }),
  "whole numbers": () => property(Schema.Int, { same: sameNumber }),
  "dates": () => property(Schema.Date, { same: (one, other) => Object.is(one.getTime(), other.getTime()) }),
  "dates as milliseconds": () => property(Schema.DateFromMillis),
  "times of UTC": () => property(Schema.DateTimeUtc),
  "bigints": () => property(Schema.BigInt),
  "binary": () => property(Schema.Uint8Array),
  "decimals": () => property(Schema.BigDecimal),
  "durations": () => property(Schema.Duration),
  "options": () => property(Schema.Option(Schema.Option(Schema.NullOr(Schema.String)))),
  "texts of any UTF-16": () => property(Schema.String, { values: texts }),
  "any JSON": () => property(Schema.Json, { same: (one, other) => JSON.stringify(one) === JSON.stringify(other) }),
  "all of them, nested": () =>
    property(Schema.Struct({
      at: Schema.DateTimeUtc,
      amounts: Schema.Array(Schema.BigDecimal),
      raw: Schema.optionalKey(Schema.Uint8Array),
      by: Schema.ReadonlyMap(Schema.String, Schema.Option(Schema.BigInt)),
      took: Schema.NullOr(Schema.Duration)
    }))
}

for (const codec of codecs) {
  suite(`events as ${codec.name}`, (test) => {
    const packs = codec === Codec.messagePack

    for (const [name, check] of Object.entries(properties)) {
      test(`${name} come back equal`, (log) =>
        Effect.gen(function*() {
          yield* check()(yield* log.open({}, { codec }))
          const [json = 0, packed = 0] = yield* columns(log)
          assert.isAbove(packs ? packed : json, 0)
          if (!packs) assert.strictEqual(packed, 0)
        }))
    }

    test("the edges of numbers come back to the bit", (log) =>
      Effect.gen(function*() {
        const store = yield* log.open({}, { codec })
        const powers = globalThis.Array.from({ length: 2_098 }, (_, i) => 2 ** (i - 1_074))
        const edges = [
          ...powers,
          ...powers.flatMap((power) => [power + 1, power - 1, power * 1.5, power * (1 + 2 ** -52)]),
          0.1,
          0.1 + 0.2,
          1e21,
          1e-7,
          1e308,
          Number.MAX_VALUE,
          Number.MIN_VALUE,
          2 ** 53 - 1,
          2 ** 53 + 2,
          0
        ].filter(Number.isFinite).flatMap((number) => [number, -number])
        yield* store.append(stream("edges"), noStream, [noted(edges), ...edges.slice(0, 500).map(noted)])
        const [all, ...single] = yield* store.read(stream("edges"))
        const expected = edges.map((number) => number + 0)
        assert.deepStrictEqual(all?.data, { note: expected })
        assert.deepStrictEqual(single.map(({ data }) => data), expected.slice(0, 500).map((note) => ({ note })))
        assert.deepStrictEqual(yield* columns(log), packs ? [0, 501] : [501, 0])
      }))

    for (const size of [313, 10_000]) {
      test(`bodies of ${size} bytes of nasty JSON come back exactly`, (log) =>
        Effect.gen(function*() {
          const store = yield* log.open({}, { codec })
          const random = NastyJson.random(size)
          yield* comesBack(store, "sized", globalThis.Array.from({ length: 100 }, () => sized(random, size)))
          const [json = 0, packed = 0] = yield* columns(log)
          assert.strictEqual(json + packed, 100)
        }))
    }

    test("wide, deep and empty bodies come back exactly", (log) =>
      Effect.gen(function*() {
        const store = yield* log.open({}, { codec })
        const wide = Object.fromEntries(globalThis.Array.from({ length: 70_000 }, (_, i) => [`key ${i}`, i]))
        yield* comesBack(store, "shapes", [
          noted(wide),
          noted(Object.values(wide)),
          noted("é".repeat(70_000)),
          noted(NastyJson.nested(900)),
          noted(NastyJson.nested(3_000)),
          noted([]),
          holding({}),
          holding(""),
          holding(0),
          holding(false)
        ])
        // One is deeper than MessagePack is asked to go.
        assert.deepStrictEqual(yield* columns(log), packs ? [1, 9] : [10, 0])
      }))

    test("what JSON has ways of its own with comes back as of JSON", (log) =>
      Effect.gen(function*() {
        const store = yield* log.open({}, { codec })
        const sparse: globalThis.Array<unknown> = [1, undefined]
        sparse[3] = 2
        const odd: ReadonlyArray<unknown> = [
          { left: undefined, out: 1, list: [undefined] },
          { sparse },
          { none: Number.NaN, most: [Infinity, -Infinity] },
          { date: new Date(0), own: { toJSON: () => 5 } },
          { map: new Map([[1, 2]]), bytes: new Uint8Array([1, 2]), boxed: Object("text") },
          { call: () => 1, symbol: Symbol("s") },
          Object.create({ inherited: 1 }, { own: { value: 1, enumerable: true }, hidden: { value: 2 } }),
          JSON.parse(`{"__proto__": 1, "constructor": 2}`),
          { mark: "\ufeff" + "x".repeat(300), ["\ufeff" + "k".repeat(300)]: 1 },
          { half: "x".repeat(300) + "\ud800" }
        ]
        yield* comesBack(store, "odd", odd.map(holding))
        assert.deepStrictEqual(yield* columns(log), packs ? [8, 2] : [10, 0])
      }))

    test("what JSON refuses is refused, alone, and nothing is sent", (log) =>
      Effect.gen(function*() {
        const store = yield* log.open({}, { codec })
        const circle: Record<string, unknown> = {}
        circle.round = circle
        const outcomes = yield* Effect.forEach(
          [1, { big: 5n }, circle, 2],
          (data, i) =>
            Effect.result(
              store.append(stream(`bad-${i}`), noStream, [holding(data)])
            ),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          outcomes.map((outcome) => Result.isFailure(outcome) ? outcome.failure._tag : "stored"),
          ["stored", "EventStoreError", "EventStoreError", "stored"]
        )
        assert.deepStrictEqual(yield* columns(log), packs ? [0, 2] : [2, 0])
      }))
  })
}

/**
 * Once an object has a member whose name begins with a backslash, the JSON.parse of Node 24 and 26 takes other names for
 * it that begin with an escape (nodejs/node#63785). So no text here begins with one.
 */
const leadingEscape = "\"\\"

/** An event whose body takes so many bytes of JSON, give or take one value. */
const sized = (random: () => number, size: number): EncodedEvent => {
  const values: Array<Schema.Json> = []
  let bytes = 0
  while (bytes < size) {
    const value = NastyJson.any(random, 3)
    const text = JSON.stringify(value)
    if (text.includes(leadingEscape)) continue
    values.push(value)
    bytes += Buffer.byteLength(text) + 1
  }
  return noted(values)
}

suite("a log of both codecs", (test) => {
  test("a store reads what another wrote, whatever its own codec", (log) =>
    Effect.gen(function*() {
      const packing = yield* log.open({}, { codec: Codec.messagePack })
      yield* packing.append(stream("a"), noStream, several(3), { metadata: { by: "me" } })
      yield* log.store.append(stream("a"), any, several(2))
      yield* packing.append(stream("a"), any, [counted(0)])
      assert.deepStrictEqual(yield* columns(log), [2, 4])
      const events = yield* packing.read(stream("a"))
      assert.deepStrictEqual(events.map(({ data }) => data), [0, 1, 2, 0, 1, 0].map((count) => ({ count })))
      assert.deepStrictEqual(yield* log.store.read(stream("a")), events)
      assert.deepStrictEqual((yield* log.store.readAll({ after: 0n, limit: 10 })).events, events)
      assert.deepStrictEqual(
        (yield* log.store.readAll({ after: 0n, limit: 10, names: ["Counted"] })).events,
        events
      )
    }))

  test("a command is repeated by a store of the other codec", (log) =>
    Effect.gen(function*() {
      const packing = yield* log.open({}, { codec: Codec.messagePack })
      const note = [-0, "é", { b: 1, a: 2 ** 53 }]
      for (const [one, other] of [[packing, log.store], [log.store, packing]] as const) {
        const id = commandId()
        const first = yield* one.append(stream(id), noStream, [noted(note)], { commandId: id })
        const again = yield* other.append(stream(id), noStream, [noted(note)], { commandId: id })
        assert.deepStrictEqual(again, { ...first, duplicate: true })
        const error = yield* Effect.flip(other.append(stream(id), noStream, [noted([])], { commandId: id }))
        assert.strictEqual(error._tag, "CommandIdConflict")
      }
      assert.deepStrictEqual(yield* columns(log), [1, 1])
    }))

  test("a tombstone erases packed bodies, too, and is itself readable", (log) =>
    Effect.gen(function*() {
      const packing = yield* log.open({}, { codec: Codec.messagePack })
      yield* packing.append(stream("a"), noStream, several(3))
      yield* log.store.append(stream("a"), any, several(2))
      yield* packing.tombstone(stream("a"), any, { reason: "request 311" })
      assert.deepStrictEqual(yield* columns(log), [1, 0])
      const { events } = yield* packing.readAll({ after: 0n, limit: 10 })
      assert.deepStrictEqual(events.map(({ data, erased }) => [data, erased]), [
        ...globalThis.Array.from({ length: 5 }, () => [null, true]),
        [{ reason: "request 311" }, undefined]
      ])
    }))

  test("a body cannot be stored twice", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), noStream, several(1))
      yield* log.sql`ALTER TABLE events DISABLE TRIGGER ALL`
      const error = yield* Effect.flip(log.sql`UPDATE events SET packed = '\\x80'`)
      assert.include(JSON.stringify(error.cause), "events_body")
    }))
})

it.effect("MessagePack alone, without looking at what it holds, would change bodies", () =>
  Effect.gen(function*() {
    const changed = (value: Schema.Json) =>
      Result.match(Result.try(() => MessagePack.decode(MessagePack.encode(value))), {
        onFailure: () => true,
        onSuccess: (decoded) => JSON.stringify(decoded) !== JSON.stringify(value)
      })
    const left: ReadonlyArray<Schema.Json> = [
      "x".repeat(300) + "\ud800",
      "\ufeff" + "x".repeat(300),
      JSON.parse(`{"__proto__": 1}`)
    ]
    assert.deepStrictEqual(left.map(changed), [true, true, true])
    assert.deepStrictEqual([...left, Number.NaN].map(MessagePack.holds), [false, false, false, false])
    // Nor is it so careful that nothing is packed.
    const result = yield* Arbitrary.checkEffect(Arbitrary.schema(Schema.Json), (value) =>
      !MessagePack.holds(value) || !changed(value), { runs: 1_000, seed: "MessagePack" })
    assert.isUndefined(Arbitrary.formatCheckFailure(result))
    const values = yield* Arbitrary.sampleEffect(Arbitrary.schema(Schema.Json), { count: 1_000, seed: 1 })
    assert.isAbove(values.filter(MessagePack.holds).length, 900)
  }))
