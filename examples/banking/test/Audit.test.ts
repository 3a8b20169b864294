/**
 * The audit of the chaos script finds what is wrong.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Audit from "../src/chaos/Audit.ts"
import type { AccountEvent } from "../src/domain/Account.ts"
import { Account } from "../src/domain/Account.ts"
import * as Ledger from "../src/domain/Ledger.ts"
import type { TransferState } from "../src/domain/Transfer.ts"

const order = { transferId: "t1", from: "alice", to: "bob", amount: 30 }
const move = { transferId: "t1", amount: 30 }

const opened: ReadonlyArray<AccountEvent> = ["alice", "bob"].map((accountId) =>
  Account.AccountOpened({ accountId, holder: accountId, openingBalance: 100 })
)
const debited = Account.Debited({ accountId: "alice", ...move })
const credited = Account.Credited({ accountId: "bob", ...move })

const found = (state: TransferState, ...events: ReadonlyArray<AccountEvent>) => {
  const ledger = [...opened, ...events].reduce(Ledger.record, Ledger.empty)
  const violations = Ledger.violations(ledger)
  const finding = violations.length === 0 ? undefined : { position: BigInt(events.length), violations }
  return Audit.violations(new Map([["t1", state]]), { finding, ledger }, 200)
}

describe("the audit of transfers", () => {
  it("finds nothing where a transfer agrees with its accounts", () => {
    assert.deepStrictEqual(found({ status: "Completed", order }, debited, credited), [])
  })

  it("finds a transfer that is not finished", () => {
    assert.include(found({ status: "Debited", order }, debited).join(), "t1 is still Debited")
  })

  it("finds a transfer that claims to be completed, and whose money is nowhere", () => {
    assert.include(found({ status: "Completed", order }).join(), "its money nowhere")
  })

  it("finds a credit that came twice", () => {
    assert.isNotEmpty(found({ status: "Completed", order }, debited, credited, credited))
  })

  it("finds an amount that was changed on the way", () => {
    const more = Account.Credited({ accountId: "bob", transferId: "t1", amount: 31 })
    assert.isNotEmpty(found({ status: "Completed", order }, debited, more))
  })

  it("finds money that came from nowhere", () => {
    const gift = Account.MoneyDeposited({ accountId: "bob", amount: 1 })
    assert.include(found({ status: "Completed", order }, debited, credited, gift).join(), "201 are on accounts")
  })

  it("finds money of a transfer that nobody asked for", () => {
    const foreign = Account.Debited({ accountId: "alice", transferId: "t2", amount: 1 })
    assert.include(
      found({ status: "Completed", order }, debited, credited, foreign).join(),
      "nobody asked for transfer t2"
    )
  })
})
