import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import { DateTime, Option, Schema } from "effect"

const Till = Action.define("Till", {
  commands: {
    Open: {},
    Sell: { article: Schema.String, cents: Schema.Int },
    Close: {}
  },
  events: {
    Opened: Event.v1({ at: Schema.Number }),
    Sold: Event.v1({ article: Schema.String, euros: Schema.Number })
      .next({ article: Schema.String, cents: Schema.Int }, ({ article, euros }) => ({ article, cents: euros * 100 })),
    Counted: Event.v1({ cents: Schema.Int }),
    Closed: Event.v1({ by: Schema.String })
  }
})

type State = { readonly _tag: "Shut" } | { readonly _tag: "Open"; readonly cents: number }

const till = Aggregate.define(Till, {
  initial: { _tag: "Shut" } as State,
  decide: (state, command, meta) => {
    switch (command._tag) {
      case "Open":
        return state._tag === "Open" ? Fx.none : Fx.append(Till.Opened({ at: meta.time }))
      case "Sell":
        return state._tag === "Open"
          ? Fx.append(Till.Sold({ article: command.article, cents: command.cents }))
          : Fx.reject({ _tag: "TillIsShut", article: command.article })
      case "Close":
        return state._tag === "Open"
          ? Fx.append(Till.Counted({ cents: state.cents }), Till.Closed({ by: meta.id }))
          : Fx.reject({ _tag: "AlreadyShut" })
    }
  },
  evolve: (state, event): State => {
    switch (event._tag) {
      case "Opened":
        return { _tag: "Open", cents: 0 }
      case "Sold":
        return state._tag === "Open" ? { ...state, cents: state.cents + event.cents } : state
      case "Counted":
        return state
      case "Closed":
        return { _tag: "Shut" }
    }
  }
})

const opened = Till.Opened({ at: 0 })
const tea = { article: "tea", cents: 250 }

/** What a broken rule says. */
const complaint = (rule: () => void): AggregateTest.RuleBroken => {
  try {
    rule()
  } catch (error) {
    assert.instanceOf(error, AggregateTest.RuleBroken)
    return error
  }
  return assert.fail("the rule holds")
}

// What a message looks like must not depend on the terminal that the tests run in.
beforeAll(() => {
  vi.stubEnv("NO_COLOR", "1")
})
afterAll(() => {
  vi.unstubAllEnvs()
})

const givenStored = (type: string, data: {}) =>
  complaint(() => AggregateTest.check(till, { given: [opened, { type, data }], thenState: { _tag: "Shut" } }))

describe("a rule that holds", () => {
  it("starts from the initial state when nothing is given", () =>
    AggregateTest.check(till, { when: Till.Open(), thenEvents: [opened], thenState: { _tag: "Open", cents: 0 } }))

  it("starts from past events", () =>
    AggregateTest.check(till, { given: [opened], when: Till.Sell(tea), thenEvents: [Till.Sold(tea)] }))

  it("starts from stored events of old versions", () =>
    AggregateTest.check(till, {
      given: [
        { type: "Opened.v1", data: { at: 7 } },
        { type: "Sold.v1", data: { article: "tea", euros: 2.5 } },
        Till.Sold(tea)
      ],
      thenState: { _tag: "Open", cents: 500 }
    }))

  it("starts from a state", () =>
    AggregateTest.check(till, {
      givenState: { _tag: "Open", cents: 40 },
      when: Till.Close(),
      thenEvents: [Till.Counted({ cents: 40 }), Till.Closed({ by: "command-1" })]
    }))

  it("starts from a state and the events since", () =>
    AggregateTest.check(till, {
      givenState: { _tag: "Open", cents: 40 },
      given: [Till.Sold(tea)],
      thenState: { _tag: "Open", cents: 290 }
    }))

  it("is a refusal", () =>
    AggregateTest.check(till, { when: Till.Sell(tea), thenRefused: { _tag: "TillIsShut", article: "tea" } }))

  it("is nothing to record", () => AggregateTest.check(till, { given: [opened], when: Till.Open(), thenEvents: [] }))

  it("takes several commands", () => {
    const day = [Till.Open(), Till.Sell(tea), Till.Sell(tea), Till.Close()] as const
    const sold = Till.Sold(tea)
    AggregateTest.check(till, {
      when: day,
      thenEvents: [opened, sold, sold, Till.Counted({ cents: 500 }), Till.Closed({ by: "command-4" })],
      thenState: { _tag: "Shut" }
    })
    AggregateTest.check(till, { when: [...day, Till.Close()], thenRefused: { _tag: "AlreadyShut" } })
  })

  it("gives the command the time and ids it names", () =>
    AggregateTest.check(till, {
      when: [Till.Open(), Till.Close()],
      meta: { time: 1_700_000_000_000, id: "c" },
      thenEvents: [Till.Opened({ at: 1_700_000_000_000 }), Till.Counted({ cents: 0 }), Till.Closed({ by: "c" })]
    }))
})

describe("values are the same", () => {
  const Box = Action.define("Box", { commands: {}, events: { Put: Event.v1({ value: Schema.Json }) } })
  const box = Aggregate.define(Box, { initial: undefined as unknown, decide: () => Fx.none, evolve: (state) => state })
  const same = (givenState: unknown, thenState: unknown): boolean => {
    try {
      AggregateTest.check(box, { givenState, thenState })
      return true
    } catch (error) {
      if (error instanceof AggregateTest.RuleBroken) return false
      throw error
    }
  }

  it("when their structure is, whatever they are made of", () => {
    assert.isTrue(same({ a: [1, { b: null }], c: Number.NaN }, { c: Number.NaN, a: [1, { b: null }] }))
    assert.isTrue(same(new Map([["a", { n: 1 }]]), new Map([["a", { n: 1 }]])))
    assert.isTrue(
      same({ at: DateTime.makeUnsafe(5), some: Option.some([1]) }, {
        at: DateTime.makeUnsafe(5),
        some: Option.some([1])
      })
    )
    assert.isTrue(same(Object.assign(Object.create(null), { a: 1 }), { a: 1 }))
  })

  it("and not otherwise", () => {
    assert.isFalse(same({ a: 1 }, { a: 1, b: undefined }))
    assert.isFalse(same({ a: 1, b: undefined }, { a: 1, c: undefined }))
    assert.isFalse(same([1, 2], [2, 1]))
    assert.isFalse(same([1], [1, undefined]))
    assert.isFalse(same([], {}))
    assert.isFalse(same({ a: undefined }, { a: null }))
    assert.isFalse(same({ n: 1 }, { n: 1n }))
    assert.isFalse(same({ at: DateTime.makeUnsafe(5) }, { at: DateTime.makeUnsafe(6) }))
    assert.isFalse(same(Option.some({ a: 1 }), Option.some({ a: 2 })))
    assert.isFalse(same(new Set(["a"]), new Set(["b"])))
    assert.isFalse(same({ [Symbol.for("a")]: 1 }, { [Symbol.for("a")]: 2 }))
  })

  it("as they are now, though they were compared before", () => {
    const state = { n: 1 }
    const expected = { n: 1 }
    assert.isTrue(same(state, expected))
    state.n = 2
    assert.isFalse(same(state, expected))
  })
})

describe("a broken rule names the mistake", () => {
  it("another value in an event", () => {
    const { actual, expected, message } = complaint(() =>
      AggregateTest.check(till, {
        given: [opened],
        when: Till.Sell(tea),
        thenEvents: [Till.Sold({ article: "tea", cents: 300 })]
      })
    )
    assert.include(message, "Not the events of Sell that the rule expects:\n  [0].cents: expected 300, got 250\n")
    assert.deepStrictEqual(expected, [Till.Sold({ article: "tea", cents: 300 })])
    assert.deepStrictEqual(actual, [Till.Sold(tea)])
  })

  it("another event", () => {
    const { message } = complaint(() =>
      AggregateTest.check(till, { given: [opened], when: Till.Sell(tea), thenEvents: [opened] })
    )
    assert.include(message, `[0]: expected {"_tag":"Opened","at":0}, got {"_tag":"Sold","article":"tea","cents":250}`)
  })

  it("a missing event, and one too many", () => {
    const closed = [Till.Counted({ cents: 0 }), Till.Closed({ by: "command-1" })]
    assert.include(
      complaint(() =>
        AggregateTest.check(till, { given: [opened], when: Till.Close(), thenEvents: closed.slice(0, 1) })
      ).message,
      `  [1]: expected nothing, got {"_tag":"Closed","by":"command-1"}\n`
    )
    assert.include(
      complaint(() =>
        AggregateTest.check(till, { given: [opened], when: Till.Close(), thenEvents: [...closed, opened] })
      ).message,
      `  [2]: expected {"_tag":"Opened","at":0}, got nothing\n`
    )
  })

  it("events in another order", () => {
    const { message } = complaint(() =>
      AggregateTest.check(till, {
        given: [opened],
        when: Till.Close(),
        thenEvents: [Till.Closed({ by: "command-1" }), Till.Counted({ cents: 0 })]
      })
    )
    assert.include(message, "[0]: expected")
    assert.include(message, "[1]: expected")
  })

  it("events where none were expected", () => {
    const { message } = complaint(() => AggregateTest.check(till, { when: Till.Open(), thenEvents: [] }))
    assert.include(message, `[0]: expected nothing, got {"_tag":"Opened","at":0}`)
  })

  it("another state, after commands and after replay", () => {
    const thenState = { _tag: "Open", cents: 1 } as const
    assert.include(
      complaint(() => AggregateTest.check(till, { when: Till.Open(), thenState })).message,
      "Not the state after Open that the rule expects:\n  cents: expected 1, got 0\n"
    )
    assert.include(
      complaint(() => AggregateTest.check(till, { given: [opened], thenState })).message,
      "Not the state that the rule expects:\n  cents: expected 1, got 0\n"
    )
  })

  it("right events, wrong state", () => {
    const { message } = complaint(() =>
      AggregateTest.check(till, { when: Till.Open(), thenEvents: [opened], thenState: { _tag: "Shut" } })
    )
    assert.include(message, "the state after Open")
  })

  it("a refusal where events were expected", () => {
    const { actual, message } = complaint(() =>
      AggregateTest.check(till, { when: Till.Sell(tea), thenEvents: [Till.Sold(tea)] })
    )
    assert.strictEqual(
      message,
      `Expected Sell to be accepted, but it was refused: {"_tag":"TillIsShut","article":"tea"}`
    )
    assert.deepStrictEqual(actual, { refused: { _tag: "TillIsShut", article: "tea" } })
  })

  it("a refusal where a state was expected", () => {
    const { message } = complaint(() => AggregateTest.check(till, { when: Till.Close(), thenState: { _tag: "Shut" } }))
    assert.include(message, "Expected Close to be accepted")
  })

  it("acceptance where a refusal was expected", () => {
    const thenRefused = { _tag: "AlreadyShut" } as const
    const appended =
      complaint(() => AggregateTest.check(till, { given: [opened], when: Till.Close(), thenRefused })).message
    assert.include(
      appended,
      `Expected Close to be refused with {"_tag":"AlreadyShut"}, but it was accepted and appended`
    )
    assert.include(appended, "Counted")
    assert.include(
      complaint(() => AggregateTest.check(till, { given: [opened], when: Till.Open(), thenRefused })).message,
      "but it was accepted with nothing to record"
    )
  })

  it("another reason", () => {
    const { message } = complaint(() =>
      AggregateTest.check(till, { when: Till.Sell(tea), thenRefused: { _tag: "TillIsShut", article: "coffee" } })
    )
    assert.include(
      message,
      `Not the reason for refusing Sell that the rule expects:\n  article: expected "coffee", got "tea"`
    )
  })

  it("an earlier command refused", () => {
    const { message } = complaint(() =>
      AggregateTest.check(till, { when: [Till.Open(), Till.Close(), Till.Close(), Till.Open()], thenEvents: [] })
    )
    assert.include(message, "Only the last of 4 commands may be refused, but number 3, Close, was")
  })

  it("a given event of an unknown type, version or shape", () => {
    assert.match(givenStored("Solld.v1", {}).message, /given event 2 cannot be read\. Till does not declare Solld\.v1/)
    assert.match(givenStored("Sold.v3", {}).message, /given event 2 cannot be read\. Till does not declare Sold\.v3/)
    assert.match(givenStored("Sold.v1", { article: "tea" }).message, /stored Sold\.v1 .* does not decode: .*euros/s)
  })

  it("a decided event that could not be stored", () => {
    const { message } = complaint(() =>
      AggregateTest.check(till, {
        given: [opened],
        when: Till.Sell({ article: "tea", cents: 0.5 }),
        thenState: { _tag: "Shut" }
      })
    )
    assert.include(message, "Sell decided what cannot be stored. A Sold.v2 cannot be stored as declared")
  })

  it("no more places than one can read", () => {
    const sales = Array.from({ length: 20 }, () => Till.Sell(tea))
    const { message } = complaint(() =>
      AggregateTest.check(till, {
        when: [Till.Open(), ...sales],
        thenEvents: [opened, ...sales.map(() => Till.Sold({ article: "tea", cents: 1 }))]
      })
    )
    assert.include(message, "  and 8 more places\n")
  })

  it("at the line of the rule", () => {
    const { stack = "" } = complaint(() => AggregateTest.check(till, { when: Till.Open(), thenEvents: [] }))
    assert.match(stack.split("\n").find((line) => /^\s+at /.test(line)) ?? "", /AggregateTest\.test\.ts/)
  })
})

describe("what else is done", () => {
  /** A till that also tells somebody of every sale, and reminds of closing. */
  const telling = Aggregate.define(Till, {
    initial: till.initial,
    evolve: till.evolve,
    decide: (state: State, command: Action.CommandOf<typeof Till>, meta: Action.Meta) =>
      Fx.all(
        till.decide(state, command, meta),
        command._tag === "Open" ? Fx.delay("closing", 1000, Till.Close()) : Fx.none
      ),
    react: (_state, event) => event._tag === "Sold" ? Fx.send(Till.Close()) : Fx.none
  })
  const delay = Fx.delay("closing", 1000, Till.Close())
  const when = [Till.Open(), Till.Sell(tea)] as const
  const thenEvents = [opened, Till.Sold(tea)]

  it("is all said", () => {
    AggregateTest.check(telling, { when, thenEvents, thenEffects: Fx.all(delay, Fx.send(Till.Close())) })
    AggregateTest.check(telling, { when: Till.Open(), thenEvents: [opened], thenEffects: delay })
  })

  it("or partly", () => {
    AggregateTest.check(telling, { when, thenEvents, thenAmongEffects: [delay] })
    AggregateTest.check(telling, { when, thenEvents, thenAmongEffects: [Fx.send(Till.Close())] })
    AggregateTest.check(telling, { when, thenEvents, thenAmongEffects: [Fx.sequential(Fx.send(Till.Close()), delay)] })
    AggregateTest.check(till, { when: Till.Open(), thenEvents: [opened], thenAmongEffects: [Fx.none] })
  })

  it("is nothing when nothing is said", () => {
    const { message } = complaint(() => AggregateTest.check(telling, { when, thenEvents }))
    assert.include(message, "Not what else Sell has done that the rule expects:")
    assert.include(message, `expected {"_tag":"None"}, got {"_tag":"Parallel"`)
  })

  it("is missed by name", () => {
    const { actual, expected, message } = complaint(() =>
      AggregateTest.check(telling, { when, thenEvents, thenAmongEffects: [delay, Fx.send(Till.Open())] })
    )
    assert.strictEqual(
      message,
      `Expected Sell to have this done, among others:
  send {"_tag":"Open"}
but this is done:
  send {"_tag":"Close"} in 1000 ms as "closing"
  send {"_tag":"Close"}`
    )
    assert.deepStrictEqual(expected, Fx.send(Till.Open()))
    assert.deepStrictEqual(actual, [delay, Fx.send(Till.Close())])
    assert.include(
      complaint(() => AggregateTest.check(till, { when: Till.Open(), thenEvents: [opened], thenAmongEffects: [delay] }))
        .message,
      "but nothing is done"
    )
  })
})

describe("the differences", () => {
  const wrong = () =>
    complaint(() =>
      AggregateTest.check(till, {
        given: [opened],
        when: [Till.Sell(tea), Till.Sell({ article: "earl grey", cents: 90 })],
        thenEvents: [Till.Sold({ article: "tea", cents: 1250 }), Till.Sold({ article: "coffee", cents: 90 })]
      })
    ).message

  it("stand one beneath the other, by name; then both values as one text", () => {
    assert.strictEqual(
      wrong(),
      `Not the events of Sell that the rule expects:
  [0].cents:   expected 1250,     got 250
  [1].article: expected "coffee", got "earl grey"

  - expected  + actual
    [
      {
        "_tag": "Sold",
        "article": "tea",
  -     "cents": 1250
  +     "cents": 250
      },
      {
        "_tag": "Sold",
  -     "article": "coffee",
  +     "article": "earl grey",
        "cents": 90
      }
    ]`
    )
  })

  it("are coloured where there are colours, and wanted", () => {
    vi.stubEnv("NO_COLOR", "")
    vi.stubEnv("FORCE_COLOR", "1")
    const coloured = wrong()
    vi.stubEnv("FORCE_COLOR", "0")
    const plain = wrong()
    vi.stubEnv("FORCE_COLOR", "1")
    vi.stubEnv("NO_COLOR", "1")
    assert.include(coloured, `\u001b[1m[0].cents:\u001b[22m`)
    assert.include(coloured, `expected \u001b[32m1250\u001b[39m,`)
    assert.include(coloured, `got \u001b[31m250\u001b[39m`)
    assert.include(coloured, `\u001b[32m  -     "cents": 1250\u001b[39m\n\u001b[31m  +     "cents": 250\u001b[39m`)
    assert.notInclude(plain, "\u001b")
    assert.strictEqual(wrong(), plain)
    // eslint-disable-next-line no-control-regex -- the escape is what is looked for
    assert.strictEqual(coloured.replaceAll(/\u001b\[\d+m/g, ""), plain)
  })
})

/** What must not compile; it is never called. */
export const forbidden = () => {
  // @ts-expect-error -- nothing is expected
  AggregateTest.check(till, { when: Till.Open() })
  // @ts-expect-error -- nothing is expected
  AggregateTest.check(till, { given: [opened] })
  // @ts-expect-error -- accepted and refused at once
  AggregateTest.check(till, { when: Till.Close(), thenEvents: [], thenRefused: { _tag: "AlreadyShut" } })
  // @ts-expect-error -- events come from commands, and there is none
  AggregateTest.check(till, { given: [opened], thenEvents: [opened] })
  // @ts-expect-error -- a refusal of nothing
  AggregateTest.check(till, { given: [opened], thenRefused: { _tag: "AlreadyShut" } })
  // @ts-expect-error -- no command at all
  AggregateTest.check(till, { when: [], thenEvents: [] })
  // @ts-expect-error -- an event is no command
  AggregateTest.check(till, { when: opened, thenEvents: [] })
  // @ts-expect-error -- a command is no past event
  AggregateTest.check(till, { given: [Till.Open()], thenState: { _tag: "Shut" } })
  // @ts-expect-error -- a command is no event to expect
  AggregateTest.check(till, { when: Till.Open(), thenEvents: [Till.Open()] })
  // @ts-expect-error -- not a reason that decide gives
  AggregateTest.check(till, { when: Till.Open(), thenRefused: { _tag: "OutOfTea" } })
  // @ts-expect-error -- not a state
  AggregateTest.check(till, { when: Till.Open(), thenState: { _tag: "Ajar" } })
  // @ts-expect-error -- all effects, and some among them
  AggregateTest.check(till, { when: Till.Open(), thenEvents: [], thenEffects: Fx.none, thenAmongEffects: [Fx.none] })
  // @ts-expect-error -- among what is done is at least one thing
  AggregateTest.check(till, { when: Till.Open(), thenEvents: [], thenAmongEffects: [] })
  // @ts-expect-error -- a refusal does nothing
  AggregateTest.check(till, { when: Till.Close(), thenRefused: { _tag: "AlreadyShut" }, thenAmongEffects: [Fx.none] })
  // @ts-expect-error -- no key of a rule
  AggregateTest.check(till, { when: Till.Open(), thenEvent: opened })
}
