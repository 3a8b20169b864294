/**
 * Why an account refuses something, as data and in words.
 */
import { Schema } from "effect"
import { format } from "./Money.ts"

const accountId = Schema.String
const amount = Schema.Int
const balance = Schema.Int

/** Why an account refuses something. */
export const AccountRefusal = Schema.TaggedUnion({
  AlreadyOpen: { accountId },
  HolderMissing: { accountId },
  NotOpen: { accountId },
  AmountOutOfRange: { accountId, amount },
  NotEnoughMoney: { accountId, balance, amount },
  BalanceLimitReached: { accountId, balance, amount }
})

/** Why an account refuses something. */
export type AccountRefusal = typeof AccountRefusal.Type

/** The refusal as a sentence without a full stop. */
export const explain = (refusal: AccountRefusal): string =>
  AccountRefusal.match(refusal, {
    AlreadyOpen: ({ accountId }) => `account ${accountId} is already open`,
    HolderMissing: ({ accountId }) => `account ${accountId} cannot be opened without a holder`,
    NotOpen: ({ accountId }) => `account ${accountId} is not open`,
    AmountOutOfRange: ({ accountId, amount }) => `${format(amount)} is no amount that account ${accountId} can move`,
    NotEnoughMoney: ({ accountId, amount, balance }) =>
      `account ${accountId} has ${format(balance)}, which is less than ${format(amount)}`,
    BalanceLimitReached: ({ accountId, amount, balance }) =>
      `account ${accountId} has ${format(balance)} and cannot take in another ${format(amount)}`
  })
