import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Account, account } from "../src/domain/Account.ts"
import { AccountRefusal, explain } from "../src/domain/AccountRefusal.ts"
import * as Money from "../src/domain/Money.ts"
import { ofAccount } from "./BankingArbitraries.ts"

const accountId = "alice"
const opened = Account.AccountOpened({ accountId, holder: "Alice", openingBalance: 1000 })
const holding = (balance: number) => ({ status: "Open", holder: "Alice", balance }) as const
const atCounter = (amount: number) => ({ accountId, amount })
const forTransfer = (amount: number) => ({ accountId, transferId: "t1", amount })

describe("opening an account", () => {
  it("opens it with what is paid in", () => {
    for (const openingBalance of [0, 1000, Money.largestAmount]) {
      AggregateTest.check(account, {
        when: Account.OpenAccount({ accountId, holder: "Alice", openingBalance }),
        thenEvents: [Account.AccountOpened({ accountId, holder: "Alice", openingBalance })],
        thenState: holding(openingBalance)
      })
    }
  })

  it("refuses a second time, a missing holder, and what is no amount", () => {
    const open = { accountId, holder: "Alice", openingBalance: 5 }
    AggregateTest.check(account, {
      given: [opened],
      when: Account.OpenAccount(open),
      thenRefused: { _tag: "AlreadyOpen", accountId }
    })
    for (const holder of ["", " \t"]) {
      AggregateTest.check(account, {
        when: Account.OpenAccount({ ...open, holder }),
        thenRefused: { _tag: "HolderMissing", accountId }
      })
    }
    for (const openingBalance of [-1, Money.largestAmount + 1]) {
      AggregateTest.check(account, {
        when: Account.OpenAccount({ ...open, openingBalance }),
        thenRefused: { _tag: "AmountOutOfRange", accountId, amount: openingBalance }
      })
    }
  })
})

describe("the counter", () => {
  it("takes deposits and pays withdrawals, to the last cent", () => {
    AggregateTest.check(account, {
      given: [opened],
      when: [Account.Deposit(atCounter(200)), Account.Withdraw(atCounter(1200))],
      thenEvents: [Account.MoneyDeposited(atCounter(200)), Account.MoneyWithdrawn(atCounter(1200))],
      thenState: holding(0)
    })
  })

  it("pays nobody what is not there", () => {
    AggregateTest.check(account, {
      given: [opened],
      when: Account.Withdraw(atCounter(1001)),
      thenRefused: { _tag: "NotEnoughMoney", accountId, balance: 1000, amount: 1001 }
    })
  })

  it("moves positive amounts up to the largest", () => {
    for (const amount of [-1, 0, Money.largestAmount + 1]) {
      for (const when of [Account.Deposit(atCounter(amount)), Account.Withdraw(atCounter(amount))]) {
        AggregateTest.check(account, {
          given: [opened],
          when,
          thenRefused: { _tag: "AmountOutOfRange", accountId, amount }
        })
      }
    }
  })

  it("fills an account to its limit and no further", () => {
    const balance = Money.largestBalance - 5
    AggregateTest.check(account, {
      givenState: holding(balance),
      when: Account.Deposit(atCounter(5)),
      thenEvents: [Account.MoneyDeposited(atCounter(5))],
      thenState: holding(Money.largestBalance)
    })
    AggregateTest.check(account, {
      givenState: holding(balance),
      when: Account.Deposit(atCounter(6)),
      thenRefused: { _tag: "BalanceLimitReached", accountId, balance, amount: 6 }
    })
  })

  it("serves only accounts that are open", () => {
    for (const when of [Account.Deposit(atCounter(1)), Account.Withdraw(atCounter(1))]) {
      AggregateTest.check(account, { when, thenRefused: { _tag: "NotOpen", accountId } })
    }
  })
})

describe("for a transfer", () => {
  const at = { accountId, transferId: "t1" }

  it("is debited, credited and refunded", () => {
    AggregateTest.check(account, {
      given: [opened],
      when: [Account.Debit(forTransfer(1000)), Account.Refund(forTransfer(1000)), Account.Credit(forTransfer(7))],
      thenEvents: [
        Account.Debited(forTransfer(1000)),
        Account.Refunded(forTransfer(1000)),
        Account.Credited(forTransfer(7))
      ],
      thenState: holding(1007)
    })
  })

  it("records why it was not debited", () => {
    AggregateTest.check(account, {
      given: [opened],
      when: Account.Debit(forTransfer(1001)),
      thenEvents: [Account.DebitRefused({
        ...at,
        reason: { _tag: "NotEnoughMoney", accountId, balance: 1000, amount: 1001 }
      })],
      thenState: holding(1000)
    })
    AggregateTest.check(account, {
      when: Account.Debit(forTransfer(1)),
      thenEvents: [Account.DebitRefused({ ...at, reason: { _tag: "NotOpen", accountId } })],
      thenState: { status: "NotOpen" }
    })
  })

  it("records why it was not credited", () => {
    const balance = Money.largestBalance
    AggregateTest.check(account, {
      givenState: holding(balance),
      when: Account.Credit(forTransfer(1)),
      thenEvents: [Account.CreditRefused({
        ...at,
        reason: { _tag: "BalanceLimitReached", accountId, balance, amount: 1 }
      })],
      thenState: holding(balance)
    })
    AggregateTest.check(account, {
      when: Account.Credit(forTransfer(1)),
      thenEvents: [Account.CreditRefused({ ...at, reason: { _tag: "NotOpen", accountId } })],
      thenState: { status: "NotOpen" }
    })
  })

  it("is refunded even above the limit, for the money must go somewhere", () => {
    AggregateTest.check(account, {
      givenState: holding(Money.largestBalance),
      when: Account.Refund(forTransfer(9)),
      thenState: holding(Money.largestBalance + 9)
    })
    AggregateTest.check(account, { when: Account.Refund(forTransfer(9)), thenRefused: { _tag: "NotOpen", accountId } })
  })

  it("can still be opened after it refused", () => {
    AggregateTest.check(account, {
      given: [Account.CreditRefused({ ...at, reason: { _tag: "NotOpen", accountId } })],
      when: Account.OpenAccount({ accountId, holder: "Alice", openingBalance: 1 }),
      thenState: holding(1)
    })
  })
})

it("amounts are written with two decimals", () => {
  assert.deepStrictEqual([0, 5, 99, 100, 123456, -7].map(Money.format), [
    "0.00",
    "0.05",
    "0.99",
    "1.00",
    "1234.56",
    "-0.07"
  ])
})

it("each refusal has a sentence", () => {
  const sentences: ReadonlyArray<readonly [AccountRefusal, string]> = [
    [{ _tag: "AlreadyOpen", accountId }, "account alice is already open"],
    [{ _tag: "HolderMissing", accountId }, "account alice cannot be opened without a holder"],
    [{ _tag: "NotOpen", accountId }, "account alice is not open"],
    [{ _tag: "AmountOutOfRange", accountId, amount: -5 }, "-0.05 is no amount that account alice can move"],
    [
      { _tag: "NotEnoughMoney", accountId, balance: 100, amount: 101 },
      "account alice has 1.00, which is less than 1.01"
    ],
    [
      { _tag: "BalanceLimitReached", accountId, balance: 100, amount: 1 },
      "account alice has 1.00 and cannot take in another 0.01"
    ]
  ]
  assert.strictEqual(sentences.length, Object.keys(AccountRefusal.cases).length)
  for (const [refusal, sentence] of sentences) assert.strictEqual(explain(refusal), sentence)
})

describe("the laws of every aggregate hold for an account", () => {
  const arbitraries = ofAccount
  it("replay", () => Laws.replayIsDeterministic(account))
  it("decisions", () => Laws.decideIsPure(account, { arbitraries }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(Account))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(account, { arbitraries }))
})

it("whatever is asked of an account, it moves what its events say", () => {
  ModelTest.check(account, {
    arbitraries: ofAccount,
    invariants: {
      "nobody owes the bank": (state) => state.status === "NotOpen" || state.balance >= 0,
      "a refusal changes nothing": (state, { before, refusal }) => refusal === undefined || state === before,
      "a command is answered by one event or a refusal": (_, { events, refusal }) =>
        events.length === (refusal === undefined ? 1 : 0),
      "only a refund passes the limit": (state, { before, command }) =>
        command._tag === "Refund" || state.status === "NotOpen" || state.balance <= Money.largestBalance ||
        (before.status === "Open" && state.balance <= before.balance)
    }
  })
})
