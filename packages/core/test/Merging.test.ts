/**
 * What a store of instances does with what a command had decided when another writer was faster.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore, type Service } from "@composable-ts/core/EventStore"
import { VersionConflict } from "@composable-ts/core/EventStoreError"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import { ReducerDefect } from "@composable-ts/core/StoreError"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Schedule, Schema, Stream } from "effect"

/** A list to which many add at once. Every entry is told of, and so is every command. */
const List = Action.define("List", {
  commands: { Add: { words: Schema.Array(Schema.String) }, Told: {} },
  events: { Added: Event.v1({ word: Schema.String }), Sealed: Event.v1({}) }
})
type ListEvent = Action.EventOf<typeof List>
const Tell = Task.define("Tell", { input: Schema.String, success: Schema.Void, failure: Schema.Never })

interface ListState {
  readonly words: ReadonlyArray<string>
  readonly isSealed: boolean
}

/** The commands that were decided, and on how many words each time. */
const listOf = (decided: Array<number>) =>
  Aggregate.define(List, {
    initial: { words: [], isSealed: false } as ListState,
    decide: (state, command) => {
      if (command._tag === "Told") return Fx.none
      decided.push(state.words.length)
      if (state.isSealed) return Fx.reject({ _tag: "Sealed" })
      const [first, ...rest] = command.words.map((word) => List.Added({ word }))
      return first === undefined
        ? Fx.none
        : Fx.all(Fx.append(first, ...rest), Fx.perform(Tell, `decided ${command.words.join("+")}`))
    },
    evolve: (state, event) =>
      event._tag === "Sealed" ? { ...state, isSealed: true } : { ...state, words: [...state.words, event.word] },
    react: (_state, event) => event._tag === "Added" ? Fx.perform(Tell, `added ${event.word}`) : Fx.none,
    outcomes: { Tell: { success: () => List.Told(), failure: (never) => never } }
  })

type Options = Store.AggregateStoreOptions & Store.Merging<ListState, ListEvent>

const streamId = Result.getOrThrow(StreamId.make("list", "1"))
const add = (...words: ReadonlyArray<string>) => List.Add({ words })
const added = (word: string) => List.Added({ word })
const encode = (event: ListEvent) => Result.getOrThrow(List.encode(event))

/** A store that knows of one word, what it told of and what it decided on, beside the log that others write to. */
const listening = (options: Options, watch: (events: Service) => Service = (events) => events) =>
  Effect.gen(function*() {
    const told: Array<string> = []
    const decided: Array<number> = []
    const events = yield* MemoryEventStore.make
    const handlers = Layer.merge(
      Layer.succeed(EventStore, watch(events)),
      Task.layer(Tell, (what) => Effect.sync(() => void told.push(what)))
    )
    const lists = yield* Effect.provide(Store.aggregate(listOf(decided), options), handlers)
    const others = (...missed: readonly [ListEvent, ...ReadonlyArray<ListEvent>]) =>
      events.append(streamId, ExpectedVersion.any, [encode(missed[0]), ...missed.slice(1).map(encode)])
    yield* others(added("a"))
    yield* lists.state("1")
    return { decided, events, lists, others, told }
  })

/** Whatever the others did, the words are still to be added; unless the list is sealed. */
const stillAdd: NonNullable<Options["merge"]> = ({ decided, state }) => state.isSealed ? undefined : decided

describe("merging", () => {
  it.effect("appends behind what others have appended, without deciding again", () =>
    Effect.gen(function*() {
      const given: Array<Store.Overtaken<ListState, ListEvent>> = []
      const { decided, events, lists, others } = yield* listening({
        merge: (overtaken) => {
          given.push(overtaken)
          return stillAdd(overtaken)
        }
      })
      yield* others(added("x"), added("y"))
      const outcome = yield* lists.dispatch("1", add("b", "c"), { commandId: "mine", correlationId: "talk" })
      assert.deepStrictEqual(outcome, {
        state: { words: ["a", "x", "y", "b", "c"], isSealed: false },
        version: 4,
        globalPosition: 5n,
        events: [added("b"), added("c")],
        duplicate: false
      })
      assert.deepStrictEqual(given, [{
        decided: [added("b"), added("c")],
        missed: [added("x"), added("y")],
        state: { words: ["a", "x", "y"], isSealed: false }
      }])
      assert.deepStrictEqual(decided, [1])
      const stored = (yield* events.read(streamId)).slice(3)
      assert.deepStrictEqual(
        stored.map(({ commandId, correlationId }) => [commandId, correlationId]),
        [["mine", "talk"], ["mine", "talk"]]
      )
      assert.deepStrictEqual((yield* lists.dispatch("1", add("d"))).version, 5)
    }))

  it.effect("may come to other events, whose reactions are started instead, and each once", () =>
    Effect.gen(function*() {
      const { lists, others, told } = yield* listening({
        merge: ({ decided, missed }) => {
          const words = new Set(missed.map((event) => event._tag === "Added" ? event.word : undefined))
          const [first, ...rest] = decided.filter((event) => event._tag !== "Added" || !words.has(event.word))
          return first === undefined ? undefined : [first, ...rest]
        }
      })
      yield* others(added("b"))
      const outcome = yield* lists.dispatch("1", add("b", "c"))
      yield* lists.idle
      assert.deepStrictEqual(outcome.events, [added("c")])
      assert.deepStrictEqual(outcome.state.words, ["a", "b", "c"])
      assert.deepStrictEqual(told, ["decided b+c", "added c"])
    }))

  it.effect("starts the effects of what it appends once", () =>
    Effect.gen(function*() {
      const { lists, others, told } = yield* listening({ merge: stillAdd })
      yield* others(added("x"))
      yield* lists.dispatch("1", add("b"))
      yield* lists.idle
      assert.deepStrictEqual(told, ["decided b", "added b"])
    }))

  it.live("that says nothing has the command decided again", () =>
    Effect.gen(function*() {
      const { decided, lists, others, told } = yield* listening({ merge: stillAdd })
      yield* others(added("x"), List.Sealed())
      assert.deepStrictEqual<unknown>(yield* Effect.flip(lists.dispatch("1", add("b"))), { _tag: "Sealed" })
      yield* lists.idle
      assert.deepStrictEqual(decided, [1, 2])
      assert.deepStrictEqual(told, [])
    }))

  it.effect("that says nothing, and no schedule to decide again, is a conflict", () =>
    Effect.gen(function*() {
      const { decided, lists, others, told } = yield* listening({
        merge: () => undefined,
        conflictSchedule: Schedule.recurs(0)
      })
      yield* others(added("x"))
      const error = yield* Effect.flip(lists.dispatch("1", add("b")))
      assert.instanceOf(error, VersionConflict)
      assert.deepStrictEqual([error.expected, error.actual], [ExpectedVersion.exact(0), 1])
      yield* lists.idle
      assert.deepStrictEqual([decided, told], [[1], []])
      assert.deepStrictEqual((yield* lists.dispatch("1", add("b"))).state.words, ["a", "x", "b"])
    }))

  it.effect("sees all that it appends behind: what comes while it merges is another conflict", () =>
    Effect.gen(function*() {
      let reads = 0
      let rival: Effect.Effect<unknown, unknown> = Effect.void
      const missed: Array<ReadonlyArray<ListEvent>> = []
      const { decided, lists, others } = yield* listening(
        {
          merge: (overtaken) => {
            missed.push(overtaken.missed)
            return stillAdd(overtaken)
          },
          conflictSchedule: Schedule.recurs(3)
        },
        // Behind the first read of a merge another writer is faster again.
        (events) => ({
          ...events,
          load: (...load) => {
            const all = events.load(...load)
            return ++reads === 1 ? Stream.onEnd(all, Effect.ignore(rival)) : all
          }
        })
      )
      yield* others(added("x"))
      rival = others(added("y"))
      reads = 0
      const { events, state } = yield* lists.dispatch("1", add("b"))
      assert.deepStrictEqual(state.words, ["a", "x", "y", "b"])
      assert.deepStrictEqual(events, [added("b")])
      assert.deepStrictEqual(missed, [[added("x")]])
      assert.deepStrictEqual(decided, [1, 3], "appended behind what the merge had not seen")
    }))

  it.effect("that throws is a defect, and the next command has its turn", () =>
    Effect.gen(function*() {
      const bug = new TypeError("a bug in merge")
      const { lists, others } = yield* listening({
        merge: () => {
          throw bug
        }
      })
      yield* others(added("x"))
      const error = yield* Effect.flip(lists.dispatch("1", add("b")))
      assert.isTrue(error instanceof ReducerDefect && error.cause === bug && error.action === "Add")
      assert.deepStrictEqual((yield* lists.dispatch("1", add("c"))).state.words, ["a", "x", "c"])
    }))

  it.live("two stores that merge: 60 commands each at once, all of them decided once and stored", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const yielding: Service = {
        ...events,
        append: (...append) => Effect.andThen(Effect.yieldNow, events.append(...append))
      }
      const told: Array<string> = []
      const handlers = Layer.merge(
        Layer.succeed(EventStore, yielding),
        Task.layer(Tell, (what) => Effect.sync(() => void told.push(what)))
      )
      const [one, other] = yield* Effect.all([
        Store.aggregate(listOf([]), { merge: stillAdd }),
        Store.aggregate(listOf([]), { merge: stillAdd })
      ]).pipe(Effect.provide(handlers))
      const words = Array.from({ length: 120 }, (_, i) => String(i))
      yield* Effect.forEach(words, (word, i) => (i % 2 === 0 ? one : other).dispatch("1", add(word)), {
        concurrency: "unbounded"
      })
      yield* Effect.all([one.idle, other.idle])
      const { state } = yield* one.state("1")
      assert.sameMembers([...state.words], words)
      assert.strictEqual(state.words.length, 120)
      assert.sameMembers(told, words.flatMap((word) => [`decided ${word}`, `added ${word}`]))
      assert.strictEqual(told.length, 240)
    }))
})
