/**
 * T51: what somebody with all rights did to the table behind the store's back is noticed, by reads in what they read and
 * by the audit in the whole log, and nothing of it is delivered.
 */
import type { LogReadError, StreamReadError } from "@composable-ts/core/EventStoreError"
import * as LogAudit from "@composable-ts/postgres/LogAudit"
import { PgClient } from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import { Effect, Result, Stream } from "effect"
import { several, stream } from "./Facts.ts"
import { suite, type TestLog } from "./TestLog.ts"

const any = { _tag: "Any" } as const

/** Ten events: 1–3 and 6–7 of stream a, 4–5 and 8–10 of stream b; 6–8 are one command. */
const fill = ({ store }: TestLog) =>
  Effect.gen(function*() {
    const [a, b] = [stream("a"), stream("b")]
    yield* store.append(a, any, several(3))
    yield* store.append(b, any, several(2))
    yield* store.transact([{ streamId: a, expected: any, events: several(2) }, {
      streamId: b,
      expected: any,
      events: several(1)
    }])
    yield* store.append(b, any, several(2))
  })

/** As nobody but a superuser, or the table's owner, can. */
const tamper = ({ sql }: TestLog, ...statements: ReadonlyArray<string>) =>
  sql.withTransaction(Effect.gen(function*() {
    yield* sql`ALTER TABLE events DISABLE TRIGGER ALL`
    for (const statement of statements) yield* sql.unsafe(statement)
    yield* sql`ALTER TABLE events ENABLE ALWAYS TRIGGER events_immutable`
    yield* sql`ALTER TABLE events ENABLE ALWAYS TRIGGER events_erasable`
  }))

const findings = ({ schema, sql }: TestLog, limit?: number) =>
  Effect.map(
    Effect.provideService(LogAudit.verify({ schema, limit }), PgClient, sql),
    (found) =>
      found.map(({ finding, globalPosition, streamId, version }) => [finding, globalPosition, streamId, version])
  )

/** What a read comes to: how many events, or where and how it failed. */
const seen = <A>(read: Effect.Effect<ReadonlyArray<A>, StreamReadError | LogReadError>) =>
  Effect.map(Effect.result(read), (result) => {
    if (Result.isSuccess(result)) return result.success.length
    const error = result.failure
    switch (error._tag) {
      case "CorruptStream":
        return `${error.streamId} ${error.version}`
      case "CorruptLog":
        return error.globalPosition
      default:
        return error._tag
    }
  })

interface Damage {
  readonly name: string
  readonly done: ReadonlyArray<string>
  /** What a read of stream a comes to, of stream b, and of the log; where reads cannot see it, they get the events. */
  readonly reads: ReadonlyArray<number | string | bigint>
  readonly found: ReadonlyArray<ReadonlyArray<string | number | bigint | null>>
}

const damages: ReadonlyArray<Damage> = [
  {
    name: "a middle event deleted",
    done: ["DELETE FROM events WHERE global_position = 2"],
    reads: ["fact-a 1", 5, 2n],
    found: [
      ["position", 2n, null, null],
      ["version", 3n, "fact-a", 1]
    ]
  },
  {
    name: "a stream's first event deleted",
    done: ["DELETE FROM events WHERE global_position = 4"],
    reads: [5, "fact-b 0", 4n],
    found: [
      ["position", 4n, null, null],
      ["command", 1n, "fact-a", 0],
      ["command", 5n, "fact-b", 1],
      ["version", 5n, "fact-b", 0]
    ]
  },
  {
    name: "the log's first event deleted",
    done: ["DELETE FROM events WHERE global_position = 1"],
    reads: ["fact-a 0", 5, 1n],
    found: [
      ["position", 1n, null, null],
      ["command", 2n, "fact-a", 1],
      ["version", 2n, "fact-a", 0]
    ]
  },
  {
    name: "a version changed to one that is due later",
    done: ["UPDATE events SET version = 7 WHERE global_position = 7"],
    reads: ["fact-a 4", 5, 10],
    found: [["version", 7n, "fact-a", 4]]
  },
  {
    name: "two positions of a stream swapped",
    done: [
      "UPDATE events SET global_position = -1 WHERE global_position = 2",
      "UPDATE events SET global_position = 2 WHERE global_position = 3",
      "UPDATE events SET global_position = 3 WHERE global_position = -1"
    ],
    reads: ["fact-a 2", 5, 10],
    found: [["order", 2n, "fact-a", 2]]
  },
  {
    name: "an event moved to another stream",
    done: ["UPDATE events SET stream_id = 'fact-b', version = 5 WHERE global_position = 7"],
    reads: [4, "fact-b 5", 10],
    found: [["order", 7n, "fact-b", 5]]
  },
  {
    name: "a position moved beyond the end",
    done: ["UPDATE events SET global_position = 12 WHERE global_position = 10"],
    reads: [5, 5, 10n],
    found: [["position", 10n, null, null], ["command", 9n, "fact-b", 3]]
  },
  {
    name: "data taken away without a tombstone",
    done: ["UPDATE events SET data = NULL WHERE global_position = 2"],
    reads: ["fact-a 1", 5, 10],
    found: [["tombstone", 2n, "fact-a", 1]]
  },
  {
    name: "data that no event has",
    done: ["UPDATE events SET data = 'null' WHERE global_position = 2"],
    reads: ["fact-a 1", 5, 10],
    found: [["shape", 2n, "fact-a", 1]]
  },
  {
    name: "packed data that no event has",
    done: ["UPDATE events SET data = NULL, packed = '\\xc0' WHERE global_position = 2"],
    reads: ["fact-a 1", 5, 10],
    found: [["shape", 2n, "fact-a", 1]]
  },
  {
    name: "packed data that is cut off, which the audit cannot see",
    done: ["UPDATE events SET data = NULL, packed = '\\x81a1' WHERE global_position = 2"],
    reads: ["fact-a 1", 5, 2n],
    found: []
  },
  {
    name: "data both packed and not",
    done: [
      "ALTER TABLE events DROP CONSTRAINT events_body",
      "UPDATE events SET packed = '\\x80' WHERE global_position = 2"
    ],
    reads: [5, 5, 10],
    found: [["shape", 2n, "fact-a", 1]]
  },
  {
    name: "metadata that no event has",
    done: ["UPDATE events SET metadata = '[1]' WHERE global_position = 2"],
    reads: ["fact-a 1", 5, 2n],
    found: [["shape", 2n, "fact-a", 1]]
  },
  {
    name: "a tombstone in the middle",
    done: ["UPDATE events SET type = '$tombstone' WHERE global_position = 2"],
    reads: ["fact-a 2", 5, 10],
    found: [["tombstone", 2n, "fact-a", 1], ["tombstone", 3n, "fact-a", 2]]
  },
  {
    name: "a tombstone that has erased nothing",
    done: ["UPDATE events SET type = '$tombstone' WHERE global_position = 7"],
    reads: ["StreamTombstoned", 5, 10],
    found: [["tombstone", 7n, "fact-a", 4]]
  },
  {
    name: "a tombstone without its reason",
    done: ["UPDATE events SET type = '$tombstone', data = NULL WHERE global_position = 7"],
    reads: ["fact-a 4", 5, 7n],
    found: [["tombstone", 7n, "fact-a", 4], ["tombstone", 7n, "fact-a", 4]]
  },
  {
    name: "a command's size changed",
    done: ["UPDATE events SET command_size = 4 WHERE global_position = 6"],
    reads: [5, 5, 10],
    found: [["command", 6n, "fact-a", 3]]
  },
  {
    name: "an event that belongs to no command",
    done: ["UPDATE events SET command_id = 'other' WHERE global_position = 7"],
    reads: [5, 5, 10],
    found: [["command", 7n, "fact-a", 4], ["command", 8n, "fact-b", 2]]
  }
]

const sorted = (found: ReadonlyArray<ReadonlyArray<unknown>>) => found.map((row) => row.join(" ")).toSorted()

suite("T51: a log that somebody has tampered with", (test, control) => {
  const reads = ({ store }: TestLog) =>
    Effect.all([
      seen(store.read(stream("a"))),
      seen(store.read(stream("b"))),
      seen(Effect.map(store.readAll({ after: 0n, limit: 100 }), ({ events }) => events))
    ])

  test("control: a sound one is read whole, and the audit finds nothing", (log) =>
    Effect.gen(function*() {
      yield* fill(log)
      assert.deepStrictEqual(yield* reads(log), [5, 5, 10])
      assert.deepStrictEqual(yield* findings(log), [])
      yield* log.store.tombstone(stream("a"), any, { reason: "asked for" })
      assert.deepStrictEqual(yield* findings(log), [])
    }))

  test("control: so is one that is empty", (log) =>
    Effect.map(findings(log), (found) => assert.deepStrictEqual(found, [])))

  for (const { done, found, name, reads: expected } of damages) {
    control(`${name}: is noticed`, (log) =>
      Effect.gen(function*() {
        yield* fill(log)
        yield* tamper(log, ...done)
        const [a, b, all] = yield* reads(log)
        assert.deepStrictEqual([a, b, all], [...expected])
        assert.deepStrictEqual(sorted(yield* findings(log)), sorted(found))
      }))
  }

  control("every way to read the damaged stretch fails, and reads beside it do not", (log) =>
    Effect.gen(function*() {
      const { store } = log
      const a = stream("a")
      yield* store.append(a, any, several(1_700))
      yield* tamper(log, "DELETE FROM events WHERE version = 700")
      const loaded = (options: Parameters<typeof store.load>[1]) => seen(Stream.runCollect(store.load(a, options)))
      assert.strictEqual(yield* loaded({}), "fact-a 700")
      assert.strictEqual(yield* loaded({ direction: "backwards" }), "fact-a 700")
      assert.strictEqual(yield* loaded({ from: 700 }), "fact-a 700")
      // 1 000 events come from the end down to 700, and the next page must begin there.
      assert.strictEqual(yield* loaded({ direction: "backwards", to: 1_699, from: 650 }), "fact-a 700")
      assert.strictEqual(yield* loaded({ direction: "backwards", to: 1_700 - 1, from: 701 }), 999)
      assert.strictEqual(yield* loaded({ direction: "backwards", to: 702, from: 700 }), "fact-a 700")
      assert.strictEqual(yield* loaded({ from: 701 }), 999)
      assert.strictEqual(yield* loaded({ to: 699 }), 700)
      const page = (after: bigint, names?: ReadonlyArray<string>) =>
        seen(Effect.map(store.readAll({ after, limit: 50, names }), ({ events }) => events))
      assert.strictEqual(yield* page(660n), 701n)
      assert.strictEqual(yield* page(700n), 701n)
      assert.strictEqual(yield* page(701n), 50)
      assert.strictEqual(yield* page(651n), 701n)
      assert.strictEqual(yield* page(600n), 50)
      assert.strictEqual(yield* page(660n, ["Counted"]), 701n)
      assert.strictEqual(yield* page(660n, ["Unheard"]), 701n)
      assert.strictEqual(yield* page(701n, ["Unheard"]), 0)
    }))

  control("the page of a backward load that ends right before the hole leads to it", (log) =>
    Effect.gen(function*() {
      const a = stream("a")
      yield* log.store.append(a, any, several(1_700))
      yield* tamper(log, "DELETE FROM events WHERE version = 699")
      const loaded = Stream.runCollect(log.store.load(a, { direction: "backwards" }))
      assert.strictEqual(yield* seen(loaded), "fact-a 699")
    }))

  control("a subscription stops before the damaged page, and goes no further", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(900))
      yield* tamper(log, "DELETE FROM events WHERE global_position = 700")
      const got: Array<bigint> = []
      const error = yield* Effect.flip(
        Stream.runForEach(log.store.subscribe({ after: 0n }), (event) =>
          Effect.sync(() => void got.push(event.globalPosition)))
      )
      assert.strictEqual(error._tag, "CorruptLog")
      assert.lengthOf(got, 500)
    }))

  control("the audit tells as much as it is asked for", (log) =>
    Effect.gen(function*() {
      yield* log.store.append(stream("a"), any, several(100))
      yield* tamper(log, "DELETE FROM events WHERE version % 2 = 1")
      assert.lengthOf(yield* findings(log, 7), 7)
      assert.isAbove((yield* findings(log)).length, 90)
    }))
})
