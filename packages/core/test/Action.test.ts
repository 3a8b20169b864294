import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import { EventDecodeFailed, EventEncodeFailed, UnknownEventType } from "@composable-ts/core/EventError"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Option, Result, Schema } from "effect"
import { Account, AccountOf2019 } from "./Account.ts"

const Sku = Schema.String.pipe(Schema.brand("Sku"))

const Stock = Action.define("Stock", {
  commands: { Receive: { sku: Sku, when: Schema.DateTimeUtc } },
  events: {
    Received: Event.v1({
      sku: Sku,
      when: Schema.DateTimeUtc,
      price: Schema.BigDecimal,
      count: Schema.BigInt,
      lines: Schema.Array(Schema.Struct({ text: Schema.String, weight: Schema.Finite })),
      shelf: Schema.Option(Schema.String),
      note: Schema.optionalKey(Schema.String),
      tags: Schema.ReadonlySet(Schema.String)
    })
  }
})
const ReceivedFields = Schema.Struct({
  sku: Sku,
  when: Schema.DateTimeUtc,
  price: Schema.BigDecimal,
  count: Schema.BigInt,
  lines: Schema.Array(Schema.Struct({ text: Schema.String, weight: Schema.Finite })),
  shelf: Schema.Option(Schema.String),
  note: Schema.optionalKey(Schema.String),
  tags: Schema.ReadonlySet(Schema.String)
})

const recorded = (type: string, data: Schema.Json): RecordedEvent => ({
  streamId: "account-1",
  version: 4,
  globalPosition: 99n,
  type,
  data,
  eventId: "e",
  commandId: "c",
  correlationId: "c",
  causationId: "c",
  recordedAt: 0,
  metadata: {}
})

const failure = <A, E>(result: Result.Result<A, E>): E =>
  Result.isFailure(result) ? result.failure : assert.fail(`succeeded with ${JSON.stringify(result.success)}`)

describe("constructors", () => {
  it("make plain records, tagged with the name", () => {
    assert.deepStrictEqual(Account.Open({ owner: "Ada" }), { _tag: "Open", owner: "Ada" })
    assert.deepStrictEqual(Account.Withdrawn({ cents: 5 }), { _tag: "Withdrawn", cents: 5 })
  })

  it("need no argument when there are no fields", () => {
    assert.deepStrictEqual(Account.Close(), { _tag: "Close" })
    assert.deepStrictEqual(Account.Closed({}), { _tag: "Closed" })
  })

  it("keep no hold of their argument", () => {
    const payload = { owner: "Ada" }
    const command = Account.Open(payload)
    payload.owner = "Bob"
    assert.strictEqual(command.owner, "Ada")
  })
})

describe("names", () => {
  it("say what is a command and what an event", () => {
    const actions = [Account.Open({ owner: "Ada" }), Account.Close(), Account.Closed(), Account.Withdrawn({ cents: 1 })]
    assert.deepStrictEqual(actions.map(Account.isCommand), [true, true, false, false])
    assert.deepStrictEqual(actions.map(Account.isEvent), [false, false, true, true])
  })

  it("are stored with the version", () => {
    assert.strictEqual(Account.eventType(Account.Closed()), "Closed.v1")
    assert.strictEqual(Account.eventType(Account.Deposited({ cents: 1, currency: "EUR" })), "Deposited.v3")
    assert.deepStrictEqual(Account.storedTypes, {
      Opened: ["Opened.v1"],
      Deposited: ["Deposited.v1", "Deposited.v2", "Deposited.v3"],
      Withdrawn: ["Withdrawn.v1"],
      Closed: ["Closed.v1"]
    })
  })

  it("lead to what was declared, older versions included", () => {
    const { commands, events } = Account.declaration
    assert.deepStrictEqual(Object.keys(commands.Open), ["owner"])
    assert.deepStrictEqual(Object.keys(events), Object.keys(Account.storedTypes))
    const { fields, older, version } = events.Deposited
    assert.strictEqual(version, 3)
    assert.deepStrictEqual(Object.keys(fields), ["cents", "currency"])
    assert.deepStrictEqual(older.map((step) => step.version), [1, 2])
  })

  it("that no program could tell apart from a version or a member are refused", () => {
    for (const name of ["placed", "", "Order.Placed", "Order-Placed", "Ördered", "1st", "__proto__", "Order Placed"]) {
      assert.throws(() => Action.define("Order", { commands: {}, events: { [name]: Event.v1({}) } }), TypeError, name)
      assert.throws(() => Action.define("Order", { commands: { [name]: {} }, events: {} }), TypeError, name)
      assert.throws(() => Action.define(name, { commands: {}, events: {} }), TypeError, name)
    }
  })
})

describe("match", () => {
  it("calls the case of the action, with the action", () => {
    const cents = (event: Action.EventOf<typeof Account>): number =>
      Account.match(event, {
        Opened: () => 0,
        Deposited: ({ cents }) => cents,
        Withdrawn: ({ cents }) => -cents,
        Closed: () => Number.NaN
      })
    assert.strictEqual(cents(Account.Deposited({ cents: 7, currency: "EUR" })), 7)
    assert.strictEqual(cents(Account.Withdrawn({ cents: 7 })), -7)
    assert.isNaN(cents(Account.Closed()))
  })
})

describe("encode", () => {
  it("gives the stored name, and the fields without the tag", () => {
    assert.deepStrictEqual<unknown>(Result.getOrThrow(Account.encode(Account.Withdrawn({ cents: 5 }))), {
      type: "Withdrawn.v1",
      data: { cents: 5 }
    })
    assert.deepStrictEqual<unknown>(Result.getOrThrow(Account.encode(Account.Closed())), {
      type: "Closed.v1",
      data: {}
    })
  })

  it("gives what JSON can hold, whatever the fields' types", () => {
    const { data } = Result.getOrThrow(Stock.encode(Stock.Received({
      sku: Sku.make("a-1"),
      when: DateTime.makeUnsafe("2024-02-29T12:00:00.123Z"),
      price: Option.getOrThrow(Schema.decodeOption(Schema.BigDecimalFromString)("12.30")),
      count: 2n ** 70n,
      lines: [{ text: "x", weight: 0.1 }],
      shelf: Option.none(),
      tags: new Set(["a", "b"])
    })))
    assert.deepStrictEqual(JSON.parse(JSON.stringify(data)), data)
  })

  it("fails when a value does not fit its field, and names event and field", () => {
    const error = failure(Account.encode(Account.Withdrawn({ cents: 0.5 })))
    assert.instanceOf(error, EventEncodeFailed)
    assert.strictEqual(error.type, "Withdrawn.v1")
    assert.match(error.message, /^A Withdrawn\.v1 cannot be stored as declared: .*cents/s)
  })

  it.prop("what was encoded and went through JSON decodes to the same event", [ReceivedFields], ([fields]) => {
    const event = Stock.Received(fields)
    const { data, type } = Result.getOrThrow(Stock.encode(event))
    const json: Schema.Json = JSON.parse(JSON.stringify(data))
    const decoded = Result.getOrThrow(Stock.decode(recorded(type, json)))
    assert.strictEqual(decoded._tag, "Received")
    assert.isTrue(Schema.toEquivalence(ReceivedFields)(decoded, event))
    assert.deepStrictEqual(Result.getOrThrow(Stock.encode(decoded)).data, json)
  })
})

describe("decode", () => {
  const deposit = (type: string, data: Schema.Json) => Account.decode(recorded(type, data))

  it("carries each older version through all later ones", () => {
    const current = Account.Deposited({ cents: 250, currency: "EUR" })
    assert.deepStrictEqual<unknown>(Result.getOrThrow(deposit("Deposited.v1", { euros: 2.5 })), current)
    assert.deepStrictEqual<unknown>(Result.getOrThrow(deposit("Deposited.v2", { cents: 250 })), current)
    const dollars = { cents: 250, currency: "USD" }
    assert.deepStrictEqual<unknown>(Result.getOrThrow(deposit("Deposited.v3", dollars)), Account.Deposited(dollars))
  })

  it("reads what an older program encoded", () => {
    const { data, type } = Result.getOrThrow(AccountOf2019.encode(AccountOf2019.Deposited({ euros: 1 })))
    assert.deepStrictEqual<unknown>(
      Result.getOrThrow(deposit(type, data)),
      Account.Deposited({ cents: 100, currency: "EUR" })
    )
  })

  it("fails with the place of an event that is not declared", () => {
    for (const type of ["Deposited.v4", "Deposited.v0", "Deposited", "deposited.v1", "Open.v1", "toString", ""]) {
      const error = failure(deposit(type, { euros: 1 }))
      assert.instanceOf(error, UnknownEventType)
      assert.deepStrictEqual(
        { ...error },
        {
          _tag: "UnknownEventType",
          type,
          reader: "Account",
          streamId: "account-1",
          version: 4,
          globalPosition: 99n
        },
        type
      )
      assert.include(
        error.message,
        `Account does not declare ${type} (stream "account-1", version 4, global position 99)`
      )
    }
  })

  it("fails with the place of an event whose body does not fit, in any version", () => {
    for (
      const [type, data] of [
        ["Deposited.v1", { euros: "1" }],
        ["Deposited.v2", { cents: 0.5 }],
        ["Deposited.v3", { cents: 1 }],
        ["Withdrawn.v1", null],
        ["Withdrawn.v1", [1]]
      ] as const
    ) {
      const error = failure(deposit(type, data))
      assert.instanceOf(error, EventDecodeFailed)
      assert.strictEqual(error.type, type)
      assert.deepStrictEqual([error.streamId, error.version, error.globalPosition], ["account-1", 4, 99n])
      assert.include(error.message, `The stored ${type} at stream "account-1", version 4, global position 99`)
    }
  })

  it("fails when an upcaster throws", () => {
    const Fragile = Action.define("Fragile", {
      commands: {},
      events: {
        Broke: Event.v1({ text: Schema.String }).next({ n: Schema.Int }, ({ text }) => {
          if (text === "") throw new RangeError("no text")
          return { n: text.length }
        })
      }
    })
    assert.deepStrictEqual<unknown>(Result.getOrThrow(Fragile.decode(recorded("Broke.v1", { text: "ab" }))), {
      _tag: "Broke",
      n: 2
    })
    const error = failure(Fragile.decode(recorded("Broke.v1", { text: "" })))
    assert.instanceOf(error, EventDecodeFailed)
    assert.include(error.message, "its upcaster threw: RangeError: no text")
  })

  it("reads an event without fields as nothing but its tag, whatever the body holds", () => {
    for (const data of [{}, { _tag: "Opened", owner: "Eve" }]) {
      assert.deepStrictEqual<unknown>(Result.getOrThrow(deposit("Closed.v1", data)), Account.Closed())
    }
    for (const data of [null, 5, "text"]) {
      assert.instanceOf(failure(deposit("Closed.v1", data)), EventDecodeFailed)
    }
  })

  it("hands an upcaster nothing but what fits the older version", () => {
    const Grown = Action.define("Grown", {
      commands: {},
      events: {
        Grew: Event.v1({}).next({ by: Schema.Int }, (old) => ({ by: Object.keys(old).length }))
          .next({ by: Schema.Int, unit: Schema.String }, ({ by }) => ({ by, unit: "cm" })),
        Shrank: Event.v1({ by: Schema.Int }).next({}, () => ({}))
      }
    })
    assert.deepStrictEqual<unknown>(
      Result.getOrThrow(Grown.decode(recorded("Grew.v1", {}))),
      Grown.Grew({ by: 0, unit: "cm" })
    )
    const error = failure(Grown.decode(recorded("Shrank.v1", { by: "much" })))
    assert.instanceOf(error, EventDecodeFailed)
    assert.notInclude(error.message, "upcaster")
  })

  it("is not misled by a body that brings a tag", () => {
    const event = Result.getOrThrow(deposit("Withdrawn.v1", { _tag: "Closed", cents: 1 }))
    assert.deepStrictEqual<unknown>(event, Account.Withdrawn({ cents: 1 }))
  })
})

describe("Command", () => {
  const decode = Schema.decodeUnknownEffect(Account.Command)

  it.effect("decodes a command by its tag, and refuses an event or a wrong field", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual<unknown>(yield* decode({ _tag: "Open", owner: "Ada" }), Account.Open({ owner: "Ada" }))
      for (const bad of [{ _tag: "Closed" }, { _tag: "Open" }, { _tag: "Withdraw", cents: 0.5 }, {}, null]) {
        assert.strictEqual((yield* Effect.flip(decode(bad)))._tag, "SchemaError")
      }
    }))

  it.effect("encodes to JSON and back", () =>
    Effect.gen(function*() {
      const command = Stock.Receive({ sku: Sku.make("a-1"), when: DateTime.makeUnsafe(1_700_000_000_123) })
      const json: unknown = JSON.parse(JSON.stringify(yield* Schema.encodeEffect(Stock.Command)(command)))
      const decoded = yield* Schema.decodeUnknownEffect(Stock.Command)(json)
      assert.strictEqual(decoded.sku, command.sku)
      assert.isTrue(DateTime.isDateTime(decoded.when) && DateTime.Equivalence(decoded.when, command.when))
    }))
})
