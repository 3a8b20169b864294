import * as Aggregate from "@composable-ts/core/Aggregate"
import * as AggregateStore from "@composable-ts/core/AggregateStore"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as MemorySnapshotStore from "@composable-ts/core/MemorySnapshotStore"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { SnapshotStore } from "@composable-ts/core/SnapshotStore"
import * as StreamId from "@composable-ts/core/StreamId"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Result, Schema } from "effect"
import * as Saga from "../src/Saga.ts"
import {
  actual,
  durableGate,
  expected,
  Gate,
  gate,
  gates,
  happens,
  inputs,
  log,
  State,
  Street,
  street
} from "./Gates.ts"

const runs = Number(process.env["SAGA_RUNS"] ?? "60")

const Gates = Schema.Literals(["a", "b", "c"])
const Streets = Schema.Literals(["1", "2"])
const Happening = Schema.Struct({
  street: Streets,
  gate: Gates,
  what: Schema.Literals(["Rang", "Left", "Came", "Shouted"])
})

/** A delivery: from how far behind the checkpoint, how much, by whom, and whether the checkpoint then moves. */
const Delivery = Schema.Struct({
  behind: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
  length: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 })),
  receiver: Schema.Literals(["one", "other", "fresh"]),
  /** Whether, at the same time, one that was replaced hands over what it read long ago. */
  beside: Schema.Boolean,
  committed: Schema.Boolean
})

const Schedule = Schema.Struct({
  happenings: Schema.Array(Happening).check(Schema.isMaxLength(25)),
  deliveries: Schema.Array(Delivery).check(Schema.isMaxLength(15))
})

const eventOf = ({ gate, what }: typeof Happening.Type, who: number) =>
  what === "Came"
    ? Street.Came({ gate, who })
    : what === "Shouted"
    ? Street.Shouted({ who })
    : Street[what]({ gate })

/** Hands the happenings over by a schedule of redeliveries, and then the rest. Returns the log. */
const handOver = (
  { deliveries, happenings }: typeof Schedule.Type,
  make: Effect.Effect<Saga.Receiver, never, EventStore>
) =>
  Effect.gen(function*() {
    const receivers = { one: yield* make, other: yield* make }
    yield* Effect.forEach(happenings, (happening, i) => happens(happening.street, eventOf(happening, i)), {
      discard: true
    })
    const events = yield* log
    let checkpoint = 0
    for (const { behind, beside, committed, length, receiver } of deliveries) {
      const from = Math.max(0, checkpoint - behind)
      // A reader begins at its checkpoint, or at an earlier one of its own; it passes over nothing.
      const to = Math.min(events.length, Math.max(from + length, committed ? checkpoint + length : 0))
      const by = receiver === "fresh" ? yield* make : receivers[receiver]
      const late = receiver === "one" ? receivers.other : receivers.one
      yield* Effect.all(
        [
          by.receive(events.slice(from, to)),
          beside ? late.receive(events.slice(Math.max(0, from - 3), Math.max(from, to - 1))) : Effect.void
        ],
        { concurrency: 2 }
      )
      if (committed) checkpoint = Math.max(checkpoint, to)
    }
    yield* (yield* make).receive(events.slice(checkpoint))
    return yield* log
  })

/** A saga none of whose inputs is refused. */
const receiver = <S, C extends Tag, E extends Tag, R, N>(saga: Saga.Saga<S, C, E, R, N>) =>
  Saga.make(saga, (refused) => Effect.die(refused))

type Tag = { readonly _tag: string }

/** A saga whose refusals are listed. */
const listing = Effect.gen(function*() {
  const refused: Array<Saga.Refused> = []
  const { receive } = yield* Saga.make(gates, (input) => Effect.sync(() => refused.push(input)))
  return { receive, refused }
})

const onMemory = Layer.merge(MemoryEventStore.layer, MemorySnapshotStore.layer)

describe("inputs", () => {
  // Live: two receivers that meet in a conflict wait a moment.
  it.live.prop(
    "take effect once and in order, however they are redelivered",
    [Schedule],
    ([schedule]) =>
      Effect.gen(function*() {
        const all = yield* handOver(schedule, receiver(gates))
        assert.deepStrictEqual(actual(all), expected(all))
      }).pipe(Effect.provide(onMemory)),
    { arbitrary: { runs } }
  )
})

describe("an input that led to nothing", () => {
  /** Somebody comes to a closed gate, the bell rings, and a crash has both delivered again. */
  const redelivered = (receive: (events: ReadonlyArray<RecordedEvent>) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function*() {
      yield* happens("1", Street.Came({ gate: "a", who: 1 }), Street.Rang({ gate: "a" }))
      const events = yield* log
      yield* receive(events)
      yield* receive(events)
      return actual(yield* log).get("a")
    })

  it.effect("leads to nothing behind later inputs, either", () =>
    Effect.gen(function*() {
      const { receive } = yield* receiver(gates)
      assert.deepStrictEqual(yield* redelivered(receive), [`2: {"_tag":"Opened"}`])
    }).pipe(Effect.provide(onMemory)))

  it.effect("would not, if its command's id alone told that it came before: the control", () =>
    Effect.gen(function*() {
      const store = yield* AggregateStore.make(gate)
      const receive = (events: ReadonlyArray<RecordedEvent>) =>
        Effect.forEach(events, ({ eventId, type }) =>
          store.dispatch("a", type === "Came.v1" ? Gate.Pass({ who: 1 }) : Gate.Open(), {
            commandId: Saga.commandId(gates, eventId, "a"),
            causationId: eventId
          }))
      assert.deepStrictEqual(yield* redelivered(receive), [`2: {"_tag":"Opened"}`, `1: {"_tag":"Passed","who":1}`])
    }).pipe(Effect.provide(onMemory)))
})

describe("what a saga remembers of its inputs", () => {
  const snapshotted = Saga.define(
    DurableAggregate.make({ ...gate, snapshot: { state: State, version: 1, every: 2 } }),
    { inputs }
  )

  it.effect("stands in its snapshots, beside those of the aggregate's own store", () =>
    Effect.gen(function*() {
      const own = yield* AggregateStore.make(snapshotted.aggregate)
      yield* happens(
        "1",
        Street.Came({ gate: "a", who: 1 }),
        Street.Rang({ gate: "a" }),
        Street.Came({ gate: "a", who: 2 })
      )
      const events = yield* log
      yield* (yield* receiver(snapshotted)).receive(events)
      yield* own.saveSnapshot("a")
      const snapshots = yield* SnapshotStore
      const streamId = Result.getOrThrow(Aggregate.streamId(gate, "a"))
      const [kept, ownKept] = yield* Effect.all([
        snapshots.load(streamId, { stateVersion: 2 ** 30 + 1 }),
        snapshots.load(streamId, { stateVersion: 1 })
      ])
      assert.deepInclude(Option.getOrThrow(kept), {
        version: 1,
        state: { state: { open: true, passed: [2] }, handled: { gate: "3" } }
      })
      assert.deepInclude(Option.getOrThrow(ownKept), { version: 1, state: { open: true, passed: [2] } })
      // From the snapshot alone, in another process.
      yield* (yield* receiver(snapshotted)).receive(events)
      assert.deepStrictEqual(actual(yield* log).get("a"), [`2: {"_tag":"Opened"}`, `3: {"_tag":"Passed","who":2}`])
    }).pipe(Effect.provide(onMemory)))

  it.effect("is its own: another saga of the same aggregate has each input once, too", () =>
    Effect.gen(function*() {
      const others = Saga.define(durableGate, { name: "others", inputs })
      yield* happens("1", Street.Rang({ gate: "a" }), Street.Came({ gate: "a", who: 1 }), Street.Left({ gate: "a" }))
      const events = yield* log
      for (const saga of [gates, others, gates, others]) yield* (yield* receiver(saga)).receive(events)
      const rounds = [`1: {"_tag":"Opened"}`, `2: {"_tag":"Passed","who":1}`, `3: {"_tag":"Closed"}`]
      assert.deepStrictEqual(actual(yield* log).get("a"), [...rounds, ...rounds])
    }).pipe(Effect.provide(onMemory)))
})

describe("a saga", () => {
  it.effect("hears of its inputs alone: the same events of another category are none", () =>
    Effect.gen(function*() {
      const elsewhere = Saga.define(durableGate, {
        inputs: [Saga.on({ ...street, category: "avenue" }, "Rang", {
          correlate: ({ gate }) => gate,
          toCommand: () => Gate.Open()
        })]
      })
      yield* happens("1", Street.Rang({ gate: "a" }))
      yield* (yield* receiver(elsewhere)).receive(yield* log)
      assert.strictEqual((yield* log).length, 1)
    }).pipe(Effect.provide(onMemory)))

  it.effect("may have several instances, or none, concerned by an event", () =>
    Effect.gen(function*() {
      const every = Saga.define(durableGate, {
        inputs: [
          Saga.on(street, "Rang", { correlate: () => ["a", "b", "a"], toCommand: () => Gate.Open() }),
          Saga.on(street, "Left", { correlate: () => undefined, toCommand: () => Gate.Close() })
        ]
      })
      yield* happens("1", Street.Rang({ gate: "x" }), Street.Left({ gate: "a" }))
      const events = yield* log
      const { receive } = yield* receiver(every)
      yield* receive(events)
      yield* receive(events)
      assert.deepStrictEqual(
        [...actual(yield* log)],
        [["a", [`1: {"_tag":"Opened"}`]], ["b", [`1: {"_tag":"Opened"}`]]]
      )
    }).pipe(Effect.provide(onMemory)))

  it.effect("takes an instance's id of any length that a stream may have", () =>
    Effect.gen(function*() {
      const ids = [`${"x".repeat(400)}1`, `${"x".repeat(400)}2`, "short"]
      const long = Saga.define(durableGate, {
        inputs: [Saga.on(street, "Rang", { correlate: () => ids, toCommand: () => Gate.Open() })]
      })
      yield* happens("1", Street.Rang({ gate: "x" }))
      const { receive } = yield* receiver(long)
      yield* receive(yield* log)
      assert.deepStrictEqual([...actual(yield* log).keys()], ids)
    }).pipe(Effect.provide(onMemory)))

  it.effect("passes on the correlation id, and names the event as the cause", () =>
    Effect.gen(function*() {
      yield* happens("1", Street.Rang({ gate: "a" }))
      const [rang] = yield* log
      yield* (yield* receiver(gates)).receive([rang!])
      const [, opened] = yield* log
      assert.deepInclude(opened, {
        correlationId: rang!.correlationId,
        causationId: rang!.eventId,
        commandId: `${rang!.eventId}/gate/a`,
        metadata: { sagaInput: { saga: "gate", position: "1" } }
      })
    }).pipe(Effect.provide(onMemory)))

  it.effect("may be handed the same events twice at the same time", () =>
    Effect.gen(function*() {
      yield* happens("1", Street.Rang({ gate: "a" }), Street.Came({ gate: "a", who: 1 }), Street.Left({ gate: "a" }))
      const events = yield* log
      const store = yield* EventStore
      // An append that takes a while, so that the others come meanwhile.
      const slow: EventStore["Service"] = {
        ...store,
        append: (...args) => Effect.andThen(Effect.yieldNow, store.append(...args))
      }
      const { receive } = yield* Effect.provideService(receiver(gates), EventStore, slow)
      yield* Effect.all([receive(events), receive(events), receive(events)], { concurrency: "unbounded" })
      assert.deepStrictEqual(actual(yield* log), expected(events))
    }).pipe(Effect.provide(onMemory)))

  it.effect("has one input for each event", () =>
    Effect.sync(() => {
      assert.throws(
        () => Saga.define(durableGate, { inputs: [inputs[0], inputs[1], inputs[0]] }),
        /two inputs for Rang of street/
      )
      assert.throws(() => Saga.define(durableGate, { name: "x".repeat(65), inputs }), /1 to 64 characters/)
    }))

  it.effect("tells of a refused input, as often as it is refused, before its instance gets the next", () =>
    Effect.gen(function*() {
      yield* happens(
        "1",
        Street.Rang({ gate: "a" }),
        Street.Came({ gate: "a", who: -1 }),
        Street.Came({ gate: "a", who: 2 })
      )
      const events = yield* log
      const told: Array<readonly [Saga.Refused, events: number]> = []
      const { receive } = yield* Saga.make(
        gates,
        (refused) => Effect.map(log, ({ length }) => told.push([refused, length]))
      )
      const refused = { recorded: events[1]!, instance: "a", command: "Pass", reason: { _tag: "NobodyIsNegative" } }
      yield* receive(events.slice(0, 2))
      yield* receive(events)
      assert.deepStrictEqual(told, [[refused, 4], [refused, 4]])
      assert.deepStrictEqual(actual(yield* log).get("a"), [`1: {"_tag":"Opened"}`, `3: {"_tag":"Passed","who":2}`])
    }).pipe(Effect.provide(onMemory)))

  it.effect("has nothing to tell an instance that was erased, and passes over erased events", () =>
    Effect.gen(function*() {
      const own = yield* AggregateStore.make(gate)
      yield* happens("1", Street.Rang({ gate: "a" }))
      yield* happens("2", Street.Came({ gate: "a", who: 1 }))
      const { receive, refused } = yield* listing
      yield* receive((yield* log).slice(0, 1))
      yield* own.tombstone("a", { reason: "test" })
      const came = (yield* log).slice(1, 2)
      yield* receive(came)
      assert.deepStrictEqual(refused.map(({ command, reason }) => [command, (reason as Error).name]), [
        ["Pass", "StreamTombstoned"]
      ])
      const store = yield* EventStore
      yield* store.tombstone(Result.getOrThrow(StreamId.make("street", "2")), ExpectedVersion.any, { reason: "test" })
      yield* receive((yield* log).slice(1, 2))
      assert.lengthOf(refused, 1)
    }).pipe(Effect.provide(onMemory)))

  it.effect("fails when its aggregate throws, or when an event is not what it was declared to be", () =>
    Effect.gen(function*() {
      const broken = Saga.define(
        DurableAggregate.make({
          ...gate,
          decide: () => {
            throw new Error("a bug")
          }
        }),
        { inputs }
      )
      yield* happens("1", Street.Rang({ gate: "a" }))
      const [rang] = yield* log
      const defect = yield* Effect.flip((yield* receiver(broken)).receive([rang!]))
      assert.match(defect.message, /The reducer threw while it reduced Open.*a bug/)
      const other = yield* Effect.flip((yield* receiver(gates)).receive([{ ...rang!, data: { gate: 1 } }]))
      assert.strictEqual(other._tag, "EventDecodeFailed")
    }).pipe(Effect.provide(onMemory)))
})
