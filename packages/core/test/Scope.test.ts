/**
 * Stores of parts: views of one store, which see and say only what is theirs.
 */
import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Option, Stream } from "effect"
import { TestClock } from "effect/testing"

type Do =
  | { readonly _tag: "Add"; readonly n: number }
  | { readonly _tag: "Refuse" }
  | { readonly _tag: "Soon"; readonly n: number }

const counter = (count: number, action: Do) => {
  switch (action._tag) {
    case "Add":
      return Reducer.step(count + action.n)
    case "Refuse":
      return Reducer.step(count, Fx.reject({ _tag: "No" }))
    case "Soon":
      return Reducer.step(count, Fx.delay("soon", 1000, { _tag: "Add", n: action.n }))
  }
}
const pair = Compose.compose({ left: counter, right: counter })
const parts = Compose.compose({ pair, many: Compose.each(counter), maybe: Compose.optional(counter) })
type State = Reducer.StateOf<typeof parts>
type Action = Reducer.ActionOf<typeof parts> | { readonly _tag: "Remove"; readonly id: string }
const removing = (state: State, action: Action) =>
  Reducer.step(action._tag === "Remove" ? { ...state, many: HashMap.remove(state.many, action.id) } : state)
const app = Compose.combine(parts, removing)

const start: State = { pair: { left: 0, right: 10 }, many: HashMap.make(["a", 0], ["b", 100]), maybe: 1 }
const opening = Store.make(app, { initial: start })
const add = (n: number): Do => ({ _tag: "Add", n })

/** What a stream has told since it was asked; it is asked before this returns. */
const hearing = <A>(stream: Stream.Stream<A>) =>
  Effect.gen(function*() {
    const heard: Array<A> = []
    yield* Effect.forkScoped(Stream.runForEach(stream, (value) => Effect.sync(() => void heard.push(value))))
    yield* TestClock.adjust(0)
    return Effect.as(TestClock.adjust(0), heard)
  })

describe("scope", () => {
  it.effect("sees the part's state, and dispatches to the part alone", () =>
    Effect.gen(function*() {
      const store = yield* opening
      const left = Store.scope(Store.scope(store, "pair"), "left")
      assert.strictEqual(yield* left.state, 0)
      assert.strictEqual(yield* left.dispatch(add(5)), 5)
      assert.strictEqual(yield* left.state, 5)
      assert.deepStrictEqual(yield* store.state, { ...start, pair: { left: 5, right: 10 } })
    }))

  it.effect("tells of the part's changes and actions only", () =>
    Effect.gen(function*() {
      const store = yield* opening
      const whole = Store.scope(store, "pair")
      const [left, right] = [Store.scope(whole, "left"), Store.scope(whole, "right")]
      const changes = yield* hearing(left.changes())
      const actions = yield* hearing(left.actions())
      const parity = yield* hearing(left.select((count) => count % 2))
      yield* left.dispatch(add(1))
      yield* right.dispatch(add(2))
      yield* left.dispatch(add(4))
      yield* Store.scopeOne(store, "many", "a").dispatch(add(8))
      yield* left.dispatch(add(1))
      assert.deepStrictEqual(yield* changes, [0, 1, 5, 6])
      assert.deepStrictEqual(yield* actions, [add(1), add(4), add(1)])
      assert.deepStrictEqual(yield* parity, [0, 1, 0])
    }))

  it.effect("fails with the part's reason", () =>
    Effect.gen(function*() {
      const left = Store.scope(Store.scope(yield* opening, "pair"), "left")
      assert.deepStrictEqual<unknown>(yield* Effect.flip(left.dispatch({ _tag: "Refuse" })), { _tag: "No" })
    }))

  it.effect("waits for the part's state", () =>
    Effect.gen(function*() {
      const store = yield* opening
      const left = Store.scope(Store.scope(store, "pair"), "left")
      const waiting = yield* Effect.forkChild(
        left.dispatchAndAwait({ _tag: "Soon", n: 7 }, (count) => count === 7, "2 seconds")
      )
      yield* Store.scope(Store.scope(store, "pair"), "right").dispatch(add(-3))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(waiting.pollUnsafe()?._tag, "Success")
      const never = yield* Effect.forkChild(left.dispatchAndAwait(add(1), (count) => count === 7, "1 second"))
      yield* TestClock.adjust("1 second")
      const exit = never.pollUnsafe()
      assert.isTrue(exit?._tag === "Success" && Option.isNone(exit.value))
      assert.deepStrictEqual(yield* left.dispatchAndAwait(add(1), (count) => count === 9, 0), Option.some(9))
    }))

  it.effect("what a part has under way is the store's", () =>
    Effect.gen(function*() {
      const store = yield* opening
      const left = Store.scope(Store.scope(store, "pair"), "left")
      yield* left.dispatch({ _tag: "Soon", n: 1 })
      assert.deepStrictEqual(yield* left.health, { status: "running", inFlight: 1, mailbox: 0 })
      yield* TestClock.adjust("1 second")
      yield* left.idle
      assert.strictEqual(yield* left.state, 1)
    }))

  it.effect("an optional part is null while it is not there", () =>
    Effect.gen(function*() {
      const store = yield* Store.make(app, { initial: { ...start, maybe: null } })
      const maybe = Store.scope(store, "maybe")
      assert.isNull(yield* maybe.dispatch(add(1)))
      assert.strictEqual(yield* Store.scope(yield* opening, "maybe").dispatch(add(1)), 2)
    }))
})

describe("scopeOne", () => {
  it.effect("is the store of one element", () =>
    Effect.gen(function*() {
      const store = yield* opening
      const [a, b] = [Store.scopeOne(store, "many", "a"), Store.scopeOne(store, "many", "b")]
      const changes = yield* hearing(a.changes())
      const actions = yield* hearing(a.actions())
      assert.deepStrictEqual(yield* a.state, Option.some(0))
      assert.deepStrictEqual(yield* a.dispatch(add(1)), Option.some(1))
      assert.deepStrictEqual(yield* b.dispatch(add(1)), Option.some(101))
      assert.deepStrictEqual(yield* a.dispatchAndAwait(add(1), Option.contains(2), 0), Option.some(Option.some(2)))
      assert.deepStrictEqual(yield* changes, [0, 1, 2].map(Option.some))
      assert.deepStrictEqual(yield* actions, [add(1), add(1)])
    }))

  it.effect("an element that is gone has no state, and takes no action", () =>
    Effect.gen(function*() {
      const store = yield* opening
      const a = Store.scopeOne(store, "many", "a")
      const changes = yield* hearing(a.changes())
      yield* a.dispatch({ _tag: "Soon", n: 1 })
      yield* store.dispatch({ _tag: "Remove", id: "a" })
      assert.strictEqual((yield* store.health).inFlight, 0, "the timer outlived its element")
      assert.deepStrictEqual(yield* a.state, Option.none())
      assert.deepStrictEqual(yield* a.dispatch(add(1)), Option.none())
      assert.deepStrictEqual(yield* changes, [Option.some(0), Option.none()])
      assert.deepStrictEqual(HashMap.size((yield* store.state).many), 1)
      assert.deepStrictEqual(yield* Store.scopeOne(store, "many", "never").state, Option.none())
    }))
})
