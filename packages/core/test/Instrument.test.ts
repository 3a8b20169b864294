/**
 * What the store of an instrumented reducer tells of: to the log, the tracer and the metrics.
 */
import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Layer, Logger, Metric, References, Schema, Tracer } from "effect"
import { TestClock } from "effect/testing"

const Print = Task.define("Print", { input: Schema.Int, success: Schema.Void, failure: Schema.Never })

type Do =
  | { readonly _tag: "Add"; readonly n: number }
  | { readonly _tag: "Rename"; readonly name: string }
  | { readonly _tag: "Look" }
  | { readonly _tag: "Refuse" }
  | { readonly _tag: "Throw" }
  | { readonly _tag: "Printed" }
interface State {
  readonly count: number
  readonly about: { readonly name: string; readonly tags: ReadonlyArray<string> }
}
const start: State = { count: 0, about: { name: "a", tags: [] } }

const plain = Reducer.withOutcomes(
  (state: State, action: Do) => {
    switch (action._tag) {
      case "Add":
        return Reducer.step({ ...state, count: state.count + action.n }, Fx.perform(Print, action.n, { id: "p" }))
      case "Rename":
        return Reducer.step({ ...state, about: { ...state.about, name: action.name } })
      case "Refuse":
        return Reducer.step({ ...state, count: 99 }, Fx.reject({ _tag: "No" }))
      case "Throw":
        throw new Error("a bug in the reducer")
      default:
        return Reducer.step(state)
    }
  },
  { Print: { success: () => ({ _tag: "Printed" }), failure: (never) => never } }
)
const instrumented = Reducer.instrument(plain, "todo")
const printing = Task.layer(Print, () => Effect.void)

interface Line {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

/** What is logged at whatever level, and the names of the spans. */
const watching = () => {
  const lines: Array<Line> = []
  const spans: Array<string> = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    lines.push({
      level: logLevel,
      message: String(message),
      annotations: { ...fiber.getRef(References.CurrentLogAnnotations) }
    })
  })
  const tracer = Tracer.make({
    span: (options) => {
      spans.push(options.name)
      return new Tracer.NativeSpan(options)
    }
  })
  const layer = Layer.mergeAll(
    Logger.layer([logger]),
    Layer.succeed(References.MinimumLogLevel, "All"),
    Layer.succeed(Tracer.Tracer, tracer),
    Layer.succeed(Metric.MetricRegistry, new Map())
  )
  return { lines, spans, layer }
}

/** Where the changes were, and what is wanted, of each line. */
const told = (lines: ReadonlyArray<Line>) =>
  lines.map(({ annotations: { changed, effects }, level, message }) => [level, message, changed, effects])

const metrics = Effect.map(
  Metric.snapshot,
  (all) => all.map(({ attributes, id, state }) => ({ id, attributes: { ...attributes }, state }))
)

const settled = TestClock.adjust(0)

describe("instrument", () => {
  it.effect("logs each action, with the places that changed and the effects in words", () =>
    Effect.gen(function*() {
      const { layer, lines } = watching()
      const store = yield* Effect.provide(Store.make(instrumented, { initial: start }), Layer.merge(layer, printing))
      yield* store.dispatch({ _tag: "Add", n: 2 })
      yield* settled
      yield* store.dispatch({ _tag: "Rename", name: "b" })
      yield* store.dispatch({ _tag: "Look" })
      yield* settled
      assert.deepStrictEqual(told(lines), [
        ["Debug", "todo reduced Add", "count", "perform Print 2 as \"p\""],
        ["Debug", "todo reduced Printed", "nothing", "nothing"],
        ["Debug", "todo reduced Rename", "about.name", "nothing"],
        ["Debug", "todo reduced Look", "nothing", "nothing"]
      ])
      for (const { annotations: { millis } } of lines) assert.isAtLeast(Number(millis), 0)
    }))

  it.effect("tells of what was refused, too: nothing changed", () =>
    Effect.gen(function*() {
      const { layer, lines, spans } = watching()
      const store = yield* Effect.provide(Store.make(instrumented, { initial: start }), Layer.merge(layer, printing))
      yield* Effect.flip(store.dispatch({ _tag: "Refuse" }))
      yield* settled
      assert.deepStrictEqual(told(lines), [["Debug", "todo reduced Refuse", "nothing", "reject {\"_tag\":\"No\"}"]])
      assert.deepStrictEqual(spans, ["todo.Refuse"])
    }))

  it.effect("makes a span of each action", () =>
    Effect.gen(function*() {
      const { layer, spans } = watching()
      const store = yield* Effect.provide(Store.make(instrumented, { initial: start }), Layer.merge(layer, printing))
      yield* store.dispatch({ _tag: "Add", n: 2 })
      yield* settled
      assert.deepStrictEqual(spans, ["todo.Add", "todo.Printed"])
    }))

  it.effect("counts actions by feature and name, and times the feature", () =>
    Effect.gen(function*() {
      const { layer } = watching()
      const all = yield* Effect.gen(function*() {
        const store = yield* Store.make(instrumented, { initial: start })
        for (const action of [{ _tag: "Look" }, { _tag: "Look" }, { _tag: "Rename", name: "b" }] as const) {
          yield* store.dispatch(action)
        }
        yield* settled
        return yield* metrics
      }).pipe(Effect.provide(Layer.merge(layer, printing)))
      const counted = all.flatMap(({ attributes, id, state }) =>
        id === "composable_actions_reduced" ? [[attributes, (state as { readonly count: number }).count]] : []
      )
      assert.sameDeepMembers(counted, [
        [{ feature: "todo", action: "Look" }, 2],
        [{ feature: "todo", action: "Rename" }, 1]
      ])
      const timed = all.filter(({ id }) => id === "composable_reduce_duration")
      assert.deepStrictEqual(timed.map(({ attributes }) => attributes["feature"]), ["todo"])
      assert.strictEqual((timed[0]!.state as { readonly count: number }).count, 3)
    }))

  it.effect("tells nothing of a reducer that is not instrumented", () =>
    Effect.gen(function*() {
      const { layer, lines, spans } = watching()
      const all = yield* Effect.gen(function*() {
        const store = yield* Store.make(plain, { initial: start })
        yield* store.dispatch({ _tag: "Add", n: 2 })
        yield* settled
        return yield* metrics
      }).pipe(Effect.provide(Layer.merge(layer, printing)))
      assert.deepStrictEqual([lines, spans, all], [[], [], []])
    }))

  it.effect("a composed feature is told of as a whole, to the depth of the place that changed", () =>
    Effect.gen(function*() {
      const { layer, lines, spans } = watching()
      const whole = Reducer.instrument(Compose.compose({ one: plain, many: Compose.each(plain) }), "app")
      const store = yield* Store.make(whole, {
        initial: { one: start, many: HashMap.make(["x", start], ["y", start]) }
      }).pipe(Effect.provide(Layer.merge(layer, printing)))
      yield* store.dispatch({ _tag: "many", id: "y", action: { _tag: "Add", n: 3 } })
      yield* settled
      yield* store.dispatch({ _tag: "one", action: { _tag: "Rename", name: "b" } })
      yield* settled
      assert.deepStrictEqual(told(lines), [
        ["Debug", "app reduced many", "many.y.count", "perform Print 3 as \"p\" within many(y)"],
        ["Debug", "app reduced many", "nothing", "nothing"],
        ["Debug", "app reduced one", "one.about.name", "nothing"]
      ])
      assert.deepStrictEqual(spans, ["app.many", "app.many", "app.one"])
    }))

  it("changes nothing of what the reducer returns, nor the reducer", () => {
    const actions: ReadonlyArray<Do> = [
      { _tag: "Add", n: 1 },
      { _tag: "Look" },
      { _tag: "Refuse" },
      { _tag: "Rename", name: "b" }
    ]
    for (const action of actions) assert.deepStrictEqual(instrumented(start, action), plain(start, action))
    assert.throws(() => instrumented(start, { _tag: "Throw" }), "a bug in the reducer")
    assert.notProperty(plain, "instrumented")
    assert.strictEqual(instrumented.outcomes, plain.outcomes)
  })
})
