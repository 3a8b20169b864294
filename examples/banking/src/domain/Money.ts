/**
 * Amounts of money as integers, in the minor unit of the bank's one currency: 1234 are 12.34. Integers are exact, and
 * the limits keep every sum within what a JavaScript number can count.
 */
import { Schema } from "effect"

/** The most that is moved at once. */
export const largestAmount = 1_000_000_000_000

/** The most that an account takes in. A refund always finds room above it. */
export const largestBalance = 1_000_000_000_000_000

/** An amount that is moved, in minor units. */
export const Amount = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: largestAmount }))

/** What an account may open with, in minor units. */
export const OpeningBalance = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: largestAmount }))

/** Whether this can be moved. */
export const isAmount = Schema.is(Amount)

/** Whether an account may open with this. */
export const isOpeningBalance = Schema.is(OpeningBalance)

/** For people to read: `12.34`. */
export const format = (amount: number): string => {
  const digits = String(Math.abs(amount)).padStart(3, "0")
  return `${amount < 0 ? "-" : ""}${digits.slice(0, -2)}.${digits.slice(-2)}`
}
