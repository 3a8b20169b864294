/* eslint-disable vitest/valid-expect -- it takes toReject for another library's matcher, which returns a promise */
/* eslint-disable vitest/no-standalone-expect -- it does not know it.effect */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { matchers } from "@composable-ts/testing/Matchers"
import { assert, describe, expect, it } from "@effect/vitest"
import { BigDecimal, Effect, Result, Schema } from "effect"

expect.extend(matchers)

const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int, card: Schema.String }),
  success: Schema.Void,
  failure: Schema.Never
})
const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })
const Courier = Source.define("Courier", {
  input: Schema.Struct({ parcel: Schema.Int }),
  value: Schema.String,
  failure: Schema.Never
})

const Shop = Action.define("Shop", {
  commands: { Buy: { cents: Schema.Int }, Nudge: {} },
  events: { Bought: Event.v1({ cents: Schema.Int }), Thanked: Event.v1({}) }
})
const shop = Aggregate.define(Shop, {
  initial: { cents: 0 },
  decide: (state, command) => {
    switch (command._tag) {
      case "Buy":
        return command.cents > 100
          ? Fx.reject({ _tag: "TooDear", cents: command.cents })
          : Fx.append(Shop.Bought({ cents: command.cents }), Shop.Thanked())
      case "Nudge":
        return state.cents === 0 ? Fx.none : Fx.append(Shop.Thanked())
    }
  },
  evolve: (state, event) => event._tag === "Bought" ? { cents: state.cents + event.cents } : state
})
const meta: Action.Meta = { id: "c", time: 0, correlationId: "c", causationId: "c" }
const step = (command: Action.CommandOf<typeof Shop>) => Aggregate.step(shop, shop.initial, command, meta)

const everything = Fx.all(
  Fx.append(Shop.Bought({ cents: 5 })),
  Fx.sequential(Fx.perform(Charge, { cents: 5, card: "visa" }, { id: "charge" }), Fx.perform(Mail, "paid")),
  Fx.subscribe(Courier, { parcel: 7 }, "courier"),
  Fx.delay("nudge", 1000, Shop.Nudge()),
  Fx.send(Shop.Nudge()),
  Fx.cancel("old"),
  Fx.dispatch(shop, "s-1", Shop.Buy({ cents: 1 })),
  Fx.publish("sales", Result.getOrThrow(Shop.encode(Shop.Thanked())))
)

/** What a matcher that fails says, and what it gives vitest for a diff. */
const failure = (expectation: () => void): { message: string; actual?: unknown; expected?: unknown } => {
  try {
    expectation()
  } catch (error) {
    assert.instanceOf(error, Error)
    return error
  }
  return assert.fail("the matcher passes")
}
const says = (expectation: () => void): string => failure(expectation).message

describe("events", () => {
  it("are appended in this order, no others", () => {
    expect(step(Shop.Buy({ cents: 5 }))).toHaveAppended(Shop.Bought({ cents: 5 }), Shop.Thanked())
    expect(shop.decide(shop.initial, Shop.Buy({ cents: 5 }), meta)).toHaveAppended(
      Shop.Bought({ cents: 5 }),
      Shop.Thanked()
    )
    expect(everything).toHaveAppended(Shop.Bought({ cents: 5 }))
    expect(Reducer.step(0, Fx.append(Shop.Thanked()))).toHaveAppended(Shop.Thanked())
    expect(step(Shop.Nudge())).toHaveAppended()
    expect(step(Shop.Buy({ cents: 500 }))).toHaveAppended()
    expect(everything).not.toHaveAppended(Shop.Bought({ cents: 6 }))
    expect(everything).not.toHaveAppended()
  })

  it("may be expected by what they are like", () => {
    expect(everything).toHaveAppended(expect.objectContaining({ _tag: "Bought" }))
    expect(everything).not.toHaveAppended(expect.objectContaining({ _tag: "Thanked" }))
    expect(everything).toHaveAppended({ _tag: "Bought", cents: expect.any(Number) })
  })

  it("differ as the message says", () => {
    const { actual, expected, message } = failure(() =>
      expect(step(Shop.Buy({ cents: 5 }))).toHaveAppended(Shop.Bought({ cents: 6 }), Shop.Thanked())
    )
    assert.strictEqual(message, "Not the events that are expected to be appended:\n  [0].cents: expected 6, got 5")
    assert.deepStrictEqual(actual, [Shop.Bought({ cents: 5 }), Shop.Thanked()])
    assert.deepStrictEqual(expected, [Shop.Bought({ cents: 6 }), Shop.Thanked()])
    assert.strictEqual(
      says(() => expect(step(Shop.Buy({ cents: 500 }))).toHaveAppended(Shop.Thanked())),
      `Expected these to be appended: {"_tag":"Thanked"}\nbut it is refused: {"_tag":"TooDear","cents":500}`
    )
    assert.include(
      says(() => expect(everything).not.toHaveAppended(Shop.Bought({ cents: 5 }))),
      "Expected other events"
    )
  })

  it("of Effect's own values are equal when Effect says so", () => {
    const decimal = (text: string) => Fx.append({ _tag: "Paid", amount: BigDecimal.fromStringUnsafe(text) })
    expect(decimal("14.0")).toHaveAppended({ _tag: "Paid", amount: BigDecimal.fromStringUnsafe("14.00") })
    expect(decimal("14.0")).toHaveAppended(
      expect.objectContaining({ amount: BigDecimal.fromStringUnsafe("14.00") })
    )
    expect(decimal("14.0")).not.toHaveAppended({ _tag: "Paid", amount: BigDecimal.fromStringUnsafe("14.01") })
  })

  it.effect("of a dispatch are told by its outcome", () =>
    Effect.gen(function*() {
      const shops = yield* Store.aggregate(shop)
      const outcome = yield* shops.dispatch("1", Shop.Buy({ cents: 5 }))
      expect(outcome).toHaveAppended(Shop.Bought({ cents: 5 }), Shop.Thanked())
      assert.include(says(() => expect(outcome).toPerform(Mail)), "The outcome of a dispatch tells of events only")
    }).pipe(Effect.provide(MemoryEventStore.layer)))
})

describe("a refusal", () => {
  it("is for this reason, or for any", () => {
    expect(step(Shop.Buy({ cents: 500 }))).toReject({ _tag: "TooDear", cents: 500 })
    expect(step(Shop.Buy({ cents: 500 }))).toReject()
    expect(step(Shop.Buy({ cents: 500 }))).toReject(expect.objectContaining({ _tag: "TooDear" }))
    expect(shop.decide(shop.initial, Shop.Buy({ cents: 500 }), meta)).toReject({ _tag: "TooDear", cents: 500 })
    expect(step(Shop.Buy({ cents: 5 }))).not.toReject()
    expect(step(Shop.Buy({ cents: 500 }))).not.toReject({ _tag: "TooDear", cents: 501 })
  })

  it("differs as the message says", () => {
    const { actual, expected, message } = failure(() =>
      expect(step(Shop.Buy({ cents: 500 }))).toReject({ _tag: "TooDear", cents: 501 })
    )
    assert.strictEqual(message, "Not the reason that is expected:\n  cents: expected 501, got 500")
    assert.deepStrictEqual([expected, actual], [{ _tag: "TooDear", cents: 501 }, { _tag: "TooDear", cents: 500 }])
    assert.strictEqual(
      says(() => expect(step(Shop.Buy({ cents: 5 }))).toReject({ _tag: "TooDear", cents: 5 })),
      `Expected a refusal, {"_tag":"TooDear","cents":5}, but this is done:\n  append {"_tag":"Bought","cents":5}\n  ` +
        `append {"_tag":"Thanked"}`
    )
    assert.strictEqual(says(() => expect(Fx.none).toReject()), "Expected a refusal, but nothing is done")
    assert.strictEqual(
      says(() => expect(step(Shop.Buy({ cents: 500 }))).not.toReject()),
      `Expected it to be accepted, but it is refused: {"_tag":"TooDear","cents":500}`
    )
  })
})

describe("what else is done", () => {
  it("is found wherever it stands", () => {
    expect(everything).toPerform(Charge)
    expect(everything).toPerform(Charge, { cents: 5, card: "visa" })
    expect(everything).toPerform(Charge, { cents: 5, card: "visa" }, { id: "charge" })
    expect(everything).toPerform(Mail, "paid")
    expect(everything).toSubscribe(Courier)
    expect(everything).toSubscribe(Courier, { parcel: 7 }, "courier")
    expect(everything).toDelay("nudge", 1000)
    expect(everything).toDelay("nudge", 1000, Shop.Nudge())
    expect(everything).toSend(Shop.Nudge())
    expect(everything).toCancel("old")
    expect(everything).toDispatch(shop, "s-1", Shop.Buy({ cents: 1 }))
    expect(everything).toPublish("sales")
    expect(everything).toPublish("sales", Result.getOrThrow(Shop.encode(Shop.Thanked())))
    expect(Fx.within({ key: "part", id: "1" }, everything)).toPerform(Mail, "paid")
    expect([0, everything] as const).toPerform(Mail)
    expect(everything).toPerform(Charge, expect.objectContaining({ card: "visa" }))
  })

  it("is not found when it is something else", () => {
    expect(everything).not.toPerform(Mail, "unpaid")
    expect(everything).not.toPerform(Charge, { cents: 5, card: "visa" }, { id: "other" })
    expect(everything).not.toSubscribe(Courier, { parcel: 8 })
    expect(everything).not.toSubscribe(Courier, { parcel: 7 }, "other")
    expect(everything).not.toDelay("nudge", 1001)
    expect(everything).not.toDelay("other", 1000)
    expect(everything).not.toSend(Shop.Buy({ cents: 1 }))
    expect(everything).not.toCancel("nudge")
    expect(everything).not.toDispatch(shop, "s-2", Shop.Buy({ cents: 1 }))
    expect(everything).not.toDispatch({ category: "other" }, "s-1", Shop.Buy({ cents: 1 }))
    expect(everything).not.toPublish("returns")
    expect(Fx.none).not.toPerform(Mail)
  })

  it("is nothing", () => {
    expect(Fx.none).toDoNothing()
    expect(step(Shop.Nudge())).toDoNothing()
    expect(Reducer.step(5)).toDoNothing()
    for (const something of [everything, step(Shop.Buy({ cents: 5 })), step(Shop.Buy({ cents: 500 }))]) {
      expect(something).not.toDoNothing()
    }
    assert.strictEqual(
      says(() => expect(step(Shop.Buy({ cents: 500 }))).toDoNothing()),
      `Expected nothing to be done, but this is done:\n  reject {"_tag":"TooDear","cents":500}`
    )
    assert.strictEqual(says(() => expect(Fx.none).not.toDoNothing()), "Expected something to be done")
  })

  it("is told when it is not what is expected", () => {
    const one = Fx.perform(Charge, { cents: 5, card: "visa" })
    const { actual, expected, message } = failure(() => expect(one).toPerform(Charge, { cents: 6, card: "visa" }))
    assert.strictEqual(
      message,
      `Expected to perform Charge {"cents":6,"card":"visa"}, but this is done:\n` +
        `  perform Charge {"cents":5,"card":"visa"}\nIt differs in:\n  input.cents: expected 6, got 5`
    )
    assert.deepStrictEqual(actual, { _tag: "Perform", task: "Charge", input: { cents: 5, card: "visa" } })
    assert.deepStrictEqual(expected, { _tag: "Perform", task: "Charge", input: { cents: 6, card: "visa" } })
    assert.strictEqual(
      says(() => expect(Fx.none).toDelay("nudge", 5)),
      "Expected to delay nudge 5, but nothing is done"
    )
    assert.match(says(() => expect(everything).not.toPerform(Mail)), /^Expected not to perform Mail, but this is done:/)
  })
})

describe("a value of another kind", () => {
  it("is refused", () => {
    for (const value of [5, null, { _tag: "Bought" }, Effect.void, [1, 2], { events: [] }]) {
      assert.include(says(() => expect(value).not.toHaveAppended()), "This matcher looks at an effect description")
    }
  })
})
