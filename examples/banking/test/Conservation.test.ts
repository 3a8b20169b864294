/**
 * Money is conserved behind every event, however transfers interleave, crash and repeat themselves.
 */
import * as Fx from "@composable-ts/core/Fx"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as World from "simulation/World"
import { Account, account, type AccountEvent } from "../src/domain/Account.ts"
import * as Ledger from "../src/domain/Ledger.ts"
import {
  hears,
  isFinished,
  Transfer,
  transfer,
  type TransferEvent,
  type TransferOrder,
  type TransferState
} from "../src/domain/Transfer.ts"

const openings = { alice: 100, bob: 20 }
const opening = Object.entries(openings).map(([accountId, openingBalance]) =>
  Account.AccountOpened({ accountId, holder: accountId, openingBalance })
)

const toTransfer = (event: AccountEvent) => {
  const command = hears(event)
  return command === undefined ? [] : [{ category: transfer.category, id: command.transferId, command }]
}

/** Whose rules a bank follows: ours, or such as are wrong on purpose. */
const ours = { account, transfer }

/** A bank whose books are kept event by event, and checked behind each. */
const bank = (rules = ours) => {
  let ledger = Ledger.empty
  const book = (event: AccountEvent) => {
    ledger = Ledger.record(ledger, event)
    const violations = Ledger.violations(ledger)
    if (violations.length > 0) throw new Error(`${event._tag}: ${violations.join("; ")}`)
    return toTransfer(event)
  }
  const transfers = new Map<string, TransferState>()
  const follow = (event: TransferEvent): ReadonlyArray<World.Addressed> => {
    const before = transfers.get(event.transferId) ?? transfer.initial
    transfers.set(event.transferId, transfer.evolve(before, event))
    return []
  }
  const world = new World.World({ members: [World.member(rules.account, book), World.member(rules.transfer, follow)] })
  for (const { _tag, ...opened } of opening) {
    world.send({ category: account.category, id: opened.accountId, command: Account.OpenAccount(opened) })
  }
  world.settle()
  const initiate = (order: TransferOrder) =>
    world.send({ category: transfer.category, id: order.transferId, command: Transfer.InitiateTransfer(order) })
  return { world, transfers, initiate, ledger: () => ledger }
}

const orders = Schema.Array(
  Schema.Struct({
    transferId: Schema.Literals(["t1", "t2", "t3", "t4", "t5", "t6"]),
    from: Schema.Literals(["alice", "bob", "carol"]),
    to: Schema.Literals(["alice", "bob", "carol"]),
    amount: Schema.Literals([1, 5, 20, 60])
  })
).check(Schema.isMaxLength(8))
const choices = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })))

describe("transfers between two accounts and one that was never opened", () => {
  const reached = new Set<string>()

  it.prop("conserve money behind every event, and all finish", { orders, choices }, ({ choices, orders }) => {
    const { initiate, ledger, transfers, world } = bank()
    orders.forEach(initiate)
    world.happen(choices)
    world.settle()
    for (const state of transfers.values()) {
      assert.isTrue(isFinished(state), JSON.stringify(state))
      reached.add(state.status)
    }
    assert.strictEqual(ledger().inFlight, 0)
    assert.strictEqual(ledger().onAccounts, 120)
  }, { arbitrary: { runs: 500 } })

  it("come to every end there is", () => {
    assert.deepStrictEqual([...reached].sort(), ["Compensated", "Completed", "Failed"])
  })
})

describe("a bank whose rules are wrong is found out", () => {
  const order = (from: string, to: string, amount: number) => ({ transferId: "t1", from, to, amount })
  const run = (rules: typeof ours, ...orders: ReadonlyArray<TransferOrder>) => {
    const { initiate, ledger, world } = bank(rules)
    orders.forEach(initiate)
    world.settle()
    return ledger()
  }

  it("when it lends what is not there", () => {
    const lending: typeof account = {
      ...account,
      decide: (state, command, meta) =>
        command._tag === "Debit"
          ? Fx.append(Account.Debited({ accountId: command.accountId, transferId: "t1", amount: command.amount }))
          : account.decide(state, command, meta)
    }
    assert.throws(() => run({ ...ours, account: lending }, order("bob", "alice", 21)), "account bob has -1")
  })

  it("when it credits what was never debited", () => {
    const hasty: typeof transfer = {
      ...transfer,
      react: (state, event, meta) =>
        event._tag === "TransferInitiated"
          ? Fx.dispatch(account, event.to, Account.Credit({ accountId: event.to, transferId: "t1", amount: 1 }))
          : transfer.react(state, event, meta)
    }
    assert.throws(() => run({ ...ours, transfer: hasty }, order("bob", "alice", 1)), "never debited")
  })

  it("when it keeps what it could not credit", () => {
    const greedy: typeof transfer = {
      ...transfer,
      react: (state, event, meta) => event._tag === "CreditFailed" ? Fx.none : transfer.react(state, event, meta)
    }
    assert.strictEqual(run({ ...ours, transfer: greedy }, order("bob", "carol", 5)).inFlight, 5)
  })

  it("when it debits again for a command that came again", () => {
    const { world } = bank()
    const command = Account.Debit({ accountId: "alice", transferId: "t1", amount: 1 })
    world.send({ category: account.category, id: "alice", command })
    world.settle()
    world.send({ category: account.category, id: "alice", command })
    assert.throws(() => world.settle(), "transfer t1 was debited twice")
  })
})

it("the books name a wrong amount, and money from nowhere", () => {
  const events = [
    ...opening,
    Account.Debited({ accountId: "alice", transferId: "t1", amount: 10 }),
    Account.Credited({ accountId: "bob", transferId: "t1", amount: 11 }),
    Account.Refunded({ accountId: "alice", transferId: "t1", amount: 10 })
  ]
  const ledger = events.reduce(Ledger.record, Ledger.empty)
  assert.deepStrictEqual(Ledger.violations(ledger), [
    "transfer t1 was Credited with 11, but debited with 10",
    "transfer t1 was Refunded, having been Credited"
  ])
  assert.deepStrictEqual(Ledger.violations({ ...ledger, faults: [], paidOut: 1 }), [
    "131 on accounts and -11 in flight, where 119 were paid in"
  ])
})
