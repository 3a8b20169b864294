import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import { EventStore, make as makeStore, type Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Task from "@composable-ts/core/Task"
import * as Laws from "@composable-ts/testing/Laws"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Schema, SchemaTransformation } from "effect"

const Mail = Task.define("Mail", { input: Schema.String, success: Schema.Void, failure: Schema.Never })

const Account = Action.define("Account", {
  commands: { Deposit: { cents: Schema.Int }, Withdraw: { cents: Schema.Int }, Mailed: {} },
  events: {
    Deposited: Event.v1({ euros: Schema.Int }).next({ cents: Schema.Int }, ({ euros }) => ({ cents: euros * 100 })),
    Withdrawn: Event.v1({ cents: Schema.Int })
  }
})
type State = { readonly cents: number }
type AccountEvent = Action.EventOf<typeof Account>
type AccountCommand = Action.CommandOf<typeof Account>

const rules = {
  initial: { cents: 0 } as State,
  decide: (state: State, command: AccountCommand) => {
    switch (command._tag) {
      case "Deposit":
        return command.cents > 0 ? Fx.append(Account.Deposited({ cents: command.cents })) : Fx.none
      case "Withdraw":
        return command.cents > state.cents
          ? Fx.reject({ _tag: "TooLittle", cents: state.cents })
          : Fx.append(Account.Withdrawn({ cents: command.cents }))
      case "Mailed":
        return Fx.none
    }
  },
  evolve: (state: State, event: AccountEvent): State => ({
    cents: event._tag === "Deposited" ? state.cents + event.cents : state.cents - event.cents
  }),
  react: () => Fx.perform(Mail, "something happened"),
  outcomes: { Mail: { success: () => Account.Mailed(), failure: (never: never) => never } }
}
const account = Aggregate.define(Account, rules)

const broken = (law: () => void): Laws.LawBroken => {
  try {
    law()
  } catch (error) {
    assert.instanceOf(error, Laws.LawBroken)
    return error
  }
  return assert.fail("the law holds")
}

describe("a lawful aggregate", () => {
  it("breaks no law", () => {
    Laws.replayIsDeterministic(account)
    Laws.decideIsPure(account)
    Laws.decodeEncodeRoundTrips(Account)
    Laws.upcastersTotal(Account)
  })
  it.effect("nor when its commands race", () => Laws.serialEqualsConcurrent(account))

  it("may lack commands, events, fields and older versions", () => {
    const Nothing = Action.define("Nothing", { commands: {}, events: {} })
    const Ping = Action.define("Ping", { commands: { Ping: {} }, events: { Pinged: Event.v1({}) } })
    const ping = Aggregate.define(Ping, {
      initial: 0,
      decide: () => Fx.append(Ping.Pinged()),
      evolve: (n: number) => n + 1
    })
    Laws.decodeEncodeRoundTrips(Nothing)
    Laws.upcastersTotal(Nothing)
    Laws.decodeEncodeRoundTrips(Ping)
    Laws.upcastersTotal(Ping)
    Laws.replayIsDeterministic(ping)
    Laws.decideIsPure(ping)
  })
})

describe("replayIsDeterministic", () => {
  const evolving = (evolve: (state: State, event: AccountEvent) => State) =>
    Aggregate.define(Account, { ...rules, evolve })

  it("finds an exception, and the shortest history that leads to it", () => {
    const { counterexample, law, message, seed } = broken(() =>
      Laws.replayIsDeterministic(evolving((state, event) => {
        if (event._tag === "Withdrawn" && state.cents > 0) throw new Error("overdrawn")
        return rules.evolve(state, event)
      }))
    )
    assert.strictEqual(law, "replayIsDeterministic")
    assert.strictEqual(seed, 0)
    assert.lengthOf(counterexample as Array<unknown>, 2)
    assert.match(
      message,
      /^replayIsDeterministic does not hold: evolve of event 2, Withdrawn, threw Error: overdrawn\n\nThe smallest counterexample found \(seed 0, run \d+\):\n\n\[Account\.\w+\(\{ cents: -?1 \}\), Account\.Withdrawn\(\{ cents: 0 \}\)\]$/
    )
  })

  it("finds a state that is changed in place", () => {
    const { counterexample, message } = broken(() =>
      Laws.replayIsDeterministic(evolving((state, { cents }) => Object.assign(state, { cents })))
    )
    assert.include(message, "changes what it is given: Cannot assign to read only property 'cents'")
    assert.lengthOf(counterexample as Array<unknown>, 1)
  })

  it("finds memory of its own, and a look at the clock", () => {
    let calls = 0
    assert.include(
      broken(() => Laws.replayIsDeterministic(evolving(() => ({ cents: ++calls })))).message,
      "the replay came to something else the second time: cents: expected"
    )
    assert.include(
      broken(() => Laws.replayIsDeterministic(evolving(() => ({ cents: Date.now() })))).message,
      "the replay came to something else the second time"
    )
  })

  it("points at the line of the law", () => {
    const { stack = "" } = broken(() => Laws.replayIsDeterministic(evolving(() => ({ cents: Math.random() }))))
    assert.match(stack.split("\n").find((line) => /^\s+at /.test(line)) ?? "", /Laws\.test\.ts/)
  })
})

describe("decideIsPure", () => {
  const deciding = (decide: typeof rules.decide) => Aggregate.define(Account, { ...rules, decide })

  it("finds an exception on a state that commands lead to", () => {
    const { counterexample, message } = broken(() =>
      Laws.decideIsPure(deciding((state, command) => {
        if (state.cents >= 1 && command._tag === "Mailed") throw new RangeError("rich")
        return rules.decide(state, command)
      }))
    )
    assert.lengthOf(counterexample as Array<unknown>, 2)
    assert.include(message, "the step of command 2, Mailed, threw RangeError: rich")
  })

  it("finds memory of its own, and a look at the clock", () => {
    let calls = 0
    const counting = deciding(() => Fx.append(Account.Deposited({ cents: ++calls })))
    assert.include(
      broken(() => Laws.decideIsPure(counting)).message,
      "came to something else the second time: events[0].cents: expected"
    )
    const looking = deciding(() => Fx.append(Account.Deposited({ cents: Date.now() })))
    assert.include(broken(() => Laws.decideIsPure(looking)).message, "came to something else the second time")
  })

  it("finds a command that is changed", () => {
    const changing = deciding((state, command) => rules.decide(state, Object.assign(command, { cents: 1 })))
    assert.include(broken(() => Laws.decideIsPure(changing)).message, "changes what it is given")
  })

  it("looks at reactions, too", () => {
    let calls = 0
    const reacting = Aggregate.define(Account, { ...rules, react: () => Fx.perform(Mail, `mail ${++calls}`) })
    assert.include(broken(() => Laws.decideIsPure(reacting)).message, "effects.input: expected")
  })
})

describe("decodeEncodeRoundTrips", () => {
  /** Forgets the pence. */
  const Rounded = Schema.Number.pipe(Schema.decodeTo(
    Schema.Int,
    SchemaTransformation.transform({ decode: (n) => Math.round(n), encode: (n: number) => n - n % 10 })
  ))

  it("finds an event, and a command, that comes back as another", () => {
    const Pay = Action.define("Pay", {
      commands: { Give: { cents: Rounded } },
      events: { Given: Event.v1({ cents: Schema.Int }) }
    })
    const { counterexample, message } = broken(() => Laws.decodeEncodeRoundTrips(Pay))
    assert.include([1, -1], (counterexample as { readonly cents: number }).cents)
    assert.match(message, /Give comes back as another: cents: expected -?1, got -?0/)
    const Paid = Action.define("Paid", { commands: {}, events: { Given: Event.v1({ cents: Rounded }) } })
    assert.match(
      broken(() => Laws.decodeEncodeRoundTrips(Paid)).message,
      /Given comes back as another: cents: expected -?1, got -?0\n\nThe smallest counterexample found/
    )
  })

  it("finds what has no stored form", () => {
    const Positive = Schema.String.check(Schema.isPattern(/^\d+$/)).pipe(Schema.decodeTo(
      Schema.Int,
      SchemaTransformation.transform({ decode: Number, encode: (n: number) => String(n) })
    ))
    const Count = Action.define("Count", { commands: {}, events: { Counted: Event.v1({ n: Positive }) } })
    const { counterexample, message } = broken(() => Laws.decodeEncodeRoundTrips(Count))
    assert.deepStrictEqual(counterexample, Count.Counted({ n: -1 }))
    assert.include(message, "Counted cannot be stored. A Counted.v1 cannot be stored as declared")
    assert.include(message, "Count.Counted({ n: -1 })")
  })

  it("asks for an arbitrary where the schema cannot be met by chance", () => {
    const Square = Schema.Int.check(Schema.makeFilter((n) => n > 1000 && Number.isInteger(Math.sqrt(n)) || "a square"))
    const Field = Action.define("Field", { commands: { Sow: { size: Square } }, events: {} })
    assert.throws(
      () => Laws.decodeEncodeRoundTrips(Field),
      /No Sow can be generated from its schema: of \d+ attempts only \d met its checks\. Say where they come from: \{ arbitraries: \{ Sow: … \} \}/
    )
    const roots = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 32, maximum: 100 })))
    Laws.decodeEncodeRoundTrips(Field, {
      arbitraries: { Sow: Arbitrary.map(roots, (n) => Field.Sow({ size: n * n })) }
    })
  })
})

describe("upcastersTotal", () => {
  it("finds a payload that an upcaster cannot take, or makes no valid event of", () => {
    const Name = Action.define("Name", {
      commands: {},
      events: {
        Given: Event.v1({ full: Schema.String })
          .next({ first: Schema.String, last: Schema.String }, ({ full }) => {
            const [first = "", last] = full.split(" ")
            if (last === undefined) throw new Error(`no family name in "${full}"`)
            return { first, last }
          })
      }
    })
    const { counterexample, message } = broken(() => Laws.upcastersTotal(Name))
    assert.deepInclude(counterexample, { type: "Given.v1", payload: { full: "" } })
    assert.include(message, `its upcaster threw: Error: no family name in ""`)
    assert.include(message, `Given.v1 with the payload { full: "" }`)

    const Age = Action.define("Age", {
      commands: {},
      events: {
        Told: Event.v1({ text: Schema.String }).next({ years: Schema.Int }, ({ text }) => ({ years: Number(text) }))
      }
    })
    assert.match(
      broken(() => Laws.upcastersTotal(Age)).message,
      /Told\.v1 becomes no valid Told: Told cannot be stored\. .*\n[\s\S]*Told\.v1 with the payload/
    )
    Laws.upcastersTotal(Age, {
      arbitraries: { "Told.v1": Arbitrary.map(Arbitrary.schema(Schema.Int), (n) => ({ text: String(n) })) }
    })
  })
})

/** A store in memory with another way to append. */
const faulty = (transact: (store: Service) => Service["transact"]) =>
  Layer.effect(
    EventStore,
    Effect.map(MemoryEventStore.make, (store) => makeStore({ ...store, transact: transact(store) }))
  )

describe("serialEqualsConcurrent", () => {
  const brokenBy = (over?: Layer.Layer<EventStore>, of: typeof account = account) =>
    Effect.flip(Laws.serialEqualsConcurrent(of, over === undefined ? {} : { over }))

  it.effect("finds a store that lets a later append win whatever it expected", () =>
    Effect.gen(function*() {
      const over = faulty((store) => (appends, options) => {
        const [{ events, streamId }] = appends
        return store.transact([{ events, streamId, expected: ExpectedVersion.any }], options)
      })
      const { counterexample, message } = yield* brokenBy(over)
      assert.match(message, /^serialEqualsConcurrent does not hold: /)
      assert.isAtMost((counterexample as Array<unknown>).length, 4)
    }))

  it.effect("finds a store that says it has stored what it has not", () =>
    Effect.gen(function*() {
      let n = 0
      const over = faulty((store) => (appends, options) =>
        ++n % 3 === 0
          ? Effect.succeed([{ version: 0, globalPosition: 1n, duplicate: false }])
          : store.transact(appends, options)
      )
      const { message } = yield* brokenBy(over)
      assert.include(message, "an update was lost: ")
    }))

  it.effect("finds states that instances share, and a decision that depends on more than the state", () =>
    Effect.gen(function*() {
      let shared = 0
      const sharing = Aggregate.define(Account, {
        ...rules,
        evolve: (_state: State, { cents }: AccountEvent): State => ({ cents: shared += cents })
      })
      assert.match((yield* brokenBy(undefined, sharing)).message, /was told another state|stored other events|refused/)
    }))

  it.effect("leaves alone what cannot be expected of a race: the order", () =>
    Effect.gen(function*() {
      const store = yield* MemoryEventStore.make
      const given = { over: Layer.succeed(EventStore, store), runs: 20, seed: "race" }
      yield* Laws.serialEqualsConcurrent(account, given)
      const { head } = yield* store.readAll({ after: 0n, limit: 1 })
      assert.isAbove(Number(head), 10)
    }))
})

describe("a search", () => {
  it("makes long histories of values that their schema mostly refuses", () => {
    const Even = Schema.Int.check(Schema.makeFilter((n) => n % 2 === 0 || "even"))
    const Pair = Action.define("Pair", {
      commands: {},
      events: { Paired: Event.v1({ a: Even, b: Even, c: Even, d: Even, e: Even }) }
    })
    let most = 0
    const pairs = Aggregate.define(Pair, {
      initial: 0,
      decide: () => Fx.none,
      evolve: (n: number) => {
        most = Math.max(most, n + 1)
        return n + 1
      }
    })
    Laws.replayIsDeterministic(pairs)
    assert.isAtLeast(most, 10)
  })

  const failing = (seed: number | string) =>
    broken(() =>
      Laws.replayIsDeterministic(
        Aggregate.define(Account, {
          ...rules,
          evolve: (state: State, event: AccountEvent) => {
            if (event.cents > 3) throw new Error("too much")
            return rules.evolve(state, event)
          }
        }),
        { seed }
      )
    ).message

  it("finds the same for the same seed, which it names", () => {
    assert.strictEqual(failing("monday"), failing("monday"))
    assert.include(failing("monday"), `(seed "monday", run `)
    assert.include(failing(7), "(seed 7, run ")
  })
})
