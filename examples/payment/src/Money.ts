/**
 * Amounts of money as integers, in the minor unit of the one currency: 1234 are 12.34.
 */
import { Schema } from "effect"

/** An amount that is paid, in minor units. */
export const Amount = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000_000_000 }))

/** Whether this can be paid. */
export const isAmount = Schema.is(Amount)
