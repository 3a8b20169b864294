/**
 * Exact decimal numbers: `BigDecimal` in memory, decimal strings such as `"14.00"` in JSON. A binary float is never
 * involved, because 0.1 has no exact one.
 */
import { BigDecimal, Schema, SchemaTransformation } from "effect"

/** An exact decimal number. */
export type Decimal = BigDecimal.BigDecimal

/** Digits and at most one point: no exponent, with which a short text could stand for a gigabyte of zeros. */
const plainNotation = /^-?\d{1,40}(\.\d{1,20})?$/

/** The number in plain notation with at least this many decimals, and more where it has more. Nothing is rounded. */
export const format = (number: Decimal, leastDecimals = 2): string => {
  const decimals = Math.max(BigDecimal.normalize(number).scale, leastDecimals)
  const { value } = BigDecimal.scale(number, decimals)
  const isNegative = value < 0n
  const digits = `${isNegative ? -value : value}`.padStart(decimals + 1, "0")
  const point = digits.length - decimals
  const sign = isNegative ? "-" : ""
  return decimals === 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

const message = "Expected a decimal number in quotes, such as \"14.00\""

const limit = BigDecimal.make(1n, -40)

/** What {@link plainNotation} has room for. Other numbers are none of ours: they could be reckoned with, but not stored. */
const Writable = Schema.BigDecimal.check(
  Schema.isBetweenBigDecimal({ minimum: BigDecimal.negate(limit), maximum: limit }),
  Schema.makeFilter(({ scale: given, value }) => {
    // A copy, because normalising leaves its result in the number, which would then no longer equal its like by structure.
    const number = BigDecimal.make(value, given)
    const { scale } = BigDecimal.normalize(number)
    // Looked at before it is written out: a short number may stand for a gigabyte of zeros.
    return (scale <= 20 && scale > -40 && plainNotation.test(format(number))) ||
      "Expected at most 40 digits before the point and 20 behind it"
  })
)

/** A decimal number on the wire. */
export const Decimal = Schema.String.annotate({ message })
  .check(Schema.isPattern(plainNotation, { message }))
  .pipe(Schema.decodeTo(
    Writable,
    SchemaTransformation.transform({
      decode: BigDecimal.fromStringUnsafe,
      encode: (number: Decimal) => format(number)
    })
  ))
