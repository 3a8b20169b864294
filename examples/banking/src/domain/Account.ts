/**
 * An account: money is deposited and withdrawn at a counter, or debited, credited and refunded for a transfer.
 *
 * A person learns of a refusal as the answer to their command. A transfer learns of it by an event: a fact of the log,
 * under the id of the command, so that the account never accepts the same command later, when the balance has changed and
 * the transfer has already given up.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { AccountRefusal } from "./AccountRefusal.ts"
import { Amount, isAmount, isOpeningBalance, largestBalance, OpeningBalance } from "./Money.ts"

/** The account's number; its stream is `account-<number>`. */
export const AccountId = Schema.NonEmptyString

const accountId = AccountId
const transferId = Schema.NonEmptyString

/** The vocabulary: what can be asked of an account, and what can have happened to it. Amounts are in minor units. */
export const Account = Action.define("Account", {
  commands: {
    OpenAccount: { accountId, holder: Schema.String, openingBalance: Schema.Int },
    Deposit: { accountId, amount: Schema.Int },
    Withdraw: { accountId, amount: Schema.Int },
    Debit: { accountId, transferId, amount: Amount },
    Credit: { accountId, transferId, amount: Amount },
    Refund: { accountId, transferId, amount: Amount }
  },
  events: {
    AccountOpened: Event.v1({ accountId, holder: Schema.String, openingBalance: OpeningBalance }),
    MoneyDeposited: Event.v1({ accountId, amount: Amount }),
    MoneyWithdrawn: Event.v1({ accountId, amount: Amount }),
    Debited: Event.v1({ accountId, transferId, amount: Amount }),
    DebitRefused: Event.v1({ accountId, transferId, reason: AccountRefusal }),
    Credited: Event.v1({ accountId, transferId, amount: Amount }),
    CreditRefused: Event.v1({ accountId, transferId, reason: AccountRefusal }),
    Refunded: Event.v1({ accountId, transferId, amount: Amount })
  }
})

export type AccountCommand = Action.CommandOf<typeof Account>
export type AccountEvent = Action.EventOf<typeof Account>

/** An account, once it is open. The balance is in minor units. */
export type AccountState =
  | { readonly status: "NotOpen" }
  | { readonly status: "Open"; readonly holder: string; readonly balance: number }

type Of<Tag extends AccountCommand["_tag"]> = Extract<AccountCommand, { readonly _tag: Tag }>
type Decision = Fx.Decision<AccountEvent, AccountRefusal>

interface Movement {
  readonly accountId: string
  readonly amount: number
}

/** Why this cannot be taken out of the account; nothing when it can. */
const refusalToPay = (state: AccountState, { accountId, amount }: Movement): AccountRefusal | undefined => {
  if (state.status === "NotOpen") return { _tag: "NotOpen", accountId }
  if (!isAmount(amount)) return { _tag: "AmountOutOfRange", accountId, amount }
  const { balance } = state
  return amount > balance ? { _tag: "NotEnoughMoney", accountId, balance, amount } : undefined
}

/** Why the account cannot take this in; nothing when it can. */
const refusalToTake = (state: AccountState, { accountId, amount }: Movement): AccountRefusal | undefined => {
  if (state.status === "NotOpen") return { _tag: "NotOpen", accountId }
  if (!isAmount(amount)) return { _tag: "AmountOutOfRange", accountId, amount }
  const { balance } = state
  return balance + amount > largestBalance ? { _tag: "BalanceLimitReached", accountId, balance, amount } : undefined
}

const open = (state: AccountState, { accountId, holder, openingBalance }: Of<"OpenAccount">): Decision => {
  if (state.status === "Open") return Fx.reject({ _tag: "AlreadyOpen", accountId })
  if (holder.trim() === "") return Fx.reject({ _tag: "HolderMissing", accountId })
  if (!isOpeningBalance(openingBalance)) {
    return Fx.reject({ _tag: "AmountOutOfRange", accountId, amount: openingBalance })
  }
  return Fx.append(Account.AccountOpened({ accountId, holder, openingBalance }))
}

const acceptUnless = (refusal: AccountRefusal | undefined, event: AccountEvent): Decision =>
  refusal === undefined ? Fx.append(event) : Fx.reject(refusal)

const debit = (state: AccountState, { _tag, ...debit }: Of<"Debit">): Decision => {
  const reason = refusalToPay(state, debit)
  const { accountId, transferId } = debit
  return Fx.append(
    reason === undefined ? Account.Debited(debit) : Account.DebitRefused({ accountId, transferId, reason })
  )
}

const credit = (state: AccountState, { _tag, ...credit }: Of<"Credit">): Decision => {
  const reason = refusalToTake(state, credit)
  const { accountId, transferId } = credit
  return Fx.append(
    reason === undefined ? Account.Credited(credit) : Account.CreditRefused({ accountId, transferId, reason })
  )
}

/** What was debited comes back, whatever the balance has become: otherwise it would be nobody's. */
const refund = (state: AccountState, { _tag, ...refund }: Of<"Refund">): Decision =>
  state.status === "Open"
    ? Fx.append(Account.Refunded(refund))
    : Fx.reject({ _tag: "NotOpen", accountId: refund.accountId })

const moved = (state: AccountState, amount: number): AccountState =>
  state.status === "Open" ? { ...state, balance: state.balance + amount } : state

/** The aggregate: an account that decides its commands by the rules above. */
export const account = Aggregate.define(Account, {
  initial: { status: "NotOpen" } as AccountState,
  decide: (state, command): Decision =>
    Account.match(command, {
      OpenAccount: (command) => open(state, command),
      Deposit: ({ _tag, ...deposit }) => acceptUnless(refusalToTake(state, deposit), Account.MoneyDeposited(deposit)),
      Withdraw: ({ _tag, ...withdrawal }) =>
        acceptUnless(refusalToPay(state, withdrawal), Account.MoneyWithdrawn(withdrawal)),
      Debit: (command) => debit(state, command),
      Credit: (command) => credit(state, command),
      Refund: (command) => refund(state, command)
    }),
  evolve: (state, event): AccountState =>
    Account.match(event, {
      AccountOpened: ({ holder, openingBalance }) => ({ status: "Open", holder, balance: openingBalance }),
      MoneyDeposited: ({ amount }) => moved(state, amount),
      MoneyWithdrawn: ({ amount }) => moved(state, -amount),
      Debited: ({ amount }) => moved(state, -amount),
      DebitRefused: () => state,
      Credited: ({ amount }) => moved(state, amount),
      CreditRefused: () => state,
      Refunded: ({ amount }) => moved(state, amount)
    })
})
