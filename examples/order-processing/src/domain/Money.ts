/**
 * Amounts of money, in the one currency of the shop. They are exact decimals, however many digits a discount brings
 * about; only what a person reads is rounded to the cent.
 */
import { BigDecimal } from "effect"
import { Decimal } from "./Decimal.ts"

/** An exact amount. In JSON a decimal string, in PostgreSQL a `numeric`. */
export type Money = Decimal

/** An amount on the wire. */
export const Money = Decimal

/** No money. */
export const zero: Money = BigDecimal.fromBigInt(0n)

/** The exact sum. */
export const sum: (amounts: Iterable<Money>) => Money = BigDecimal.sumAll
