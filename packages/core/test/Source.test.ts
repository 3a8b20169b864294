import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Compose from "@composable-ts/core/Compose"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import { TaskDefect } from "@composable-ts/core/StoreError"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, HashMap, Layer, Option, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"

const Ticks = Source.define("Ticks", {
  input: Schema.Struct({ name: Schema.String }),
  value: Schema.Int,
  failure: Schema.TaggedStruct("Stopped", { at: Schema.Int })
})

type Do =
  | { readonly _tag: "Follow"; readonly name: string; readonly id: string }
  | { readonly _tag: "Leave"; readonly id: string }
  | { readonly _tag: "Say"; readonly said: string }

/** What was said, in order: each value, failure and end of a source says something. */
type State = ReadonlyArray<string>

const say = (said: string): Do => ({ _tag: "Say", said })
const followWith = (outcomes: Partial<Reducer.Yields<typeof Ticks, Do>>) =>
  Reducer.withOutcomes(
    (state: State, action: Do) => {
      switch (action._tag) {
        case "Follow":
          return Reducer.step(state, Fx.subscribe(Ticks, { name: action.name }, action.id))
        case "Leave":
          return Reducer.step(state, Fx.cancel(action.id))
        case "Say":
          return Reducer.step([...state, action.said])
      }
    },
    {
      Ticks: {
        value: (n, { name }) => say(`${name} ${n}`),
        failure: ({ at }, { name }) => say(`${name} stopped at ${at}`),
        ...outcomes
      }
    }
  )
const silent = followWith({})
const follower = followWith({ end: ({ name }) => say(`${name} ended`) })
const follow = (name: string, id = name): Do => ({ _tag: "Follow", name, id })
const leave = (id: string): Do => ({ _tag: "Leave", id })
const opening = (reducer: Reducer.AnyReducer & typeof silent = follower) => Store.make(reducer, { initial: [] })

/** One tick a second, and what is opened and closed. */
const everySecond = () => {
  const log: Array<string> = []
  const layer = Source.layer(Ticks, ({ name }) =>
    Stream.unwrap(
      Effect.as(
        Effect.acquireRelease(
          Effect.sync(() => log.push(`${name} opened`)),
          () => Effect.sync(() => log.push(`${name} closed`))
        ),
        Stream.map(Stream.tick("1 second"), ((n) => () => n++)(0))
      )
    ))
  return { log, layer }
}

describe("declaration and handler", () => {
  it("is its name and its schemas", () => {
    assert.deepStrictEqual([Ticks.name, Ticks.kind], ["Ticks", "Source"])
    assert.isTrue(Schema.is(Ticks.input)({ name: "a" }))
    assert.isFalse(Schema.is(Ticks.value)(0.5))
    assert.isTrue(Schema.is(Ticks.failure)({ _tag: "Stopped", at: 1 }))
  })

  it.effect("a handler takes its own services from where its layer is built", () =>
    Effect.gen(function*() {
      class First extends Context.Service<First, { readonly n: number }>()("test/First") {}
      const layer = Source.layer(Ticks, () => Stream.fromEffect(Effect.map(First, ({ n }) => n)))
      const open = yield* Source.handler(Ticks).pipe(
        Effect.provide(layer.pipe(Layer.provide(Layer.succeed(First, { n: 7 }))))
      )
      const read = Stream.runCollect(open({ name: "a" }))
      assert.deepStrictEqual(yield* Effect.provideService(read, First, { n: 8 }), [7])
    }))
})

describe("what a source yields", () => {
  const told = (
    reducer: typeof silent,
    stream: Stream.Stream<number, { readonly _tag: "Stopped"; readonly at: number }>
  ) =>
    Effect.gen(function*() {
      const store = yield* Effect.provide(opening(reducer), Source.layer(Ticks, () => stream))
      yield* store.dispatch(follow("a"))
      yield* store.idle
      assert.strictEqual((yield* store.health).inFlight, 0)
      return yield* store.state
    })

  it.effect("becomes actions, none or many, in order, and so does its end", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(follower, Stream.empty), ["a ended"])
      assert.deepStrictEqual(yield* told(follower, Stream.make(5)), ["a 5", "a ended"])
      const numbers = Array.from({ length: 5_000 }, (_, i) => i)
      assert.deepStrictEqual(
        yield* told(follower, Stream.fromIterable(numbers)),
        [...numbers.map((n) => `a ${n}`), "a ended"]
      )
    }))

  it.effect("of an end that the outcomes leave out, nothing is said", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* told(silent, Stream.make(1, 2)), ["a 1", "a 2"])
    }))

  it.effect("its failure is an action, and then there is no end", () =>
    Effect.gen(function*() {
      const failing = Stream.concat(Stream.make(1, 2), Stream.fail({ _tag: "Stopped", at: 2 } as const))
      assert.deepStrictEqual(yield* told(follower, failing), ["a 1", "a 2", "a stopped at 2"])
    }))

  it.effect("comes when it comes: nothing waits for the next", () =>
    Effect.gen(function*() {
      const { layer } = everySecond()
      const store = yield* Effect.provide(opening(), layer)
      yield* store.dispatch(follow("a"))
      yield* TestClock.adjust("2500 millis")
      assert.deepStrictEqual(yield* store.state, ["a 0", "a 1", "a 2"])
      yield* store.dispatch(leave("a"))
    }))

  it.effect("carries on the conversation that asked for it", () =>
    Effect.gen(function*() {
      const metas: Array<Action.Meta> = []
      const watched = Reducer.withOutcomes(
        (state: State, action: Do, meta: Action.Meta) => {
          metas.push({ ...meta, id: meta.id, correlationId: meta.correlationId, causationId: meta.causationId })
          return follower(state, action)
        },
        follower.outcomes as Reducer.Outcomes<typeof Ticks, Do>
      )
      const store = yield* Effect.provide(
        Store.make(watched, { initial: [] }),
        Source.layer(Ticks, () => Stream.make(1, 2))
      )
      yield* store.dispatch(follow("a"))
      yield* store.idle
      const [asked, ...yielded] = metas
      assert.strictEqual(yielded.length, 3)
      for (const { causationId, correlationId } of yielded) {
        assert.deepStrictEqual([correlationId, causationId], [asked!.correlationId, asked!.id])
      }
    }))
})

describe("the end of a subscription", () => {
  it.effect("cancel ends the stream and lets go of what it held", () =>
    Effect.gen(function*() {
      const { layer, log } = everySecond()
      const store = yield* Effect.provide(opening(), layer)
      yield* store.dispatch(follow("a", "1"))
      yield* store.dispatch(follow("b", "2"))
      yield* TestClock.adjust("1 second")
      yield* store.dispatch(leave("1"))
      assert.deepStrictEqual(log, ["a opened", "b opened", "a closed"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* store.state, ["a 0", "b 0", "a 1", "b 1", "b 2"])
      assert.strictEqual((yield* store.health).inFlight, 1)
      yield* store.dispatch(leave("2"))
      yield* store.idle
      assert.deepStrictEqual(log, ["a opened", "b opened", "a closed", "b closed"])
    }))

  it.effect("another under the same id takes its place: the first has let go before the second begins", () =>
    Effect.gen(function*() {
      const { layer, log } = everySecond()
      const store = yield* Effect.provide(opening(), layer)
      yield* store.dispatch(follow("a", "1"))
      yield* TestClock.adjust("1 second")
      yield* store.dispatch(follow("b", "1"))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* store.state, ["a 0", "a 1", "b 0", "b 1"])
      assert.deepStrictEqual(log, ["a opened", "a closed", "b opened"])
      assert.strictEqual((yield* store.health).inFlight, 1)
      yield* store.dispatch(leave("1"))
    }))

  it.effect("one that is cancelled in the turn that asked for it is never opened", () =>
    Effect.gen(function*() {
      const { layer, log } = everySecond()
      const hasty = Compose.combine(
        follower,
        (state: State, action: Do) => Reducer.step(state, action._tag === "Follow" ? Fx.cancel(action.id) : Fx.none)
      )
      const store = yield* Effect.provide(Store.make(hasty, { initial: [] }), layer)
      yield* store.dispatch(follow("a"))
      yield* store.idle
      assert.deepStrictEqual(log, [])
    }))

  it.effect("the end of the store ends it at once, and lets go of what it held", () =>
    Effect.gen(function*() {
      const { layer, log } = everySecond()
      const scope = yield* Scope.make()
      const store = yield* Effect.provide(opening(), layer).pipe(Scope.provide(scope))
      yield* store.dispatch(follow("a"))
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* store.health, { status: "closed", inFlight: 0, mailbox: 0 })
      assert.deepStrictEqual(log, ["a opened", "a closed"])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(yield* store.state, ["a 0", "a 1"])
    }))

  it.effect("a sequence goes on behind the end of a source, and not behind its failure", () =>
    Effect.gen(function*() {
      const after = Reducer.withOutcomes(
        (state: State, action: Do) =>
          action._tag === "Follow"
            ? Reducer.step(
              state,
              Fx.sequential(Fx.subscribe(Ticks, { name: action.name }, action.id), Fx.send(say("behind it")))
            )
            : Reducer.step(action._tag === "Say" ? [...state, action.said] : state),
        follower.outcomes as Reducer.Outcomes<typeof Ticks, Do>
      )
      const store = yield* Effect.provide(
        Store.make(after, { initial: [] }),
        Source.layer(Ticks, ({ name }) => name === "well" ? Stream.make(1) : Stream.fail({ _tag: "Stopped", at: 0 }))
      )
      yield* store.dispatch(follow("well"))
      yield* store.idle
      yield* store.dispatch(follow("ill"))
      yield* store.idle
      assert.deepStrictEqual(yield* store.state, ["well 1", "well ended", "behind it", "ill stopped at 0"])
    }))

  /** Whatever reports the end or the failure of a source cancels the source's id. */
  const leaving = Reducer.withOutcomes(
    (state: State, action: Do) => {
      switch (action._tag) {
        case "Follow":
          return Reducer.step(
            state,
            Fx.sequential(Fx.subscribe(Ticks, { name: action.name }, action.id), Fx.send(say("behind it")))
          )
        case "Leave":
          return Reducer.step([...state, `left ${action.id}`], Fx.cancel(action.id))
        case "Say":
          return Reducer.step([...state, action.said])
      }
    },
    {
      Ticks: {
        value: (n, { name }) => say(`${name} ${n}`),
        failure: (_, { name }) => leave(name),
        end: ({ name }) => leave(name)
      }
    }
  )

  it.effect("what reports it may cancel its id: a sequence goes on behind the end", () =>
    Effect.gen(function*() {
      const store = yield* Effect.provide(
        Store.make(leaving, { initial: [] }),
        Source.layer(Ticks, () => Stream.make(1))
      )
      yield* store.dispatch(follow("well"))
      yield* store.idle
      assert.sameMembers([...(yield* store.state)], ["well 1", "left well", "behind it"])
    }))

  it.effect("what reports its failure may cancel its id: that the sequence has stopped is a problem still", () =>
    Effect.gen(function*() {
      const store = yield* Effect.provide(
        Store.make(leaving, { initial: [] }),
        Source.layer(Ticks, () => Stream.fail({ _tag: "Stopped", at: 0 }))
      )
      const problem = yield* Effect.forkChild(Stream.runHead(store.problems()), { startImmediately: true })
      yield* store.dispatch(follow("ill"))
      yield* store.idle
      assert.deepStrictEqual(yield* store.state, ["left ill"])
      const found = yield* Fiber.join(problem)
      assert.isTrue(Option.isSome(found) && found.value._tag === "SequenceStopped")
    }))
})

describe("one among many", () => {
  const many = Compose.compose({ rooms: Compose.each(follower) })
  const room = (id: string, action: Do) => ({ _tag: "rooms", id, action }) as const

  it.effect("the same id in two of them names two sources: neither disturbs the other", () =>
    Effect.gen(function*() {
      const { layer, log } = everySecond()
      const store = yield* Effect.provide(
        Store.make(many, { initial: { rooms: HashMap.make(["x", [] as State], ["y", [] as State]) } }),
        layer
      )
      const heard = Effect.map(store.state, ({ rooms }) => ["x", "y"].map((id) => HashMap.getUnsafe(rooms, id)))
      yield* store.dispatch(room("x", follow("a", "1")))
      yield* store.dispatch(room("y", follow("b", "1")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* heard, [["a 0", "a 1"], ["b 0", "b 1"]])
      yield* store.dispatch(room("x", leave("1")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* heard, [["a 0", "a 1"], ["b 0", "b 1", "b 2"]])
      assert.deepStrictEqual(log, ["a opened", "b opened", "a closed"])
      yield* store.dispatch(room("y", leave("1")))
    }))
})

describe("a defect", () => {
  const contained = (layer: Layer.Layer<Source.HandlerOf<typeof Ticks>>, reducer: typeof silent = follower) =>
    Effect.gen(function*() {
      const store = yield* Effect.provide(opening(reducer), layer)
      const problems = yield* Stream.toPull(store.problems())
      const first = yield* Effect.forkChild(problems)
      yield* Effect.yieldNow
      yield* store.dispatch(follow("a"))
      yield* store.idle
      yield* store.dispatch(say("still here"))
      const [problem, ...more] = yield* Fiber.join(first)
      assert.deepStrictEqual(more, [])
      return { state: yield* store.state, problem }
    })
  const bug = new TypeError("a bug in the handler")
  const thrown = () => {
    throw bug
  }

  it.effect("of a handler that dies in the middle is contained and reported", () =>
    Effect.gen(function*() {
      const dying = Source.layer(Ticks, () => Stream.concat(Stream.make(1), Stream.die(bug)))
      const { problem, state } = yield* contained(dying)
      assert.deepStrictEqual(state, ["a 1", "still here"])
      assert.deepStrictEqual(problem, new TaskDefect({ task: "Ticks", input: { name: "a" }, cause: bug }))
    }))

  it.effect("of a handler that throws before there is a stream is contained and reported", () =>
    Effect.gen(function*() {
      const { problem, state } = yield* contained(Source.layer(Ticks, thrown))
      assert.deepStrictEqual(state, ["still here"])
      assert.deepStrictEqual(problem, new TaskDefect({ task: "Ticks", input: { name: "a" }, cause: bug }))
    }))

  const stopped = Stream.fail({ _tag: "Stopped", at: 0 } as const)
  it.effect.each([
    { which: "value", stream: Stream.make(1) },
    { which: "failure", stream: stopped },
    { which: "end", stream: Stream.empty }
  ])("of the outcomes' $which is contained and reported", ({ stream, which }) =>
    Effect.gen(function*() {
      const { problem, state } = yield* contained(Source.layer(Ticks, () => stream), followWith({ [which]: thrown }))
      assert.deepStrictEqual(state, ["still here"])
      assert.isTrue(problem._tag !== "SequenceStopped" && problem._tag !== "RejectedUnheard" && problem.cause === bug)
    }))
})

describe("back-pressure", () => {
  it.effect("a subscriber for whom the store waits slows the source, and misses nothing", () =>
    Effect.gen(function*() {
      let produced = 0
      const endless = Source.layer(Ticks, () => Stream.fromEffectRepeat(Effect.sync(() => ++produced)))
      const store = yield* Effect.provide(opening(), endless)
      const pull = yield* Stream.toPull(store.changes({ capacity: 4, strategy: "suspend" }))
      const heard = [...(yield* pull)]
      // Whoever dispatches waits for the subscriber, too.
      yield* Effect.forkChild(store.dispatch(follow("a")))
      yield* TestClock.adjust("1 hour")
      assert.isAtMost(produced, 12, "the source ran ahead of its subscriber")
      while (heard.length < 500) heard.push(...(yield* pull))
      assert.isAtMost(produced, heard.length + 12)
      assert.deepStrictEqual(heard.map((said) => said.length), [...heard.keys()])
      yield* Effect.forkChild(store.dispatch(leave("a")))
      yield* store.idle
    }))

  it.effect("what a source had said when it was cancelled reaches a subscriber that was slower", () =>
    Effect.gen(function*() {
      const endless = Source.layer(Ticks, () => Stream.fromEffectRepeat(Effect.succeed(0)))
      const store = yield* Effect.provide(opening(), endless)
      const pull = yield* Stream.toPull(store.changes({ capacity: 2, strategy: "suspend" }))
      assert.deepStrictEqual([...(yield* pull)], [[]])
      // Whoever dispatches waits for the subscriber, too.
      yield* Effect.forkChild(store.dispatch(follow("a")))
      yield* TestClock.adjust("1 second")
      yield* Effect.forkChild(store.dispatch(leave("a")))
      yield* TestClock.adjust("1 second")
      const last = yield* store.state
      let heard: State = []
      while (heard.length < last.length) for (const state of yield* pull) heard = state
      assert.deepStrictEqual(heard, last)
    }))
})

describe("an aggregate", () => {
  const Journey = Action.define("Journey", {
    commands: { Start: {}, Pass: { n: Schema.Int }, Arrive: {} },
    events: { Started: Event.v1({}), Passed: Event.v1({ n: Schema.Int }), Arrived: Event.v1({}) }
  })
  const Miles = Source.define("Miles", { input: Schema.Null, value: Schema.Int, failure: Schema.Never })
  const journey = Aggregate.define(Journey, {
    initial: [] as ReadonlyArray<number | "arrived">,
    decide: (_state, command) => {
      switch (command._tag) {
        case "Start":
          return Fx.append(Journey.Started())
        case "Pass":
          return Fx.append(Journey.Passed({ n: command.n }))
        case "Arrive":
          return Fx.append(Journey.Arrived())
      }
    },
    evolve: (state, event) =>
      event._tag === "Started" ? state : [...state, event._tag === "Passed" ? event.n : "arrived" as const],
    react: (_state, event) => event._tag === "Started" ? Fx.subscribe(Miles, null, "way") : Fx.none,
    outcomes: {
      Miles: { value: (n) => Journey.Pass({ n }), failure: (never) => never, end: () => Journey.Arrive() }
    }
  })

  it.effect("follows a source: each value is a command of its instance, in order, one after the other", () =>
    Effect.gen(function*() {
      let produced = 0
      let waiting = 0
      const events = yield* MemoryEventStore.make
      const slow = {
        ...events,
        append: (...append: Parameters<typeof events.append>) =>
          Effect.suspend(() => {
            waiting = Math.max(waiting, produced - (append[1]._tag === "Exact" ? append[1].version : 0))
            return Effect.andThen(Effect.sleep(10), events.append(...append))
          })
      }
      const miles = Source.layer(
        Miles,
        () => Stream.range(1, 200).pipe(Stream.rechunk(1), Stream.tap((n) => Effect.sync(() => void (produced = n))))
      )
      const journeys = yield* Store.aggregate(journey).pipe(
        Effect.provide(miles),
        Effect.provideService(EventStore, slow)
      )
      const started = yield* Effect.forkChild(journeys.dispatch("1", Journey.Start()))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(started)
      const idle = yield* Effect.forkChild(journeys.idle)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(idle)
      const numbers = Array.from({ length: 200 }, (_, i) => i + 1)
      assert.deepStrictEqual((yield* journeys.state("1")).state, [...numbers, "arrived"])
      assert.isAtMost(waiting, 4, "commands piled up before the instance")
    }))
})
