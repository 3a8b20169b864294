import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Store from "@composable-ts/core/Store"
import * as Task from "@composable-ts/core/Task"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Result, Schema } from "effect"

const Charge = Task.define("Charge", {
  input: Schema.Struct({ cents: Schema.Int }),
  success: Schema.Struct({ receipt: Schema.String }),
  failure: Schema.TaggedStruct("Declined", { missing: Schema.Int })
})

type Action =
  | { readonly _tag: "Pay"; readonly cents: number }
  | { readonly _tag: "Paid"; readonly receipt: string; readonly cents: number }
  | { readonly _tag: "Refused"; readonly missing: number; readonly cents: number }

type State = ReadonlyArray<Action>

/** Remembers what it was told, and pays. */
const till = Reducer.withOutcomes(
  (state: State, action: Action) =>
    action._tag === "Pay"
      ? Reducer.step([...state, action], Fx.perform(Charge, { cents: action.cents }))
      : Reducer.step([...state, action]),
  {
    Charge: {
      success: ({ receipt }, { cents }) => ({ _tag: "Paid", receipt, cents }),
      failure: ({ missing }, { cents }) => ({ _tag: "Refused", missing, cents })
    }
  }
)
const pay = (cents: number): Action => ({ _tag: "Pay", cents })
const open = Store.make(till, { initial: [] })

class Bank extends Context.Service<Bank, {
  readonly balance: number
  readonly stamp: Effect.Effect<string>
}>()("test/Bank") {}

const bank = (balance: number, name: string) =>
  Layer.succeed(Bank, { balance, stamp: Effect.succeed(`${name}: received`) })

const charge = Task.layer(Charge, ({ cents }) =>
  Effect.gen(function*() {
    const { balance, stamp } = yield* Bank
    if (cents > balance) return yield* Effect.fail({ _tag: "Declined", missing: cents - balance } as const)
    return { receipt: yield* stamp }
  }))

describe("Task", () => {
  it("is its name and its schemas, so that what goes in and comes out can be checked and stored", () => {
    assert.strictEqual(Charge.name, "Charge")
    assert.isTrue(Schema.is(Charge.input)({ cents: 5 }))
    assert.isFalse(Schema.is(Charge.input)({ cents: 0.5 }))
    assert.isTrue(Schema.is(Charge.success)({ receipt: "r" }))
    assert.isTrue(Schema.is(Charge.failure)({ _tag: "Declined", missing: 1 }))
  })

  it.effect("a handler takes its own services from where its layer is built, not from where it is used", () =>
    Effect.gen(function*() {
      const store = yield* Effect.provide(open, charge.pipe(Layer.provide(bank(10, "Mine"))))
      yield* store.dispatch(pay(3)).pipe(Effect.provide(bank(0, "Another")))
      yield* store.idle
      assert.deepStrictEqual(yield* store.state, [
        pay(3),
        { _tag: "Paid", receipt: "Mine: received", cents: 3 }
      ])
    }))

  it.effect("success and failure come back as the action that the outcomes say, with the request in hand", () =>
    Effect.gen(function*() {
      const store = yield* Effect.provide(open, charge.pipe(Layer.provide(bank(10, "Mine"))))
      yield* store.dispatch(pay(12))
      yield* store.dispatch(pay(10))
      yield* store.idle
      assert.deepStrictEqual(yield* store.state, [
        pay(12),
        { _tag: "Refused", missing: 2, cents: 12 },
        pay(10),
        { _tag: "Paid", receipt: "Mine: received", cents: 10 }
      ])
    }))

  it.effect("another layer is another handler, and each is called once for each request", () =>
    Effect.gen(function*() {
      const calls: Array<number> = []
      const always = Task.layer(Charge, ({ cents }) =>
        Effect.sync(() => {
          calls.push(cents)
          return { receipt: `test ${cents}` }
        }))
      const store = yield* Effect.provide(open, always)
      for (const cents of [1, 2, 3]) yield* store.dispatch(pay(cents))
      yield* store.idle
      assert.deepStrictEqual(calls, [1, 2, 3])
      const receipts = (yield* store.state).flatMap((action) => action._tag === "Paid" ? [action.receipt] : [])
      assert.deepStrictEqual(receipts, ["test 1", "test 2", "test 3"])
    }))

  it.effect("a handler can be asked for itself", () =>
    Effect.gen(function*() {
      const perform = yield* Task.handler(Charge)
      assert.deepStrictEqual(yield* perform({ cents: 1 }), { receipt: "Mine: received" })
      assert.deepStrictEqual(
        yield* Effect.result(perform({ cents: 11 })),
        Result.fail({ _tag: "Declined", missing: 1 } as const)
      )
    }).pipe(Effect.provide(charge.pipe(Layer.provide(bank(10, "Mine"))))))

  it.effect("tasks of different names have different handlers", () =>
    Effect.gen(function*() {
      const text = { input: Schema.String, success: Schema.String, failure: Schema.Never }
      const [Upper, Lower] = [Task.define("Upper", text), Task.define("Lower", text)]
      const both = Layer.mergeAll(
        Task.layer(Upper, (said) => Effect.succeed(said.toUpperCase())),
        Task.layer(Lower, (said) => Effect.succeed(said.toLowerCase()))
      )
      const heard = yield* Effect.gen(function*() {
        const upper = yield* Task.handler(Upper)
        const lower = yield* Task.handler(Lower)
        return [yield* upper("Hey"), yield* lower("Hey")]
      }).pipe(Effect.provide(both))
      assert.deepStrictEqual(heard, ["HEY", "hey"])
    }))
})
