import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, BigDecimal, DateTime, Option, Schema } from "effect"

const Loan = Action.define("Loan", {
  commands: { Lend: { book: Schema.String }, GiveBack: { book: Schema.String }, Remind: {} },
  events: {
    Lent: Event.v1({ book: Schema.String, at: Schema.Int }),
    GivenBack: Event.v1({ book: Schema.String }),
    Reminded: Event.v1({})
  }
})
type LoanEvent = Action.EventOf<typeof Loan>
type State = { readonly out: ReadonlyArray<string>; readonly since: number }

const most = 3

const rules = {
  initial: { out: [], since: 0 } as State,
  decide: (state: State, command: Action.CommandOf<typeof Loan>, meta: Action.Meta) => {
    switch (command._tag) {
      case "Lend":
        if (state.out.includes(command.book)) return Fx.reject({ _tag: "IsOut", book: command.book })
        return state.out.length < most
          ? Fx.append(Loan.Lent({ book: command.book, at: meta.time }))
          : Fx.reject({ _tag: "TooMany", out: state.out.length })
      case "GiveBack":
        return state.out.includes(command.book)
          ? Fx.append(Loan.GivenBack({ book: command.book }))
          : Fx.reject({ _tag: "IsNotOut", book: command.book })
      case "Remind":
        return state.out.length > 0 && meta.time - state.since > 1000 ? Fx.append(Loan.Reminded()) : Fx.none
    }
  },
  evolve: (state: State, event: LoanEvent): State => {
    switch (event._tag) {
      case "Lent":
        return { out: [...state.out, event.book], since: event.at }
      case "GivenBack":
        return { ...state, out: state.out.filter((book) => book !== event.book) }
      case "Reminded":
        return state
    }
  }
}
const loan = Aggregate.define(Loan, rules)

const books = Arbitrary.schema(Schema.Literals(["Emma", "Persuasion", "Sanditon", "Lady Susan", "Evelyn"]))
const arbitraries = {
  Lend: Arbitrary.map(books, (book) => Loan.Lend({ book })),
  GiveBack: Arbitrary.map(books, (book) => Loan.GiveBack({ book }))
}

const broken = (check: () => unknown): ModelTest.InvariantBroken => {
  try {
    check()
  } catch (error) {
    assert.instanceOf(error, ModelTest.InvariantBroken)
    return error
  }
  return assert.fail("all invariants hold")
}

/** Any book is as good as another, so which one a history is about says nothing. */
const aboutEmma = (text: string): string => text.replaceAll(/Persuasion|Sanditon|Lady Susan|Evelyn/g, "Emma")
const emma = (history: ReadonlyArray<unknown>): unknown => JSON.parse(aboutEmma(JSON.stringify(history)))

/** Runs a test that was printed. */
const runPrinted = (test: string, names: Readonly<Record<string, unknown>>): void => {
  new Function("AggregateTest", ...Object.keys(names), test)(AggregateTest, ...Object.values(names))
}

describe("a model that holds", () => {
  it("tells how often each command was accepted, and refused", () => {
    const coverage = ModelTest.check(loan, {
      arbitraries,
      invariants: {
        "at most three books are out": ({ out }) => out.length <= most,
        "no book is out twice": ({ out }) => new Set(out).size === out.length,
        "a refusal changes nothing": (state, { before, events, refusal }) =>
          refusal === undefined || (state === before && events.length === 0)
      }
    })
    assert.hasAllKeys(coverage, ["Lend", "GiveBack", "Remind"])
    assert.isAbove(coverage.Lend.accepted, 50)
    assert.isAbove(coverage.Lend.refused, 50)
    assert.isAbove(coverage.GiveBack.accepted, 20)
    assert.strictEqual(coverage.Remind.refused, 0)
  })

  it("comes to the same for the same seed, to something else for another", () => {
    const run = (seed: number) => ModelTest.check(loan, { arbitraries, seed, invariants: {} })
    assert.deepStrictEqual(run(1), run(1))
    assert.notDeepEqual(run(1), run(2))
  })

  it("lets time pass where that matters", () => {
    const reminders = (pauses?: Arbitrary.Arbitrary<number>) => {
      let count = 0
      ModelTest.check(loan, {
        arbitraries,
        ...pauses === undefined ? {} : { pauses },
        invariants: { "…": (_state, { events }) => (count += events.filter((e) => e._tag === "Reminded").length) >= 0 }
      })
      return count
    }
    assert.strictEqual(reminders(), 0)
    assert.isAbove(reminders(Arbitrary.schema(Schema.Literals([0, 600]))), 0)
  })
})

describe("a model that does not hold", () => {
  /** Forgets to look whether the book is out. */
  const careless = Aggregate.define(Loan, {
    ...rules,
    decide: (state: State, command: Action.CommandOf<typeof Loan>, meta: Action.Meta) =>
      command._tag === "Lend"
        ? Fx.append(Loan.Lent({ book: command.book, at: meta.time }))
        : rules.decide(state, command, meta)
  })
  const invariants = {
    "no book is out twice": ({ out }: State) => new Set(out).size === out.length
  }

  it("is shrunk to the shortest history, and printed as a test", () => {
    const { history, invariant, message, seed, test } = broken(() =>
      ModelTest.check(careless, { arbitraries, invariants })
    )
    assert.strictEqual(invariant, "no book is out twice")
    assert.strictEqual(seed, 0)
    assert.deepStrictEqual(emma(history), [Loan.Lend({ book: "Emma" }), Loan.Lend({ book: "Emma" })])
    assert.strictEqual(
      aboutEmma(test),
      `AggregateTest.check(loan, {
  given: [Loan.Lent({ book: "Emma", at: 0 })],
  when: Loan.Lend({ book: "Emma" }),
  thenEvents: [Loan.Lent({ book: "Emma", at: 0 })],
  thenState: { out: ["Emma", "Emma"], since: 0 }
})`
    )
    assert.match(
      message,
      /^Not always true: no book is out twice\nit does not hold after Lend\n\nThe shortest history found \(seed 0, run \d+\), as a test of what happens now:\n\n {2}AggregateTest/
    )
    runPrinted(test, { Loan, loan: careless })
    assert.throws(() => runPrinted(test, { Loan, loan }), AggregateTest.RuleBroken)
  })

  it("is found again by the seed that the message names", () => {
    const once = broken(() => ModelTest.check(careless, { arbitraries, invariants, seed: "x" })).message
    assert.include(once, `(seed "x", run `)
    assert.strictEqual(broken(() => ModelTest.check(careless, { arbitraries, invariants, seed: "x" })).message, once)
  })

  it("needs no more than the schemas when they lead there", () => {
    const { history } = broken(() =>
      ModelTest.check(loan, { invariants: { "only two": ({ out }) => out.length <= 2 }, seed: 5 })
    )
    assert.lengthOf(history, 3)
  })

  it("may be an invariant that throws", () => {
    const { message } = broken(() =>
      ModelTest.check(loan, {
        arbitraries,
        invariants: {
          "nothing is out": ({ out }) => {
            assert.lengthOf(out, 0)
            return true
          }
        }
      })
    )
    assert.include(
      aboutEmma(message),
      "Not always true: nothing is out\nit threw AssertionError: expected [ 'Emma' ] to have a length"
    )
  })

  it("says the id and the time where the rule looks at them", () => {
    const { test } = broken(() =>
      ModelTest.check(loan, {
        arbitraries,
        pauses: Arbitrary.schema(Schema.Literals([0, 600, 1200])),
        invariants: { "nobody is reminded": (_state, { events }) => events.every(({ _tag }) => _tag !== "Reminded") }
      })
    )
    assert.match(
      aboutEmma(test),
      /given: \[Loan\.Lent\(\{ book: "Emma", at: \d+ \}\)\],\n {2}when: Loan\.Remind\(\),\n {2}meta: \{ id: "command-2", time: \d+ \}/
    )
    runPrinted(test, { Loan, loan })
  })

  it("prints a refusal, and effects", () => {
    const { test } = broken(() =>
      ModelTest.check(loan, {
        arbitraries,
        invariants: { "all are accepted": (_state, { refusal }) => refusal?.reason._tag !== "IsOut" }
      })
    )
    assert.include(aboutEmma(test), `thenRefused: { _tag: "IsOut", book: "Emma" }`)
    runPrinted(test, { Loan, loan })

    const telling = Aggregate.define(Loan, {
      ...rules,
      react: () => Fx.delay("remind", 5000, Loan.Remind())
    })
    const told = broken(() =>
      ModelTest.check(telling, { invariants: { "no effects": (_, t) => t.effects._tag === "None" } })
    )
    assert.include(
      told.test,
      `thenEffects: { _tag: "Delay", at: [], millis: 5000, action: Loan.Remind(), id: "remind" }`
    )
    runPrinted(told.test, { Loan, loan: telling })
  })

  it("points at the line of the test", () => {
    const { stack = "" } = broken(() => ModelTest.check(careless, { arbitraries, invariants }))
    assert.match(stack.split("\n").find((line) => /^\s+at /.test(line)) ?? "", /ModelTest\.test\.ts/)
  })
})

describe("whatever the model", () => {
  it("no command makes the aggregate throw, or change what it is given", () => {
    const throwing = Aggregate.define(Loan, {
      ...rules,
      evolve: (state: State, event: LoanEvent) => {
        if (event._tag === "GivenBack") throw new RangeError("no such book")
        return rules.evolve(state, event)
      }
    })
    const { history, message, test } = broken(() => ModelTest.check(throwing, { arbitraries, invariants: {} }))
    assert.deepStrictEqual(emma(history), [Loan.Lend({ book: "Emma" }), Loan.GiveBack({ book: "Emma" })])
    assert.include(message, "GiveBack threw RangeError: no such book")
    assert.throws(() => runPrinted(test, { Loan, loan: throwing }), RangeError)

    const changing = Aggregate.define(Loan, {
      ...rules,
      evolve: (state: State, event: LoanEvent) =>
        event._tag === "Lent" ? Object.assign(state, { out: [event.book] }) : state
    })
    assert.include(broken(() => ModelTest.check(changing, { invariants: {} })).message, "read only property 'out'")
  })

  it("no event is decided that could not be stored", () => {
    const fractional = Aggregate.define(Loan, {
      ...rules,
      decide: (state: State, command: Action.CommandOf<typeof Loan>, meta: Action.Meta) =>
        command._tag === "Remind"
          ? Fx.append(Loan.Lent({ book: "", at: 0.5 }))
          : rules.decide(state, command, meta)
    })
    const { history, message } = broken(() => ModelTest.check(fractional, { arbitraries, invariants: {} }))
    assert.deepStrictEqual(history, [Loan.Remind()])
    assert.include(message, "A Lent.v1 cannot be stored as declared")
  })

  it("a command that was never accepted was never tested", () => {
    const check = (neverAccepted?: ReadonlyArray<"Lend" | "GiveBack" | "Remind">) =>
      ModelTest.check(loan, {
        arbitraries: { GiveBack: Arbitrary.Constant(Loan.GiveBack({ book: "Ulysses" })) },
        invariants: {},
        ...neverAccepted === undefined ? {} : { neverAccepted }
      })
    assert.throws(
      () => check(),
      ModelTest.NeverAccepted,
      /No history got GiveBack accepted \(\d+ were refused\).*neverAccepted: \["GiveBack"\]/
    )
    check(["GiveBack"])
    assert.throws(() => check(["GiveBack", "Lend"]), /Lend is claimed to be never accepted, but \d+ were/)
  })
})

describe("printed values", () => {
  const Box = Action.define("Box", {
    commands: { Put: {} },
    events: { Held: Event.v1({ value: Schema.Unknown }) }
  })
  const printed = (value: unknown): string => {
    const box = Aggregate.define(Box, {
      initial: null as unknown,
      decide: () => Fx.none,
      evolve: (_state: unknown, event) => event.value,
      react: () => Fx.none
    })
    const holding = { ...box, initial: value }
    const { test } = broken(() => ModelTest.check(holding, { invariants: { "nothing is true": () => false } }))
    const names = { Box, box: holding, BigDecimal, DateTime, Option }
    if (!test.includes("/*")) runPrinted(test, names)
    return /thenState: ([^]*)\n\}\)$|thenState: ([^]*) \}\)$/.exec(test)?.slice(1).find((part) => part !== undefined) ??
      test
  }

  it("are code that makes them again", () => {
    assert.strictEqual(printed(undefined), "undefined")
    assert.strictEqual(
      printed([1n, -0, Number.NaN, "a\n\"b\"", null, true]),
      `[1n, -0, NaN, "a\\n\\"b\\"", null, true]`
    )
    assert.strictEqual(printed({ "a b": {}, c: [] }), `{ "a b": {}, c: [] }`)
    assert.strictEqual(printed(BigDecimal.fromStringUnsafe("14.50")), `BigDecimal.fromStringUnsafe("14.5")`)
    assert.strictEqual(printed(DateTime.makeUnsafe(5)), "DateTime.makeUnsafe(5)")
    assert.strictEqual(printed(Option.some(Option.none())), "Option.some(Option.none())")
    assert.strictEqual(printed(new Date(5)), "new Date(5)")
    assert.strictEqual(
      printed([new Map([["a", 1]]), new Set(["b"])]),
      `[new Map([["a", 1]]), new Set(["b"])]`
    )
    assert.strictEqual(printed(Box.Held({ value: Box.Put() })), "Box.Held({ value: Box.Put() })")
  })

  it("are broken into lines when long", () => {
    const long = "x".repeat(60)
    assert.strictEqual(printed([long, long]), `[\n    "${long}",\n    "${long}"\n  ]`)
  })

  it("say what they are where no code is known", () => {
    assert.match(
      printed(
        new (class Odd {
          n = 1
        })()
      ),
      /^\/\* .*Odd.* \*\/$/
    )
  })
})
