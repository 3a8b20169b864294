import * as Compose from "@composable-ts/core/Compose"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Schema } from "effect"
import { TestClock } from "effect/testing"

const meta = { id: "1", time: 0, correlationId: "1", causationId: "1" }

/** A feature with everything: state, a refusal, a task, timers. */
type ClockAction =
  | { readonly _tag: "Wind"; readonly millis: number }
  | { readonly _tag: "Rang" }
  | { readonly _tag: "Stop" }
  | { readonly _tag: "Look" }
  | { readonly _tag: "Seen"; readonly at: number }
  | { readonly _tag: "Break" }
interface Clock {
  readonly _tag: "Clock"
  readonly rang: number
  readonly seen: number | null
}
const Look = Task.define("Look", { input: Schema.Int, success: Schema.Int, failure: Schema.Never })
const fresh: Clock = { _tag: "Clock", rang: 0, seen: null }
const clock = Reducer.withOutcomes(
  (state: Clock, action: ClockAction) => {
    switch (action._tag) {
      case "Wind":
        return Reducer.step(state, Fx.delay("ring", action.millis, { _tag: "Rang" }))
      case "Rang":
        return Reducer.step({ ...state, rang: state.rang + 1 })
      case "Stop":
        return Reducer.step(state, Fx.cancel("ring"))
      case "Look":
        return Reducer.step(state, Fx.perform(Look, state.rang))
      case "Seen":
        return Reducer.step({ ...state, seen: action.at })
      case "Break":
        return Reducer.step(state, Fx.reject({ _tag: "Unbreakable" }))
    }
  },
  { Look: { success: (at) => ({ _tag: "Seen", at }), failure: (never) => never } }
)
const wind: ClockAction = { _tag: "Wind", millis: 1000 }
const rang: ClockAction = { _tag: "Rang" }
const looking = Task.layer(Look, (rings) => Effect.succeed(rings + 100))

const counter = (n: number, _action: { readonly _tag: "Increment" }) => Reducer.step(n + 1)
const increment = { _tag: "Increment" } as const

interface Off {
  readonly _tag: "Off"
  readonly since: number
}
const off = (state: Off, _action: { readonly _tag: "Note" }) => Reducer.step({ ...state, since: state.since + 1 })

const app = Compose.compose({
  clock,
  clicks: counter,
  clocks: Compose.each(clock),
  dialog: Compose.optional(clock),
  phase: Compose.caseOf({ Clock: clock, Off: off })
})
type App = Reducer.StateOf<typeof app>
const start: App = {
  clock: fresh,
  clicks: 0,
  clocks: HashMap.make(["a", fresh], ["b", fresh]),
  dialog: fresh,
  phase: fresh
}
type Path = ReadonlyArray<Fx.Segment>
const places: ReadonlyArray<readonly [at: Path, wrap: (action: ClockAction) => Reducer.ActionOf<typeof app>]> = [
  [[{ key: "clock" }], (action) => ({ _tag: "clock", action })],
  [[{ key: "clocks", id: "a" }], (action) => ({ _tag: "clocks", id: "a", action })],
  [[{ key: "dialog" }], (action) => ({ _tag: "dialog", action })],
  [[{ key: "phase", id: "Clock" }], (action) => ({ _tag: "phase", id: "Clock", action })]
]

/** The clock at a place. */
const at = (state: App, [place]: Path): unknown => {
  const { id, key } = place!
  if (key !== "clocks") return state[key as "clock" | "dialog" | "phase"]
  return HashMap.getUnsafe(state.clocks, id!)
}

describe("compose", () => {
  for (const [path, wrap] of places) {
    const name = path[0]!.key
    it(`${name}: a part's action changes the part and nothing else`, () => {
      const [next, fx] = app(start, wrap(rang), meta)
      assert.strictEqual(fx, Fx.none)
      assert.deepStrictEqual(at(next, path), { ...fresh, rang: 1 })
      for (const [other] of places) {
        if (other !== path) assert.strictEqual(at(next, other), at(start, other))
      }
      for (const key of ["clock", "clicks", "clocks", "dialog", "phase"] as const) {
        assert.strictEqual(next[key] === start[key], key !== name)
      }
      assert.strictEqual(HashMap.getUnsafe(next.clocks, "b"), fresh)
      assert.strictEqual(at(start, path), fresh, "the state before is as it was")
    })

    it(`${name}: what a part wants done carries its place, and a refusal is the whole's`, () => {
      assert.deepStrictEqual(app(start, wrap(wind), meta), [start, { ...Fx.delay("ring", 1000, rang), at: path }])
      assert.deepStrictEqual<unknown>(app(start, wrap({ _tag: "Break" }), meta)[1], Fx.reject({ _tag: "Unbreakable" }))
    })

    it(`${name}: a part that stays the same leaves the whole the same`, () => {
      assert.strictEqual(app(start, wrap({ _tag: "Stop" }), meta)[0], start)
    })
  }

  it("actions of parts that are not there leave the whole the same, and want nothing", () => {
    const gone: App = { ...start, dialog: null, clocks: HashMap.empty(), phase: { _tag: "Off", since: 1 } }
    const actions: ReadonlyArray<Reducer.ActionOf<typeof app>> = [
      { _tag: "clocks", id: "a", action: wind },
      { _tag: "dialog", action: wind },
      { _tag: "phase", id: "Clock", action: wind }
    ]
    for (const action of actions) {
      const [state, fx] = app(gone, action, meta)
      assert.strictEqual(state, gone)
      assert.strictEqual(fx, Fx.none)
    }
  })

  it("so do those of a case that has no reducer", () => {
    const idle = (state: Off | Clock, _action: typeof increment) => Reducer.step(state)
    const parts = Compose.compose({ phase: Compose.caseOf({ Off: idle }) })
    const before = { phase: fresh }
    assert.deepStrictEqual<unknown>(parts(before, { _tag: "phase", id: "Clock" as "Off", action: increment }, meta), [
      before,
      Fx.none
    ])
  })

  it("so do actions of nobody, also where a name is one that every object has", () => {
    const odd = ["unknown", "constructor", "toString", "__proto__", "hasOwnProperty"]
    for (const tag of odd) {
      // What arrives from outside the types.
      const actions = [{ _tag: tag, action: wind }, { _tag: "phase", id: tag, action: wind }] as never as Array<
        Reducer.ActionOf<typeof app>
      >
      for (const action of actions) {
        const [state, fx] = app(start, action, meta)
        assert.strictEqual(state, start)
        assert.strictEqual(fx, Fx.none)
      }
    }
  })

  it("hands on what accompanies the action", () => {
    const seen: Array<unknown> = []
    const watching = (n: number, _action: { readonly _tag: "Look" }, given: typeof meta) => {
      seen.push(given)
      return Reducer.step(n)
    }
    const both = Compose.compose({ one: watching, many: Compose.each(watching) })
    const state = { one: 0, many: HashMap.make(["a", 0]) }
    both(state, { _tag: "one", action: { _tag: "Look" } }, meta)
    both(state, { _tag: "many", id: "a", action: { _tag: "Look" } }, meta)
    assert.deepStrictEqual(seen, [meta, meta])
    assert.strictEqual(seen[0], meta)
  })

  it("within a composed feature, paths and states go as deep as the features", () => {
    const street = Compose.compose({ houses: Compose.each(Compose.compose({ hall: Compose.optional(app) })) })
    const town = Compose.compose({ streets: Compose.each(street), counter })
    const before: Reducer.StateOf<typeof town> = {
      counter: 0,
      streets: HashMap.make(
        ["high", { houses: HashMap.make(["1", { hall: start }], ["2", { hall: null }]) }],
        ["low", { houses: HashMap.empty<string, { readonly hall: App | null }>() }]
      )
    }
    const inHall = (action: Reducer.ActionOf<typeof app>, id = "1") =>
      ({
        _tag: "streets",
        id: "high",
        action: { _tag: "houses", id, action: { _tag: "hall", action } }
      }) as const
    const hall = (state: typeof before) => HashMap.getUnsafe(HashMap.getUnsafe(state.streets, "high").houses, "1").hall!
    const path = [{ key: "streets", id: "high" }, { key: "houses", id: "1" }, { key: "hall" }]
    for (const [place, wrap] of places) {
      const [wound, fx] = town(before, inHall(wrap(wind)), meta)
      assert.strictEqual(wound, before)
      assert.deepStrictEqual<unknown>(fx, { ...Fx.delay("ring", 1000, rang), at: [...path, ...place] })
      const [after] = town(before, inHall(wrap(rang)), meta)
      assert.deepStrictEqual(at(hall(after), place), { ...fresh, rang: 1 })
      assert.strictEqual(HashMap.getUnsafe(after.streets, "low"), HashMap.getUnsafe(before.streets, "low"))
      assert.strictEqual(hall(after).clicks, 0)
      // And what an effect sends is wrapped just so.
      assert.deepStrictEqual<unknown>(Compose.embed([...path, ...place], rang), inHall(wrap(rang)))
    }
    assert.strictEqual(town(before, inHall({ _tag: "clicks", action: increment }, "2"), meta)[0], before)
  })

  it("the whole of one part is what the part does, in its place", () => {
    const one = Compose.compose({ counter })
    assert.deepStrictEqual(one({ counter: 1 }, { _tag: "counter", action: increment }, meta), [{ counter: 2 }, Fx.none])
  })
})

describe("each", () => {
  /** All objects that can be reached from a value. */
  const reachable = (from: unknown, seen = new Set<object>()): Set<object> => {
    if (typeof from !== "object" || from === null || seen.has(from)) return seen
    seen.add(from)
    for (const value of Object.values(from)) reachable(value, seen)
    return seen
  }

  /** What one action on one among many costs: elements looked at, and objects made. */
  const costAmong = (count: number) => {
    let reductions = 0
    const counting = (n: { readonly n: number }, _action: { readonly _tag: "Increment" }) => {
      reductions += 1
      return Reducer.step({ n: n.n + 1 })
    }
    const many = Compose.compose({ many: Compose.each(counting), other: counter })
    const elements = HashMap.fromIterable(Array.from({ length: count }, (_, i) => [`${i}`, { n: i }] as const))
    const before = { many: elements, other: 0 }
    const known = reachable(before)
    const [after] = many(before, { _tag: "many", id: `${count >> 1}`, action: increment }, meta)
    const made = [...reachable(after)].filter((object) => !known.has(object)).length
    assert.isAbove(known.size, count)
    assert.deepStrictEqual(HashMap.getUnsafe(after.many, `${count >> 1}`), { n: (count >> 1) + 1 })
    return { reductions, made }
  }

  it("an action on one of 10 000 costs what one on 100 does, but for the depth of the tree", () => {
    const [few, many] = [costAmong(100), costAmong(10_000)]
    assert.deepStrictEqual([few.reductions, many.reductions], [1, 1])
    assert.isAtMost(many.made, few.made + 6)
    assert.isAtMost(many.made, 20)
  })

  it("an unknown id makes no element", () => {
    const many = Compose.compose({ many: Compose.each(counter) })
    const before = { many: HashMap.make(["a", 0]) }
    assert.strictEqual(many(before, { _tag: "many", id: "b", action: increment }, meta)[0], before)
  })
})

describe("combine", () => {
  type Noted = { readonly _tag: "Note"; readonly by: string }
  const noting = (by: string) => (state: ReadonlyArray<string>, _action: Noted) =>
    Reducer.step([...state, by], Fx.send({ _tag: "Note", by }))

  it("runs reducers in their order, each on the state that the one before left; what they want is in that order, too", () => {
    const [state, fx] = Compose.combine(noting("a"), noting("b"), noting("c"))([], { _tag: "Note", by: "me" }, meta)
    assert.deepStrictEqual(state, ["a", "b", "c"])
    const sends = ["a", "b", "c"].map((by) => Fx.send({ _tag: "Note", by }))
    assert.deepStrictEqual<unknown>(fx, Fx.all(...sends))
  })

  it("of one is that one, of what wants nothing wants nothing", () => {
    const [state, fx] = Compose.combine(counter)(1, increment, meta)
    assert.deepStrictEqual([state, fx], [2, Fx.none])
    assert.strictEqual(Compose.combine(counter, counter)(1, increment, meta)[1], Fx.none)
  })

  it("leaves the state the same where every reducer does", () => {
    const whole = Compose.combine(
      app,
      (state: App, _action: Reducer.ActionOf<typeof app> | Noted) => Reducer.step(state)
    )
    assert.strictEqual(whole(start, { _tag: "Note", by: "me" }, meta)[0], start)
  })
})

describe("removal", () => {
  type Removal =
    | { readonly _tag: "Remove"; readonly id: string }
    | { readonly _tag: "Close" }
    | { readonly _tag: "Switch" }
  const remover = (state: App, action: Reducer.ActionOf<typeof app> | Removal) => {
    switch (action._tag) {
      case "Remove":
        return Reducer.step({ ...state, clocks: HashMap.remove(state.clocks, action.id) })
      case "Close":
        return Reducer.step({ ...state, dialog: null })
      case "Switch":
        return Reducer.step<App>({ ...state, phase: { _tag: "Off", since: 0 } })
      default:
        return Reducer.step(state)
    }
  }
  const whole = Compose.combine(app, remover)
  const windings = [...places.map(([, wrap]) => wrap(wind)), { _tag: "clocks", id: "b", action: wind } as const]

  const removals: ReadonlyArray<readonly [action: Removal, gone: ReadonlyArray<Fx.Segment>]> = [
    [{ _tag: "Remove", id: "a" }, [{ key: "clocks", id: "a" }]],
    [{ _tag: "Close" }, [{ key: "dialog" }]],
    [{ _tag: "Switch" }, [{ key: "phase", id: "Clock" }]]
  ]
  for (const [action, gone] of removals) {
    it(`${action._tag}: cancels all of the part, as data`, () => {
      assert.deepStrictEqual<unknown>(whole(start, action, meta)[1], { _tag: "CancelAll", at: gone })
    })

    it.effect(`${action._tag}: ends what the part has under way, and nothing else`, () =>
      Effect.gen(function*() {
        const store = yield* Store.make(whole, { initial: start })
        for (const winding of windings) yield* store.dispatch(winding)
        assert.strictEqual((yield* store.health).inFlight, 5)
        yield* store.dispatch(action)
        assert.strictEqual((yield* store.health).inFlight, 4)
        yield* TestClock.adjust("2 seconds")
        const state = yield* store.state
        const rings = [
          state.clock.rang,
          state.dialog?.rang ?? null,
          state.phase._tag === "Clock" ? state.phase.rang : null,
          ...["a", "b"].map((id) => HashMap.has(state.clocks, id) ? HashMap.getUnsafe(state.clocks, id).rang : null)
        ]
        assert.strictEqual(rings.filter((rang) => rang === 1).length, 4)
        assert.strictEqual(rings.filter((rang) => rang === null).length, 1)
      }).pipe(Effect.provide(looking)))
  }

  it("of a part that was not there, or of nothing, cancels nothing", () => {
    assert.strictEqual(whole(start, { _tag: "Remove", id: "z" }, meta)[1], Fx.none)
    assert.strictEqual(whole({ ...start, dialog: null }, { _tag: "Close" }, meta)[1], Fx.none)
    assert.strictEqual(whole({ ...start, phase: { _tag: "Off", since: 3 } }, { _tag: "Switch" }, meta)[1], Fx.none)
  })

  it("by a reducer within a part, the part's part is cancelled", () => {
    const nested = Compose.compose({ apps: Compose.each(whole) })
    const state = { apps: HashMap.make(["x", start]) }
    assert.deepStrictEqual<unknown>(nested(state, { _tag: "apps", id: "x", action: { _tag: "Close" } }, meta)[1], {
      _tag: "CancelAll",
      at: [{ key: "apps", id: "x" }, { key: "dialog" }]
    })
  })

  it("of a part of a part, by a reducer of the whole, is seen", () => {
    const deep = Compose.compose({ inner: app, apps: Compose.each(app), maybe: Compose.optional(app) })
    type Deep = Reducer.StateOf<typeof deep>
    const close = (state: App): App => ({ ...state, dialog: null })
    const closing = Compose.combine(
      deep,
      (state: Deep, action: Reducer.ActionOf<typeof deep> | { readonly _tag: "Close" }) =>
        action._tag === "Close"
          ? Reducer.step({
            inner: close(state.inner),
            apps: HashMap.map(state.apps, (inner, id) => id === "x" ? close(inner) : inner),
            maybe: state.maybe && close(state.maybe)
          })
          : Reducer.step(state)
    )
    const before: Deep = { inner: start, apps: HashMap.make(["x", start], ["y", start]), maybe: start }
    assert.deepStrictEqual<unknown>(
      closing(before, { _tag: "Close" }, meta)[1],
      Fx.all(
        { _tag: "CancelAll", at: [{ key: "inner" }, { key: "dialog" }] },
        { _tag: "CancelAll", at: [{ key: "apps", id: "x" }, { key: "dialog" }] },
        { _tag: "CancelAll", at: [{ key: "maybe" }, { key: "dialog" }] }
      )
    )
  })

  it("by the part itself, what it had under way is cancelled, and what it wants now is not", () => {
    type Light = { readonly _tag: "Red" } | { readonly _tag: "Green" }
    const last = Fx.send({ _tag: "Next" })
    const red = (
      _state: { readonly _tag: "Red" },
      _action: { readonly _tag: "Next" }
    ): Reducer.Step<Light, typeof last> => Reducer.step({ _tag: "Green" }, last)
    const green = (state: { readonly _tag: "Green" }, _action: { readonly _tag: "Next" }) => Reducer.step(state)
    const dismissed = (_state: number, _action: { readonly _tag: "Next" }): Reducer.Step<number | null> =>
      Reducer.step(null)
    const parts = Compose.compose({
      light: Compose.caseOf({ Red: red, Green: green }),
      box: Compose.optional(dismissed)
    })
    const before: Reducer.StateOf<typeof parts> = { light: { _tag: "Red" }, box: 1 }
    const next = { _tag: "Next" } as const
    const [switched, fx] = parts(before, { _tag: "light", id: "Red", action: next }, meta)
    assert.deepStrictEqual<unknown>(switched, { light: { _tag: "Green" }, box: 1 })
    assert.deepStrictEqual<unknown>(fx, Fx.within({ key: "light", id: "Red" }, Fx.all(Fx.cancelAll, last)))
    assert.deepStrictEqual<unknown>(parts(before, { _tag: "box", action: next }, meta), [
      { ...before, box: null },
      { _tag: "CancelAll", at: [{ key: "box" }] }
    ])
  })

  it("by a feature with parts of its own is cancelled once", () => {
    const gone = (_state: number, _action: typeof increment): Reducer.Step<number | null> => Reducer.step(null)
    const box = Compose.compose({ box: Compose.optional(gone) })
    const note = (state: Reducer.StateOf<typeof box>, _action: Reducer.ActionOf<typeof box>) => Reducer.step(state)
    assert.deepStrictEqual<unknown>(
      Compose.combine(box, note)({ box: 1 }, { _tag: "box", action: increment }, meta),
      [{ box: null }, Fx.within({ key: "box" }, Fx.cancelAll)]
    )
  })

  it("of what a case has within it is seen, and of what has no reducer nothing is asked", () => {
    const hinted = Compose.compose({ hint: Compose.optional(counter) })
    interface Open {
      readonly _tag: "Open"
      readonly hint: number | null
    }
    const open = Compose.combine(
      hinted,
      (state: Open, _action: Reducer.ActionOf<typeof hinted>) => Reducer.step(state)
    )
    const parts = Compose.compose({ window: Compose.caseOf({ Open: open }) })
    type Setting = { readonly _tag: "Set"; readonly window: Open }
    const both = Compose.combine(
      parts,
      (state: Reducer.StateOf<typeof parts>, action: Reducer.ActionOf<typeof parts> | Setting) =>
        Reducer.step(action._tag === "Set" ? { window: action.window } : state)
    )
    const fxOf = (window: Open, next: Open) => both({ window }, { _tag: "Set", window: next }, meta)[1]
    assert.deepStrictEqual<unknown>(fxOf({ _tag: "Open", hint: 1 }, { _tag: "Open", hint: null }), {
      _tag: "CancelAll",
      at: [{ key: "window", id: "Open" }, { key: "hint" }]
    })
    const shut = { _tag: "Shut" as "Open", hint: 1 }
    assert.deepStrictEqual<unknown>(fxOf(shut, { ...shut, hint: null }), Fx.none)
  })

  it("is not what happens to a part that appears", () => {
    const inner = Compose.compose({ inner: Compose.optional(counter) })
    const parts = Compose.compose({ box: Compose.optional(inner) })
    type Whole = Reducer.StateOf<typeof parts>
    const open = (_state: Whole, action: Reducer.ActionOf<typeof parts> | { readonly _tag: "Open" }) =>
      Reducer.step<Whole>(action._tag === "Open" ? { box: { inner: null } } : { box: null })
    assert.deepStrictEqual<unknown>(Compose.combine(parts, open)({ box: null }, { _tag: "Open" }, meta), [
      { box: { inner: null } },
      Fx.none
    ])
  })

  it("by a reducer that was combined of several is seen just the same", () => {
    const idle = (state: App, _action: Reducer.ActionOf<typeof app> | Removal) => Reducer.step(state)
    assert.deepStrictEqual(
      Compose.combine(app, Compose.combine(idle, remover))(start, { _tag: "Close" }, meta),
      Compose.combine(app, idle, remover)(start, { _tag: "Close" }, meta)
    )
  })
})

describe("outcomes", () => {
  it("are found at the place of who asked, and nowhere else", () => {
    const whole = Compose.compose({ left: clock, right: counter, phase: Compose.caseOf({ Clock: clock }) })
    const { Look: own } = clock.outcomes
    assert.strictEqual(Compose.outcomeOf(clock, [], "Look"), own)
    assert.strictEqual(Compose.outcomeOf(whole, [{ key: "left" }], "Look"), own)
    assert.strictEqual(Compose.outcomeOf(whole, [{ key: "phase", id: "Clock" }], "Look"), own)
    assert.strictEqual(
      Compose.outcomeOf(Compose.combine(clock, (state: Clock) => Reducer.step(state)), [], "Look"),
      own
    )
    for (
      const [reducer, at, name] of [
        [clock, [], "Listen"],
        [counter, [], "Look"],
        [counter, [{ key: "left" }], "Look"],
        [whole, [], "Look"],
        [whole, [{ key: "right" }], "Look"],
        [whole, [{ key: "middle" }], "Look"],
        [whole, [{ key: "phase", id: "Off" }], "Look"]
      ] as const
    ) {
      assert.isUndefined(Compose.outcomeOf(reducer, at, name), JSON.stringify([at, name]))
    }
  })

  it.effect("come back to where the task was asked for, however deep", () =>
    Effect.gen(function*() {
      const street = Compose.compose({ houses: Compose.each(Compose.compose({ hall: Compose.optional(app) })) })
      const ringing: App = {
        ...start,
        clock: { ...fresh, rang: 1 },
        dialog: { ...fresh, rang: 2 },
        phase: { ...fresh, rang: 3 },
        clocks: HashMap.make(["a", { ...fresh, rang: 4 }], ["b", fresh])
      }
      const store = yield* Store.make(street, { initial: { houses: HashMap.make(["1", { hall: ringing }]) } })
      for (const [, wrap] of places) {
        yield* store.dispatch({ _tag: "houses", id: "1", action: { _tag: "hall", action: wrap({ _tag: "Look" }) } })
      }
      yield* store.idle
      const hall = HashMap.getUnsafe((yield* store.state).houses, "1").hall!
      assert.deepStrictEqual(places.map(([place]) => (at(hall, place) as Clock).seen), [101, 104, 102, 103])
      assert.strictEqual(HashMap.getUnsafe(hall.clocks, "b").seen, null)
    }).pipe(Effect.provide(looking)))

  it.effect("are each feature's own, also when two features ask for the same task", () =>
    Effect.gen(function*() {
      type Watching = { readonly _tag: "Look" } | { readonly _tag: "Saw"; readonly n: number }
      const watcher = Reducer.withOutcomes(
        (saw: number, action: Watching) =>
          action._tag === "Look" ? Reducer.step(saw, Fx.perform(Look, 1)) : Reducer.step(action.n),
        { Look: { success: (n) => ({ _tag: "Saw", n: -n }), failure: (never) => never } }
      )
      const store = yield* Store.make(Compose.compose({ clock, watcher }), { initial: { clock: fresh, watcher: 0 } })
      yield* store.dispatch({ _tag: "watcher", action: { _tag: "Look" } })
      yield* store.dispatch({ _tag: "clock", action: { _tag: "Look" } })
      yield* store.idle
      assert.deepStrictEqual(yield* store.state, { clock: { ...fresh, seen: 100 }, watcher: -101 })
    }).pipe(Effect.provide(looking)))
})

describe("onChange", () => {
  const changes: Array<readonly [value: number, previous: number, rang: number]> = []
  const watched = Compose.onChange(clock, ({ rang }) => rang, (value, previous, state) => {
    changes.push([value, previous, state.rang])
    return Fx.send({ _tag: "Seen", at: value })
  })
  const reduce = (state: Clock, action: ClockAction) => {
    changes.length = 0
    return watched(state, action, meta)
  }

  it("fires on a change, with the value, the one before, and the state after", () => {
    assert.deepStrictEqual<unknown>(reduce({ ...fresh, rang: 4 }, rang), [
      { ...fresh, rang: 5 },
      Fx.send({ _tag: "Seen", at: 5 })
    ])
    assert.deepStrictEqual(changes, [[5, 4, 5]])
  })

  it("does not fire where the value stays, even if the state does not", () => {
    assert.deepStrictEqual(reduce(fresh, { _tag: "Seen", at: 3 }), [{ ...fresh, seen: 3 }, Fx.none])
    assert.deepStrictEqual(reduce(fresh, wind), [fresh, Fx.delay("ring", 1000, rang)])
    assert.deepStrictEqual(changes, [])
  })

  it("does not take what is not a number for a change", () => {
    const odd = Compose.onChange(counter, (n) => n / 0 - n / 0, () => Fx.cancelAll)
    assert.deepStrictEqual(odd(1, increment, meta), [2, Fx.none])
  })

  it("wants what the reducer wants first, then its own", () => {
    const both = Compose.onChange(
      (n: number, _action: typeof increment) => Reducer.step(n + 1, Fx.cancel("first")),
      (n) => n,
      () => Fx.cancel("second")
    )
    assert.deepStrictEqual<unknown>(both(1, increment, meta)[1], Fx.all(Fx.cancel("first"), Fx.cancel("second")))
  })

  it.effect("keeps the parts and outcomes of what it watches", () =>
    Effect.gen(function*() {
      const whole = Compose.onChange(app, ({ clicks }) => clicks, () => Fx.none)
      const store = yield* Store.make(whole, { initial: start })
      yield* store.dispatch({ _tag: "clock", action: { _tag: "Look" } })
      yield* store.idle
      assert.strictEqual((yield* store.state).clock.seen, 100)
      const own = yield* Store.make(Compose.onChange(clock, ({ rang }) => rang, () => Fx.none), { initial: fresh })
      yield* own.dispatch({ _tag: "Look" })
      yield* own.idle
      assert.strictEqual((yield* own.state).seen, 100)
    }).pipe(Effect.provide(looking)))
})
