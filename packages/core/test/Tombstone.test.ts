/**
 * Erased streams as features and their stores meet them, and what every store's reads notice. What stores do of
 * tombstones is in the contract.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventErased } from "@composable-ts/core/EventError"
import * as EventStore from "@composable-ts/core/EventStore"
import { CorruptLog, CorruptStream, StreamTombstoned } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { SnapshotStore, SnapshotStoreError } from "@composable-ts/core/SnapshotStore"
import * as Store from "@composable-ts/core/Store"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Tombstone from "@composable-ts/core/Tombstone"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Result, Schema, Stream } from "effect"

const Diary = Action.define("Diary", {
  commands: { Write: { text: Schema.String }, Nothing: {} },
  events: { Wrote: Event.v1({ text: Schema.String }) }
})

const diary = Aggregate.define(Diary, {
  initial: { texts: [] as ReadonlyArray<string> },
  decide: (_state, command) => command._tag === "Write" ? Fx.append(Diary.Wrote({ text: command.text })) : Fx.none,
  evolve: ({ texts }, { text }) => ({ texts: [...texts, text] }),
  snapshot: { state: Schema.Struct({ texts: Schema.Array(Schema.String) }), version: 1 }
})

const streamId = Result.getOrThrow(StreamId.make("diary", "ada"))
const write = (text: string) => Diary.Write({ text })
const reason = "asked to be forgotten"
const stores = Layer.mergeAll(MemoryEventStore.layer, MemorySnapshotStore.layer)

/** The error says that the instance was erased. */
const assertErased = (error: unknown, version: number) => {
  assert.instanceOf(error, StreamTombstoned)
  assert.deepInclude(error, { streamId, version })
}

/** Two events and a snapshot of the second. */
const written = Effect.gen(function*() {
  const store = yield* Store.aggregate(diary)
  yield* store.dispatch("ada", write("wombat"), { commandId: "first" })
  yield* store.dispatch("ada", write("quokka"))
  yield* store.saveSnapshot("ada")
  return store
})

type Diaries = Effect.Success<typeof written>

const snapshot = Effect.flatMap(SnapshotStore, (store) => store.load(streamId, { stateVersion: 1 }))

/** What another process does. */
const eraseElsewhere = Effect.flatMap(
  EventStore.EventStore,
  (events) => events.tombstone(streamId, ExpectedVersion.any, { reason })
)

describe("an aggregate's store", () => {
  it.effect("erases an instance with its snapshots, and repeats that by command id", () =>
    Effect.gen(function*() {
      const store = yield* written
      const erase = store.tombstone("ada", { reason, commandId: "erase", correlationId: "case 7" })
      assert.isTrue(Option.isSome(yield* snapshot))
      const first = yield* erase
      assert.deepStrictEqual({ ...first }, { version: 2, globalPosition: 3n, duplicate: false })
      assert.isTrue(Option.isNone(yield* snapshot))
      assert.deepStrictEqual({ ...(yield* erase) }, { ...first, duplicate: true })
      assertErased(yield* Effect.flip(store.tombstone("ada", { reason })), 2)
      const audit = yield* Stream.runCollect(Tombstone.audit(yield* EventStore.EventStore))
      assert.deepStrictEqual(
        audit.map(({ commandId, correlationId, reason }) => [commandId, correlationId, reason]),
        [["erase", "case 7", reason]]
      )
    }).pipe(Effect.provide(stores)))

  it.effect("does not erase what never was", () =>
    Effect.gen(function*() {
      const store = yield* Store.aggregate(diary)
      const error = yield* Effect.flip(store.tombstone("nobody", { reason }))
      assert.deepInclude(error, { _tag: "VersionConflict", actual: -1 })
    }).pipe(Effect.provide(stores)))

  it.effect("waits for the command under way, and refuses those behind", () =>
    Effect.gen(function*() {
      const store = yield* written
      const [before, erased, after] = yield* Effect.all([
        Effect.result(store.dispatch("ada", write("three"))),
        Effect.result(store.tombstone("ada", { reason })),
        Effect.result(store.dispatch("ada", write("four")))
      ], { concurrency: "unbounded" })
      assert.isTrue(Result.isSuccess(before))
      assert.isTrue(Result.isSuccess(erased) && erased.success.version === 3)
      assertErased(Result.isFailure(after) ? after.failure : undefined, 3)
    }).pipe(Effect.provide(stores)))

  type Uses = Readonly<Record<string, (store: Diaries) => Effect.Effect<unknown, unknown>>>

  /** What looks after an instance in memory. */
  const tending: Uses = {
    dispatch: (store) => store.dispatch("ada", write("more")),
    state: (store) => store.state("ada"),
    saveSnapshot: (store) => store.saveSnapshot("ada")
  }
  /** Everything that serves something of an instance. */
  const uses: Uses = {
    ...tending,
    "dispatch of what stores nothing": (store) => store.dispatch("ada", Diary.Nothing()),
    "dispatch of a command stored before": (store) => store.dispatch("ada", write("wombat"), { commandId: "first" }),
    "state at a version": (store) => store.stateAt("ada", { version: 0 }),
    "state at the snapshot's version": (store) => store.stateAt("ada", { version: 1 }),
    "state at a time": (store) => store.stateAt("ada", { time: 1 }),
    exists: (store) => store.exists("ada"),
    history: (store) => Stream.runCollect(store.history("ada"))
  }

  for (const [name, use] of Object.entries(uses)) {
    it.effect(`${name}: fails, whether the instance is in memory, in a snapshot, or neither`, () =>
      Effect.gen(function*() {
        const warm = yield* written
        const kept = Option.getOrThrow(yield* snapshot)
        yield* eraseElsewhere
        const snapshots = yield* SnapshotStore
        for (const store of [warm, yield* Store.aggregate(diary)]) {
          assertErased(yield* Effect.flip(use(store)), 2)
          // A process that did not know yet may bring it back.
          yield* snapshots.save(kept)
          assertErased(yield* Effect.flip(use(store)), 2)
        }
      }).pipe(Effect.provide(stores)))
  }

  it.effect("forgets an instance that another process has erased, snapshot included, when it next uses it", () =>
    Effect.gen(function*() {
      for (const [name, use] of Object.entries(tending)) {
        yield* Effect.gen(function*() {
          const store = yield* written
          yield* eraseElsewhere
          assert.isTrue(Option.isSome(yield* snapshot))
          assertErased(yield* Effect.flip(use(store)), 2)
          assert.isTrue(Option.isNone(yield* snapshot), name)
        }).pipe(Effect.provide(Layer.fresh(stores)))
      }
    }))

  it.effect("says when the snapshots could not be removed, and asked again removes them", () =>
    Effect.gen(function*() {
      let reachable = false
      const flaky = Layer.effect(
        SnapshotStore,
        Effect.map(MemorySnapshotStore.make, (sound) => ({
          ...sound,
          remove: (streamId) =>
            Effect.suspend(() =>
              reachable
                ? sound.remove(streamId)
                : Effect.fail(new SnapshotStoreError({ operation: "remove", retryable: true, cause: "no route" }))
            )
        }))
      )
      yield* Effect.gen(function*() {
        const store = yield* written
        const error = yield* Effect.flip(store.tombstone("ada", { reason }))
        assert.strictEqual(error._tag, "SnapshotStoreError")
        assertErased(yield* Effect.flip(store.state("ada")), 2)
        assert.isTrue(Option.isSome(yield* snapshot))
        reachable = true
        assertErased(yield* Effect.flip(store.tombstone("ada", { reason })), 2)
        assert.isTrue(Option.isNone(yield* snapshot))
      }).pipe(Effect.provide(Layer.merge(MemoryEventStore.layer, flaky)))
    }))

  it.effect("goes on with other instances", () =>
    Effect.gen(function*() {
      const store = yield* written
      yield* store.dispatch("bob", write("mine"))
      yield* store.tombstone("ada", { reason })
      assert.deepStrictEqual((yield* store.dispatch("bob", write("still"))).state, { texts: ["mine", "still"] })
    }).pipe(Effect.provide(stores)))
})

describe("an erased event", () => {
  it.effect("does not decode, and says where it was", () =>
    Effect.gen(function*() {
      yield* written
      yield* eraseElsewhere
      const events = yield* EventStore.EventStore
      const [first] = yield* events.readCommand("first")
      const error = Result.getOrThrow(Result.flip(Diary.decode(first!)))
      assert.instanceOf(error, EventErased)
      assert.deepInclude(error, { streamId, version: 0, globalPosition: 1n, type: "Wrote.v1" })
    }).pipe(Effect.provide(stores)))

  it.effect("leaves nothing of its text in what is read or in any message", () =>
    Effect.gen(function*() {
      const store = yield* written
      yield* eraseElsewhere
      const events = yield* EventStore.EventStore
      const page = yield* events.readAll({ after: 0n, limit: 10 })
      const errors = yield* Effect.all([
        Effect.flip(store.state("ada")),
        Effect.flip(store.dispatch("ada", write("three")))
      ])
      const all = JSON.stringify([page.events, errors.map(String)], (_, value: unknown) =>
        typeof value === "bigint" ? `${value}` : value)
      assert.notMatch(all, /wombat|quokka/)
    }).pipe(Effect.provide(stores)))
})

describe("the names of events", () => {
  it("cannot be a tombstone's", () => {
    for (const name of [Tombstone.type, "$Tombstone", "$"]) {
      assert.throws(() => Action.define("Evil", { commands: {}, events: { [name]: Event.v1({}) } }), TypeError)
    }
  })
})

describe("an event store whose reads are not what was appended", () => {
  /** Of five events in a store, what the reader gets of them. */
  const damaged = (change: (events: ReadonlyArray<RecordedEvent>) => ReadonlyArray<RecordedEvent>) =>
    Effect.gen(function*() {
      const sound = yield* MemoryEventStore.make
      const encoded = Result.getOrThrow(Diary.encode(Diary.Wrote({ text: "x" })))
      yield* sound.append(streamId, ExpectedVersion.any, [encoded, encoded, encoded, encoded, encoded])
      return EventStore.make({
        ...sound,
        read: (...read) => Effect.map(sound.read(...read), change),
        readAll: (options) => Effect.map(sound.readAll(options), (page) => ({ ...page, events: change(page.events) }))
      })
    })

  const without = (index: number) => (events: ReadonlyArray<RecordedEvent>) => events.filter((_, i) => i !== index)
  const changed = (index: number, change: Partial<RecordedEvent>) => (events: ReadonlyArray<RecordedEvent>) =>
    events.map((event, i) => i === index ? Object.assign({}, event, change) : event)

  const cases: ReadonlyArray<
    readonly [
      name: string,
      change: (events: ReadonlyArray<RecordedEvent>) => ReadonlyArray<RecordedEvent>,
      version: number | undefined,
      position: bigint | undefined
    ]
  > = [
    ["none is missing", (events) => events, undefined, undefined],
    ["the first is missing", without(0), 0, 1n],
    ["the third is missing", without(2), 2, 3n],
    ["the last is missing", without(4), undefined, 5n],
    ["one is there twice", (events) => [...events.slice(0, 3), ...events.slice(2)], 3, 3n],
    ["they come in another order", (events) => events.toReversed(), 0, 1n],
    ["one is of another stream", changed(1, { streamId: "diary-bob" }), 1, undefined],
    ["one has another position", changed(1, { globalPosition: 9n }), 2, 9n],
    ["one has no data", changed(1, { data: null, erased: true }), 1, undefined],
    ["one is a tombstone", changed(1, { type: Tombstone.type }), 2, undefined],
    ["metadata is none", changed(1, { metadata: [] as never }), 1, 2n]
  ]

  for (const [name, change, version, position] of cases) {
    it.effect(`${name}: ${version ?? "no version"}, ${position ?? "no position"}`, () =>
      Effect.gen(function*() {
        const store = yield* damaged(change)
        const read = yield* Effect.result(store.read(streamId))
        const page = yield* Effect.result(store.readAll({ after: 0n, limit: 10 }))
        if (version === undefined) assert.isTrue(Result.isSuccess(read))
        else {
          const error = Result.isFailure(read) ? read.failure : undefined
          assert.instanceOf(error, CorruptStream)
          assert.deepInclude(error, { streamId, version })
        }
        if (position === undefined) assert.isTrue(Result.isSuccess(page))
        else {
          const error = Result.isFailure(page) ? page.failure : undefined
          assert.instanceOf(error, CorruptLog)
          assert.strictEqual(error.globalPosition, position)
        }
      }))
  }

  it.effect("an aggregate refuses to decide on it", () =>
    Effect.gen(function*() {
      const store = yield* damaged(without(2))
      yield* Effect.gen(function*() {
        const diaries = yield* Store.aggregate(diary)
        assert.instanceOf(yield* Effect.flip(diaries.dispatch("ada", write("y"))), CorruptStream)
      }).pipe(Effect.provideService(EventStore.EventStore, store), Effect.provide(MemorySnapshotStore.layer))
    }))

  it.effect("a subscriber gets nothing of the damaged page", () =>
    Effect.gen(function*() {
      const store = yield* damaged(without(2))
      let got = 0
      const error = yield* Effect.flip(
        Stream.runForEach(store.subscribe({ after: 0n }), () => Effect.sync(() => got++))
      )
      assert.instanceOf(error, CorruptLog)
      assert.strictEqual(got, 0)
    }))

  it.live("a tombstone that comes while a long stream is loaded ends the load", () =>
    Effect.gen(function*() {
      const store = yield* MemoryEventStore.make
      const encoded = Result.getOrThrow(Diary.encode(Diary.Wrote({ text: "x" })))
      for (let i = 0; i < 1_100; i++) yield* store.append(streamId, ExpectedVersion.any, [encoded])
      let got = 0
      const loading = yield* Effect.forkChild(Effect.flip(Stream.runForEach(store.load(streamId), ({ version }) =>
        Effect.suspend(() => {
          got++
          return version === 10 ? store.tombstone(streamId, ExpectedVersion.any, { reason }) : Effect.void
        }))))
      assertErased(yield* Fiber.join(loading), 1_100)
      assert.strictEqual(got, 1_000)
    }))

  it.effect("an event that vanishes where a page of a backward load would begin is missed", () =>
    Effect.gen(function*() {
      const sound = yield* MemoryEventStore.make
      const encoded = Result.getOrThrow(Diary.encode(Diary.Wrote({ text: "x" })))
      for (let i = 0; i < 1_100; i++) yield* sound.append(streamId, ExpectedVersion.any, [encoded])
      let reads = 0
      const store = EventStore.make({
        ...sound,
        read: (...read) =>
          Effect.map(
            sound.read(...read),
            (events) => ++reads === 1 ? events : events.filter(({ version }) => version !== 99)
          )
      })
      const error = yield* Effect.flip(Stream.runCollect(store.load(streamId, { direction: "backwards" })))
      assert.instanceOf(error, CorruptStream)
      assert.deepInclude(error, { streamId, version: 99 })
      assert.strictEqual(reads, 2)
    }))

  it.effect("a stream that fills its pages is loaded without an empty one", () =>
    Effect.gen(function*() {
      const sound = yield* MemoryEventStore.make
      const encoded = Result.getOrThrow(Diary.encode(Diary.Wrote({ text: "x" })))
      for (let i = 0; i < 1_000; i++) yield* sound.append(streamId, ExpectedVersion.any, [encoded])
      let reads = 0
      const store = EventStore.make({
        ...sound,
        read: (...read) => Effect.tap(sound.read(...read), () => Effect.sync(() => reads++))
      })
      assert.lengthOf(yield* Stream.runCollect(store.load(streamId)), 1_000)
      assert.strictEqual(reads, 1)
    }))
})
