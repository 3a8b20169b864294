import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { Account, account, type AccountState } from "./Account.ts"

const meta: Action.Meta = { id: "c", time: 7, correlationId: "c", causationId: "c" }
const open: AccountState = { _tag: "Open", owner: "Ada", cents: 10 }

const Order = Action.define("OrderLine", { commands: { Place: {} }, events: { Placed: Event.v1({}) } })
const placed = { initial: 0, decide: () => Fx.append(Order.Placed()), evolve: (n: number) => n + 1 }

describe("Aggregate", () => {
  it("has the vocabulary's name, small, as its category unless it names one", () => {
    assert.strictEqual(account.category, "account")
    assert.strictEqual(Aggregate.define(Order, placed).category, "orderLine")
    assert.strictEqual(Aggregate.define(Order, { ...placed, category: "lines" }).category, "lines")
  })

  it("names the streams of its instances", () => {
    assert.deepStrictEqual<unknown>(Aggregate.streamId(account, "a-1"), Result.succeed("account-a-1"))
    const refused = Aggregate.streamId(account, "")
    assert.strictEqual(Result.isFailure(refused) && refused.failure._tag, "InvalidStreamId")
  })

  it("reduces a command to effects, and leaves the state alone", () => {
    const [state, fx] = account.reduce(open, Account.Withdraw({ cents: 4 }), meta)
    assert.strictEqual(state, open)
    assert.deepStrictEqual(fx, Fx.append(Account.Withdrawn({ cents: 4 })))
    assert.deepStrictEqual(account.reduce(open, Account.Withdraw({ cents: 11 }), meta), [
      open,
      Fx.reject({ _tag: "Overdrawn", missing: 1 })
    ])
    assert.deepStrictEqual(account.reduce(open, Account.Deposit({ cents: 0 }), meta), [open, Fx.none])
  })

  it("reduces an event to the next state, and does nothing", () => {
    assert.deepStrictEqual(account.reduce(open, Account.Withdrawn({ cents: 4 }), meta), [
      { ...open, cents: 6 },
      Fx.none
    ])
  })

  it("hands the command's meta to its decision", () => {
    const [, fx] = account.reduce(account.initial, Account.Open({ owner: "Ada" }), meta)
    assert.deepStrictEqual(fx, Fx.append(Account.Opened({ owner: "Ada", at: 7 })))
  })

  describe("a step", () => {
    const ring = Fx.cancel("ring")
    const wait = Fx.cancel("wait")
    const close = Fx.cancel("close")
    const taking = (effects: ReturnType<typeof Fx.all<ReadonlyArray<typeof ring>>>) =>
      Aggregate.step(
        Aggregate.define(Order, { ...placed, decide: () => Fx.all(Fx.append(Order.Placed()), effects) }),
        0,
        Order.Place(),
        meta
      )

    it("collects the reactions to all events, in their order", () => {
      const reacting = Aggregate.define(Order, {
        ...placed,
        decide: () => Fx.append(Order.Placed(), Order.Placed()),
        react: (n) => n === 1 ? ring : wait
      })
      assert.deepStrictEqual(Aggregate.step(reacting, 0, Order.Place(), meta), {
        refusal: undefined,
        events: [Order.Placed(), Order.Placed()],
        state: 2,
        effects: Fx.all(ring, wait),
        besides: Fx.none
      })
    })

    it("leaves what the decision wants besides its events in the groups that it made of it", () => {
      for (const effects of [Fx.all(ring, wait), Fx.sequential(ring, wait), Fx.parallel(2, ring, wait, close)]) {
        const { besides, events, state } = taking(effects)
        assert.deepStrictEqual({ besides, events, state }, { besides: effects, events: [Order.Placed()], state: 1 })
      }
    })
  })

  it("a decision's several events are in its order", () => {
    assert.deepStrictEqual(
      account.decide(open, Account.Close(), meta),
      Fx.append(Account.Withdrawn({ cents: 10 }), Account.Closed())
    )
  })
})
