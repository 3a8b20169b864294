/**
 * A transfer between two accounts: a saga, which is an aggregate that hears of what happens to others.
 *
 * Initiated ──debited──▶ Debited ──credited──▶ Completed. A refused debit ends it as Failed; after a refused credit the
 * money goes back: Debited ──credit refused──▶ Compensating ──refunded──▶ Compensated.
 *
 * Between the debit and the credit or refund the money is in flight: on no account, and still somebody's. `Ledger.ts`
 * counts it.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"
import { Account, account, type AccountEvent, AccountId } from "./Account.ts"
import { AccountRefusal } from "./AccountRefusal.ts"
import { Amount, isAmount } from "./Money.ts"

const transferId = Schema.NonEmptyString
const order = { transferId, from: AccountId, to: AccountId }

/** The vocabulary. All commands but the first are what the transfer hears of its accounts. */
export const Transfer = Action.define("Transfer", {
  commands: {
    InitiateTransfer: { ...order, amount: Schema.Int },
    RecordDebit: { transferId },
    RecordDebitRefusal: { transferId, reason: AccountRefusal },
    RecordCredit: { transferId },
    RecordCreditRefusal: { transferId, reason: AccountRefusal },
    RecordRefund: { transferId }
  },
  events: {
    TransferInitiated: Event.v1({ ...order, amount: Amount }),
    DebitApplied: Event.v1({ transferId }),
    TransferFailed: Event.v1({ transferId, reason: AccountRefusal }),
    CreditFailed: Event.v1({ transferId, reason: AccountRefusal }),
    TransferCompleted: Event.v1({ transferId }),
    TransferCompensated: Event.v1({ transferId })
  }
})

export type TransferCommand = Action.CommandOf<typeof Transfer>
export type TransferEvent = Action.EventOf<typeof Transfer>

/** Why a transfer is not even begun. */
export type TransferRefusal =
  | { readonly _tag: "AlreadyInitiated"; readonly transferId: string }
  | { readonly _tag: "SameAccount"; readonly accountId: string }
  | { readonly _tag: "AmountOutOfRange"; readonly amount: number }

/** From where, to where, how much in minor units. */
export interface TransferOrder {
  readonly transferId: string
  readonly from: string
  readonly to: string
  readonly amount: number
}

/** How far a transfer has come. */
export type TransferState =
  | { readonly status: "New" }
  | { readonly status: "Initiated" | "Debited" | "Completed"; readonly order: TransferOrder }
  | {
    readonly status: "Failed" | "Compensating" | "Compensated"
    readonly order: TransferOrder
    readonly reason: AccountRefusal
  }

type Decision = Fx.Decision<TransferEvent, TransferRefusal>
type Of<Tag extends TransferCommand["_tag"]> = Extract<TransferCommand, { readonly _tag: Tag }>

const initiate = (state: TransferState, { _tag, ...order }: Of<"InitiateTransfer">): Decision => {
  const { amount, from, to, transferId } = order
  if (state.status !== "New") return Fx.reject({ _tag: "AlreadyInitiated", transferId })
  if (from === to) return Fx.reject({ _tag: "SameAccount", accountId: from })
  if (!isAmount(amount)) return Fx.reject({ _tag: "AmountOutOfRange", amount })
  return Fx.append(Transfer.TransferInitiated(order))
}

/** What is heard counts while the transfer waits for it. Heard at another time, it was heard before. */
const heard = (state: TransferState, awaited: TransferState["status"], event: TransferEvent): Decision =>
  state.status === awaited ? Fx.append(event) : Fx.none

const becomes = (state: TransferState, status: "Debited" | "Completed"): TransferState =>
  state.status === "New" ? state : { status, order: state.order }

const fails = (
  state: TransferState,
  status: "Failed" | "Compensating",
  reason: AccountRefusal
): TransferState => state.status === "New" ? state : { status, order: state.order, reason }

/** The aggregate: a transfer that moves money by commands to two accounts. */
export const transfer = Aggregate.define(Transfer, {
  initial: { status: "New" } as TransferState,
  decide: (state, command): Decision =>
    Transfer.match(command, {
      InitiateTransfer: (command) => initiate(state, command),
      RecordDebit: ({ transferId }) => heard(state, "Initiated", Transfer.DebitApplied({ transferId })),
      RecordDebitRefusal: ({ reason, transferId }) =>
        heard(state, "Initiated", Transfer.TransferFailed({ transferId, reason })),
      RecordCredit: ({ transferId }) => heard(state, "Debited", Transfer.TransferCompleted({ transferId })),
      RecordCreditRefusal: ({ reason, transferId }) =>
        heard(state, "Debited", Transfer.CreditFailed({ transferId, reason })),
      RecordRefund: ({ transferId }) => heard(state, "Compensating", Transfer.TransferCompensated({ transferId }))
    }),
  evolve: (state, event): TransferState =>
    Transfer.match(event, {
      TransferInitiated: ({ _tag, ...order }) => ({ status: "Initiated", order }),
      DebitApplied: () => becomes(state, "Debited"),
      TransferFailed: ({ reason }) => fails(state, "Failed", reason),
      CreditFailed: ({ reason }) => fails(state, "Compensating", reason),
      TransferCompleted: () => becomes(state, "Completed"),
      TransferCompensated: () => state.status === "Compensating" ? { ...state, status: "Compensated" } : state
    }),
  react: (state, event) => {
    if (state.status === "New") return Fx.none
    const { amount, from, to, transferId } = state.order
    switch (event._tag) {
      case "TransferInitiated":
        return Fx.dispatch(account, from, Account.Debit({ accountId: from, transferId, amount }))
      case "DebitApplied":
        return Fx.dispatch(account, to, Account.Credit({ accountId: to, transferId, amount }))
      case "CreditFailed":
        return Fx.dispatch(account, from, Account.Refund({ accountId: from, transferId, amount }))
      default:
        return Fx.none
    }
  }
})

/** Whether nothing more will happen to it. */
export const isFinished = ({ status }: TransferState): boolean =>
  status === "Completed" || status === "Failed" || status === "Compensated"

/** What an account's event means to the transfer that it names; nothing when it is about none. */
export const hears = (event: AccountEvent): TransferCommand | undefined => {
  switch (event._tag) {
    case "Debited":
      return Transfer.RecordDebit({ transferId: event.transferId })
    case "DebitRefused":
      return Transfer.RecordDebitRefusal({ transferId: event.transferId, reason: event.reason })
    case "Credited":
      return Transfer.RecordCredit({ transferId: event.transferId })
    case "CreditRefused":
      return Transfer.RecordCreditRefusal({ transferId: event.transferId, reason: event.reason })
    case "Refunded":
      return Transfer.RecordRefund({ transferId: event.transferId })
    default:
      return undefined
  }
}
