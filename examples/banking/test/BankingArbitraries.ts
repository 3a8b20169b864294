/**
 * Commands of which many are accepted: few accounts and transfers, small amounts, and now and then a fault.
 */
import { Arbitrary, Schema } from "effect"
import { Account } from "../src/domain/Account.ts"
import { largestAmount, largestBalance } from "../src/domain/Money.ts"
import { Transfer } from "../src/domain/Transfer.ts"

const oneOf = <const A extends string | number>(...values: readonly [A, ...ReadonlyArray<A>]) =>
  Arbitrary.schema(Schema.Literals(values))

export const accountIds = oneOf("alice", "bob", "carol")
export const transferIds = oneOf("t1", "t2", "t3", "t4", "t5", "t6")

/** What can be moved. */
export const amounts = oneOf(1, 2, 5, 10, 50, largestAmount)
const anyAmounts = oneOf(-1, 0, 1, 2, 5, 10, 50, largestAmount, largestAmount + 1, largestBalance)

const movements = Arbitrary.all({ accountId: accountIds, amount: anyAmounts })
const ofTransfer = Arbitrary.all({ accountId: accountIds, transferId: transferIds, amount: amounts })
const initiations = Arbitrary.all({ transferId: transferIds, from: accountIds, to: accountIds, amount: anyAmounts })

/** By the names of the commands of an account. */
export const ofAccount = {
  OpenAccount: Arbitrary.map(
    Arbitrary.all({ accountId: accountIds, holder: oneOf("", " ", "Alice"), openingBalance: anyAmounts }),
    Account.OpenAccount
  ),
  Deposit: Arbitrary.map(movements, Account.Deposit),
  Withdraw: Arbitrary.map(movements, Account.Withdraw),
  Debit: Arbitrary.map(ofTransfer, Account.Debit),
  Credit: Arbitrary.map(ofTransfer, Account.Credit),
  Refund: Arbitrary.map(ofTransfer, Account.Refund)
}

/** By the names of the commands of a transfer. */
export const ofTransferCommands = { InitiateTransfer: Arbitrary.map(initiations, Transfer.InitiateTransfer) }
