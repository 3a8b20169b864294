import * as Fx from "@composable-ts/core/Fx"
import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Account, account } from "../src/domain/Account.ts"
import type { AccountRefusal } from "../src/domain/AccountRefusal.ts"
import { hears, isFinished, Transfer, transfer, type TransferState } from "../src/domain/Transfer.ts"
import { ofTransferCommands } from "./BankingArbitraries.ts"

const transferId = "t1"
const order = { transferId, from: "alice", to: "bob", amount: 300 }
const at = { transferId }
const reason: AccountRefusal = { _tag: "NotOpen", accountId: "bob" }

const initiated = Transfer.TransferInitiated(order)
const debited = Transfer.DebitApplied(at)
const completed = Transfer.TransferCompleted(at)
const failed = Transfer.TransferFailed({ transferId, reason })
const creditFailed = Transfer.CreditFailed({ transferId, reason })
const compensated = Transfer.TransferCompensated(at)

const moves = { transferId, amount: 300 }
const debit = Fx.dispatch(account, "alice", Account.Debit({ accountId: "alice", ...moves }))
const credit = Fx.dispatch(account, "bob", Account.Credit({ accountId: "bob", ...moves }))
const refund = Fx.dispatch(account, "alice", Account.Refund({ accountId: "alice", ...moves }))

/** What a transfer can hear of its accounts. */
const news = [
  Transfer.RecordDebit(at),
  Transfer.RecordDebitRefusal({ transferId, reason }),
  Transfer.RecordCredit(at),
  Transfer.RecordCreditRefusal({ transferId, reason }),
  Transfer.RecordRefund(at)
]

describe("a transfer", () => {
  it("debits one account, credits the other, and is done", () => {
    AggregateTest.check(transfer, {
      when: Transfer.InitiateTransfer(order),
      thenEvents: [initiated],
      thenState: { status: "Initiated", order },
      thenEffects: debit
    })
    AggregateTest.check(transfer, {
      given: [initiated],
      when: Transfer.RecordDebit(at),
      thenEvents: [debited],
      thenState: { status: "Debited", order },
      thenEffects: credit
    })
    AggregateTest.check(transfer, {
      given: [initiated, debited],
      when: Transfer.RecordCredit(at),
      thenEvents: [completed],
      thenState: { status: "Completed", order }
    })
  })

  it("fails, with nothing to undo, when the debit is refused", () => {
    AggregateTest.check(transfer, {
      given: [initiated],
      when: Transfer.RecordDebitRefusal({ transferId, reason }),
      thenEvents: [failed],
      thenState: { status: "Failed", order, reason }
    })
  })

  it("refunds when the credit is refused", () => {
    AggregateTest.check(transfer, {
      given: [initiated, debited],
      when: Transfer.RecordCreditRefusal({ transferId, reason }),
      thenEvents: [creditFailed],
      thenState: { status: "Compensating", order, reason },
      thenEffects: refund
    })
    AggregateTest.check(transfer, {
      given: [initiated, debited, creditFailed],
      when: Transfer.RecordRefund(at),
      thenEvents: [compensated],
      thenState: { status: "Compensated", order, reason }
    })
  })

  it("is not begun twice, within one account, or with no amount", () => {
    AggregateTest.check(transfer, {
      given: [initiated],
      when: Transfer.InitiateTransfer(order),
      thenRefused: { _tag: "AlreadyInitiated", transferId }
    })
    AggregateTest.check(transfer, {
      when: Transfer.InitiateTransfer({ ...order, to: "alice" }),
      thenRefused: { _tag: "SameAccount", accountId: "alice" }
    })
    for (const amount of [0, -300]) {
      AggregateTest.check(transfer, {
        when: Transfer.InitiateTransfer({ ...order, amount }),
        thenRefused: { _tag: "AmountOutOfRange", amount }
      })
    }
  })

  const pasts = {
    New: [],
    Initiated: [initiated],
    Debited: [initiated, debited],
    Completed: [initiated, debited, completed],
    Failed: [initiated, failed],
    Compensating: [initiated, debited, creditFailed],
    Compensated: [initiated, debited, creditFailed, compensated]
  }
  const awaited: Readonly<Record<string, ReadonlyArray<string>>> = {
    RecordDebit: ["Initiated"],
    RecordDebitRefusal: ["Initiated"],
    RecordCredit: ["Debited"],
    RecordCreditRefusal: ["Debited"],
    RecordRefund: ["Compensating"]
  }

  it("does not listen to what it does not wait for", () => {
    for (const [status, given] of Object.entries(pasts)) {
      for (const when of news.filter(({ _tag }) => !awaited[_tag]!.includes(status))) {
        AggregateTest.check(transfer, { given, when, thenEvents: [] })
      }
    }
  })

  it("is finished when it was completed, failed or compensated", () => {
    for (const [status, given] of Object.entries(pasts)) {
      const state = given.reduce<TransferState>(transfer.evolve, transfer.initial)
      assert.strictEqual(state.status, status)
      assert.strictEqual(isFinished(state), ["Completed", "Failed", "Compensated"].includes(status), status)
    }
  })
})

it("hears of an account what concerns it", () => {
  const accountId = "alice"
  assert.deepStrictEqual(
    [
      Account.Debited({ accountId, ...moves }),
      Account.DebitRefused({ accountId, transferId, reason }),
      Account.Credited({ accountId, ...moves }),
      Account.CreditRefused({ accountId, transferId, reason }),
      Account.Refunded({ accountId, ...moves })
    ].map(hears),
    news
  )
  for (
    const event of [
      Account.AccountOpened({ accountId, holder: "Alice", openingBalance: 0 }),
      Account.MoneyDeposited({ accountId, amount: 1 }),
      Account.MoneyWithdrawn({ accountId, amount: 1 })
    ]
  ) assert.isUndefined(hears(event))
})

describe("the laws of every aggregate hold for a transfer", () => {
  const arbitraries = ofTransferCommands
  it("replay", () => Laws.replayIsDeterministic(transfer))
  it("decisions", () => Laws.decideIsPure(transfer, { arbitraries }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Transfer))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(transfer, { arbitraries }))
})

it("whatever a transfer hears, it asks for each step once", () => {
  ModelTest.check(transfer, {
    arbitraries: ofTransferCommands,
    invariants: {
      "a finished transfer stays as it is": (state, { before }) => !isFinished(before) || state === before,
      "only an unfinished transfer asks for anything": (state, { effects }) =>
        effects._tag === "None" || !isFinished(state),
      "its order never changes": (state, { before }) =>
        before.status === "New" || (state.status !== "New" && state.order === before.order)
    }
  })
})
