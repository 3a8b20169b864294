/**
 * The bank's books, from the events of its accounts alone, in the order of the log.
 *
 * **Money is conserved** means, behind every single event:
 *
 *     Σ balance + Σ in flight = Σ paid in − Σ paid out
 *
 * where *paid in* are opening balances and deposits, *paid out* withdrawals, and *in flight* is what was debited for a
 * transfer and neither credited nor refunded yet. Beside that no balance is negative, and each transfer is debited at most
 * once, then either credited or refunded, once, with the very amount.
 *
 * It is exact at every instant, because it asks no transfer how far it thinks it has come: a debit is in flight from the
 * moment it is in the log.
 */
import { HashMap, Option } from "effect"
import type { AccountEvent } from "./Account.ts"

/** How far a transfer's money has come. The amount is in minor units. */
export interface Flight {
  readonly amount: number
  readonly status: "InFlight" | "Credited" | "Refunded"
}

/** The books behind some events. All amounts are in minor units. */
export interface Ledger {
  readonly paidIn: number
  readonly paidOut: number
  /** All that is on accounts. */
  readonly onAccounts: number
  /** All that was debited, and neither credited nor refunded yet. */
  readonly inFlight: number
  readonly balances: HashMap.HashMap<string, number>
  readonly flights: HashMap.HashMap<string, Flight>
  /** What the events themselves did that they must not, in words. */
  readonly faults: ReadonlyArray<string>
}

/** The books of a bank without accounts. */
export const empty: Ledger = {
  paidIn: 0,
  paidOut: 0,
  onAccounts: 0,
  inFlight: 0,
  balances: HashMap.empty(),
  flights: HashMap.empty(),
  faults: []
}

/** What is not as it must be, in words; none when money is conserved. */
export const violations = ({ faults, inFlight, onAccounts, paidIn, paidOut }: Ledger): ReadonlyArray<string> =>
  onAccounts + inFlight === paidIn - paidOut
    ? faults
    : [...faults, `${onAccounts} on accounts and ${inFlight} in flight, where ${paidIn - paidOut} were paid in`]

const faulty = (ledger: Ledger, fault: string): Ledger => ({ ...ledger, faults: [...ledger.faults, fault] })

const moved = (ledger: Ledger, accountId: string, amount: number): Ledger => {
  const balance = Option.getOrElse(HashMap.get(ledger.balances, accountId), () => 0) + amount
  const next = {
    ...ledger,
    onAccounts: ledger.onAccounts + amount,
    balances: HashMap.set(ledger.balances, accountId, balance)
  }
  return balance < 0 ? faulty(next, `account ${accountId} has ${balance}`) : next
}

const debited = (ledger: Ledger, transferId: string, amount: number): Ledger => {
  const next = { ...ledger, inFlight: ledger.inFlight + amount }
  return HashMap.has(ledger.flights, transferId)
    ? faulty(next, `transfer ${transferId} was debited twice`)
    : { ...next, flights: HashMap.set(ledger.flights, transferId, { amount, status: "InFlight" }) }
}

const landed = (ledger: Ledger, transferId: string, end: Flight): Ledger => {
  const { amount, status } = end
  const next = { ...ledger, inFlight: ledger.inFlight - amount }
  const flight = Option.getOrUndefined(HashMap.get(ledger.flights, transferId))
  if (flight?.status !== "InFlight") {
    return faulty(next, `transfer ${transferId} was ${status}, having been ${flight?.status ?? "never debited"}`)
  }
  const landed = { ...next, flights: HashMap.set(ledger.flights, transferId, end) }
  return flight.amount === amount
    ? landed
    : faulty(landed, `transfer ${transferId} was ${status} with ${amount}, but debited with ${flight.amount}`)
}

/** The books behind one more event. */
export const record = (ledger: Ledger, event: AccountEvent): Ledger => {
  switch (event._tag) {
    case "AccountOpened": {
      const { accountId, openingBalance } = event
      return { ...moved(ledger, accountId, openingBalance), paidIn: ledger.paidIn + openingBalance }
    }
    case "MoneyDeposited":
      return { ...moved(ledger, event.accountId, event.amount), paidIn: ledger.paidIn + event.amount }
    case "MoneyWithdrawn":
      return { ...moved(ledger, event.accountId, -event.amount), paidOut: ledger.paidOut + event.amount }
    case "Debited":
      return debited(moved(ledger, event.accountId, -event.amount), event.transferId, event.amount)
    case "Credited":
    case "Refunded":
      return landed(moved(ledger, event.accountId, event.amount), event.transferId, {
        amount: event.amount,
        status: event._tag
      })
    case "DebitRefused":
    case "CreditRefused":
      return ledger
  }
}
