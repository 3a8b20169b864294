import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as Source from "@composable-ts/core/Source"
import * as StreamId from "@composable-ts/core/StreamId"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Equal, Result, Schema } from "effect"

const opened = { _tag: "Opened", owner: "Ada" } as const
const closed = { _tag: "Closed" } as const
const tick = { _tag: "Tick", n: 1 } as const
const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.String,
  failure: Schema.Never
})
const Prices = Source.define("Prices", { input: Schema.String, value: Schema.Int, failure: Schema.Never })
const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({ n: Schema.Int }) } })
const encoded = (n: number) => Result.getOrThrow(Door.encode(Door.Opened({ n })))
const streamId = Result.getOrThrow(StreamId.make("door", "1"))
const door: { readonly category: string; readonly "~commands"?: Action.CommandOf<typeof Door> } = { category: "door" }
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** How to build a description, for a generator: its constructors, called from the leaves up. */
type Plan =
  | { readonly _tag: "none" | "cancelAll" | "saveSnapshot" }
  | { readonly _tag: "append" | "send" | "appendTo" | "publish"; readonly n: number }
  | { readonly _tag: "reject" | "cancel" | "subscribe" | "dispatch"; readonly id: string }
  | { readonly _tag: "perform"; readonly cents: number; readonly id: string | null }
  | { readonly _tag: "delay" | "throttle"; readonly id: string; readonly millis: number }
  | { readonly _tag: "within"; readonly key: string; readonly id: string | null; readonly plan: Plan }
  | { readonly _tag: "all" | "sequential"; readonly plans: ReadonlyArray<Plan> }
  | { readonly _tag: "parallel"; readonly concurrency: number; readonly plans: ReadonlyArray<Plan> }

const Millis = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
const Concurrency = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 }))
const Plan: Schema.Codec<Plan> = Schema.suspend(() =>
  Schema.Union([
    Schema.Struct({ _tag: Schema.Literals(["none", "cancelAll", "saveSnapshot"]) }),
    Schema.Struct({ _tag: Schema.Literals(["append", "send", "appendTo", "publish"]), n: Schema.Int }),
    Schema.Struct({ _tag: Schema.Literals(["reject", "cancel", "subscribe", "dispatch"]), id: Schema.String }),
    Schema.Struct({ _tag: Schema.Literal("perform"), cents: Schema.Int, id: Schema.NullOr(Schema.String) }),
    Schema.Struct({ _tag: Schema.Literals(["delay", "throttle"]), id: Schema.String, millis: Millis }),
    Schema.Struct({ _tag: Schema.Literal("within"), key: Schema.String, id: Schema.NullOr(Schema.String), plan: Plan }),
    Schema.Struct({ _tag: Schema.Literals(["all", "sequential"]), plans: Schema.Array(Plan) }),
    Schema.Struct({ _tag: Schema.Literal("parallel"), concurrency: Concurrency, plans: Schema.Array(Plan) })
  ])
)

/** JSON knows no -0. */
const withoutSign = (n: number): number => n === 0 ? 0 : n
const segment = (key: string, id: string | null): Fx.Segment => id === null ? { key } : { key, id }

const build = (plan: Plan): Fx.AnyFx => {
  switch (plan._tag) {
    case "none":
      return Fx.none
    case "cancelAll":
      return Fx.cancelAll
    case "saveSnapshot":
      return Fx.saveSnapshot
    case "appendTo":
      return Fx.appendTo(streamId, ExpectedVersion.exact(3), encoded(withoutSign(plan.n)), encoded(2))
    case "publish":
      return Fx.publish("doors", encoded(withoutSign(plan.n)))
    case "subscribe":
      return Fx.subscribe(Prices, plan.id, plan.id)
    case "dispatch":
      return Fx.dispatch(door, plan.id, Door.Open())
    case "append":
      return Fx.append({ _tag: "Counted", n: withoutSign(plan.n) }, closed)
    case "send":
      return Fx.send({ _tag: "Count", n: withoutSign(plan.n) })
    case "reject":
      return Fx.reject({ _tag: "No", why: plan.id })
    case "cancel":
      return Fx.cancel(plan.id)
    case "perform":
      return Fx.perform(Charge, { cents: withoutSign(plan.cents) }, plan.id === null ? {} : { id: plan.id })
    case "delay":
      return Fx.delay(plan.id, withoutSign(plan.millis), tick)
    case "throttle":
      return Fx.throttle(plan.id, withoutSign(plan.millis), tick)
    case "within":
      return Fx.within(segment(plan.key, plan.id), build(plan.plan))
    case "all":
      return Fx.all(...plan.plans.map(build))
    case "sequential":
      return Fx.sequential(...plan.plans.map(build))
    case "parallel":
      return Fx.parallel(plan.concurrency, ...plan.plans.map(build))
  }
}

const AnyFx = Arbitrary.map(Arbitrary.schema(Plan), build)
const Several = Arbitrary.map(Arbitrary.schema(Schema.Array(Plan)), (plans) => plans.map(build))
const Key = Schema.String

/** The descriptions within a description, itself included. */
const parts = (fx: Fx.AnyFx): ReadonlyArray<Fx.AnyFx> => [fx, ...("fx" in fx ? fx.fx.flatMap(parts) : [])]

/** The ways to make a group; each is its own law-abiding kind. */
const groups: ReadonlyArray<readonly [name: string, group: (...fx: ReadonlyArray<Fx.AnyFx>) => Fx.AnyFx]> = [
  ["all", (...fx) => Fx.all(...fx)],
  ["sequential", (...fx) => Fx.sequential(...fx)],
  ["parallel", (...fx) => Fx.parallel(3, ...fx)]
]

describe("Fx", () => {
  it("append keeps the order of the events", () => {
    assert.deepStrictEqual(Fx.append(opened, closed), { _tag: "Append", events: [opened, closed] })
    assert.deepStrictEqual(Fx.append(closed, opened), { _tag: "Append", events: [closed, opened] })
  })

  it("append takes a list that has a first", () => {
    const events: readonly [typeof opened, ...ReadonlyArray<typeof closed>] = [opened, closed, closed]
    assert.deepStrictEqual(Fx.append(...events).events, events)
  })

  it("reject carries the reason as it is", () => {
    const reason = { _tag: "Overdrawn", missing: 5 } as const
    assert.deepStrictEqual(Fx.reject(reason), { _tag: "Reject", reason })
  })

  it("none cannot be made into something, nor can cancelAll into less", () => {
    assert.deepStrictEqual(Fx.none, { _tag: "None" })
    assert.deepStrictEqual(Fx.cancelAll, { _tag: "CancelAll", at: [] })
    assert.isTrue([Fx.none, Fx.cancelAll, Fx.cancelAll.at, Fx.saveSnapshot].every(Object.isFrozen))
  })

  it("two descriptions of the same are equal, of something else are not", () => {
    assert.isTrue(Equal.equals(Fx.append({ ...opened }, { ...closed }), Fx.append(opened, closed)))
    assert.isFalse(Equal.equals(Fx.append<unknown, []>(opened), Fx.append(opened, closed)))
    assert.isFalse(Equal.equals<unknown, unknown>(Fx.append(opened), Fx.reject(opened)))
  })

  it("is the data that the constructors say", () => {
    assert.deepStrictEqual(Fx.send(tick), { _tag: "Send", at: [], action: tick })
    const perform = { _tag: "Perform", at: [], task: "Charge", input: { cents: 5 } } as const
    assert.deepStrictEqual<unknown>(Fx.perform(Charge, { cents: 5 }), { ...perform, id: null })
    assert.deepStrictEqual<unknown>(Fx.perform(Charge, { cents: 5 }, { id: "c" }), { ...perform, id: "c" })
    assert.deepStrictEqual(Fx.delay("d", 5, tick), { _tag: "Delay", at: [], millis: 5, action: tick, id: "d" })
    assert.deepStrictEqual(Fx.debounce("d", 5, tick), Fx.delay("d", 5, tick))
    assert.deepStrictEqual(Fx.throttle("d", 5, tick), { _tag: "Throttle", at: [], millis: 5, action: tick, id: "d" })
    assert.deepStrictEqual(Fx.cancel("c"), { _tag: "Cancel", at: [], id: "c" })
  })

  it("names other streams, topics and aggregates as data", () => {
    const append = { streamId, expected: ExpectedVersion.noStream, events: [encoded(1)] } as const
    assert.deepStrictEqual(Fx.transact(append, append), { _tag: "Transact", appends: [append, append] })
    assert.deepStrictEqual(Fx.appendTo(streamId, ExpectedVersion.noStream, encoded(1)), Fx.transact(append))
    const published = { _tag: "Publish", topic: "t", event: encoded(1) } as const
    assert.deepStrictEqual(Fx.publish("t", encoded(1)), { ...published, key: null })
    assert.deepStrictEqual(Fx.publish("t", encoded(1), { key: "k" }), { ...published, key: "k" })
    assert.deepStrictEqual(
      Fx.keyed("s", Fx.sequential(Fx.publish("t", encoded(1)), Fx.publish("t", encoded(1), { key: "k" }))),
      Fx.sequential(Fx.publish("t", encoded(1), { key: "s" }), Fx.publish("t", encoded(1), { key: "k" }))
    )
    assert.deepStrictEqual<unknown>(Fx.dispatch(door, "7", Door.Open()), {
      _tag: "Dispatch",
      category: "door",
      id: "7",
      command: Door.Open()
    })
    assert.deepStrictEqual<unknown>(Fx.subscribe(Prices, "EUR", "s"), {
      _tag: "Subscribe",
      at: [],
      source: "Prices",
      input: "EUR",
      id: "s"
    })
    assert.deepStrictEqual(Fx.saveSnapshot, { _tag: "SaveSnapshot", at: [] })
  })

  it("only an effect written on the spot is no data, and says so", () => {
    const effect = Effect.succeed(tick)
    assert.deepStrictEqual<unknown>(Fx.run(effect), { _tag: "Run", at: [], effect })
    assert.strictEqual(Fx.render(Fx.run(effect)), "run an effect that is not data")
    assert.isFalse(Equal.equals(Fx.run(Effect.sync(() => tick)), Fx.run(Effect.sync(() => tick))))
  })

  it.prop("every description survives JSON", [AnyFx], ([fx]) => {
    assert.deepStrictEqual(json(fx), fx)
  })

  it.prop("every description is printable, one line or more for each thing to do", [AnyFx], ([fx]) => {
    const printed = Fx.render(fx)
    assert.isAtLeast(printed.split("\n").length, parts(fx).length)
    assert.strictEqual(Fx.render(json(fx) as Fx.AnyFx), printed)
  })
})

describe("equal meaning is equal structure", () => {
  for (const [name, group] of groups) {
    it.prop(`${name}: none adds nothing, wherever it stands`, [Several, Several], ([before, behind]) => {
      assert.deepStrictEqual(group(...before, Fx.none, ...behind), group(...before, ...behind))
    })

    it.prop(`${name}: a group of one is its member, of none is none`, [AnyFx], ([fx]) => {
      assert.deepStrictEqual(group(fx), fx)
      assert.strictEqual(group(), Fx.none)
      assert.strictEqual(group(Fx.none, group(), Fx.none), Fx.none)
    })

    it.prop(`${name}: keeps the order of its members`, [Key, Key], ([a, b]) => {
      const fx = group(Fx.cancel(a), Fx.cancel(b))
      assert.deepStrictEqual("fx" in fx && fx.fx, [Fx.cancel(a), Fx.cancel(b)])
    })
  }

  for (const [name, group] of groups.slice(0, 2)) {
    it.prop(`${name}: it does not matter how members are grouped`, [Several, Several, Several], ([a, b, c]) => {
      const flat = group(...a, ...b, ...c)
      assert.deepStrictEqual(group(group(...a, ...b), ...c), flat)
      assert.deepStrictEqual(group(...a, group(...b, ...c)), flat)
      assert.deepStrictEqual(group(group(...a), group(...b), group(...c)), flat)
    })
  }

  it("one kind of group within another stays what it is", () => {
    const two = [Fx.cancel("a"), Fx.cancel("b")] as const
    assert.deepStrictEqual<unknown>(Fx.all(Fx.sequential(...two), Fx.parallel(2, ...two), Fx.cancel("c")), {
      _tag: "Parallel",
      concurrency: null,
      fx: [
        { _tag: "Sequential", fx: two },
        { _tag: "Parallel", concurrency: 2, fx: two },
        Fx.cancel("c")
      ]
    })
    // A bound within a bound is not their sum: two of these at once would be four things.
    assert.deepStrictEqual<unknown>(Fx.parallel(2, Fx.parallel(2, ...two), Fx.cancel("c")), {
      _tag: "Parallel",
      concurrency: 2,
      fx: [{ _tag: "Parallel", concurrency: 2, fx: two }, Fx.cancel("c")]
    })
    assert.deepStrictEqual<unknown>(Fx.sequential(Fx.all(...two), Fx.cancel("c")), {
      _tag: "Sequential",
      fx: [{ _tag: "Parallel", concurrency: null, fx: two }, Fx.cancel("c")]
    })
  })

  it.prop("nothing that was built holds a none, or a group of fewer than two", [AnyFx], ([fx]) => {
    for (const part of parts(fx)) {
      assert.isTrue(part === fx || part._tag !== "None")
      assert.isTrue(!("fx" in part) || part.fx.length > 1)
    }
  })
})

describe("map", () => {
  const wrap = (action: unknown) => ({ _tag: "Wrapped", action })
  const mark = (action: unknown) => ({ _tag: "Marked", action })

  it.prop("with what changes nothing changes nothing", [AnyFx], ([fx]) => {
    assert.deepStrictEqual(Fx.map(fx, (action) => action), fx)
  })

  it.prop("one after the other is the same as both at once", [AnyFx], ([fx]) => {
    assert.deepStrictEqual(
      Fx.map(Fx.map(fx, wrap), mark),
      Fx.map(fx, (action) => mark(wrap(action)))
    )
  })

  it.prop("of a group is the group of the mapped", [AnyFx, AnyFx], ([a, b]) => {
    const [x, y] = [Fx.map(a, wrap), Fx.map(b, wrap)]
    assert.deepStrictEqual<unknown>(Fx.map(Fx.all(a, b), wrap), Fx.all(x, y))
    assert.deepStrictEqual<unknown>(Fx.map(Fx.sequential(a, b), wrap), Fx.sequential(x, y))
    assert.deepStrictEqual<unknown>(Fx.map(Fx.parallel(2, a, b), wrap), Fx.parallel(2, x, y))
  })

  it("reaches every action, and nothing else", () => {
    const others = [
      Fx.append(opened),
      Fx.reject(closed),
      Fx.perform(Charge, { cents: 1 }),
      Fx.cancel("c"),
      Fx.cancelAll
    ]
    for (const fx of [Fx.none, ...others]) assert.strictEqual<unknown>(Fx.map(fx, wrap), fx)
    const sends = (action: unknown) => [Fx.send(action), Fx.delay("d", 1, action), Fx.throttle("t", 2, action)] as const
    assert.deepStrictEqual<unknown>(
      Fx.map(Fx.sequential(...others, Fx.parallel(2, ...sends(tick))), wrap),
      Fx.sequential(...others, Fx.parallel(2, ...sends(wrap(tick))))
    )
  })
})

describe("within", () => {
  const part = { key: "orders", id: "7" }
  const whole = { key: "shop" }
  const placed: ReadonlyArray<Fx.AnyFx> = [
    Fx.send(tick),
    Fx.perform(Charge, { cents: 1 }, { id: "c" }),
    Fx.delay("d", 1, tick),
    Fx.throttle("t", 1, tick),
    Fx.subscribe(Prices, "EUR", "s"),
    Fx.run(Effect.succeed(tick)),
    Fx.saveSnapshot,
    Fx.cancel("c"),
    Fx.cancelAll
  ]

  it("puts the part in front of where a description reports to, however deep", () => {
    for (const fx of placed) {
      assert.deepStrictEqual<unknown>(Fx.within(part, fx), { ...fx, at: [part] })
      assert.deepStrictEqual<unknown>(Fx.within(whole, Fx.within(part, fx)), { ...fx, at: [whole, part] })
    }
    assert.deepStrictEqual<unknown>(
      Fx.within(part, Fx.sequential(...placed, Fx.all(...placed))),
      Fx.sequential(...placed.map((fx) => Fx.within(part, fx)), Fx.all(...placed.map((fx) => Fx.within(part, fx))))
    )
  })

  it("leaves what is the whole's own: events, refusals, and what is meant for others", () => {
    for (const fx of [Fx.none, Fx.append(opened), Fx.reject(closed)]) {
      assert.strictEqual<unknown>(Fx.within(part, fx), fx)
    }
  })

  it.prop("makes the ids of two parts differ, and those of one part stay equal", [AnyFx, Key, Key], ([fx, a, b]) => {
    const one = Fx.within({ key: "each", id: a }, fx)
    const moves = parts(fx).some((leaf) => "at" in leaf)
    assert.strictEqual(Equal.equals(one, Fx.within({ key: "each", id: b }, fx)), a === b || !moves)
    assert.deepStrictEqual(one, Fx.within({ key: "each", id: a }, fx))
  })

  it.prop("of a group is the group of those within", [AnyFx, AnyFx], ([a, b]) => {
    const [x, y] = [Fx.within(part, a), Fx.within(part, b)]
    assert.deepStrictEqual<unknown>(Fx.within(part, Fx.all(a, b)), Fx.all(x, y))
    assert.deepStrictEqual<unknown>(Fx.within(part, Fx.sequential(a, b)), Fx.sequential(x, y))
    assert.deepStrictEqual<unknown>(Fx.within(part, Fx.parallel(2, a, b)), Fx.parallel(2, x, y))
  })

  it.prop("and map do not disturb each other", [AnyFx], ([fx]) => {
    const wrap = (action: unknown) => ({ _tag: "Wrapped", action })
    assert.deepStrictEqual<unknown>(Fx.map(Fx.within(part, fx), wrap), Fx.within(part, Fx.map(fx, wrap)))
  })
})

describe("pathOf", () => {
  const a = { key: "orders", id: "a" }
  const b = { key: "orders", id: "b" }
  const stop = Fx.within(a, Fx.cancel("x"))

  it("is where a description reports to; what is the whole's own reports to nobody", () => {
    assert.deepStrictEqual(Fx.pathOf(Fx.cancelAll), [])
    assert.deepStrictEqual(Fx.pathOf(Fx.within({ key: "shop" }, stop)), [{ key: "shop" }, a])
    assert.isUndefined(Fx.pathOf(Fx.append(opened)))
    assert.isUndefined(Fx.pathOf(Fx.sequential(Fx.append(opened), Fx.reject({ _tag: "No" }))))
  })

  it("of a group is the innermost place that all of it has in common", () => {
    const common = (...paths: ReadonlyArray<Fx.Path>) =>
      Fx.pathOf(Fx.sequential(Fx.append(opened), ...paths.map((at): Fx.Cancel => ({ _tag: "Cancel", id: "x", at }))))
    const shop = { key: "shop" }
    assert.deepStrictEqual(common([shop, a], [shop, a]), [shop, a])
    assert.deepStrictEqual(common([shop, a], [shop, b]), [shop])
    assert.deepStrictEqual(common([shop, a], [shop, { key: "carts", id: "a" }]), [shop])
    assert.deepStrictEqual(common([shop, a], [shop]), [shop])
    assert.deepStrictEqual(common([shop], [shop, a]), [shop])
    assert.deepStrictEqual(common([shop, a], [{ key: "bar" }, a]), [])
    assert.deepStrictEqual(common([shop, a], [shop, a], [shop, b], []), [])
  })
})

describe("placeOf", () => {
  it("tells every two places apart, and begins with another exactly where it lies within it", () => {
    const places: ReadonlyArray<Fx.Path> = [
      [],
      [{ key: "shop" }],
      [{ key: "shop", id: "1" }],
      [{ key: "shop", id: "12" }],
      [{ key: "shops" }],
      [{ key: "shop" }, { key: "1" }],
      [{ key: "shop" }, { key: "orders", id: "1" }],
      [{ key: "shop" }, { key: "orders", id: "1" }, { key: "lines" }]
    ]
    for (const [i, inner] of places.entries()) {
      for (const [j, outer] of places.entries()) {
        const lies = outer.length <= inner.length &&
          outer.every((segment, k) => segment.key === inner[k]!.key && segment.id === inner[k]!.id)
        assert.strictEqual(Fx.placeOf(inner).startsWith(Fx.placeOf(outer)), lies, `${i} in ${j}`)
        assert.strictEqual(Fx.placeOf(inner) === Fx.placeOf(outer), i === j)
      }
    }
    assert.strictEqual(Fx.placeOf([{ key: "a" }, { key: "b", id: "1" }]), `/["a",null]/["b","1"]`)
  })
})

describe("render", () => {
  const rendered: ReadonlyArray<readonly [fx: Fx.AnyFx, text: string]> = [
    [Fx.none, "nothing"],
    [Fx.append(opened, closed), `append {"_tag":"Opened","owner":"Ada"}, {"_tag":"Closed"}`],
    [Fx.reject({ _tag: "No", missing: 5n }), `reject {"_tag":"No","missing":5n}`],
    [Fx.send(tick), `send {"_tag":"Tick","n":1}`],
    [Fx.perform(Charge, { cents: 5 }), `perform Charge {"cents":5}`],
    [Fx.perform(Charge, { cents: 5 }, { id: `the "card"` }), `perform Charge {"cents":5} as "the \\"card\\""`],
    [Fx.delay("d", 1500, closed), `send {"_tag":"Closed"} in 1500 ms as "d"`],
    [Fx.throttle("t", 20, closed), `send {"_tag":"Closed"} at most every 20 ms as "t"`],
    [Fx.cancel("c"), `cancel "c"`],
    [Fx.subscribe(Prices, "EUR", "s"), `subscribe to Prices "EUR" as "s"`],
    [
      Fx.within({ key: "shop" }, Fx.subscribe(Prices, "EUR", "s")),
      `subscribe to Prices "EUR" as "s" within shop`
    ],
    [Fx.publish("doors", encoded(1)), "publish Opened.v1 on doors"],
    [Fx.dispatch(door, "7", Door.Open()), `dispatch {"_tag":"Open"} to door 7`],
    [Fx.saveSnapshot, "save a snapshot"],
    [
      Fx.appendTo(streamId, ExpectedVersion.exact(3), encoded(1), encoded(2)),
      "append to door-1, expecting version 3: Opened.v1, Opened.v1"
    ],
    [
      Fx.transact(
        { streamId, expected: ExpectedVersion.noStream, events: [encoded(1)] },
        { streamId, expected: ExpectedVersion.any, events: [encoded(2)] }
      ),
      "append to door-1, expecting no stream: Opened.v1\nappend to door-1, expecting any version: Opened.v1"
    ],
    [Fx.cancelAll, "cancel everything"],
    [
      Fx.within({ key: "shop" }, Fx.within({ key: "orders", id: "7" }, Fx.cancelAll)),
      "cancel everything within shop / orders(7)"
    ],
    [Fx.within({ key: "shop" }, Fx.send(closed)), `send {"_tag":"Closed"} within shop`],
    [Fx.within({ key: "shop" }, Fx.delay("d", 1, closed)), `send {"_tag":"Closed"} in 1 ms as "d" within shop`],
    [
      Fx.within({ key: "shop" }, Fx.throttle("t", 1, closed)),
      `send {"_tag":"Closed"} at most every 1 ms as "t" within shop`
    ],
    [
      Fx.within({ key: "shop" }, Fx.perform(Charge, { cents: 5 }, { id: "c" })),
      `perform Charge {"cents":5} as "c" within shop`
    ],
    [Fx.within({ key: "shop" }, Fx.cancel("c")), `cancel "c" within shop`],
    [
      Fx.sequential(
        Fx.perform(Charge, { cents: 5 }),
        Fx.all(Fx.cancel("a"), Fx.parallel(2, Fx.cancel("b"), Fx.cancelAll)),
        Fx.send(closed)
      ),
      [
        "one after the other:",
        `- perform Charge {"cents":5}`,
        "- at the same time:",
        `  - cancel "a"`,
        "  - at most 2 at once:",
        `    - cancel "b"`,
        "    - cancel everything",
        `- send {"_tag":"Closed"}`
      ].join("\n")
    ]
  ]
  for (const [fx, text] of rendered) it(`prints ${text}`, () => assert.strictEqual(Fx.render(fx), text))
})

describe("constructors check what they are given", () => {
  it("a bound on concurrency is a whole number, 1 or more", () => {
    for (const concurrency of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      assert.throws(
        () => Fx.parallel(concurrency, Fx.cancel("a"), Fx.cancel("b")),
        RangeError,
        `concurrency is a number of things, 1 or more, not ${concurrency}`
      )
      // Also where it would make no difference, so that a mistake shows early.
      assert.throws(() => Fx.parallel(concurrency), RangeError)
    }
  })

  it("a time is finite and not negative: NaN and infinity would not survive JSON", () => {
    for (const millis of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const timer of [Fx.delay, Fx.debounce, Fx.throttle]) {
        assert.throws(() => timer("d", millis, tick), RangeError, `not ${millis}`)
      }
    }
    assert.strictEqual(Fx.delay("d", 0, tick).millis, 0)
  })
})
