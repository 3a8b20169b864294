import * as Action from "@composable-ts/core/Action"
import * as Compose from "@composable-ts/core/Compose"
import * as Event from "@composable-ts/core/Event"
import { EventStore } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import {
  type Problem,
  ReducerDefect,
  RejectedUnheard,
  SequenceStopped,
  StoreClosed
} from "@composable-ts/core/StoreError"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Effect,
  Exit,
  Fiber,
  HashMap,
  Logger,
  Metric,
  Option,
  Queue,
  Result,
  Schema,
  Scope,
  Stream
} from "effect"
import { TestClock } from "effect/testing"

/** A task that does what the test says, by its name. */
const Work = Task.define("Work", {
  input: Schema.String,
  success: Schema.String,
  failure: Schema.TaggedStruct("Failed", { work: Schema.String })
})

/** A feature that remembers the names of its actions, and wants what they say. */
interface Do {
  readonly _tag: "Do"
  readonly name: string
  readonly fx: Wanted
}
type Wanted = Fx.Nested<
  | Fx.None
  | Fx.Reject<{ readonly _tag: "Refused"; readonly name: string }>
  | Fx.Send<Do>
  | Fx.Perform<typeof Work>
  | Fx.Delay<Do>
  | Fx.Throttle<Do>
  | Fx.Cancel
  | Fx.CancelAll
>
type Seen = ReadonlyArray<string>

const act = (name: string, fx: Wanted = Fx.none): Do => ({ _tag: "Do", name, fx })
const work = (name: string, id?: string) => Fx.perform(Work, name, id === undefined ? {} : { id })

const outcomes: Reducer.Outcomes<typeof Work, Do> = {
  Work: {
    success: (value) => {
      if (value === "unspeakable") throw new Error("no words")
      return act(`${value} done`)
    },
    failure: ({ work }, input) => act(`${work} failed, asked ${input}`)
  }
}

/** Throws when an action is so named. */
const remembering = Reducer.withOutcomes((seen: Seen, action: Do): Reducer.Step<Seen, Wanted> => {
  if (action.name === "throw") throw new Error("thrown by the reducer")
  return [[...seen, action.name], action.fx]
}, outcomes)

type Works = Readonly<Record<string, Effect.Effect<string, { readonly _tag: "Failed"; readonly work: string }>>>

/** Begun and interrupted works, in order, beside a layer that works. */
const working = (works: Works = {}) => {
  const begun: Array<string> = []
  const interrupted: Array<string> = []
  const layer = Task.layer(Work, (name) =>
    Effect.suspend(() => {
      begun.push(name)
      return works[name] ?? Effect.succeed(name)
    }).pipe(Effect.onInterrupt(() => Effect.sync(() => interrupted.push(name)))))
  return { begun, interrupted, layer }
}
const failing = (work: string) => Effect.fail({ _tag: "Failed", work } as const)
const slow = (name: string, millis = 1000) => Effect.as(Effect.sleep(millis), name)

/** A store that remembers, and what its works did. */
const open = (works?: Works, options: Partial<Store.Options<Seen>> = {}) => {
  const { begun, interrupted, layer } = working(works)
  return Effect.map(
    Effect.provide(Store.make(remembering, { initial: [], ...options }), layer),
    (store) => ({ store, begun, interrupted })
  )
}

/** Collects what a stream gives, from now on. */
const collect = <A>(stream: Stream.Stream<A>) =>
  Effect.gen(function*() {
    const collected: Array<A> = []
    yield* Effect.forkScoped(Stream.runForEach(stream, (value) => Effect.sync(() => collected.push(value))))
    yield* settle
    return collected
  })

/** Lets all fibers that can go on do so. No time passes. */
const settle = Effect.gen(function*() {
  for (let i = 0; i < 50; i++) yield* Effect.yieldNow
})

const upTo = (count: number) => Array.from({ length: count }, (_, i) => `${i + 1}`)

describe("dispatch", () => {
  it.effect("yields the state right after the action, not after what it sends on", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      assert.deepStrictEqual(yield* store.dispatch(act("a", Fx.send(act("b")))), ["a"])
      assert.deepStrictEqual(yield* store.state, ["a", "b"])
    }))

  it.effect("fails with the reducer's reason, typed, and leaves everything as it was", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open()
      const reason = yield* store.dispatch(act("a", Fx.reject({ _tag: "Refused", name: "why" }))).pipe(
        Effect.as("accepted"),
        Effect.catchTag("Refused", ({ name }) => Effect.succeed(name))
      )
      assert.strictEqual(reason, "why")
      assert.deepStrictEqual(yield* store.state, [])
      assert.deepStrictEqual(begun, [])
      assert.deepStrictEqual(yield* store.dispatch(act("b")), ["b"])
    }))

  it.effect("a refusal anywhere in a group refuses the whole", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open()
      const no = Fx.reject({ _tag: "Refused", name: "why" })
      const groups = [
        Fx.all(work("w"), no),
        Fx.sequential(work("w"), no),
        Fx.parallel(2, Fx.delay("d", 1, act("x")), Fx.all(work("w"), Fx.sequential(Fx.send(act("y")), no)))
      ]
      for (const group of groups) {
        assert.deepStrictEqual<unknown>(yield* Effect.flip(store.dispatch(act("a", group))), no.reason)
      }
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* store.state, [])
      assert.deepStrictEqual(begun, [])
    }))

  it.effect("so one reducer of several can refuse for all", () =>
    Effect.gen(function*() {
      const counting = (n: number, _action: { readonly _tag: "Add" }) => Reducer.step(n + 1, Fx.cancel("c"))
      const limiting = (n: number, _action: { readonly _tag: "Add" }) =>
        n > 2 ? Reducer.step(n, Fx.reject({ _tag: "Full" })) : Reducer.step(n)
      const store = yield* Store.make(Compose.combine(counting, limiting), { initial: 1 })
      assert.strictEqual(yield* store.dispatch({ _tag: "Add" }), 2)
      assert.deepStrictEqual<unknown>(yield* Effect.flip(store.dispatch({ _tag: "Add" })), { _tag: "Full" })
      assert.strictEqual(yield* store.state, 2)
    }))

  it.effect("nothing happens before its effect is run, and each run is another action", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const dispatch = store.dispatch(act("a"))
      assert.deepStrictEqual(yield* store.state, [])
      yield* dispatch
      yield* dispatch
      assert.deepStrictEqual(yield* store.state, ["a", "a"])
    }))
})

describe("order", () => {
  it.effect("actions sent while reducing queue behind those that already wait", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const send = (...names: ReadonlyArray<string>) => Fx.all(...names.map((name) => Fx.send(act(name))))
      yield* store.dispatch(act("1", Fx.all(Fx.send(act("2", send("4", "5"))), Fx.send(act("3", send("6"))))))
      assert.deepStrictEqual(yield* store.state, upTo(6))
    }))

  it.effect("a chain of 100 000 sends is no recursion", () =>
    Effect.gen(function*() {
      type Down = { readonly _tag: "Down"; readonly n: number }
      const down = (_n: number, { n }: Down): Reducer.Step<number, Fx.None | Fx.Send<Down>> =>
        Reducer.step(n, n === 0 ? Fx.none : Fx.send({ _tag: "Down", n: n - 1 }))
      const store = yield* Store.make(down, { initial: 0 })
      yield* store.dispatch({ _tag: "Down", n: 100_000 })
      assert.strictEqual(yield* store.state, 0)
    }))

  it.effect("a reducer is never entered while it runs: whoever reacts waits for the turn's end", () =>
    Effect.gen(function*() {
      let depth = 0
      let deepest = 0
      const entered = Reducer.withOutcomes((seen: Seen, action: Do): Reducer.Step<Seen, Wanted> => {
        deepest = Math.max(deepest, ++depth)
        const step = remembering(seen, action)
        depth--
        return step
      }, outcomes)
      // The handler dispatches at once, in the middle of the turn that began it.
      let dispatch: (action: Do) => Effect.Effect<unknown, unknown> = () => Effect.void
      const layer = Task.layer(Work, (name) => Effect.as(Effect.orDie(dispatch(act(`${name} reacts`))), name))
      const store = yield* Effect.provide(Store.make(entered, { initial: [] }), layer)
      dispatch = store.dispatch
      yield* Effect.forkScoped(Stream.runForEach(
        store.changes({ capacity: 100 }),
        (seen) => seen.at(-1) === "a" ? store.dispatch(act("subscriber reacts")) : Effect.void
      ))
      yield* settle
      yield* store.dispatch(act("a", Fx.all(work("w1"), work("w2"), Fx.send(act("b")))))
      yield* settle
      assert.strictEqual(deepest, 1)
      assert.deepStrictEqual((yield* store.state).slice(0, 4), ["a", "b", "w1 reacts", "w2 reacts"])
      assert.sameMembers([...yield* store.state].slice(4), ["w1 done", "w2 done", "subscriber reacts"])
    }))

  it.effect("subscribers see states and actions in order, also when somebody who waits reacts at once", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const states = yield* collect(store.changes({ capacity: 100 }))
      const actions = yield* collect(store.actions({ capacity: 100 }))
      // It waits for a state in the middle of a turn, and goes on from there with an action of its own.
      yield* Effect.forkScoped(
        store.dispatchAndAwait(act("begin"), (seen) => seen.includes("a"), "1 minute").pipe(
          Effect.andThen(store.dispatch(act("reaction")))
        )
      )
      yield* settle
      yield* store.dispatch(act("a", Fx.all(Fx.send(act("b")), Fx.send(act("c")))))
      yield* settle
      const order = ["begin", "a", "b", "c", "reaction"]
      assert.deepStrictEqual(actions.map(({ name }) => name), order)
      assert.deepStrictEqual(states, [[], ...order.map((_, i) => order.slice(0, i + 1))])
    }))

  it.effect("1 000 actions at once are each reduced, in order of arrival", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const states = yield* Effect.forEach(upTo(1000), (name) => store.dispatch(act(name)), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(states.map((seen) => seen.at(-1)), upTo(1000))
      assert.deepStrictEqual(yield* store.state, upTo(1000))
    }))
})

describe("plan, then start", () => {
  it.effect("a later cancel of the same turn wins over an earlier start, which never begins", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open()
      const cancel = act("cancel", Fx.cancel("w"))
      yield* store.dispatch(act("same step", Fx.all(work("w", "w"), Fx.cancel("w"))))
      yield* store.dispatch(act("later step", Fx.all(work("w", "w"), Fx.send(cancel))))
      yield* store.dispatch(act("all", Fx.all(work("w", "w"), work("w"), Fx.delay("d", 0, act("rang")), Fx.cancelAll)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(begun, [])
      assert.deepStrictEqual(yield* store.state, ["same step", "later step", "cancel", "all"])
    }))

  it.effect("a start behind a cancel begins, once", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open()
      yield* store.dispatch(act("a", Fx.all(work("1", "w"), Fx.cancel("w"), work("2", "w"), work("3", "w"))))
      yield* store.dispatch(act("b", Fx.all(work("4"), Fx.cancelAll, work("5"))))
      assert.deepStrictEqual(begun, ["3", "5"])
    }))

  it.effect("no reply overtakes its sibling's cancel, also where the handler is done at once", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open()
      // The reply of 1 would come before the cancel if it were begun while the turn goes on.
      yield* store.dispatch(act("a", Fx.all(work("1", "1"), work("2", "2"), Fx.send(act("b", Fx.cancel("1"))))))
      assert.deepStrictEqual(begun, ["2"])
      assert.deepStrictEqual(yield* store.state, ["a", "b", "2 done"])
    }))

  it.effect("nor does a group's member overtake its cancel", () =>
    Effect.gen(function*() {
      const members = [work("1", "1"), work("2", "2")] as const
      for (const group of [Fx.parallel(2, ...members), Fx.sequential(...members), Fx.sequential(Fx.all(...members))]) {
        const { begun, store } = yield* open()
        yield* store.dispatch(act("a", Fx.all(group, Fx.send(act("b", Fx.cancel("1"))))))
        yield* store.idle
        assert.notInclude(begun, "1")
        assert.notInclude(yield* store.state, "1 done")
      }
    }))

  it.effect("nothing of a group begins that is cancelled as a whole in the same turn", () =>
    Effect.gen(function*() {
      for (const group of [Fx.parallel(2, work("1"), work("2")), Fx.sequential(work("1", "1"), Fx.send(act("2")))]) {
        const { begun, store } = yield* open()
        yield* store.dispatch(act("a", Fx.all(group, Fx.send(act("b", Fx.cancelAll)))))
        yield* store.idle
        assert.deepStrictEqual(begun, [])
        assert.deepStrictEqual(yield* store.state, ["a", "b"])
      }
    }))
})

describe("timers and tasks", () => {
  it.effect("delay sends after its time; another under the same id takes its place", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      yield* store.dispatch(act("a", Fx.delay("d", 1000, act("first"))))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(yield* store.state, ["a"])
      yield* store.dispatch(act("b", Fx.delay("d", 500, act("second"))))
      yield* TestClock.adjust("499 millis")
      assert.deepStrictEqual(yield* store.state, ["a", "b"])
      yield* TestClock.adjust("1 millis")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* store.state, ["a", "b", "second"])
    }))

  it.effect("timers of several ids do not know of each other", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const timers = [Fx.delay("x", 20, act("x")), Fx.delay("y", 10, act("y")), Fx.delay("z", 5, act("z"))]
      yield* store.dispatch(act("a", Fx.all(...timers, Fx.cancel("z"))))
      assert.strictEqual((yield* store.health).inFlight, 2)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* store.state, ["a", "y", "x"])
      assert.strictEqual((yield* store.health).inFlight, 0)
    }))

  it.effect("debounce waits for calm, and the last call counts", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      for (const name of ["1", "2", "3"]) {
        yield* store.dispatch(act(name, Fx.debounce("d", 100, act(`calm after ${name}`))))
        yield* TestClock.adjust("99 millis")
      }
      assert.deepStrictEqual(yield* store.state, ["1", "2", "3"])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* store.state, ["1", "2", "3", "calm after 3"])
    }))

  it.effect("throttle sends the first at once, and none for a while", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const call = (name: string) => store.dispatch(act(name, Fx.throttle("t", 100, act(`${name} passed`))))
      yield* call("1")
      yield* call("2")
      yield* TestClock.adjust("99 millis")
      yield* call("3")
      yield* TestClock.adjust("1 millis")
      yield* call("4")
      assert.deepStrictEqual(yield* store.state, ["1", "1 passed", "2", "3", "4", "4 passed"])
    }))

  it.effect("a task's success and failure come back as actions", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ bad: failing("bad") })
      yield* store.dispatch(act("a", Fx.all(work("good"), work("bad"))))
      yield* store.idle
      assert.deepStrictEqual(yield* store.state, ["a", "good done", "bad failed, asked bad"])
    }))

  it.effect("a task under the id of another interrupts it; one without an id does not", () =>
    Effect.gen(function*() {
      const { interrupted, store } = yield* open({ old: slow("old"), new: slow("new"), free: slow("free") })
      yield* store.dispatch(act("a", Fx.all(work("old", "w"), work("free"))))
      yield* TestClock.adjust("500 millis")
      yield* store.dispatch(act("b", Fx.all(work("new", "w"), work("free"))))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(interrupted, ["old"])
      assert.deepStrictEqual(yield* store.state, ["a", "b", "free done", "new done", "free done"])
    }))

  it.effect("cancel interrupts what has the id, cancelAll everything; neither minds that there is nothing", () =>
    Effect.gen(function*() {
      const { interrupted, store } = yield* open({ w: slow("w"), v: slow("v") })
      yield* store.dispatch(act("nothing", Fx.all(Fx.cancel("w"), Fx.cancelAll)))
      yield* store.dispatch(act("a", Fx.all(work("w", "w"), work("v"), Fx.delay("d", 1000, act("rang")))))
      yield* store.dispatch(act("cancel", Fx.cancel("w")))
      assert.strictEqual((yield* store.health).inFlight, 2)
      yield* store.dispatch(act("all", Fx.cancelAll))
      assert.strictEqual((yield* store.health).inFlight, 0)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(interrupted, ["w", "v"])
      assert.deepStrictEqual(yield* store.state, ["nothing", "a", "cancel", "all"])
    }))

  it.effect("a task's reply may use the task's own id again: it is over by then", () =>
    Effect.gen(function*() {
      const again = Reducer.withOutcomes((seen: Seen, action: Do): Reducer.Step<Seen, Wanted> => [
        [...seen, action.name],
        action.name === "w done" && seen.length < 4 ? work("w", "w") : action.fx
      ], outcomes)
      const { begun, interrupted, layer } = working({ w: slow("w", 10) })
      const store = yield* Effect.provide(Store.make(again, { initial: [] }), layer)
      yield* store.dispatch(act("a", work("w", "w")))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* store.state, ["a", "w done", "w done", "w done", "w done"])
      assert.deepStrictEqual([begun.length, interrupted.length], [4, 0])
    }))

  it.effect("two instances of one feature cannot cancel or replace each other's", () =>
    Effect.gen(function*() {
      const { interrupted, layer } = working({ w: slow("w") })
      const many = Compose.compose({ many: Compose.each(remembering) })
      const ids = ["a", "b", "a#w", `a"],["b`]
      const initial = { many: HashMap.fromIterable(ids.map((id) => [id, [] as Seen] as const)) }
      const store = yield* Effect.provide(Store.make(many, { initial }), layer)
      const send = (id: string, action: Do) => store.dispatch({ _tag: "many", id, action })
      const all = Fx.all(work("w", "w"), Fx.delay("d", 1000, act("rang")), Fx.throttle("t", 5000, act("passed")))
      for (const id of ids) yield* send(id, act("start", all))
      assert.strictEqual((yield* store.health).inFlight, 8)
      yield* send("a", act("stop", Fx.all(Fx.cancel("w"), Fx.cancel("d"))))
      yield* send("b", act("end", Fx.cancelAll))
      assert.strictEqual((yield* store.health).inFlight, 4)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(interrupted, ["w", "w"])
      const seen = ids.map((id) => HashMap.getUnsafe(Effect.runSync(store.state).many, id))
      assert.deepStrictEqual(seen[0], ["start", "passed", "stop"])
      assert.deepStrictEqual(seen[1], ["start", "passed", "end"])
      for (const rest of seen.slice(2)) assert.sameMembers([...rest], ["start", "passed", "w done", "rang"])
    }))

  it.effect("an element that comes again under the same id is a new one, also to its throttles", () =>
    Effect.gen(function*() {
      const many = Compose.compose({ many: Compose.each(remembering) })
      type State = Reducer.StateOf<typeof many>
      type Change = { readonly _tag: "Set"; readonly many: State["many"] }
      const changing = (state: State, action: Reducer.ActionOf<typeof many> | Change) =>
        Reducer.step(action._tag === "Set" ? { many: action.many } : state)
      const one: State["many"] = HashMap.make(["a", []])
      const store = yield* Effect.provide(
        Store.make(Compose.combine(many, changing), { initial: { many: one } }),
        working().layer
      )
      const call = store.dispatch({
        _tag: "many",
        id: "a",
        action: act("call", Fx.throttle("t", 1000, act("passed")))
      })
      yield* call
      yield* store.dispatch({ _tag: "Set", many: HashMap.empty() })
      yield* store.dispatch({ _tag: "Set", many: one })
      yield* call
      assert.deepStrictEqual(HashMap.getUnsafe((yield* store.state).many, "a"), ["call", "passed"])
    }))
})

describe("sequential", () => {
  it.effect("begins each when the one before is done", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open({ "1": slow("1", 10), "2": slow("2", 10) })
      yield* store.dispatch(
        act("a", Fx.sequential(work("1"), Fx.delay("d", 10, act("rang")), work("2"), Fx.send(act("z"))))
      )
      const steps: Array<readonly [begun: number, seen: number]> = []
      for (let i = 0; i < 4; i++) {
        steps.push([begun.length, (yield* store.state).length])
        yield* TestClock.adjust("10 millis")
      }
      assert.deepStrictEqual(steps, [[1, 1], [1, 2], [2, 3], [2, 5]])
      assert.deepStrictEqual(yield* store.state, ["a", "1 done", "rang", "2 done", "z"])
    }))

  it.effect("stops at the first failure, says which, and sends the failure's action all the same", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open({ bad: failing("bad") })
      const problems = yield* collect(store.problems())
      yield* store.dispatch(act("a", Fx.sequential(work("good"), work("bad"), work("never"), Fx.send(act("never")))))
      yield* store.idle
      yield* settle
      assert.deepStrictEqual(begun, ["good", "bad"])
      assert.deepStrictEqual(yield* store.state, ["a", "good done", "bad failed, asked bad"])
      assert.strictEqual(problems.length, 1)
      const [stopped] = problems
      assert.instanceOf(stopped, SequenceStopped)
      assert.deepStrictEqual([stopped.index, stopped.failed], [1, `perform Work "bad"`])
      assert.deepStrictEqual(stopped.left, [`perform Work "never"`, Fx.render(Fx.send(act("never")))])
      assert.match(stopped.message, /stopped at step 1, perform Work "bad"; not begun: perform Work "never"/)
    }))

  it.effect("a group within that fails stops it just the same, once all of the group is done", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open({ bad: failing("bad"), slow: slow("slow", 10) })
      yield* store.dispatch(act("a", Fx.sequential(Fx.all(work("bad"), work("slow")), work("never"))))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(begun, ["bad", "slow"])
      assert.deepStrictEqual(yield* store.state, ["a", "bad failed, asked bad", "slow done"])
    }))

  it.effect("a failure of the last has nothing behind it, so there is no problem", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ bad: failing("bad") })
      const problems = yield* collect(store.problems())
      yield* store.dispatch(act("a", Fx.sequential(work("good"), work("bad"))))
      yield* store.idle
      yield* settle
      assert.deepStrictEqual(problems, [])
    }))
})

describe("parallel", () => {
  it.effect("never has more under way than its bound, reaches it, and begins in order", () =>
    Effect.gen(function*() {
      let running = 0
      const most: Array<number> = []
      const names = upTo(20)
      const layer = Task.layer(Work, (name) =>
        Effect.sync(() => most.push(++running)).pipe(
          Effect.andThen(Effect.sleep(10 + (Number(name) % 3) * 10)),
          Effect.as(name),
          Effect.ensuring(Effect.sync(() => running--))
        ))
      const store = yield* Effect.provide(Store.make(remembering, { initial: [] }), layer)
      yield* store.dispatch(act("a", Fx.parallel(3, ...names.map((name) => work(name, name)))))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(most.length, 20)
      assert.strictEqual(Math.max(...most), 3)
      assert.sameMembers([...yield* store.state], ["a", ...names.map((name) => `${name} done`)])
    }))

  it.effect("begins a member once, also when its beginning ends a sibling", () =>
    Effect.gen(function*() {
      const layer = Task.layer(Work, (name) => name === "a" ? Effect.delay(Effect.succeed(name), 10) : Effect.never)
      const store = yield* Effect.provide(Store.make(remembering, { initial: [] }), layer)
      const group = Fx.parallel(2, work("a"), work("b", "b"), Fx.send(act("x", Fx.cancel("b"))))
      yield* store.dispatch(act("go", group))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* store.state, ["go", "a done", "x"])
      yield* store.idle
    }))

  it.effect("a failure does not keep the others", () =>
    Effect.gen(function*() {
      const { begun, store } = yield* open({ bad: failing("bad") })
      yield* store.dispatch(act("a", Fx.parallel(1, work("bad"), work("good"))))
      yield* store.idle
      assert.deepStrictEqual(begun, ["bad", "good"])
    }))

  it.effect("a member can be cancelled by its id: while it runs, and before it has begun", () =>
    Effect.gen(function*() {
      const { begun, interrupted, store } = yield* open({ "1": slow("1"), "2": slow("2"), "3": slow("3") })
      yield* store.dispatch(act("a", Fx.parallel(1, work("1", "1"), work("2", "2"), work("3", "3"))))
      yield* store.dispatch(act("cancel 1", Fx.cancel("1")))
      yield* store.dispatch(act("cancel 3", Fx.cancel("3")))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(begun, ["1", "2"])
      assert.deepStrictEqual(interrupted, ["1"])
      assert.deepStrictEqual(yield* store.state, ["a", "cancel 1", "cancel 3", "2 done"])
    }))

  it.effect("members that are cancelled together do not begin in between", () =>
    Effect.gen(function*() {
      for (const cancels of [[Fx.cancel("1"), Fx.cancel("2")], [Fx.cancel("2"), Fx.cancel("1")]] as const) {
        const { begun, store } = yield* open({ "1": slow("1") })
        yield* store.dispatch(act("a", Fx.parallel(1, work("1", "1"), work("2", "2"), work("3", "3"))))
        yield* store.dispatch(act("b", Fx.all(...cancels)))
        yield* store.idle
        assert.deepStrictEqual(begun, ["1", "3"])
      }
    }))

  it.effect("what is removed takes its groups with it: nothing more of them begins", () =>
    Effect.gen(function*() {
      const { begun, interrupted, layer } = working({ "1": slow("1"), "2": slow("2") })
      const many = Compose.compose({ many: Compose.each(remembering) })
      type State = Reducer.StateOf<typeof many>
      const whole = Compose.combine(
        many,
        (state: State, action: Reducer.ActionOf<typeof many> | { readonly _tag: "Clear" }) =>
          Reducer.step(action._tag === "Clear" ? { many: HashMap.remove(state.many, "a") } : state)
      )
      const initial: State = { many: HashMap.make(["a", []], ["b", []]) }
      const store = yield* Effect.provide(Store.make(whole, { initial }), layer)
      for (const id of ["a", "b"]) {
        yield* store.dispatch({ _tag: "many", id, action: act("start", Fx.parallel(1, work("1"), work("2"))) })
      }
      const problems = yield* collect(store.problems())
      yield* store.dispatch({ _tag: "Clear" })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(begun, ["1", "1", "2"])
      assert.deepStrictEqual(interrupted, ["1"])
      assert.deepStrictEqual(HashMap.getUnsafe((yield* store.state).many, "b"), ["start", "1 done", "2 done"])
      assert.deepStrictEqual(problems, [])
    }))

  it.effect("nor does what a group of a part would do elsewhere, once the part is removed", () =>
    Effect.gen(function*() {
      const events = yield* MemoryEventStore.make
      const Logs = Action.define("Logs", { commands: {}, events: { Logged: Event.v1({}) } })
      const streamId = Result.getOrThrow(StreamId.make("logs", "1"))
      const logging = Reducer.withOutcomes(
        (n: number, _action: { readonly _tag: "Log" | "Done" }) =>
          Reducer.step(
            n + 1,
            Fx.parallel(
              1,
              work("1"),
              Fx.appendTo(streamId, ExpectedVersion.any, Result.getOrThrow(Logs.encode(Logs.Logged())))
            )
          ),
        { Work: { success: () => ({ _tag: "Done" }), failure: () => ({ _tag: "Done" }) } }
      )
      const one = Compose.compose({ one: Compose.optional(logging) })
      type State = Reducer.StateOf<typeof one>
      const whole = Compose.combine(
        one,
        (state: State, action: Reducer.ActionOf<typeof one> | { readonly _tag: "Clear" }) =>
          Reducer.step(action._tag === "Clear" ? { one: null } : state)
      )
      const { begun, layer } = working({ "1": slow("1") })
      const store = yield* Store.make(whole, { initial: { one: 0 } }).pipe(
        Effect.provide(layer),
        Effect.provideService(EventStore, events)
      )
      yield* store.dispatch({ _tag: "one", action: { _tag: "Log" } })
      yield* store.dispatch({ _tag: "Clear" })
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(begun, ["1"])
      assert.deepStrictEqual(yield* events.read(streamId), [])
    }))
})

/** What the log says, at error level. */
const logged = () => {
  const errors: Array<string> = []
  const layer = Logger.layer([
    Logger.make(({ logLevel, message }) => {
      if (logLevel === "Error" || logLevel === "Warn") errors.push(String([message].flat().map(String)))
    })
  ])
  return { errors, layer }
}

describe("what goes wrong", () => {
  it.effect("a reducer that throws: typed, the state untouched, the store usable", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      yield* store.dispatch(act("a"))
      const before = yield* store.state
      const defect = yield* Effect.flip(store.dispatch(act("throw")))
      assert.instanceOf(defect, ReducerDefect)
      assert.strictEqual(defect.action, "Do")
      assert.match(defect.message, /threw while it reduced Do.*thrown by the reducer/)
      assert.strictEqual(yield* store.state, before)
      assert.deepStrictEqual(yield* store.dispatch(act("b")), ["a", "b"])
    }))

  const unheard: ReadonlyArray<
    readonly [name: string, fx: Wanted, works: Works, problem: Problem["_tag"]]
  > = [
    ["an action that an effect sent throws", Fx.send(act("throw")), {}, "ReducerDefect"],
    [
      "an action that an effect sent is refused",
      Fx.delay("d", 0, act("no", Fx.reject({ _tag: "Refused", name: "n" }))),
      {},
      "RejectedUnheard"
    ],
    ["a handler dies", work("w"), { w: Effect.die(new Error("dead")) }, "TaskDefect"],
    [
      "a handler throws before it is an effect",
      work("w"),
      {
        get w(): never {
          throw new Error("thrown")
        }
      },
      "TaskDefect"
    ],
    ["an outcome throws", work("w"), { w: Effect.succeed("unspeakable") }, "EffectFailed"]
  ]
  for (const [name, fx, works, problem] of unheard) {
    it.effect(`${name}: contained, reported as a problem and in the log`, () =>
      Effect.gen(function*() {
        const { errors, layer } = logged()
        const { store } = yield* Effect.provide(open(works), layer)
        const problems = yield* collect(store.problems())
        yield* store.dispatch(act("a", fx))
        yield* TestClock.adjust("1 second")
        yield* settle
        assert.strictEqual(problems.length, 1)
        assert.strictEqual(problems[0]!._tag, problem)
        assert.strictEqual(errors.length, 1)
        assert.include(errors[0], problems[0]!._tag)
        assert.deepStrictEqual(yield* store.state, ["a"])
        assert.deepStrictEqual(yield* store.dispatch(act("b")), ["a", "b"])
        assert.strictEqual((yield* store.health).inFlight, 0)
      }))
  }

  it("a problem's message never fails, whatever the reason is", () => {
    const reason = { _tag: "No", cents: 5n }
    assert.match(new RejectedUnheard({ action: "Pay", reason }).message, /Pay.*refused.*5n/)
  })

  it.effect("a predicate that throws is its caller's defect, and nobody else's", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const bad = yield* Effect.forkChild(store.dispatchAndAwait(act("a"), (seen) => {
        if (seen.length > 1) throw new Error("thrown by the predicate")
        return false
      }, "1 minute"))
      const good = yield* Effect.forkChild(store.dispatchAndAwait(act("b"), (seen) => seen.length > 2, "1 minute"))
      yield* settle
      assert.deepStrictEqual(yield* store.dispatch(act("c")), ["a", "b", "c"])
      assert.deepStrictEqual(yield* Fiber.join(good), Option.some(["a", "b", "c"]))
      const exit = yield* Fiber.await(bad)
      assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "", /thrown by the predicate/)
    }))
})

describe("changes, select and actions", () => {
  it.effect("changes gives the state as it is, then every next one", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      yield* store.dispatch(act("a"))
      const states = yield* collect(store.changes())
      yield* store.dispatch(act("b"))
      yield* store.dispatch(act("c"))
      yield* settle
      assert.deepStrictEqual(states, [["a"], ["a", "b"], ["a", "b", "c"]])
    }))

  it.effect("a state that stays the same is no change", () =>
    Effect.gen(function*() {
      const same = (n: number, action: { readonly _tag: "Same" | "Next" }) =>
        Reducer.step(action._tag === "Same" ? n : n + 1)
      const store = yield* Store.make(same, { initial: 0 })
      const states = yield* collect(store.changes())
      for (const _tag of ["Same", "Next", "Same"] as const) yield* store.dispatch({ _tag })
      yield* settle
      assert.deepStrictEqual(states, [0, 1])
    }))

  it.effect("select gives a value when it changes, not when something else does", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const values = yield* collect(store.select((seen) => ({ pairs: seen.length >> 1 }), { capacity: 100 }))
      for (const name of upTo(5)) yield* store.dispatch(act(name))
      yield* settle
      assert.deepStrictEqual(values, [{ pairs: 0 }, { pairs: 1 }, { pairs: 2 }])
    }))

  it.effect("actions gives those that were reduced, from now on: sent ones too, refused ones not", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      yield* store.dispatch(act("before"))
      const actions = yield* collect(store.actions())
      yield* store.dispatch(act("a", Fx.send(act("b"))))
      yield* Effect.flip(store.dispatch(act("no", Fx.reject({ _tag: "Refused", name: "" }))))
      yield* Effect.flip(store.dispatch(act("throw")))
      yield* settle
      assert.deepStrictEqual(actions.map(({ name }) => name), ["a", "b"])
    }))

  /** A subscriber that takes one value whenever it is asked to. */
  const slowly = <A>(stream: Stream.Stream<A>) =>
    Effect.gen(function*() {
      const taken: Array<A> = []
      const asked = yield* Queue.unbounded<void>()
      const fiber = yield* Effect.forkScoped(Stream.runForEach(
        Stream.rechunk(stream, 1),
        (value) => Effect.andThen(Queue.take(asked), Effect.sync(() => taken.push(value)))
      ))
      yield* settle
      const take = (count: number) =>
        Effect.forEach(upTo(count), () => Effect.andThen(Queue.offer(asked, undefined), settle), { discard: true })
      return { taken, take, fiber }
    })
  const names = (actions: ReadonlyArray<Do>) => actions.map(({ name }) => Number(name))

  it.effect("sliding forgets the oldest that wait, and keeps nobody waiting", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const { take, taken } = yield* slowly(store.actions({ capacity: 4, strategy: "sliding" }))
      for (const name of upTo(100)) yield* store.dispatch(act(name))
      yield* take(100)
      assert.deepStrictEqual(names(taken).slice(-4), [97, 98, 99, 100])
      assert.isBelow(taken.length, 12)
    }))

  it.effect("dropping ignores new ones, and keeps nobody waiting", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const { take, taken } = yield* slowly(store.actions({ capacity: 4, strategy: "dropping" }))
      for (const name of upTo(100)) yield* store.dispatch(act(name))
      yield* take(100)
      assert.deepStrictEqual(names(taken), names(upTo(taken.length).map((name) => act(name))))
      assert.isBelow(taken.length, 12)
    }))

  it.effect("suspend loses nothing: those who dispatch wait", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const { take, taken } = yield* slowly(store.actions({ capacity: 4, strategy: "suspend" }))
      const done: Array<string> = []
      yield* Effect.forkScoped(
        Effect.forEach(
          upTo(100),
          (name) => Effect.andThen(store.dispatch(act(name)), Effect.sync(() => done.push(name)))
        )
      )
      yield* settle
      assert.isBelow(done.length, 12, "at most what the subscriber can hold")
      const ahead: Array<number> = []
      for (let i = 0; i < 100; i++) {
        yield* take(1)
        ahead.push(done.length - taken.length)
      }
      assert.deepStrictEqual(names(taken), upTo(100).map(Number))
      assert.isBelow(Math.max(...ahead), 12)
      assert.strictEqual(done.length, 100)
    }))

  it.effect("suspend loses nothing also where those who dispatch give up waiting", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const { take, taken } = yield* slowly(store.actions({ capacity: 2, strategy: "suspend" }))
      for (const name of upTo(20)) {
        const dispatching = yield* Effect.forkChild(store.dispatch(act(name)))
        yield* settle
        yield* Fiber.interrupt(dispatching)
      }
      const reduced = (yield* store.state).length
      yield* take(40)
      assert.deepStrictEqual(names(taken), upTo(reduced).map(Number))
      assert.isAtMost(reduced, 20)
    }))

  it.effect("a subscriber that leaves lets those who wait for it go", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const { fiber } = yield* slowly(store.changes({ capacity: 1, strategy: "suspend" }))
      const dispatching = yield* Effect.forkChild(Effect.forEach(upTo(20), (name) => store.dispatch(act(name))))
      yield* settle
      assert.isUndefined(dispatching.pollUnsafe())
      yield* Fiber.interrupt(fiber)
      yield* Fiber.join(dispatching)
      assert.strictEqual((yield* store.state).length, 20)
    }))
})

describe("dispatchAndAwait", () => {
  it.effect("waits for a state that fulfils the predicate, and yields that state", () =>
    Effect.gen(function*() {
      const { store } = yield* open({ w: slow("w") })
      const waiting = yield* Effect.forkChild(
        store.dispatchAndAwait(act("a", work("w")), (seen) => seen.includes("w done"), "1 minute")
      )
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(waiting), Option.some(["a", "w done"]))
    }))

  it.effect("is done at once when the action does it", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const state = yield* store.dispatchAndAwait(act("a"), (seen) => seen.length === 1, "1 second")
      assert.deepStrictEqual(state, Option.some(["a"]))
    }))

  it.effect("sees a state that is there for a moment only", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const sends = Fx.all(Fx.send(act("b")), Fx.send(act("c")), Fx.send(act("d")))
      const state = yield* store.dispatchAndAwait(act("a", sends), (seen) => seen.at(-1) === "c", "1 second")
      assert.deepStrictEqual(state, Option.some(["a", "b", "c"]))
      assert.deepStrictEqual(yield* store.state, ["a", "b", "c", "d"])
    }))

  it.effect("yields none when time runs out, and fails when the action is refused", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      const waiting = yield* Effect.forkChild(store.dispatchAndAwait(act("a"), () => false, "1 minute"))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* Fiber.join(waiting), Option.none())
      const refused = act("b", Fx.reject({ _tag: "Refused", name: "b" }))
      const reason = yield* Effect.flip(store.dispatchAndAwait(refused, () => true, "1 minute"))
      assert.deepStrictEqual<unknown>(reason, { _tag: "Refused", name: "b" })
    }))
})

describe("close", () => {
  /** A store whose scope the test closes. */
  const closable = (works: Works, options: Partial<Store.Options<Seen>> = {}) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { errors, layer } = logged()
      const opened = yield* open(works, options).pipe(Scope.provide(scope), Effect.provide(layer))
      const close = yield* Effect.sync(() => Effect.provide(Scope.close(scope, Exit.void), layer))
      return { ...opened, errors, close }
    })

  it.effect("at once when nothing is under way; dispatch afterwards fails, as does a dispatch while draining", () =>
    Effect.gen(function*() {
      const { close, errors, store } = yield* closable({})
      yield* store.dispatch(act("a"))
      assert.strictEqual((yield* store.health).status, "running")
      yield* close
      assert.strictEqual((yield* store.health).status, "closed")
      const closed = yield* Effect.flip(store.dispatch(act("b")))
      assert.instanceOf(closed, StoreClosed)
      assert.strictEqual(closed.message, "Do was not reduced: the store is closing. Dispatch before its scope ends.")
      assert.instanceOf(yield* Effect.flip(store.dispatchAndAwait(act("b"), () => true, "1 second")), StoreClosed)
      assert.deepStrictEqual(yield* store.state, ["a"])
      assert.deepStrictEqual(errors, [])
    }))

  it.effect("timers end, tasks finish and their replies are reduced, and what did not fire is said", () =>
    Effect.gen(function*() {
      const { close, errors, store } = yield* closable({ w: slow("w", 3000) })
      yield* store.dispatch(act("a", Fx.all(work("w", "w"), Fx.delay("d", 1000, act("rang")))))
      const closing = yield* Effect.forkChild(close)
      yield* settle
      assert.deepStrictEqual(yield* store.health, { status: "draining", inFlight: 1, mailbox: 0 })
      assert.instanceOf(yield* Effect.flip(store.dispatch(act("b"))), StoreClosed)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* store.state, ["a", "w done"])
      assert.strictEqual(errors.length, 1)
      assert.match(errors[0]!, /unfinished.*in 1000 ms as "d"/)
    }))

  it.effect("at the deadline, tasks are interrupted, and what did not finish is said", () =>
    Effect.gen(function*() {
      const { close, errors, interrupted, store } = yield* closable({ w: slow("w", 60_000) }, { deadline: "2 seconds" })
      yield* store.dispatch(act("a", work("w", "w")))
      const closing = yield* Effect.forkChild(close)
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(closing.pollUnsafe())
      assert.deepStrictEqual(interrupted, [])
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(interrupted, ["w"])
      assert.strictEqual((yield* store.health).inFlight, 0)
      assert.strictEqual(errors.length, 1)
      assert.match(errors[0]!, /unfinished.*perform Work "w" as "w"/)
    }))

  it.effect("a timer that a reply starts while draining does not keep the store open", () =>
    Effect.gen(function*() {
      const polling = Reducer.withOutcomes((seen: Seen, action: Do): Reducer.Step<Seen, Wanted> => [
        [...seen, action.name],
        action.name === "w done" ? Fx.delay("poll", 1000, act("poll", work("w"))) : action.fx
      ], outcomes)
      const scope = yield* Scope.make()
      const store = yield* Store.make(polling, { initial: [], deadline: "1 hour" }).pipe(
        Effect.provide(working({ w: slow("w", 10) }).layer),
        Scope.provide(scope)
      )
      yield* store.dispatch(act("a", work("w")))
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("20 millis")
      assert.isDefined(closing.pollUnsafe())
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* store.state, ["a", "w done"])
    }))

  it.effect("ends the streams of those who follow", () =>
    Effect.gen(function*() {
      const { close, store } = yield* closable({})
      const following = yield* Effect.forkChild(Stream.runCollect(store.changes()))
      yield* settle
      yield* store.dispatch(act("a"))
      yield* close
      assert.deepStrictEqual(yield* Fiber.join(following), [[], ["a"]])
    }))
})

describe("no fiber when there is nothing to run", () => {
  /** A store that counts the fibers it starts, and how often it was asked. */
  const counted = Effect.gen(function*() {
    const started = { count: 0 }
    const metrics: Metric.FiberRuntimeMetricsService = {
      recordFiberStart: () => {
        started.count += 1
      },
      recordFiberEnd: () => {}
    }
    const { store } = yield* Effect.provideService(open(), Metric.FiberRuntimeMetrics, metrics)
    return { started, store }
  })

  it.effect("1 000 actions that want nothing, send, throttle or cancel what there is not start none", () =>
    Effect.gen(function*() {
      const { started, store } = yield* counted
      yield* collect(store.changes())
      const nothing: ReadonlyArray<Wanted> = [
        Fx.none,
        Fx.send(act("b")),
        Fx.throttle("t", 10, act("c")),
        Fx.cancel("x"),
        Fx.cancelAll,
        Fx.all(work("w", "w"), Fx.cancel("w"))
      ]
      for (let i = 0; i < 1000; i++) yield* store.dispatch(act("a", nothing[i % nothing.length]!))
      assert.strictEqual(started.count, 0)
      yield* store.dispatch(act("a", work("w")))
      assert.strictEqual(started.count, 1, "the count counts")
    }))

  it.effect("a dispatch is done when it returns", () =>
    Effect.gen(function*() {
      const { store } = yield* open()
      // It would throw if it had to wait for a fiber.
      assert.deepStrictEqual(Effect.runSync(store.dispatch(act("a", Fx.send(act("b"))))), ["a"])
      assert.deepStrictEqual(Effect.runSync(store.state), ["a", "b"])
    }))
})

describe("ids", () => {
  type Told = Pick<Action.Meta, "id" | "time" | "correlationId" | "causationId">
  /** The meta of each action, by its name. */
  const metas = Effect.gen(function*() {
    const told: Record<string, Told> = {}
    const reducer = Reducer.withOutcomes((seen: Seen, action: Do, meta: Action.Meta): Reducer.Step<Seen, Wanted> => {
      const { causationId, correlationId, id, time } = meta
      told[action.name] = { id, time, correlationId, causationId }
      return [[...seen, action.name], action.fx]
    }, outcomes)
    const store = yield* Effect.provide(Store.make(reducer, { initial: [] }), working({ w: slow("w", 10) }).layer)
    return { told, store }
  })

  it.effect("an action has an id and a time; the first is its own cause", () =>
    Effect.gen(function*() {
      const { store, told } = yield* metas
      yield* TestClock.setTime(5000)
      yield* store.dispatch(act("a"))
      yield* store.dispatch(act("b"))
      const { a, b } = told
      assert.deepStrictEqual(a, { id: a!.id, time: 5000, correlationId: a!.id, causationId: a!.id })
      assert.match(a!.id, /^00000000-1388-7/)
      assert.notStrictEqual(a!.id, b!.id)
    }))

  it.effect("flow from an action to all that its effects send", () =>
    Effect.gen(function*() {
      const { store, told } = yield* metas
      yield* store.dispatch(act(
        "a",
        Fx.all(
          Fx.send(act("sent", Fx.send(act("sent on")))),
          Fx.throttle("t", 10, act("passed")),
          Fx.delay("d", 10, act("rang")),
          Fx.sequential(work("w"), Fx.send(act("last")))
        )
      ))
      yield* TestClock.adjust("1 second")
      for (const name of ["sent", "passed", "rang", "w done", "last"]) {
        const { causationId, correlationId, id } = told[name]!
        assert.deepStrictEqual([name, correlationId, causationId], [name, told["a"]!.id, told["a"]!.id])
        assert.notStrictEqual(id, told["a"]!.id)
      }
      assert.strictEqual(told["sent on"]!.correlationId, told["a"]!.id)
      assert.strictEqual(told["sent on"]!.causationId, told["sent"]!.id)
      assert.strictEqual(told["rang"]!.time, 10)
    }))

  it.effect("of a conversation of 100 000 actions are known at its end, to whom asks only then", () =>
    Effect.gen(function*() {
      type Down = { readonly _tag: "Down"; readonly n: number }
      const ids: Array<string> = []
      const down = (_n: number, { n }: Down, meta: Action.Meta): Reducer.Step<number, Fx.None | Fx.Send<Down>> => {
        if (n === 100_000 || n === 0) ids.push(meta.correlationId)
        return Reducer.step(n, n === 0 ? Fx.none : Fx.send({ _tag: "Down", n: n - 1 }))
      }
      const store = yield* Store.make(down, { initial: -1 })
      const problems = yield* collect(store.problems())
      yield* store.dispatch({ _tag: "Down", n: 100_000 })
      yield* settle
      assert.deepStrictEqual(problems, [])
      assert.strictEqual(ids[1], ids[0])
    }))
})

describe("whatever the order", () => {
  /** A small generator of pseudo-random numbers, so that a failing round can be run again by its seed. */
  const random = (seed: number) => () => {
    seed = (seed * 1_664_525 + 1_013_904_223) >>> 0
    return seed / 2 ** 32
  }

  it.effect(
    "2 000 rounds: every acknowledged action is reduced exactly once, and every effect comes back once",
    () =>
      Effect.gen(function*() {
        for (let seed = 1; seed <= 2000; seed++) {
          const next = random(seed)
          const pick = (count: number) => Math.floor(next() * count)
          const scope = yield* Scope.make()
          const layer = Task.layer(Work, (name) => {
            const pause = pick(4)
            return pause === 0
              ? Effect.succeed(name)
              : pause === 1
              ? Effect.as(Effect.yieldNow, name)
              : Effect.as(Effect.sleep(pause), name)
          })
          const store = yield* Store.make(remembering, { initial: [] }).pipe(
            Effect.provide(layer),
            Scope.provide(scope)
          )
          const strategy = (["sliding", "dropping", "suspend"] as const)[pick(3)]!
          yield* Effect.forkIn(
            Stream.runForEach(store.changes({ capacity: 1 + pick(3), strategy }), () =>
              pick(2) === 0 ? Effect.yieldNow : Effect.sleep(1)),
            scope
          )
          const acknowledged: Array<string> = []
          const follows: Array<string> = []
          const fxOf = (name: string): Wanted => {
            switch (pick(6)) {
              case 0:
                follows.push(`${name} sent`)
                return Fx.send(act(`${name} sent`))
              case 1:
                follows.push(`${name} done`)
                return work(name)
              case 2:
                follows.push(`${name} rang`)
                return Fx.delay(name, pick(5), act(`${name} rang`))
              case 3:
                follows.push(`${name} x done`, `${name} last`)
                return Fx.sequential(work(`${name} x`), Fx.send(act(`${name} last`)))
              case 4:
                follows.push(`${name} y done`, `${name} z done`)
                return Fx.parallel(1 + pick(2), work(`${name} y`), work(`${name} z`))
              default:
                return Fx.none
            }
          }
          const dispatching = yield* Effect.forkIn(
            Effect.forEach(upTo(2 + pick(5)), (name) =>
              Effect.gen(function*() {
                const pause = pick(4)
                if (pause === 1) {
                  yield* Effect.yieldNow
                }
                if (pause > 1) {
                  yield* Effect.sleep(pause)
                }
                const state = yield* store.dispatch(act(name, fxOf(name)))
                assert.include(state, name, `seed ${seed}`)
                acknowledged.push(name)
              }), { concurrency: "unbounded" }),
            scope
          )
          for (let i = 0; dispatching.pollUnsafe() === undefined || (yield* store.health).inFlight > 0; i++) {
            assert.isBelow(i, 1000, `seed ${seed} is stuck`)
            yield* TestClock.adjust("10 millis")
          }
          assert.isTrue(Exit.isSuccess(yield* Fiber.await(dispatching)), `seed ${seed}`)
          const seen = yield* store.state
          assert.deepStrictEqual([...seen].sort(), [...acknowledged, ...follows].sort(), `seed ${seed}`)
          yield* Scope.close(scope, Exit.void)
        }
      }),
    60_000
  )
})
